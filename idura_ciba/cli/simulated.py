"""A tenant of our own on this machine, for trying things without credentials."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from idura_ciba import ArgumentError, CibaClient, ClientSecretBasic, FairScheduler, PrivateKeyJwt
from idura_ciba.cli.keys import generate_key
from idura_ciba.eids import Eid
from idura_ciba.eids.registry import declared
from idura_ciba.polling.strategy import StrategyLike
from idura_ciba.simulator import EIDS, SimulatedEid, SimulatedIdura, SimulatorServer

__all__ = ["CLIENT_ID", "Elsewhere", "known_phones", "require_phone", "require_phone_of", "simulated_client"]

CLIENT_ID: Final = "urn:idura-ciba:cli"


class Elsewhere(SimulatedIdura):
    """A provider of which the one that serves is in another process.

    Attributes:
        connect: Finds that one, and returns its issuer and the client's secret.
    """

    connect: Callable[[], Awaitable[tuple[str, str]]]


def known_phones(modules: Sequence[str] | None) -> tuple[SimulatedEid, ...]:
    """The simulated eIDs of this package, and those that modules declare.

    Raises:
        UsageError: A module cannot be imported.
    """
    found = (phone for module in modules or () for phone in declared(module, SimulatedEid))
    return tuple(dict.fromkeys((*EIDS, *found)))


def require_phone(acr_values: str | None, phones: Iterable[SimulatedEid]) -> None:
    """See that the simulated provider serves an eID.

    Raises:
        UsageError: It does not.
    """
    served = [acr for phone in phones for acr in phone.acr_values]
    if acr_values not in served:
        raise ArgumentError(
            "The simulated provider does not serve this eID",
            code="simulate",
            advice=f"Ask for one of {', '.join(served)}, or pass an --eid-module that declares its SimulatedEid",
        )


def require_phone_of(eid: Eid | None, options: Mapping[str, Any], phones: Iterable[SimulatedEid]) -> None:
    """The same before there is a request, as far as it can be known.

    Raises:
        UsageError: The simulated provider does not serve this eID.
    """
    acr_values = options.get("acr") if eid is None else eid.fields.get("acr_values", options.get("acr"))
    if acr_values is not None:
        require_phone(acr_values, phones)


@asynccontextmanager
async def simulated_client(
    idura: SimulatedIdura,
    *,
    name: str | None = None,
    strategy: StrategyLike | None = None,
    scheduler: FairScheduler | None = None,
) -> AsyncIterator[CibaClient]:
    """Serve a simulated provider on a free port of this machine, and connect a client that signs with a new key.

    Args:
        idura: The provider.
        name: What the phones call the client; its id by default.
        strategy: As for `CibaClient`.
        scheduler: As for `CibaClient`.
    """
    if isinstance(idura, Elsewhere):
        issuer, secret = await idura.connect()
        elsewhere = ClientSecretBasic(CLIENT_ID, secret)
        async with CibaClient(issuer, elsewhere, strategy=strategy, scheduler=scheduler) as client:
            yield client
        return
    auth = PrivateKeyJwt(CLIENT_ID, generate_key("ES256"))
    idura.register_client(CLIENT_ID, jwks=auth.public_jwks(), name=name)
    async with (
        SimulatorServer(idura) as server,
        CibaClient(server.issuer, auth, strategy=strategy, scheduler=scheduler) as client,
    ):
        yield client
