"""Tests of what a page shows."""

from __future__ import annotations

import pytest
from attrs import evolve

from idura_ciba import AlreadyPending, ArgumentError, Phase, State
from idura_ciba.desk.catalogue import CATALOGUE
from idura_ciba.desk.entry import DETAILS_LOST, Entry
from idura_ciba.desk.texts import sayer
from idura_ciba.desk.view import call, complaint, fields, offered, person
from idura_ciba.eids import EIDS, Eid, Option
from idura_ciba.eids.phase import LANGUAGES
from idura_ciba.errors import CibaError
from idura_ciba.explain import closed
from idura_ciba.fleet.store import login_exists

ENTRY = Entry(id="a" * 32, nth=3, eid="no", label="Norwegian BankID", asked_at=10.0)
SWEDISH = EIDS["se"]
OWN = Eid(
    name="mitid",
    label="Danish MitID",
    fields={"login_hint": "cpr:{ssn}", "acr_values": "urn:x"},
    person="CPR number",
    options=(
        Option(name="risk", help="how risky it is", choices=("low", "high"), default="low"),
        Option(name="branch", help="which branch", secret=True),
        Option(name="tags", help="marks", repeatable=True),
    ),
)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("state", "code", "key"),
    [
        (State.APPROVED, None, "next_unconfirmed"),
        (State.DENIED, "denied", "next_denied"),
        (State.EXPIRED, "expired", "next_expired"),
        (State.ABANDONED, "abandoned", "next_abandoned"),
        (State.INDETERMINATE, "unheard", "next_unknown"),
        (State.INDETERMINATE, "start_unknown", "next_start_unknown"),
        (State.INDETERMINATE, "interrupted", "next_start_unknown"),
        (State.INDETERMINATE, DETAILS_LOST, "next_details_lost"),
        (State.REJECTED, "provider_error", "next_rejected"),
        (State.REJECTED, "invalid_client", "next_invalid_client"),
        (State.FAILED, "bad_answer", "next_failed"),
        (State.FAILED, "invalid_client", "next_failed"),
        (State.FAILED, "never_connected", "next_never_connected"),
        (State.FAILED, "id_token_replayed", "next_distrusted"),
    ],
)
def test_each_end_says_what_to_do_next(state: State, code: str | None, key: str, language: str) -> None:
    """In the agent's language; an approval that names the person, too."""
    shown = call(evolve(ENTRY, state=state, phase=Phase(state), code=code, ended_at=20.0), 30.0, language)
    assert shown.next == CATALOGUE[key][LANGUAGES.index(language)]
    assert shown.phase
    assert shown.left is None
    confirmed = call(evolve(ENTRY, state=State.APPROVED, confirmed=True, ended_at=20.0), 30.0, language)
    assert confirmed.next == CATALOGUE["next_confirmed"][LANGUAGES.index(language)]


def test_while_somebody_is_asked_there_is_a_clock_and_nothing_to_do() -> None:
    """It stops at nothing."""
    asking = evolve(ENTRY, state=State.PENDING, until=40.0)
    assert (call(asking, 30.0, "en").left, call(asking, 50.0, "en").left, call(asking, 30.0, "en").next) == (10, 0, "")
    assert call(ENTRY, 30.0, "en").left is None
    assert call(ENTRY, 30.0, "en").phase == CATALOGUE["sending"][0]


def test_an_approval_of_somebody_is_not_called_a_confirmed_identity() -> None:
    """Neither is one that is not genuine called a technical problem."""
    unconfirmed = evolve(ENTRY, state=State.APPROVED, phase=Phase.APPROVED, ended_at=20.0)
    assert call(unconfirmed, 30.0, "en").phase == CATALOGUE["unconfirmed_text"][0]
    cheating = evolve(ENTRY, state=State.FAILED, phase=Phase.FAILED, code="id_token_person", ended_at=20.0)
    assert call(cheating, 30.0, "en").phase == CATALOGUE["distrusted_text"][0]


def test_a_hint_that_nobody_knows_is_shown_in_one_clean_line() -> None:
    """It is foreign text."""
    entry = evolve(ENTRY, state=State.PENDING, phase=Phase.UNKNOWN, hint="step\n2\x1b[2J")
    assert "step\\n2\\x1b[2J" in call(entry, 30.0, "en").phase


def test_whoever_asked_again_hears_when_it_is_possible() -> None:
    """Only while a prompt may still be on the phone."""
    entry = evolve(ENTRY, state=State.ABANDONED, ended_at=20.0, again_at=25.0, until=40.0)
    assert "asked again after" in call(entry, 30.0, "en").again
    assert "asked again after" not in call(entry, 50.0, "en").again
    assert call(ENTRY, 30.0, "en").again == ""


def test_a_form_asks_what_the_eid_needs() -> None:
    """In the agent's language where we know the question, else in the words of the eID."""
    (who,) = fields(SWEDISH, "sv")
    assert (who.label, who.required, dict(who.choices)["user"]) == ("Vem ringde?", True, "De ringde oss")
    risk, branch = fields(OWN, "sv")
    assert (risk.label, risk.default, risk.choices) == ("How risky it is", "low", [("low", "low"), ("high", "high")])
    assert branch.secret
    assert person(OWN, sayer("sv")) == "CPR number"
    assert person(SWEDISH, sayer("sv")) == "Personnummer"
    assert [eid.name for eid in offered(EIDS.plus(OWN))] == ["se", "no", "freja", "mitid"]


@pytest.mark.parametrize(
    ("error", "field", "key"),
    [
        (ArgumentError("x", code="message_required"), "message", "error_message_required"),
        (ArgumentError("x", code="message_too_long"), "message", "error_message_too_long"),
        (ArgumentError("x", code="note"), "note", "error_note"),
        (ArgumentError("x", code="call_initiator"), "call_initiator", "error_option"),
        (closed(), "", "error_stopping"),
        (ArgumentError("x", code="form_used"), "", "error_form_used"),
        (login_exists(), "", "error_form_used"),
    ],
)
def test_a_complaint_names_the_field(error: CibaError, field: str, key: str) -> None:
    """So that the keyboard is there."""
    said = complaint(error, SWEDISH, "da", about_number=False)
    assert said == (field, CATALOGUE[key][3].format(eid="Swedish BankID"))


def test_what_has_no_text_of_its_own_says_what_the_library_says() -> None:
    """With its code, for whoever is asked for help."""
    assert complaint(ArgumentError("x", code="y"), SWEDISH, "en", about_number=True)[0] == "number"
    assert "[odd]" in complaint(ArgumentError("odd thing", code="odd"), SWEDISH, "en", about_number=False)[1]
    pending = AlreadyPending("x")
    assert "again after" not in complaint(pending, SWEDISH, "en", about_number=False)[1]
    pending.until = 40.0
    assert "again after" in complaint(pending, SWEDISH, "en", about_number=False)[1]
