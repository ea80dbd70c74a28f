"""Tests of who is asked."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from idura_ciba import EidRequest, FrejaID, NorwegianBankID, SwedishBankID, UsageError
from idura_ciba.cli.person import PERSON_VARIABLE, EidName, build_request, joined, read_person
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
    assert read_person(f"{SE[:8]}-{SE[8:]}", None) == SE
    (tmp_path / "ssn").write_text(f"{SE[:8]} {SE[8:]}\n")
    person = read_person(None, str(tmp_path / "ssn"))
    assert person == SE
    assert repr(person) == "<redacted>"


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("20010203-0000", "200102030000"),
        ("20010203 0000", "200102030000"),
        ("010239 90128", NO),
        (NO, NO),
        ("somebody@example.com", "somebody@example.com"),
        # Without the century it could be either of two people; the sign of a Finnish number is a part of it.
        ("010203-0000", "010203-0000"),
        ("20010203+0000", "20010203+0000"),
        ("20010203--0000", "20010203--0000"),
        ("20010203-0000\n", "20010203-0000\n"),
    ],
)
def test_a_number_may_be_written_with_a_break(written: str, number: str) -> None:
    """As other programs show it; whatever could mean something else is left as it is, to be refused."""
    assert joined(written) == number
    assert repr(joined(written)) == "<redacted>"


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


@pytest.mark.parametrize(
    ("eid", "person", "options", "kind", "hint"),
    [
        ("se", SE, {"call_initiator": "RP", "message": "Hej"}, SwedishBankID, f"sub:ssn:{SE}"),
        ("no", NO, {}, NorwegianBankID, f"sub:ssn:{NO}"),
        ("freja", SE, {}, FrejaID, f"sub:ssncountry:SE sub:ssn:{SE}"),
        ("freja", NO, {"country": "NO"}, FrejaID, f"sub:ssncountry:NO sub:ssn:{NO}"),
        ("freja", Redacted("+46700000000"), {"message": "Hej"}, FrejaID, "sub:phone:+46700000000"),
        ("freja", Redacted("a@simulator.invalid"), {}, FrejaID, "sub:email:a@simulator.invalid"),
    ],
)
def test_each_eid_gets_its_request(
    eid: EidName, person: Redacted, options: dict[str, Any], kind: type[EidRequest], hint: str
) -> None:
    """The library's own requests, with what was said on the command line."""
    request = build_request(eid, person, scope="openid ssn", **options)
    assert isinstance(request, kind)
    assert request.login_hint == hint
    assert request.scope == "openid ssn"
    assert request.binding_message == options.get("message")


def test_the_caller_can_insist_on_the_person() -> None:
    """The demand reaches the library."""
    assert build_request("no", NO, require_person=True).require_person


@pytest.mark.parametrize(
    ("eid", "person", "options", "code"),
    [
        ("se", SE, {"message": "Hej"}, "call_initiator"),
        ("no", NO, {"call_initiator": "RP"}, "call_initiator"),
        ("se", SE, {"call_initiator": "user"}, "message_required"),
        ("no", NO, {"message": "Hej"}, "message_forbidden"),
    ],
)
def test_what_does_not_fit_the_eid_is_refused(
    eid: EidName, person: Redacted, options: dict[str, Any], code: str
) -> None:
    """Before anything is sent, and never by leaving it out in silence."""
    with pytest.raises(UsageError) as refused:
        build_request(eid, person, **options)
    assert refused.value.code == code
