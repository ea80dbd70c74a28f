"""Tests of what is told of a login."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from idura_ciba import (
    CibaClient,
    FrejaID,
    NorwegianBankID,
    Outcome,
)
from idura_ciba.cli.report import Report
from idura_ciba.errors import DOCUMENTATION
from idura_ciba.simulator import Script, SimulatedIdura

NO, SE = "01023990128", "209801011231"


@pytest.fixture(name="approved")
async def _approved(connect: Callable[[], CibaClient], idura: SimulatedIdura) -> Outcome:
    """A login through FrejaID, which names the person, with a hostile claim."""
    idura.script(SE, Script.approve(claims={"name": "\x1b[2J[b]Eve\u202e", "tags": ["å", 1]}))
    async with connect() as client:
        return await (await client.start(FrejaID(SE))).outcome()


async def test_a_login_tells_no_more_than_was_asked(approved: Outcome) -> None:
    """By default no claim of the person is told, by name some, and on request all."""
    assert approved.authentication is not None
    claims = approved.authentication.claims
    assert Report.of(approved).claims == {}
    assert Report.of(approved, claims=["country", "none"]).claims == {"country": "SE"}
    assert Report.of(approved, claims=None).claims == claims


async def test_a_program_reads_one_object_in_ascii(approved: Outcome) -> None:
    """Whatever a claim holds, the line is harmless on a terminal and the same again when read."""
    text = Report.of(approved, claims=["name"]).json()
    assert text.isascii()
    assert text.isprintable()
    told = json.loads(text)
    login = approved.authentication
    assert login is not None
    assert told == {
        "state": "approved",
        "code": None,
        "explanation": None,
        "error_description": None,
        "subject": login.subject,
        "person_confirmed": True,
        "acr": "urn:grn:authn:se:frejaid",
        "trace_id": login.trace_id,
        "claims": {"name": "\x1b[2J[b]Eve\u202e"},
        "resume_file": None,
    }


async def test_a_person_reads_escaped_lines(approved: Outcome) -> None:
    """Names are shown with their escapes, and what is no text as JSON."""
    first, *lines = Report.of(approved, claims=["name", "tags"]).lines()
    assert first == "approved: the ID token confirms the person you asked for"
    told = dict(line.strip().split(": ", 1) for line in lines)
    assert list(told) == ["subject", "acr", "trace", "name", "tags"]
    assert told["name"] == r"\x1b[2J[b]Eve\u202e"
    assert told["tags"] == '["å", 1]'


async def test_a_login_without_a_number_says_so(connect: Callable[[], CibaClient], idura: SimulatedIdura) -> None:
    """Norwegian BankID may keep silent about who approved, and then nobody is told otherwise."""
    idura.script(NO, Script.approve())
    async with connect() as client:
        outcome = await (await client.start(NorwegianBankID(NO))).outcome()
    report = Report.of(outcome)
    assert report.person_confirmed is False
    assert "does not confirm that it was the person you asked for" in next(report.lines())


async def test_a_no_is_explained(connect: Callable[[], CibaClient], idura: SimulatedIdura) -> None:
    """The sentences, with the trace id in them, the provider's own words, and where to read more."""
    idura.script(NO, Script.deny())
    async with connect() as client:
        outcome = await (await client.start(NorwegianBankID(NO))).outcome()
    report = Report.of(outcome, resume_file=Path("x.json"))
    (line,) = report.lines()
    assert line.startswith("denied: ")
    assert line.endswith(f'The provider says: "user declined" See {DOCUMENTATION}errors/#denied')
    told = json.loads(report.json())
    assert told["code"] == "denied"
    assert told["error_description"] == "user declined"
    assert told["trace_id"] in told["explanation"]
    assert told["resume_file"] == "x.json"
    assert told["subject"] is None
    assert told["person_confirmed"] is None
