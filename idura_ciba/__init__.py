"""Ask people to prove who they are through their eID app: OpenID Connect CIBA at Idura Verify, on asyncio.

PYTEST_DONT_REWRITE: a program may import this package before it runs pytest, which then loads the fixtures from it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from idura_ciba.client import CibaClient
    from idura_ciba.credentials.client_auth import (
        ClientAuth,
        ClientSecretBasic,
        ClientSecretJwt,
        ClientSecretPost,
        PrivateKeyJwt,
    )
    from idura_ciba.credentials.decryption_key import DecryptionKeys
    from idura_ciba.credentials.dpop import DPoP
    from idura_ciba.credentials.request_object import SignedRequests
    from idura_ciba.credentials.tls_auth import CertificateBound, SelfSignedTlsClientAuth, TlsClientAuth
    from idura_ciba.eids.frejaid import FrejaID
    from idura_ciba.eids.norwegian_bankid import NorwegianBankID
    from idura_ciba.eids.phase import Phase
    from idura_ciba.eids.request import EidRequest
    from idura_ciba.eids.swedish_bankid import SwedishBankID
    from idura_ciba.errors import (
        Abandoned,
        ArgumentError,
        CibaError,
        ClientRejected,
        Denied,
        Expired,
        HandedOver,
        IdTokenRejected,
        Indeterminate,
        NotAuthenticated,
        ProviderError,
        RemoteProtocolError,
        ResumeError,
        StateError,
        TransportError,
        UsageError,
    )
    from idura_ciba.http.provider import Endpoints
    from idura_ciba.http.transport import AiohttpTransport
    from idura_ciba.polling.basic import Backoff, Fixed, Proportional
    from idura_ciba.polling.final_poll import FinalPoll
    from idura_ciba.polling.hazard import HazardAware
    from idura_ciba.polling.phase import PhaseAware
    from idura_ciba.polling.pinged import WhenPinged
    from idura_ciba.polling.strategy import PollView, Strategy
    from idura_ciba.protocol.machine import State
    from idura_ciba.scheduling.scheduler import FairScheduler, IndexScheduler
    from idura_ciba.transaction.already_pending import AlreadyPending
    from idura_ciba.transaction.outcome import Handover, Outcome, Update
    from idura_ciba.transaction.transaction import Transaction
    from idura_ciba.trust.authentication import Authentication

#: The only place with the version: `pyproject.toml` reads it from here.
__version__ = "0.1.0"

__all__ = [
    "Abandoned",
    "AiohttpTransport",
    "AlreadyPending",
    "ArgumentError",
    "Authentication",
    "Backoff",
    "CertificateBound",
    "CibaClient",
    "CibaError",
    "ClientAuth",
    "ClientRejected",
    "ClientSecretBasic",
    "ClientSecretJwt",
    "ClientSecretPost",
    "DPoP",
    "DecryptionKeys",
    "Denied",
    "EidRequest",
    "Endpoints",
    "Expired",
    "FairScheduler",
    "FinalPoll",
    "Fixed",
    "FrejaID",
    "HandedOver",
    "Handover",
    "HazardAware",
    "IdTokenRejected",
    "Indeterminate",
    "IndexScheduler",
    "NorwegianBankID",
    "NotAuthenticated",
    "Outcome",
    "Phase",
    "PhaseAware",
    "PollView",
    "PrivateKeyJwt",
    "Proportional",
    "ProviderError",
    "RemoteProtocolError",
    "ResumeError",
    "SelfSignedTlsClientAuth",
    "SignedRequests",
    "State",
    "StateError",
    "Strategy",
    "SwedishBankID",
    "TlsClientAuth",
    "Transaction",
    "TransportError",
    "Update",
    "UsageError",
    "WhenPinged",
]

#: Public names by module. Loaded on first use, so that importing an error loads no HTTP library.
_MODULES = {
    "client": ("CibaClient",),
    "credentials.client_auth": (
        "ClientAuth",
        "ClientSecretBasic",
        "ClientSecretJwt",
        "ClientSecretPost",
        "PrivateKeyJwt",
    ),
    "credentials.decryption_key": ("DecryptionKeys",),
    "credentials.dpop": ("DPoP",),
    "credentials.request_object": ("SignedRequests",),
    "credentials.tls_auth": ("CertificateBound", "SelfSignedTlsClientAuth", "TlsClientAuth"),
    "eids.frejaid": ("FrejaID",),
    "eids.norwegian_bankid": ("NorwegianBankID",),
    "eids.phase": ("Phase",),
    "eids.request": ("EidRequest",),
    "eids.swedish_bankid": ("SwedishBankID",),
    "errors": (
        "Abandoned",
        "ArgumentError",
        "CibaError",
        "ClientRejected",
        "Denied",
        "Expired",
        "HandedOver",
        "IdTokenRejected",
        "Indeterminate",
        "NotAuthenticated",
        "ProviderError",
        "RemoteProtocolError",
        "ResumeError",
        "StateError",
        "TransportError",
        "UsageError",
    ),
    "http.provider": ("Endpoints",),
    "http.transport": ("AiohttpTransport",),
    "polling.basic": (
        "Backoff",
        "Fixed",
        "Proportional",
    ),
    "polling.final_poll": ("FinalPoll",),
    "polling.hazard": ("HazardAware",),
    "polling.phase": ("PhaseAware",),
    "polling.pinged": ("WhenPinged",),
    "polling.strategy": (
        "PollView",
        "Strategy",
    ),
    "protocol.machine": ("State",),
    "scheduling.scheduler": (
        "FairScheduler",
        "IndexScheduler",
    ),
    "transaction.already_pending": ("AlreadyPending",),
    "transaction.outcome": (
        "Handover",
        "Outcome",
        "Update",
    ),
    "transaction.transaction": ("Transaction",),
    "trust.authentication": ("Authentication",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    """Load a public name on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name, obj=__name__)
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    """All public names, loaded or not."""
    return sorted({*globals(), *__all__})
