"""A faithful simulation of Idura Verify: try, test and demonstrate without credentials.

    idura = SimulatedIdura(seed=1)
    idura.register_client("urn:my:app", secret="...")
    idura.script("209801011231", Script.approve(after=8))

`SimulatedIdura` is pure. `MemoryTransport` connects a client in the same process to it, on any event loop, including a
virtual one; `SimulatorServer` serves it on a port. Each eID is a `SimulatedEid` in a file of its own.

May import joserfc, cryptography, aiohttp.web and `aio`, `errors` and `redaction`. Never imports `protocol` or any other
part of the client, so that the two cannot share a misreading of the specifications.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from idura_ciba.simulator.eid import SimulatedEid, Wish
from idura_ciba.simulator.eids import EIDS
from idura_ciba.simulator.faults import Arrival, Fault, FaultRule
from idura_ciba.simulator.ledger import Ledger, OrderRecord, Totals
from idura_ciba.simulator.memory import MemoryTransport
from idura_ciba.simulator.messages import SimReply, SimRequest
from idura_ciba.simulator.orders import Rules
from idura_ciba.simulator.people import Person
from idura_ciba.simulator.phones import Phones, Prompt, PromptState
from idura_ciba.simulator.pings import PingSender, SimPing
from idura_ciba.simulator.provider import SimulatedIdura
from idura_ciba.simulator.scenario import Crowd, Population, Script

if TYPE_CHECKING:
    from idura_ciba.simulator.server import SimulatorServer

__all__ = [
    "EIDS",
    "Arrival",
    "Crowd",
    "Fault",
    "FaultRule",
    "Ledger",
    "MemoryTransport",
    "OrderRecord",
    "Person",
    "Phones",
    "PingSender",
    "Population",
    "Prompt",
    "PromptState",
    "Rules",
    "Script",
    "SimPing",
    "SimReply",
    "SimRequest",
    "SimulatedEid",
    "SimulatedIdura",
    "SimulatorServer",
    "Totals",
    "Wish",
]


def __getattr__(name: str) -> Any:
    """Load the server on first use: it imports aiohttp.web, which most programs do not need."""
    if name == "SimulatorServer":
        from idura_ciba.simulator.server import SimulatorServer  # noqa: PLC0415

        return SimulatorServer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
