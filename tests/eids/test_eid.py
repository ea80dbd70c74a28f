"""Tests of declarations: a request with blanks, and how they are filled."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idura_ciba.eids.eid import Eid, Option
from idura_ciba.eids.identity_number import check_danish
from idura_ciba.eids.request import EidOptions, EidRequest
from idura_ciba.eids.written_number import read_danish
from idura_ciba.errors import UsageError

#: No number of a person: 99 is no day.
CPR = "9999999999"
REFERENCE = Option(name="reference", help="your own number for the case", required=True)
LEVEL = Option(name="level", help="what to insist on", choices=("low", "high"), default="low")


def declare(**changes: Any) -> Eid:
    """An eID of data alone, with changes."""
    fields: EidOptions = {
        "login_hint": "cpr:{ssn}",
        "acr_values": "urn:example:mitid:{level}",
        "authorization_details": ({"type": "caller", "reference": "{reference}", "nested": [{"cpr": "{ssn}"}, 7]},),
        "identity": {("cpr",): "{ssn}", ("country",): "DK"},
        "scope": "openid cpr",
    }
    declaration: dict[str, Any] = {
        "name": "mitid",
        "label": "Danish MitID",
        "fields": fields,
        "number": check_danish,
        "options": (REFERENCE, LEVEL),
    }
    return Eid(**(declaration | changes))


def code(make: Callable[[], object]) -> str:
    """The code of the usage error that making something raises."""
    with pytest.raises(UsageError) as caught:
        make()
    return caught.value.code


def test_blanks_are_filled_wherever_they_stand() -> None:
    """In texts, in mappings and in lists; what has no blank is sent as it is."""
    request = declare().ask(CPR, reference="4711")
    assert request.parameters() == {
        "scope": "openid cpr",
        "login_hint": f"cpr:{CPR}",
        "acr_values": "urn:example:mitid:low",
        "authorization_details": f'[{{"type":"caller","reference":"4711","nested":[{{"cpr":"{CPR}"}},7]}}]',
    }
    assert request.identity == {("cpr",): CPR, ("country",): "DK"}
    assert CPR not in repr(request)


def test_a_message_and_fields_come_on_top() -> None:
    """The caller's word is the last, also on what the declaration says."""
    request = declare().ask(CPR, reference="4711", message="Hej", scope="openid", require_person=True)
    assert (request.binding_message, request.scope, request.require_person) == ("Hej", "openid", True)
    assert declare().ask(CPR, reference="1", message=None).binding_message is None
    assert declare().ask(CPR, reference="1", message="a", binding_message="b").binding_message == "b"


def test_values_that_look_like_blanks_are_none() -> None:
    """What somebody typed is data."""
    details = declare().ask(CPR, reference="{ssn}").authorization_details
    assert details[0]["reference"] == "{ssn}"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "reference"),
        ({"reference": None}, "reference"),
        ({"reference": ""}, "missing"),
        ({"reference": 4711}, "reference"),
        ({"reference": ["a"]}, "reference"),
        ({"reference": "1", "level": "none"}, "level"),
        ({"reference": "1", "level": {}}, "level"),
        ({"reference": "1", "country": "DK"}, "country"),
        ({"reference": "1", "message": 7}, "message"),
        ({"reference": "1", "scope": "cpr"}, "scope"),
    ],
)
def test_an_option_that_does_not_fit_is_refused_by_its_name(given: dict[str, Any], expected: str) -> None:
    """Missing, empty, none of the choices, of another eID, or no text."""
    assert code(lambda: declare().ask(CPR, **given)) == expected


@pytest.mark.parametrize(
    ("ssn", "expected"), [("", "national_number_format"), ("1", "national_number_format"), (7, "ssn")]
)
def test_a_number_is_checked_by_its_rule(ssn: Any, expected: str) -> None:
    """Before anything is made of it."""
    assert code(lambda: declare().ask(ssn, reference="1")) == expected


def test_a_number_is_read_as_it_is_written() -> None:
    """What is sent, compared and told apart is what the reader has made of it."""
    eid = declare(number=read_danish)
    written = "\u200b010190\u20131234"
    assert eid.ask(written, reference="1") == eid.ask("0101901234", reference="1")
    assert eid.ask(written, reference="1").person_key == "cpr:0101901234"
    assert eid.check_ssn(written) == "0101901234"
    assert repr(eid.check_ssn(written)) == "<redacted>"
    assert declare(number=None).check_ssn(written) == written
    assert code(lambda: eid.check_ssn("101901234")) == "national_number_leading_zero"


def test_a_number_may_depend_on_options() -> None:
    """Which, the declaration says; the default is given where nobody says anything."""

    def shouted(number: str, *, level: str) -> str:
        return f"{number}-{level}"

    eid = declare(number=shouted, number_options=("level",))
    assert eid.check_ssn("1") == "1-low"
    assert eid.check_ssn("1", level="high", reference="4711") == "1-high"
    assert eid.ask("1", reference="4711", level="high").login_hint == "cpr:1-high"
    assert code(lambda: declare(number=shouted, number_options=("nothing",))) == "eid_declaration"


def test_without_a_rule_anything_is_a_number_but_nothing() -> None:
    """Somebody must be named."""
    assert declare(number=None).ask("x1", reference="1").login_hint == "cpr:x1"
    assert code(lambda: declare(number=None).ask("", reference="1")) == "missing"


@pytest.mark.parametrize("part", ["1 sub:ssn:2", "1\u00a02", "1\n", '1","admin":"2', "a'b", "a\\b", "{x}", "1\x00"])
def test_a_value_cannot_bring_a_hint_of_its_own(part: str) -> None:
    """A row of a file that smuggles a second person in is refused; where the value is the whole hint, it may be any."""
    assert code(lambda: declare(number=None).ask(part, reference="1")) == "ssn"
    whole = declare(number=None, fields={"login_hint": "{ssn}"}, options=())
    assert whole.ask(part).login_hint == part


def test_a_hint_may_be_json() -> None:
    """Its own braces are no blanks."""
    eid = declare(fields={"login_hint_token": '{"cpr":"{ssn}","ref":{"is":"{reference}"}}'})
    assert eid.ask(CPR, reference="a").login_hint_token == f'{{"cpr":"{CPR}","ref":{{"is":"a"}}}}'


@given(st.text(min_size=1), st.text(min_size=1))
def test_any_value_arrives_as_it_is_or_is_refused(ssn: str, reference: str) -> None:
    """However strange it is, and whatever the other one holds."""
    try:
        request = declare(number=None).ask(ssn, reference=reference)
    except UsageError as error:
        told = error.code
    else:
        told = ""
        assert request.login_hint == f"cpr:{ssn}"
        assert request.authorization_details[0]["reference"] == reference
    assert told in {"", "ssn", "parameter_encoding"}


# --- messages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "message", "expected"),
    [
        ("required", None, "message_required"),
        ("required", " \n", "message_required"),
        ("forbidden", "", "message_forbidden"),
        ("forbidden", "Hej", "message_forbidden"),
        ("optional", "å" * 6, "message_too_long"),
        ("optional", "\ud800" * 100, "parameter_encoding"),
    ],
)
def test_a_message_keeps_to_the_rule(rule: str, message: str | None, expected: str) -> None:
    """As the declaration has it, in bytes."""
    eid = declare(message=rule, message_bytes=11)
    assert code(lambda: eid.ask(CPR, reference="1", message=message)) == expected


@pytest.mark.parametrize(("rule", "message"), [("required", "Hej"), ("forbidden", None), ("optional", "å" * 5 + "a")])
def test_a_message_that_fits_is_sent(rule: str, message: str | None) -> None:
    """To the last byte."""
    assert declare(message=rule, message_bytes=11).ask(CPR, reference="1", message=message).binding_message == message


def test_no_message_can_be_sent_on_purpose() -> None:
    """By the field's own name."""
    assert declare(message="required").ask(CPR, reference="1", binding_message=None).binding_message is None


def test_the_advice_on_a_forbidden_message_knows_of_spoken_words() -> None:
    """Where there are words, they are what to do instead."""
    for spoken in (True, False):
        with pytest.raises(UsageError) as caught:
            declare(message="forbidden", spoken_words=spoken).ask(CPR, reference="1", message="Hej")
        assert ("spoken_words" in caught.value.advice) is spoken


# --- requests of one's own --------------------------------------------------------------------------------------------


def test_a_function_can_make_the_request() -> None:
    """It gets the person, the options with their defaults, and what else was given."""
    told: dict[str, Any] = {}

    def make(ssn: str, **given: Any) -> EidRequest:
        told.update(given, ssn=ssn)
        return EidRequest(login_hint=ssn)

    declare(request=make).ask("any", reference="4711", message="Hej", scope="openid x")
    assert told == {"ssn": "any", "reference": "4711", "level": "low", "message": "Hej", "scope": "openid x"}


def test_an_eid_can_be_built_of_its_options() -> None:
    """What is left is asked of the one that was built."""

    def build(reference: str, level: str) -> Eid:
        return Eid(name="built", label=level, fields={"login_hint": f"{reference}:{{ssn}}"})

    eid = declare(build=build, fields={})
    built, rest = eid.resolve({"reference": "a", "level": "high", "message": "Hej"})
    assert (built.name, built.label, rest) == ("built", "high", {"message": "Hej"})
    request = eid.ask("1", reference="a", message="Hej")
    assert (request.login_hint, request.binding_message) == ("a:1", "Hej")


# --- declarations -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "MitID"},
        {"name": ""},
        {"name": "mit id"},
        {"name": "a:b"},
        {"fields": {"login_hint": "cpr:{cpr}"}},
        {"fields": {"login_hint": "{ssn}", "extra": {"x": "{unknown}"}}},
        {"fields": {"login_hint": "{ssn}", "hint": "x"}},
        {"fields": {"acr_values": "urn:a"}},
        {"fields": {}},
        {"options": (Option(name="reference", help="may stay empty"), LEVEL)},
        {"options": (Option(name="reference", help="may be two", required=True, repeatable=True), LEVEL)},
    ],
)
def test_a_declaration_that_cannot_work_is_refused_where_it_is_made(changes: dict[str, Any]) -> None:
    """And not where somebody is asked."""
    assert code(lambda: declare(**changes)) == "eid_declaration"


@pytest.mark.parametrize("name", ["", "Level", "a b", "a-b", "1a", "key", "eid", "ssn", "message"])
def test_an_option_has_a_name_that_fits_everywhere(name: str) -> None:
    """On the command line, at the top of a column and in a blank."""
    assert code(lambda: Option(name=name, help="x")) == "option_name"
    assert Option(name="call_initiator", help="x").flag == "--call-initiator"


def test_a_declaration_does_not_change() -> None:
    """Neither by assignment nor through what it was made of."""
    identity = {("cpr",): "{ssn}"}
    eid = declare(fields={"login_hint": "{ssn}", "identity": identity}, options=(), number=None)
    identity.clear()
    assert eid.ask("1").identity == {("cpr",): "1"}
    with pytest.raises(AttributeError):
        eid.name = "other"  # type: ignore[misc]


def test_what_it_takes_can_be_asked() -> None:
    """Options, and a message unless it is forbidden."""
    eid = declare()
    assert [eid.takes(name) for name in ("reference", "level", "message", "country")] == [True, True, True, False]
    assert not declare(message="forbidden").takes("message")
    assert eid.needs_ssn
    assert not declare(fields={"login_hint": "tel:{reference}"}).needs_ssn
    assert not eid.guarantees_person
    assert declare(fields={"login_hint": "{ssn}", "identity_guaranteed": True}).guarantees_person


def test_who_is_asked_by_an_option_alone_needs_no_number() -> None:
    """And its rule is not asked."""
    eid = declare(fields={"login_hint": "tel:{reference}"})
    assert eid.ask(reference="+4500000000").login_hint == "tel:+4500000000"


def test_errors_and_reprs_do_not_tell_who_was_asked() -> None:
    """Not in texts and not in the variables of the frames, save the caller's own."""
    eid = declare(somebody=CPR)
    assert CPR not in repr(eid)
    for ssn, message in ((f"{CPR}x", "Hej"), (f"{CPR} 1", "Hej"), (CPR, CPR * 200)):
        with pytest.raises(UsageError) as caught:
            declare(number=None if " " in ssn else check_danish, message_bytes=9).ask(
                ssn, reference="1", message=message
            )
        told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        own = [frame for frame in told.stack if frame.filename != __file__]
        assert own
        assert CPR not in f"{caught.value} {[frame.locals for frame in own]}"
