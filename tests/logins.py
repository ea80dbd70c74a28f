"""What the tests of logins share: people, their requests, faults for one endpoint, and a transport that remembers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from idura_ciba import CibaClient, SwedishBankID
from idura_ciba.simulator import Arrival, Fault, MemoryTransport, SimulatedIdura
from idura_ciba.testing import virtual_clock

SWEDE, OTHER_SWEDE, NORWEGIAN = "209801011231", "209602294564", "01023990128"

MakeClient = Callable[..., CibaClient]


def swedish(number: str = SWEDE) -> SwedishBankID:
    """A request for a Swede."""
    return SwedishBankID(number, call_initiator="RP", message="Hello from the tests")


def on(endpoint: str, fault: Fault, *, nth: int | None = None) -> Callable[[Arrival], Fault | None]:
    """A rule: this fault at this endpoint, for the nth request or for all."""
    return lambda arrival: fault if arrival.endpoint == endpoint and nth in {None, arrival.nth} else None


def polls(fault: Fault, *nth: int) -> Callable[[Arrival], Fault | None]:
    """A rule: this fault for these polls, or for all."""
    return lambda arrival: fault if arrival.endpoint == "token" and (not nth or arrival.nth in nth) else None


class Recorder:
    """A transport that remembers when polls left."""

    def __init__(self, idura: SimulatedIdura) -> None:
        self._inner = MemoryTransport(idura, clock=virtual_clock())
        self.times: list[float] = []

    async def send(self, request: object) -> object:
        """Pass on, and note the instant of polls."""
        if request.url.endswith("/oauth2/token"):  # type: ignore[attr-defined]
            self.times.append(round(asyncio.get_running_loop().time(), 3))
        return await self._inner.send(request)  # type: ignore[arg-type]

    async def aclose(self) -> None:
        """Nothing to release."""
