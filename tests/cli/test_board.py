"""Tests of what is shown while people are being asked."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest

from idura_ciba import CibaClient, NorwegianBankID, Outcome, State, SwedishBankID
from idura_ciba.aio.clock import Clock
from idura_ciba.cli.board import Board, Row, follow, showing
from idura_ciba.simulator import Arrival, Fault, Script, SimReply, SimulatedIdura

NO, SE = "01023990128", "209801011231"


def verdict(outcome: Outcome) -> str:
    """Say how it ended, with something in it that must not work."""
    return f"[red]{outcome.state.value}\x1b[0m"


async def one_login(
    client: CibaClient, idura: SimulatedIdura, console: Any, clock: Clock, *, answer: Script, eid: str = "no"
) -> Row:
    """Show one login from its begin to its end."""
    idura.script(NO, answer)
    idura.script(SE, answer)
    row = Row(f"eID {eid}", began_at=clock.wall())
    request = NorwegianBankID(NO) if eid == "no" else SwedishBankID(SE, call_initiator="RP", message="Hej")
    async with client, showing([row], console, clock) as show:
        await follow(await client.start(request), row, show, clock=clock, verdict=verdict)
    return row


async def test_lines_tell_what_is_new(
    connect: Callable[[], CibaClient], idura: SimulatedIdura, paper: Callable[..., Any], clock: Clock
) -> None:
    """In a pipe there is one line for each change, and the words are in the first."""
    sheet = paper()
    row = await one_login(connect(), idura, sheet.console, clock, answer=Script.approve(after=5.5))
    assert row.state is State.APPROVED
    assert row.polls == 6
    assert sheet.lines == [
        f"  0.0 s  eID no  pending: words: {row.words}; 900 s left",
        "  1.0 s  eID no  pending: User has not yet granted authorization; 899 s left",
        r"  6.0 s  eID no  approved: [red]approved\x1b[0m; after 6.0 s",
    ]


async def test_the_steps_of_swedish_bankid_are_told(
    connect: Callable[[], CibaClient], idura: SimulatedIdura, paper: Callable[..., Any], clock: Clock
) -> None:
    """Each sub-state gets a line of its own; an eID without words says nothing of them."""
    sheet = paper()
    await one_login(connect(), idura, sheet.console, clock, answer=Script.deny(after=6), eid="se")
    assert [line.partition("pending: ")[2].partition(";")[0] for line in sheet.lines] == [
        "120 s left",
        "awaiting first user interaction",
        "awaiting user request acknowledgement",
        "awaiting user identification",
        "",
    ]
    assert "words" not in sheet.text


async def test_a_terminal_sees_the_seconds_pass(
    connect: Callable[[], CibaClient], idura: SimulatedIdura, paper: Callable[..., Any], clock: Clock
) -> None:
    """The live table is drawn again between polls, and its last picture is the end."""
    sheet = paper(terminal=True)
    await one_login(connect(), idura, sheet.console, clock, answer=Script.approve(after=3), eid="se")
    for seconds in (120, 119, 118, 117):
        assert f"{seconds} s left" in sheet.text
    last = sheet.lines[-2]  # after it, only the cursor comes back
    assert last.split() == ["eID", "se", "approved", "3", "after", "3.0", "s", r"[red]approved\x1b[0m"]


async def test_foreign_progress_is_escaped(
    connect: Callable[[], CibaClient], idura: SimulatedIdura, paper: Callable[..., Any], clock: Clock
) -> None:
    """What the provider says of progress, and its words, cannot steer the terminal."""

    def hostile(arrival: Arrival) -> Fault | None:
        if arrival.endpoint == "bc-authorize":
            return Fault.change(
                lambda reply: SimReply(
                    200,
                    reply.headers,
                    b'{"auth_req_id":"x","expires_in":5,"interval":1,"bindingMessage":"\\u001b[2J[b]"}',
                )
            )
        body = b'{"error":"authorization_pending","error_description":"\\u001b[31m\\n[link=x]"}'
        return Fault.answer(400, {}, body) if arrival.endpoint == "token" else None

    idura.faults.append(hostile)
    sheet = paper()
    row = await one_login(connect(), idura, sheet.console, clock, answer=Script.never())
    assert row.words == r"\x1b[2J[b]"
    assert r"pending: \x1b[31m\n[link=x]; 4 s left" in sheet.lines[1]
    assert "\x1b" not in sheet.text


async def test_the_picture_goes_on_after_a_fault(paper: Callable[..., Any], clock: Clock) -> None:
    """An error inside leaves the terminal in order, and nothing draws any more."""
    sheet = paper(terminal=True)
    with pytest.raises(RuntimeError):
        async with showing([Row("a")], sheet.console, clock):
            raise RuntimeError
    drawn = sheet.text
    await asyncio.sleep(10)
    assert sheet.text == drawn
    assert drawn.endswith("\x1b[?25h")  # the cursor is visible again


def test_a_table_of_people_who_have_not_been_asked(paper: Callable[..., Any]) -> None:
    """A row begins empty; without words there is no column for them."""
    sheet = paper()
    sheet.console.print(Board([Row("[b]a[/b]"), Row("c", state=State.IN_DOUBT, expires_at=5.0)], now=9.0))
    assert sheet.lines == [
        "eID       state       polls  time      progress",
        "[b]a[/b]  submitting      0",
        "c         in_doubt        0  0 s left",
    ]


@pytest.mark.parametrize(("width", "stacked"), [(84, True), (85, False)])
def test_a_narrow_terminal_cuts_off_no_word(width: int, stacked: bool, paper: Callable[..., Any]) -> None:
    """An agent reads the words aloud: where the table has no room for all of them, each row takes some lines."""
    words, note = "Modig Orrfugl", "awaiting user request acknowledgement"
    rows = [
        Row("Norwegian BankID 1", words=words, state=State.INDETERMINATE, note=note, polls=10, expires_at=909.0),
        Row("Swedish BankID 1"),
    ]
    sheet = paper(width=width)
    sheet.console.print(Board(rows, now=9.0))
    narrow = [
        "Norwegian BankID 1  indeterminate, 900 s left",
        f"  {words}",
        f"  {note}",
        "Swedish BankID 1  submitting",
    ]
    assert (sheet.lines == narrow) is stacked
    assert words in sheet.text
    assert max(map(len, sheet.lines)) <= width
    assert {"acknowledgement", "indeterminate"} <= set(re.findall(r"\w+", sheet.text))
