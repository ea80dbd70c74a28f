"""A tenant of our own on this machine, for trying things without credentials."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from idura_ciba import CibaClient, FairScheduler, PrivateKeyJwt
from idura_ciba.cli.keys import generate_key
from idura_ciba.cli.person import EidName
from idura_ciba.polling.strategy import StrategyLike
from idura_ciba.redaction import Redacted
from idura_ciba.simulator import SimulatedIdura, SimulatorServer

__all__ = ["CLIENT_ID", "SOMEBODY", "simulated_client"]

CLIENT_ID: Final = "urn:idura-ciba:cli"

#: Well formed, and nobody's: their dates of birth lie in the future.
SOMEBODY: Final[Mapping[EidName, Redacted]] = {
    "se": Redacted("209801011231"),
    "no": Redacted("01023990128"),
    "freja": Redacted("209602294564"),
}


@asynccontextmanager
async def simulated_client(
    idura: SimulatedIdura, *, strategy: StrategyLike | None = None, scheduler: FairScheduler | None = None
) -> AsyncIterator[CibaClient]:
    """Serve a simulated provider on a free port of this machine, and connect a client that signs with a new key.

    Args:
        idura: The provider.
        strategy: As for `CibaClient`.
        scheduler: As for `CibaClient`.
    """
    auth = PrivateKeyJwt(CLIENT_ID, generate_key("ES256"))
    idura.register_client(CLIENT_ID, jwks=auth.public_jwks())
    async with (
        SimulatorServer(idura) as server,
        CibaClient(server.issuer, auth, strategy=strategy, scheduler=scheduler) as client,
    ):
        yield client
