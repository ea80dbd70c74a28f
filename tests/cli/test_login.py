"""Tests of one login from its request to its end, and to an early end."""

from __future__ import annotations

import asyncio
import signal
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from idura_ciba import CibaClient, CibaError, NorwegianBankID, Outcome, State, Transaction, UsageError
from idura_ciba.cli.guard import ExitCode
from idura_ciba.cli.login import Begin, Ending, keep, log_in
from idura_ciba.redaction import Redacted
from idura_ciba.simulator import Arrival, Fault, Script, SimulatedIdura
from idura_ciba.testing import run_virtual, virtual_clock

NO = "01023990128"


class Desk:
    """Logs people in on virtual time."""

    def __init__(self, connect: Callable[[], CibaClient], paper: Callable[..., Any]) -> None:
        self._connect = connect
        self.sheet = paper()
        # Each login has a loop of its own, and time goes on from one to the next.
        self._now = 0.0

    def log_in(
        self, begin: Begin | None = None, *, timeout: float | None = None, interrupted_after: float | None = None
    ) -> Ending:
        """Log in once; Ctrl-C may come after so many seconds."""

        async def run() -> Ending:
            loop = asyncio.get_running_loop()
            if interrupted_after is not None:
                loop.call_later(interrupted_after, signal.raise_signal, signal.SIGINT)
            try:
                return await log_in(
                    self._connect(),
                    begin or (lambda client: client.start(NorwegianBankID(NO), timeout=timeout)),
                    label="somebody",
                    console=self.sheet.console,
                    clock=virtual_clock(),
                )
            finally:
                self._now = loop.time()

        return run_virtual(run(), start=self._now)

    def resume(self, token: str) -> Ending:
        """Go on."""
        return self.log_in(lambda client: client.resume(token))


@pytest.fixture(name="desk")
def _desk(connect: Callable[[], CibaClient], paper: Callable[..., Any]) -> Desk:
    """Someone who logs people in."""
    return Desk(connect, paper)


@pytest.mark.parametrize(
    ("script", "state", "code"),
    [
        (Script.approve(after=2), State.APPROVED, ExitCode.OK),
        (Script.deny(after=2), State.DENIED, ExitCode.DENIED),
        (Script.never(), State.EXPIRED, ExitCode.EXPIRED),
    ],
)
def test_a_login_ends_as_the_person_decides(
    script: Script, state: State, code: ExitCode, desk: Desk, idura: SimulatedIdura
) -> None:
    """The words are told before anything else, then the progress, then the end."""
    idura.script(NO, script)
    ending = desk.log_in()
    assert ending.outcome.state is state
    assert ending.code is code
    assert ending.began
    assert ending.token is None
    first, second, *_ = desk.sheet.lines
    assert first.startswith("Read these words to the person now: ")
    assert "pending" in second


def test_ctrl_c_leaves_what_is_needed_to_go_on(desk: Desk, idura: SimulatedIdura) -> None:
    """The login is resumed with the token, and the person is not asked again."""
    idura.script(NO, Script.approve(after=30))
    ending = desk.log_in(interrupted_after=2.5)
    assert ending.code is ExitCode.INTERRUPTED
    assert ending.outcome.error is not None
    assert ending.outcome.error.code == "handed_over"
    assert ending.outcome.error.trace_id
    assert ending.token
    assert desk.resume(ending.token).outcome.state is State.APPROVED
    assert len(idura.ledger.orders) == 1
    assert idura.ledger.summary()["slow_downs"] == 0


def test_an_answer_that_is_on_its_way_is_not_lost_to_ctrl_c(desk: Desk, idura: SimulatedIdura) -> None:
    """A poll under way may bring the login, which can be had only once."""
    idura.script(NO, Script.approve())
    idura.faults.append(lambda arrival: Fault.delay(2) if arrival.endpoint == "token" else None)
    ending = desk.log_in(interrupted_after=2.5)
    assert ending.interrupted
    assert ending.outcome.state is State.APPROVED
    assert ending.code is ExitCode.OK


def test_ctrl_c_while_the_request_is_out_still_saves_the_login(desk: Desk, idura: SimulatedIdura) -> None:
    """The phone rings by then, so the acknowledgement is waited for."""
    idura.script(NO, Script.approve(after=30))
    idura.faults.append(lambda arrival: Fault.delay(2) if arrival.endpoint == "bc-authorize" else None)
    ending = desk.log_in(interrupted_after=1)
    assert ending.code is ExitCode.INTERRUPTED
    assert not ending.began
    assert ending.token
    assert desk.resume(ending.token).outcome.state is State.APPROVED


def test_ctrl_c_before_anything_was_accepted_saves_nothing(desk: Desk, idura: SimulatedIdura) -> None:
    """Where no answer comes there is nothing to go on with."""
    idura.faults.append(lambda _arrival: Fault.delay(30))
    ending = desk.log_in(interrupted_after=1)
    assert ending.code is ExitCode.INTERRUPTED
    assert ending.token is None


def test_a_timeout_can_be_resumed_for_as_long_as_the_prompt_lives(desk: Desk, idura: SimulatedIdura) -> None:
    """Whoever goes on has time again."""
    idura.script(NO, Script.approve(after=30))
    ending = desk.log_in(timeout=5)
    assert ending.code is ExitCode.GAVE_UP
    assert ending.outcome.error is not None
    assert ending.outcome.error.code == "caller_timeout"
    assert ending.token
    assert desk.resume(ending.token).outcome.state is State.APPROVED


@pytest.mark.parametrize(
    ("fault", "state", "code"),
    [
        (Fault.refuse_connection(), State.FAILED, ExitCode.FAILED),
        (Fault.lose_answer(), State.INDETERMINATE, ExitCode.INDETERMINATE),
        (Fault.answer(400, {}, b'{"error":"unknown_user_id"}'), State.REJECTED, ExitCode.FAILED),
    ],
)
def test_a_login_that_does_not_begin_has_an_outcome(
    fault: Fault, state: State, code: ExitCode, desk: Desk, idura: SimulatedIdura
) -> None:
    """Refused, lost and not sent are told apart."""

    def strike(arrival: Arrival) -> Fault | None:
        return fault if arrival.endpoint == "bc-authorize" else None

    idura.faults.append(strike)
    ending = desk.log_in()
    assert (ending.outcome.state, ending.code, ending.began) == (state, code, False)


def test_wrong_use_is_raised(desk: Desk) -> None:
    """The caller is wrong, not the login."""

    def begin(client: CibaClient) -> Awaitable[Transaction]:
        return client.start(NorwegianBankID(NO), timeout=-1)

    with pytest.raises(UsageError):
        desk.log_in(begin)


def ending(token: str | None, *, began: bool = True) -> Ending:
    """An ending with or without something to go on with."""
    error = CibaError("it ended")
    error.resume_token = None if token is None else Redacted(token)
    return Ending(outcome=Outcome(State.ABANDONED, error=error), began=began)


def test_a_token_is_saved_for_its_owner(tmp_path: Path) -> None:
    """Nobody else can read it."""
    path = tmp_path / "resume.json"
    assert keep(ending("token"), path, resumed=False) == path
    assert path.read_text() == "token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_resumed_login_keeps_its_file_up_to_date(tmp_path: Path) -> None:
    """Interrupted again, the file has the new token; at the end there is nothing to keep."""
    path = tmp_path / "resume.json"
    path.write_text("old")
    assert keep(ending("new"), path, resumed=True) == path
    assert path.read_text() == "new"
    assert keep(ending(None, began=False), path, resumed=True) is None
    assert path.exists()  # the provider was not reached; it may be later
    assert keep(ending(None), path, resumed=True) is None
    assert not path.exists()


def test_nothing_to_go_on_with_leaves_no_file(tmp_path: Path) -> None:
    """And touches none that it did not write."""
    path = tmp_path / "resume.json"
    path.write_text("somebody's")
    assert keep(ending(None), path, resumed=False) is None
    assert path.read_text() == "somebody's"


def test_a_token_that_cannot_be_saved_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The result is still told, so this does not raise; the token is not printed instead."""
    assert keep(ending("a secret"), tmp_path / "missing" / "file", resumed=False) is None
    told = capsys.readouterr().err
    assert "cannot be written" in told
    assert "a secret" not in told


def test_a_login_alone_has_no_token() -> None:
    """Only errors carry one."""
    assert Ending(outcome=Outcome(State.APPROVED), began=True).token is None
