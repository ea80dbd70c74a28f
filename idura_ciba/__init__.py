"""Ask people to prove who they are through their eID app: OpenID Connect CIBA at Idura Verify, on asyncio."""

from idura_ciba.client import CibaClient
from idura_ciba.client_auth import ClientAuth, ClientSecretBasic, ClientSecretJwt, ClientSecretPost, PrivateKeyJwt
from idura_ciba.eid import EidRequest, FrejaID, NorwegianBankID, SwedishBankID
from idura_ciba.errors import (
    Abandoned,
    AlreadyPending,
    CibaError,
    ClientRejected,
    Denied,
    Expired,
    IdTokenRejected,
    Indeterminate,
    NotAuthenticated,
    ProviderError,
    RemoteProtocolError,
    ResumeError,
    TransportError,
    UsageError,
)
from idura_ciba.id_token import Authentication
from idura_ciba.outcome import Outcome, Update
from idura_ciba.polling.basic import Backoff, Fixed, Proportional
from idura_ciba.polling.final_poll import FinalPoll
from idura_ciba.polling.hazard import HazardAware
from idura_ciba.polling.phase import PhaseAware
from idura_ciba.polling.strategy import PollView, Strategy
from idura_ciba.protocol.machine import State
from idura_ciba.scheduling.scheduler import FairScheduler, IndexScheduler
from idura_ciba.transaction import Transaction
from idura_ciba.transport import AiohttpTransport

__all__ = [
    "Abandoned",
    "AiohttpTransport",
    "AlreadyPending",
    "Authentication",
    "Backoff",
    "CibaClient",
    "CibaError",
    "ClientAuth",
    "ClientRejected",
    "ClientSecretBasic",
    "ClientSecretJwt",
    "ClientSecretPost",
    "Denied",
    "EidRequest",
    "Expired",
    "FairScheduler",
    "FinalPoll",
    "Fixed",
    "FrejaID",
    "HazardAware",
    "IdTokenRejected",
    "Indeterminate",
    "IndexScheduler",
    "NorwegianBankID",
    "NotAuthenticated",
    "Outcome",
    "PhaseAware",
    "PollView",
    "PrivateKeyJwt",
    "Proportional",
    "ProviderError",
    "RemoteProtocolError",
    "ResumeError",
    "State",
    "Strategy",
    "SwedishBankID",
    "Transaction",
    "TransportError",
    "Update",
    "UsageError",
]
