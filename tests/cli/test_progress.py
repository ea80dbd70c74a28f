"""Tests of what is shown while a batch runs."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from idura_ciba import State
from idura_ciba.batch import Result
from idura_ciba.cli.progress import PAUSE, Progress, duration, reporting
from idura_ciba.scheduling.scheduler import Snapshot

CALM = Snapshot(
    pending=3,
    due=0,
    late=0.0,
    in_flight=1,
    starting=2,
    rate=math.inf,
    allowed=math.inf,
    price=None,
    served=0,
    refused=0,
    slow_downs=0,
    learned=0,
)


def progress(*, began_at: float = 100.0, snapshot: Snapshot = CALM, **members: Any) -> Progress:
    """How a batch stands."""
    return Progress("people.csv", began_at, lambda: snapshot, **members)


def add(one: Progress, count: int, state: State = State.APPROVED, **members: Any) -> None:
    """So many more results."""
    for _ in range(count):
        one.tally.add(Result(key="k", state=state, asked_at=50.0, ended_at=54.0, **members))


SAID = (
    "5 pending", "20 s elapsed", "about 6 h 06 min left", "0.5 results/s", "median answer 4.6 s",
    "3.0 requests per login", "3 slow_downs", "the provider allows 2.5 requests/s", "stopping",
)  # fmt: skip


@pytest.fixture(name="busy")
def _busy() -> Progress:
    """A batch with something of everything."""
    one = progress(total=12000, known=1000, bad=2, snapshot=evolve(CALM, rate=10.0, allowed=2.5))
    add(one, 6, polls=2)
    add(one, 3, State.DENIED, polls=2, slow_downs=1)
    add(one, 1, State.EXPIRED, polls=2)
    one.note = "stopping"
    return one


# --- arithmetic -------------------------------------------------------------------------------------------------------


def test_a_new_batch_knows_little() -> None:
    """No rate before anybody has answered, and no end before there is a rate."""
    one = progress(total=10)
    assert one.done == 0
    assert one.throughput(100.0) is None
    assert one.throughput(160.0) is None
    assert one.time_left(None) is None
    assert one.counts() == []


def test_the_first_look_counts_from_the_begin() -> None:
    """Those who answered before anybody looked have answered too."""
    one = progress()
    add(one, 5)
    assert one.throughput(100.5) == 10.0
    assert one.throughput(110.0) == 0.5


def test_the_rate_is_that_of_late() -> None:
    """It looks back a minute: what was before counts no more, and a pause is heard."""
    one = progress(began_at=0.0)
    rates = {}
    for second in range(0, 201, 10):
        add(one, 20 if second <= 60 else 1 if second <= 120 else 0)
        rates[second] = one.throughput(float(second))
    assert rates[0] is None
    assert rates[10] == 4.0
    assert rates[60] == 120 / 60
    assert rates[70] == (5 * 20 + 1) / 60
    assert rates[120] == 6 / 60
    assert rates[150] == 3 / 60
    assert rates[170] == 1 / 60
    assert rates[180] is None


def test_the_minute_holds_where_looks_are_rare() -> None:
    """The last look before it is where it begins."""
    one = progress(began_at=0.0)
    add(one, 10)
    one.throughput(50.0)
    add(one, 10)
    assert one.throughput(100.0) == 20 / 100
    assert one.throughput(111.0) == 10 / 61


def test_what_is_left_is_at_this_rate() -> None:
    """Of rows that are not dealt with, whoever dealt with the others."""
    one = progress(total=110, known=5, bad=3)
    add(one, 2)
    assert one.done == 10
    assert one.time_left(4.0) == 25.0
    one.total = 8  # a file whose cells have line breaks has fewer rows than lines, but it may also have grown
    assert one.time_left(4.0) == 0.0
    one.total = None
    assert one.time_left(4.0) is None


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (61, "1 min 01 s"),
        (3599, "59 min 59 s"),
        (3599.9, "1 h 00 min"),
        (3661, "1 h 01 min"),
        (90000, "25 h 00 min"),
    ],
)
def test_a_duration_is_said_as_people_do(seconds: float, said: str) -> None:
    """In two units at most."""
    assert duration(seconds) == said


# --- lines ------------------------------------------------------------------------------------------------------------


def test_a_line_of_a_new_batch() -> None:
    """Nothing that is not known."""
    assert progress().line(101.0) == "0 rows; 5 pending; 1 s elapsed"


def test_a_line_of_a_busy_batch(busy: Progress) -> None:
    """Everything, and nothing of anybody."""
    assert busy.line(120.0) == (
        f"1,012 of 12,000 rows; 6 approved, 3 denied, 1 expired, 1,000 from earlier runs, 2 invalid; {'; '.join(SAID)}"
    )


@pytest.mark.parametrize(("rate", "allowed"), [(math.inf, math.inf), (10.0, 10.0)])
def test_a_provider_that_bears_what_was_agreed_is_not_mentioned(rate: float, allowed: float) -> None:
    """A limit is worth a word when it is lower."""
    assert "allows" not in progress(snapshot=evolve(CALM, rate=rate, allowed=allowed)).line(101.0)


# --- pictures ---------------------------------------------------------------------------------------------------------


def test_a_picture_of_a_busy_batch(busy: Progress, paper: Callable[..., Any]) -> None:
    """What the line says, with a bar."""
    sheet = paper(width=200)
    sheet.console.print(busy.picture(120.0, 200))
    assert sheet.lines == [
        "people.csv  1,012 of 12,000 rows, 8%",
        "━" * 40,
        "approved 6   denied 3   expired 1   from earlier runs 1,000   invalid 2",
        ", ".join(SAID),
    ]


def test_a_narrow_picture_breaks_between_its_phrases(busy: Progress, paper: Callable[..., Any]) -> None:
    """At 60 columns no number stands apart from what it counts, and nothing is too wide."""
    sheet = paper(width=60)
    sheet.console.print(busy.picture(120.0, 57))
    assert sheet.lines == [
        "people.csv  1,012 of 12,000 rows, 8%",
        "━" * 40,
        "approved 6   denied 3   expired 1",
        "from earlier runs 1,000   invalid 2",
        "5 pending, 20 s elapsed, about 6 h 06 min left,",
        "0.5 results/s, median answer 4.6 s,",
        "3.0 requests per login, 3 slow_downs,",
        "the provider allows 2.5 requests/s, stopping",
    ]


@pytest.mark.unmeasured
@given(st.integers(1, 120))
def test_a_picture_is_as_wide_as_it_may_be(width: int) -> None:
    """Unless a single phrase is wider; and nothing is lost."""
    one = progress(total=12000, known=1000, bad=2)
    add(one, 6, polls=2)
    lines = one.picture(120.0, width).plain.split("\n")
    longest = max(len(fact) for fact in [*one.facts(120.0), "people.csv  1,008 of 12,000 rows, 8%"])
    assert max(map(len, lines)) <= max(width, longest + 1)
    assert [fact for fact in one.facts(120.0) if not any(fact in line for line in lines)] == []


@pytest.mark.parametrize(
    ("total", "head"),
    [(None, "people.csv  0 rows"), (0, "people.csv  0 of 0 rows, 100%"), (9, "people.csv  0 of 9 rows, 0%")],
)
def test_a_picture_before_anything_is_known(total: int | None, head: str, paper: Callable[..., Any]) -> None:
    """Also of a file without rows."""
    sheet = paper()
    sheet.console.print(progress(total=total).picture(101.0, 100))
    assert sheet.lines == [head, *(["━" * 40] if total is not None else []), "5 pending, 1 s elapsed"]


async def test_lines_come_now_and_then(paper: Callable[..., Any]) -> None:
    """In a pipe; and none after the end."""
    sheet = paper()
    one = progress(began_at=asyncio.get_running_loop().time())
    async with reporting(one, sheet.console):
        await asyncio.sleep(PAUSE / 2)
        assert sheet.text == ""
        add(one, 5)
        await asyncio.sleep(2 * PAUSE)
    await asyncio.sleep(10 * PAUSE)
    first, second = sheet.lines
    assert first.startswith("5 rows; 5 approved; 5 pending; 10 s elapsed; 0.5 results/s;")
    assert second.startswith("5 rows; 5 approved; 5 pending; 20 s elapsed; 0.25 results/s;")


async def test_a_terminal_sees_a_picture(paper: Callable[..., Any]) -> None:
    """Drawn again each second, the last time at the end."""
    sheet = paper(terminal=True)
    one = progress(began_at=asyncio.get_running_loop().time(), total=7)
    async with reporting(one, sheet.console):
        await asyncio.sleep(2.2)
        assert sheet.text.count("people.csv  0 of 7 rows") == 3
        add(one, 7)
    assert "people.csv  7 of 7 rows, 100%" in sheet.text
    drawn = sheet.text
    await asyncio.sleep(10)
    assert sheet.text == drawn


async def test_a_dumb_terminal_gets_lines(paper: Callable[..., Any]) -> None:
    """It could not draw over what it has drawn."""
    sheet = paper(terminal=True)
    sheet.console._environ = {"TERM": "dumb"}
    async with reporting(progress(began_at=0.0), sheet.console):
        await asyncio.sleep(PAUSE + 1)
    assert sheet.lines == ["0 rows; 5 pending; 10 s elapsed"]


@pytest.mark.parametrize("terminal", [False, True])
async def test_reporting_ends_with_what_it_reports(paper: Callable[..., Any], terminal: bool) -> None:
    """An error inside goes on unchanged, and nothing is written any more."""
    sheet = paper(terminal=terminal)
    with pytest.raises(RuntimeError):
        async with reporting(progress(), sheet.console):
            raise RuntimeError
    drawn = sheet.text
    await asyncio.sleep(10 * PAUSE)
    assert sheet.text == drawn
