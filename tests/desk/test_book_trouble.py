"""Tests of a desk whose files, store or moment of closing are trouble."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from idura_ciba import State
from idura_ciba.aio.clock import Clock
from idura_ciba.desk.book import DeskBook, day_file, new_id
from idura_ciba.desk.diary import Diary
from idura_ciba.errors import CibaError, StoreError
from idura_ciba.fleet import FleetLogin
from idura_ciba.simulator import Fault, Script, SimulatedIdura
from idura_ciba.testing import virtual_clock
from tests.desk.books import SWEDE, ended, opened, swedish
from tests.logins import MakeClient, on

AWAY = StoreError("the store is away", code="store_away")


async def test_a_day_that_cannot_be_opened_closes_everything_else(make_ciba_client: MakeClient, tmp_path: Path) -> None:
    """The fleet's file, too, so that a desk with another name for the day can have it."""
    store = tmp_path / "desk.db"
    day_file(store).write_text("another program's" * 100)
    with pytest.raises(StoreError):
        await DeskBook(make_ciba_client(), store, clock=virtual_clock()).__aenter__()
    day_file(store).unlink()
    async with opened(make_ciba_client, store) as book:
        assert book.snapshot().open == ()


async def test_a_day_that_cannot_be_written_asks_nobody(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The phone has not rung; with room on the disk, the same form works."""
    async with opened(make_ciba_client) as book:
        id_ = new_id()
        with monkeypatch.context() as patch:
            patch.setattr(Diary, "write", _away)
            with pytest.raises(StoreError):
                await swedish(book, id_)
        assert (simulated_idura.ledger.orders, book.snapshot().open) == ([], ())
        assert (await swedish(book, id_)).id == id_


async def test_a_form_that_rang_nobody_is_gone_whatever_the_disk_says(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would stand there as a request on its way, and for ever: the person's first login is what the agent needs."""
    simulated_idura.script(SWEDE, Script.never())
    async with opened(make_ciba_client) as book:
        first = await swedish(book)
        with monkeypatch.context() as patch:
            patch.setattr(Diary, "forget", _away)
            assert (await swedish(book)).id == first.id
        assert [entry.id for entry in book.snapshot().open] == [first.id]


async def test_an_answer_in_hand_is_shown_whatever_the_disk_says(
    simulated_idura: SimulatedIdura,
    make_ciba_client: MakeClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It was fetched once, and nobody can fetch it again."""
    simulated_idura.script(SWEDE, Script.approve(after=9))
    async with opened(make_ciba_client) as book:
        begun = await swedish(book)
        monkeypatch.setattr(Diary, "write", _away)
        assert (await ended(book, begun.id)).state is State.APPROVED
    assert "the store is away" in caplog.text


async def test_an_answer_that_comes_while_the_disk_is_full_is_there_when_it_is_not(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The provider gives it once, so whoever has it keeps it until it can be written."""
    simulated_idura.script(SWEDE, Script.approve(after=9))
    async with opened(make_ciba_client, tmp_path / "desk.db") as book:
        begun = await swedish(book)
        store, full = book._fleet._store, True
        inner = store._database

        class Database:
            """As SQLite on a disk without room for what was answered."""

            in_transaction = property(lambda _: inner.in_transaction)

            def execute(self, statement: str, values: Any = ()) -> Any:
                if full and "outcome = ?" in statement:
                    raise sqlite3.OperationalError("database or disk is full")
                return inner.execute(statement, values)

            def close(self) -> None:
                inner.close()

        monkeypatch.setattr(store, "_database", Database())
        await asyncio.sleep(30)
        assert [entry.id for entry in book.snapshot().open] == [begun.id]
        full = False
        async with asyncio.timeout(60):
            assert (await ended(book, begun.id)).confirmed


@pytest.mark.parametrize("method", ["updates", "outcome"])
async def test_a_store_that_is_away_for_a_moment_costs_a_moment(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Whether it is read for progress or for the end."""
    simulated_idura.script(SWEDE, Script.approve(after=9))
    usual, failed = getattr(FleetLogin, method), 0

    def moody(login: FleetLogin) -> Any:
        nonlocal failed
        failed += 1
        if failed < 3:
            raise AWAY
        return usual(login)

    monkeypatch.setattr(FleetLogin, method, moody)
    async with opened(make_ciba_client) as book:
        assert (await ended(book, (await swedish(book)).id)).confirmed
    assert failed == 3


async def test_a_store_that_is_away_at_the_start_is_asked_again(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Until then, what is under way is shown as it was left."""
    simulated_idura.script(SWEDE, Script.approve(after=30))
    store = tmp_path / "desk.db"
    async with opened(make_ciba_client, store) as book:
        begun = await swedish(book)
    book = DeskBook(make_ciba_client(), store, clock=virtual_clock())
    usual, failed = book._fleet.get, 0

    async def get(login: str) -> FleetLogin:
        nonlocal failed
        failed += 1
        if failed < 3:
            raise AWAY
        return await usual(login)

    monkeypatch.setattr(book._fleet, "get", get)
    async with book:
        assert [entry.id for entry in book.snapshot().open] == [begun.id]
        assert (await ended(book, begun.id)).state is State.APPROVED


@pytest.mark.parametrize("held", [1.0, 200.0])
async def test_closing_while_a_request_is_under_way(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, tmp_path: Path, held: float
) -> None:
    """The phone may ring: the next desk knows of it, and goes on with it or says that nobody knows; it rings once."""
    simulated_idura.script(SWEDE, Script.approve(after=30))
    simulated_idura.faults = [on("bc-authorize", Fault.delay(held))]
    store, id_ = tmp_path / "desk.db", new_id()
    book = await DeskBook(make_ciba_client(), store, clock=virtual_clock()).__aenter__()
    asking = asyncio.create_task(swedish(book, id_))
    await asyncio.sleep(0.5)
    await book.close()
    await asyncio.gather(asking, return_exceptions=True)
    simulated_idura.faults = []
    async with opened(make_ciba_client, store) as book:
        entry = await ended(book, id_)
        assert entry.verdict == ("confirmed" if held < 2 else "unknown")
    assert len(simulated_idura.ledger.orders) == 1


async def test_a_day_that_cannot_be_tidied_is_tidied_later(
    simulated_idura: SimulatedIdura,
    make_ciba_client: MakeClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And the desk goes on."""
    simulated_idura.script(SWEDE, Script.approve(after=9))
    shift, inner = 0.0, virtual_clock()
    async with DeskBook(make_ciba_client(), clock=Clock(wall=lambda: inner.wall() + shift)) as book:
        await ended(book, (await swedish(book)).id)
        shift = 90_000.0
        with monkeypatch.context() as patch:
            patch.setattr(Diary, "forget", _away)
            await asyncio.sleep(61)
        assert "the store is away" in caplog.text
        assert len(book.snapshot().ended) == len(book._diary.read(since=0.0)) == 1
        await asyncio.sleep(61)
        assert (book.snapshot().ended, book._diary.read(since=0.0)) == ((), [])


def _away(*_: object) -> None:
    raise AWAY


async def test_a_cancellation_of_the_page_cancels_no_request(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """A browser that has gone does not take the request with it."""
    simulated_idura.faults = [on("bc-authorize", Fault.delay(3.0))]
    async with opened(make_ciba_client) as book:
        id_ = new_id()
        asking = asyncio.create_task(swedish(book, id_))
        await asyncio.sleep(1)
        asking.cancel()
        with pytest.raises((asyncio.CancelledError, CibaError)):
            await asking
        await asyncio.sleep(4)
        (entry,) = book.snapshot().open
        assert (entry.id, entry.state) == (id_, State.PENDING)
