"""The fixtures of `idura_ciba.testing`, which pytest finds through an entry point.

pytest loads this module in every test run of every project that has the package installed, before a coverage plugin can
start. So nothing else of the package is imported until a test requests a fixture.

PYTEST_DONT_REWRITE: there are no assertions here.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from idura_ciba.aio.clock import Clock
    from idura_ciba.client import CibaClient
    from idura_ciba.simulator import SimulatedIdura

__all__ = ["make_ciba_client", "simulated_idura", "virtual_clock"]

_CLIENT_ID = "urn:my:application:identifier:0001"
_CLIENT_SECRET = "known to the simulator"  # noqa: S105 - opens nothing


@pytest.fixture
def virtual_clock() -> Clock:
    """A `Clock` on virtual wall time, for `CibaClient(clock=...)` and the like."""
    from idura_ciba import testing  # noqa: PLC0415

    return testing.virtual_clock()


@pytest.fixture
def simulated_idura() -> SimulatedIdura:
    """A provider in memory, where the client of `make_ciba_client` is registered."""
    from idura_ciba.simulator import SimulatedIdura  # noqa: PLC0415

    idura = SimulatedIdura(seed=1)
    idura.register_client(_CLIENT_ID, secret=_CLIENT_SECRET)
    return idura


@pytest.fixture
def make_ciba_client(simulated_idura: SimulatedIdura) -> Callable[..., CibaClient]:
    """Makes clients of `simulated_idura`; takes any argument of `CibaClient` except the first two."""
    from idura_ciba import testing  # noqa: PLC0415
    from idura_ciba.client import CibaClient  # noqa: PLC0415
    from idura_ciba.credentials.client_auth import ClientSecretPost  # noqa: PLC0415
    from idura_ciba.simulator import MemoryTransport  # noqa: PLC0415

    def make(**options: Any) -> CibaClient:
        clock = testing.virtual_clock()
        defaults: dict[str, Any] = {
            "clock": clock,
            "rng": Random(1),  # noqa: S311 - the same in each run
            "transport": MemoryTransport(simulated_idura, clock=clock),
        }
        auth = ClientSecretPost(_CLIENT_ID, _CLIENT_SECRET)
        return CibaClient(simulated_idura.issuer, auth, **(defaults | options))

    return make
