"""Tests of the page on replicas: its example is run as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from idura_ciba.fleet.sqlite import SqliteStore
from idura_ciba.simulator import Script, SimulatedIdura
from idura_ciba.testing import virtual_clock
from tests.logins import SWEDE, MakeClient

PAGE = (Path(__file__).parents[1] / "docs" / "fleet.md").read_text(encoding="utf-8")


def example(name: str) -> dict[str, Any]:
    """Run one of the examples and return what it defines."""
    found = re.search(rf"<!-- example: {name} -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    assert found, f"there is no example {name}"
    names: dict[str, Any] = {}
    exec(compile(found[1], f"example {name}", "exec"), names)  # noqa: S102 - our own page
    return names


async def test_one_process_needs_no_server(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The example, with a store in memory."""
    monkeypatch.setattr("idura_ciba.fleet.stores.SqliteStore", lambda _: SqliteStore(clock=virtual_clock()))
    simulated_idura.script(SWEDE, Script.approve(after=8))
    outcome = await example("replicas")["verify"](make_ciba_client(), None, SWEDE, "case 1")
    assert outcome.claims["ssn"] == SWEDE
