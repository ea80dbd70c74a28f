"""Tests of the observer that makes spans and metrics: what it imports, and what it does without an SDK."""

from __future__ import annotations

import subprocess
import sys

import pytest

from idura_ciba import UsageError
from idura_ciba.otel import Telemetry
from idura_ciba.simulator import Script, SimulatedIdura
from tests.logins import SWEDE, MakeClient, swedish
from tests.otel.recorded import Recorded


def test_only_the_api_is_imported() -> None:
    """Which SDK, and whether, is the program's choice; and whoever wants none imports nothing of it."""
    code = "import sys, idura_ciba.otel\nprint(any(name.startswith('opentelemetry.sdk') for name in sys.modules))\n"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"
    code = (
        "import sys, idura_ciba; idura_ciba.CibaClient\n"
        "print(any(name.startswith('opentelemetry') for name in sys.modules))\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"


@pytest.mark.parametrize("polls", ["events ", "", None, 1])
def test_polls_are_events_or_spans(polls: object) -> None:
    """Anything else is refused."""
    with pytest.raises(UsageError) as caught:
        Telemetry(polls=polls)  # type: ignore[arg-type]  # that is the point
    assert caught.value.code == "telemetry_polls"


async def test_without_an_sdk_logins_go_on_and_nobody_notices(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is recorded, and nothing is complained of."""
    simulated_idura.script(SWEDE, Script.approve(after=5))
    async with make_ciba_client(observers=[Telemetry()]) as ciba:
        assert (await ciba.authenticate(swedish())).claims["ssn"] == SWEDE
    assert caplog.records == []


async def test_an_sdk_that_breaks_breaks_no_login(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Like any other observer, it is complained of once."""
    simulated_idura.script(SWEDE, Script.approve(after=5))
    recorded = Recorded()

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError

    recorded.telemetry._spans._tracer.start_span = broken  # type: ignore[method-assign, assignment]  # that is the point
    async with make_ciba_client(observers=[recorded.telemetry]) as ciba:
        assert (await ciba.authenticate(swedish())).claims["ssn"] == SWEDE
    assert [record.getMessage() for record in caplog.records] == [
        "an observer failed with RuntimeError; further failures are not logged"
    ]
