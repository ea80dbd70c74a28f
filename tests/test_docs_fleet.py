"""Tests of the page on replicas: its examples are run as they stand there."""

from __future__ import annotations

import pytest

from idura_ciba.batch import Result
from idura_ciba.fleet import Fleet
from idura_ciba.fleet.sqlite import SqliteStore
from idura_ciba.simulator import Script, SimulatedIdura
from idura_ciba.testing import virtual_clock
from tests.fakes import swedes
from tests.logins import SWEDE, MakeClient
from tests.pages import example


async def test_one_process_needs_no_server(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The example, with a store in memory."""
    monkeypatch.setattr("idura_ciba.fleet.stores.SqliteStore", lambda _: SqliteStore(clock=virtual_clock()))
    simulated_idura.script(SWEDE, Script.approve(after=8))
    outcome = await example("replicas")["verify"](make_ciba_client(), None, SWEDE, "case 1")
    assert outcome.claims["ssn"] == SWEDE


async def test_a_batch_is_shared(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By as many replicas as there are; here, one."""
    monkeypatch.setattr("idura_ciba.fleet.stores.SqliteStore", lambda _: SqliteStore(clock=virtual_clock()))
    results: list[Result] = []
    async with Fleet(make_ciba_client()) as fleet:
        await example("shared_batch")["verify_all"](fleet, swedes(3), results.append)
    assert len(simulated_idura.ledger.orders) == len(results) == 3


async def test_a_store_behind_a_pooler_listens_past_it(make_ciba_client: MakeClient) -> None:
    """The example connects to both, and says that neither is there."""
    pytest.importorskip("psycopg")
    nobody = "postgresql://nobody@127.0.0.1:1/none"
    fleet = example("pooler")["join"](make_ciba_client(resume_secret=b"s" * 32), nobody, f"{nobody}_direct")
    assert (fleet._store._dsn, fleet._store._listen_dsn) == (nobody, f"{nobody}_direct")
