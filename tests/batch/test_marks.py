"""Tests of the marks that outlive a kill."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from idura_ciba import CibaClient, State, Transaction
from idura_ciba.batch.marks import Marks, boot
from idura_ciba.simulator import Script, SimulatedIdura
from tests.fakes import swede, swedish_number

OUT, BACK = True, False


def live() -> Any:
    """What stands for a transaction here."""
    return SimpleNamespace(on_doubt=None, state=State.PENDING)


def follow(marks: Marks, transaction: Any) -> int:
    """The mark of a transaction."""
    mark = marks.follow(cast("Transaction", transaction))
    assert mark is not None
    return mark


def test_a_mark_tells_whether_an_answer_was_out(tmp_path: Path) -> None:
    """In another process too, which has nothing but the file."""
    marks, transactions = Marks(tmp_path / "m", trusted=True), [live(), live(), live()]
    taken = [follow(marks, transaction) for transaction in transactions]
    transactions[0].on_doubt(OUT)
    transactions[1].on_doubt(OUT)
    transactions[1].on_doubt(BACK)
    again = Marks(tmp_path / "m", trusted=True)
    assert [again.recall(mark) for mark in taken] == [False, True, True]
    assert stat.S_IMODE((tmp_path / "m").stat().st_mode) == 0o600
    marks.close()
    marks.close()
    again.close()


def test_what_is_in_doubt_stays_so_over_two_kills(tmp_path: Path) -> None:
    """A process that is killed before its first poll has learned nothing."""
    marks, resumed = Marks(tmp_path / "m", trusted=True), live()
    resumed.state = State.IN_DOUBT
    assert not marks.recall(follow(marks, resumed))


def test_a_login_that_goes_on_keeps_its_mark(tmp_path: Path) -> None:
    """Whoever begins meanwhile gets another place, also where the first of several runs has long released its own."""
    former = Marks(tmp_path / "m", trusted=True)
    taken = [follow(former, live()) for _ in range(4)]
    former.close()
    marks = Marks(tmp_path / "m", trusted=True)
    assert marks.recall(taken[1])
    assert marks.recall(taken[3])
    new, resumed = live(), live()
    assert follow(marks, new) >> 32 == 4
    assert marks.follow(resumed, taken[3]) == taken[3]
    new.on_doubt(OUT)
    assert marks.recall(taken[1])
    assert marks.recall(taken[3])
    resumed.on_doubt(OUT)
    assert not marks.recall(taken[3])
    marks.release(taken[1])
    assert follow(marks, live()) >> 32 == 1


def test_what_another_boot_has_left_says_nothing_to_the_run_after_the_next(tmp_path: Path) -> None:
    """That one is of the same boot as the next, which may have been killed before it looked at everybody."""
    marks = Marks(tmp_path / "m", trusted=True)
    mark = follow(marks, live())
    marks.close()
    Marks(tmp_path / "m", trusted=False).close()
    assert not Marks(tmp_path / "m", trusted=True).recall(mark)


def test_what_nobody_can_know_is_uncertain(tmp_path: Path) -> None:
    """No mark, another boot, a file that is gone or short, nothing kept."""
    marks = Marks(tmp_path / "m", trusted=True)
    mark = follow(marks, live())
    assert marks.recall(mark)
    assert not marks.recall(None)
    assert not Marks(tmp_path / "other", trusted=True).recall(mark)
    assert not Marks(None, trusted=True).recall(mark)
    os.truncate(tmp_path / "m", 2)
    assert not marks.recall(mark)
    mark = follow(marks, live())
    assert not Marks(tmp_path / "m", trusted=False).recall(mark)


def test_a_place_is_used_again_and_an_old_mark_is_not_taken_for_the_new_one(tmp_path: Path) -> None:
    """A row of the journal may be older than what stands in the file."""
    marks = Marks(tmp_path / "m", trusted=True)
    old = follow(marks, live())
    marks.release(old)
    new = follow(marks, live())
    assert old >> 32 == new >> 32 == 0
    assert not marks.recall(old)
    assert marks.recall(new)
    assert follow(marks, live()) >> 32 == 1
    marks.release(None)


def test_where_nothing_can_be_marked_doubt_remains_and_no_poll_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Better to ask somebody again than to be wrong about their answer."""

    def full(*_arguments: object) -> int:
        raise OSError(28, "No space left on device")

    marks, transaction, other = Marks(tmp_path / "m", trusted=True), live(), live()
    follow(marks, transaction)
    monkeypatch.setattr(os, "pwrite", full)
    assert marks.follow(other) is None
    assert other.on_doubt is None
    with pytest.raises(OSError, match="No space"):
        transaction.on_doubt(OUT)


def test_a_boot_has_a_name_where_the_kernel_gives_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The same twice; nothing where there is none."""
    assert boot() == boot()
    monkeypatch.setattr("idura_ciba.batch.marks._BOOT", tmp_path / "none")
    assert boot() == ""


async def test_a_real_transaction_is_in_doubt_while_a_poll_is_under_way(
    simulated_idura: SimulatedIdura, make_ciba_client: Callable[..., CibaClient], tmp_path: Path
) -> None:
    """Before each poll and after each answer, in turns."""
    simulated_idura.script(swedish_number(1), Script.approve(after=7))
    marks, told = Marks(tmp_path / "m", trusted=True), []
    async with make_ciba_client() as ciba:
        transaction = await ciba.start(swede(1))
        mark = follow(marks, transaction)
        note = transaction.on_doubt
        assert note is not None

        def listen(doubt: bool) -> None:
            note(doubt)
            told.append((doubt, marks.recall(mark)))

        transaction.on_doubt = listen
        await transaction
    assert told == [(True, False), (False, True)] * 2 + [(True, False)]
