"""Tests of eIDs that are described where they are asked."""

from __future__ import annotations

from typing import Any

import pytest

from idura_ciba.eids.raw import RAW
from idura_ciba.errors import UsageError

#: No number of a person: 99 is no day.
CPR = "9999999999"


def test_a_hint_is_enough() -> None:
    """As it is, or with the number in it; then no eID is checked in the answer, because none was named."""
    assert RAW.ask(f"cpr:{CPR}").parameters() == {"scope": "openid", "login_hint": f"cpr:{CPR}"}
    assert RAW.ask(CPR, login_hint="cpr:{ssn}").login_hint == f"cpr:{CPR}"
    assert RAW.ask(login_hint=f"cpr:{CPR}").login_hint == f"cpr:{CPR}"


def test_everything_can_be_described() -> None:
    """Each option becomes a field; the number fills the blanks wherever they are."""
    request = RAW.ask(
        CPR,
        acr="urn:example:mitid",
        login_hint='{"cpr":"{ssn}"}',
        hint_parameter="login_hint_token",
        authorization_details='[{"type":"caller","cpr":"{ssn}"}]',
        identity=("cpr={ssn}", "details.person.name=Kim=Kim", '["urn:x.y","z=1"]=a'),
        missing_acr="accept",
        requested_expiry="300",
        parameter=("language=da", "empty="),
        message="Hej",
        scope="openid cpr",
    )
    assert request.parameters() == {
        "scope": "openid cpr",
        "login_hint_token": f'{{"cpr":"{CPR}"}}',
        "acr_values": "urn:example:mitid",
        "binding_message": "Hej",
        "requested_expiry": "300",
        "authorization_details": f'[{{"type":"caller","cpr":"{CPR}"}}]',
        "language": "da",
        "empty": "",
    }
    assert request.identity == {
        ("cpr",): CPR,
        ("details", "person", "name"): "Kim=Kim",
        ("urn:x.y", "z=1"): "a",
    }
    assert not request.require_acr
    assert RAW.ask("x").require_acr


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"identity": ("cpr",)}, "identity"),
        ({"identity": ("=1",)}, "identity"),
        ({"identity": ("cpr=",)}, "identity"),
        ({"identity": ("a..b=1",)}, "identity"),
        ({"identity": ('["a"=1',)}, "identity"),
        ({"identity": ('["a"]1',)}, "identity"),
        ({"identity": ("[1]=1",)}, "identity"),
        ({"identity": ("[]=1",)}, "identity"),
        ({"identity": ("[" * 100_000,)}, "identity"),
        ({"authorization_details": "x"}, "authorization_details"),
        ({"authorization_details": "{}"}, "authorization_details"),
        ({"authorization_details": "[1]"}, "authorization_details"),
        ({"authorization_details": '[{"kind":"x"}]'}, "authorization_details"),
        ({"authorization_details": "[" * 100_000}, "authorization_details"),
        ({"authorization_details": '[{"type":"x","n":NaN}]'}, "authorization_details"),
        ({"parameter": ("a",)}, "parameter"),
        ({"parameter": (7,)}, "parameter"),
        ({"parameter": "a=b"}, "parameter"),
        ({"parameter": ("=a",)}, "parameter"),
        ({"parameter": ("scope=openid",)}, "extra_parameter"),
        ({"requested_expiry": "0"}, "requested_expiry"),
        ({"requested_expiry": "1.5"}, "requested_expiry"),
        ({"requested_expiry": "\u0663"}, "requested_expiry"),
        ({"requested_expiry": "9" * 5000}, "requested_expiry"),
        ({"hint_parameter": "hint"}, "hint_parameter"),
        ({"missing_acr": "maybe"}, "missing_acr"),
        ({"acr": " "}, "acr_values"),
        ({"login_hint": "cpr:{cpr}"}, "eid_declaration"),
        ({"login_hint": ""}, "eid_declaration"),
        ({"call_initiator": "RP"}, "call_initiator"),
    ],
)
def test_what_cannot_be_read_is_refused_by_its_name(given: dict[str, Any], expected: str) -> None:
    """Nobody guesses what was meant."""
    with pytest.raises(UsageError) as caught:
        RAW.ask(CPR, **given)
    assert caught.value.code == expected
    assert CPR not in str(caught.value)


def test_nobody_is_asked_by_no_hint() -> None:
    """The blank must be filled."""
    with pytest.raises(UsageError) as caught:
        RAW.ask("")
    assert caught.value.code == "missing"


def test_it_is_known_whether_a_number_is_needed() -> None:
    """Who says the whole hint is not asked for a number."""
    assert RAW.resolve({})[0].needs_ssn
    assert RAW.resolve({"login_hint": "x", "identity": ("cpr={ssn}",)})[0].needs_ssn
    assert not RAW.resolve({"login_hint": "x"})[0].needs_ssn


def test_no_repr_shows_a_hint() -> None:
    """That of what was described included."""
    eid, _ = RAW.resolve({"login_hint": f"cpr:{CPR}", "identity": (f"cpr={CPR}",)})
    assert CPR not in repr(eid)
