"""Tests of who is asked."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from idura_ciba import UsageError
from idura_ciba.cli.person import PERSON_VARIABLE, person_for, read_person
from idura_ciba.eids import EIDS
from idura_ciba.redaction import Redacted

SE, NO = Redacted("209801011231"), Redacted("01023990128")


class Stdin(io.StringIO):
    """A standard input that may be a terminal."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        """Whether somebody types."""
        return self._terminal


def test_the_argument_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is named for this one call wins over what stands around; spaces at the ends are nobody's."""
    monkeypatch.setenv(PERSON_VARIABLE, f" {NO}\n")
    assert read_person(None, None) == NO
    assert read_person(SE, None) == SE
    (tmp_path / "ssn").write_text(f"\ufeff{SE[:8]}-{SE[8:]}\n", "utf-8")
    person = person_for(EIDS["se"], None, str(tmp_path / "ssn"), simulate=False)
    assert repr(person) == "<redacted>"
    assert EIDS["se"].check_ssn(person) == SE


def test_two_people_at_once_are_refused() -> None:
    """Nobody guesses which one was meant."""
    with pytest.raises(UsageError, match="Both"):
        read_person(SE, "file")


def test_the_prompt_does_not_echo(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the number is asked for, unseen, and the question goes to the standard error."""
    asked: dict[str, Any] = {}

    def prompt(text: str, **options: Any) -> str:
        asked.update(options, text=text)
        return f"{NO} "

    monkeypatch.delenv(PERSON_VARIABLE, raising=False)
    monkeypatch.setattr("sys.stdin", Stdin(terminal=True))
    monkeypatch.setattr("typer.prompt", prompt)
    assert read_person(None, None) == NO
    assert asked == {"text": "National number (not shown)", "hide_input": True, "err": True}


def test_without_a_terminal_nobody_is_prompted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program in a pipe is told what to pass, instead of waiting for ever."""
    monkeypatch.delenv(PERSON_VARIABLE, raising=False)
    monkeypatch.setattr("sys.stdin", Stdin(terminal=False))
    with pytest.raises(UsageError, match="--ssn-file"):
        read_person(None, None)


def test_the_prompt_says_what_is_to_be_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is not a national number with every eID; and what was typed is the eID's own to read."""
    monkeypatch.delenv(PERSON_VARIABLE, raising=False)
    monkeypatch.setattr("sys.stdin", Stdin(terminal=True))
    asked: list[str] = []

    def prompt(text: str, **_options: Any) -> str:
        asked.append(text)
        return f"{SE[:8]}-{SE[8:]}"

    monkeypatch.setattr("typer.prompt", prompt)
    assert person_for(EIDS["freja"], None, None, simulate=False) == f"{SE[:8]}-{SE[8:]}"
    assert person_for(EIDS["raw"].resolve({})[0], None, None, simulate=True) == f"{SE[:8]}-{SE[8:]}"
    assert asked == [
        "National number, e-mail address or phone number (not shown)",
        "Whom to ask, as the provider spells it (not shown)",
    ]


def test_a_trial_takes_somebody_unless_one_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody is prompted for it; the environment is for real people."""
    monkeypatch.setenv(PERSON_VARIABLE, SE)
    (tmp_path / "ssn").write_text(SE)
    assert person_for(EIDS["no"], None, None, simulate=True) == EIDS["no"].somebody
    assert person_for(EIDS["no"], SE, None, simulate=True) == SE
    assert person_for(EIDS["no"], None, str(tmp_path / "ssn"), simulate=True) == SE
    assert person_for(EIDS["no"], None, None, simulate=False) == SE


def test_a_number_without_a_place_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody would be asked who was not meant; what stands in the environment was not said for this request."""
    monkeypatch.setenv(PERSON_VARIABLE, SE)
    asked, _ = EIDS["raw"].resolve({"login_hint": "cpr:1"})
    assert person_for(asked, None, None, simulate=False) == ""
    for named in ((SE, None), (None, "file")):
        with pytest.raises(UsageError, match="no place") as refused:
            person_for(asked, *named, simulate=False)
        assert refused.value.code == "one_person"
