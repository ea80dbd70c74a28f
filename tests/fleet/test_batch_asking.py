"""Tests of how the people of a batch are asked as logins of the fleet, beside a fleet that does as told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from idura_ciba import AlreadyPending, Indeterminate, ProviderError, State
from idura_ciba.batch.logins import Login
from idura_ciba.batch.store import Entry, Phase
from idura_ciba.errors import Abandoned, CibaError, StoreError
from idura_ciba.fleet.batch_asking import FleetAsking
from idura_ciba.fleet.batch_rows import Row, Rows
from idura_ciba.fleet.batch_store import Member
from idura_ciba.fleet.sealing import Sealing
from idura_ciba.testing import virtual_clock
from tests.fakes import swede

ROWS = Rows("november", [], Sealing(b"people", AESGCM(b"k" * 32)), once=False)
ROW = Row("key", b"tag", ROWS.login("key"), swede(0), {}, again=False)


class Beside:
    """A fleet that does as told."""

    def __init__(self, answer: Any, *, holds: bool = True) -> None:
        self.answer = answer
        self.holds = holds
        self.asked: list[tuple[str, Member]] = []

    async def ask(self, request: Any, login: str, *, member: Member, note: Callable[[], None]) -> Any:
        """Hold the person, if it is to, and answer."""
        assert request == ROW.request
        self.asked.append((login, member))
        if self.holds:
            note()
        if isinstance(self.answer, CibaError):
            raise self.answer
        return self.answer


def asking(beside: Beside) -> FleetAsking:
    """Asks at it."""
    nobody: Any = None
    return FleetAsking(nobody, nobody, virtual_clock(), ask=beside.ask, rows=ROWS, find={"key": ROW}.__getitem__)


async def ask(one: FleetAsking) -> Any:
    """Ask the only person."""
    return await one.ask(Entry("key", b"tag", Phase.INTENDED, 1, 0.0, 0.0), ROW.request, Login(), former=None)


async def test_whom_the_provider_accepts_is_in_the_store() -> None:
    """Under the id of the row."""
    beside = Beside("a transaction")
    one = asking(beside)
    assert await ask(one) == "a transaction"
    ((login, member),) = beside.asked
    assert login == ROW.login
    assert ROWS.about(login, member.about)["key"] == "key"
    assert one.in_store == {"key"}


def pending(login: str | None) -> AlreadyPending:
    """Somebody asks this person, as this login."""
    error = AlreadyPending("pending")
    error.login_id = login
    return error


@pytest.mark.parametrize("error", [StoreError("there is one", code="login_id"), pending(ROW.login)])
async def test_whom_another_replica_has_asked_is_in_the_store_too(error: CibaError) -> None:
    """What becomes of it is found there."""
    one = asking(Beside(error, holds=False))
    outcome = await ask(one)
    assert (outcome.state, outcome.error.code) == (State.ABANDONED, "key_twice")
    assert one.in_store == {"key"}


@pytest.mark.parametrize(
    ("error", "holds"),
    [
        (pending("other"), False),
        (StoreError("away", code="store_away"), False),
        (ProviderError("busy", code="busy"), True),
    ],
)
async def test_what_passes_is_raised(error: CibaError, *, holds: bool) -> None:
    """So that they are asked later."""
    one = asking(Beside(error, holds=holds))
    with pytest.raises(type(error)):
        await ask(one)
    assert one.in_store == set()


async def test_a_refusal_is_an_outcome_that_the_store_does_not_know_yet() -> None:
    """An answer that was lost, it does know."""
    refusal = ProviderError("no")
    refusal.error = "unknown_user_id"
    one = asking(Beside(refusal))
    assert (await ask(one)).state is State.REJECTED
    assert one.in_store == set()
    one = asking(Beside(Indeterminate("lost")))
    assert (await ask(one)).state is State.INDETERMINATE
    assert one.in_store == {"key"}


async def test_nobody_is_asked_any_more_once_the_run_stops() -> None:
    """Not even whoever is held by then."""
    one = asking(Beside("a transaction"))
    one.stopping = True
    with pytest.raises(Abandoned):
        await ask(one)
    assert one.in_store == set()


def test_pending_logins_are_left_to_the_fleet() -> None:
    """Which hands them over; a journal would have them abandoned."""
    assert asking(Beside(None)).leaves_pending
