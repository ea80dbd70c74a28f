"""Tests of FrejaID."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from idura_ciba.eids.frejaid import FREJAID, FrejaID
from idura_ciba.errors import UsageError

SWEDISH = "209801011231"
NORWEGIAN = "01023990128"
#: In the range that the Swedish telecom authority keeps free for fiction.
PHONE = "+46701740605"
EMAIL = "kim@example.com"


def code(make: Callable[[], object]) -> str:
    """The code of the usage error that making something raises."""
    with pytest.raises(UsageError) as caught:
        make()
    return caught.value.code


@pytest.mark.parametrize(("country", "number"), [("SE", SWEDISH), ("NO", NORWEGIAN), ("DK", "0101010101")])
def test_freja_asks_by_number_and_country(country: Any, number: str) -> None:
    """Number and country go together, in the hint as in the claims that must confirm them."""
    request = FrejaID(number, country=country)
    assert request.parameters() == {
        "scope": "openid",
        "login_hint": f"sub:ssncountry:{country} sub:ssn:{number}",
        "acr_values": "urn:grn:authn:se:frejaid",
    }
    assert request.identity == {
        ("details", "requestedAttributes", "ssn", "ssn"): number,
        ("details", "requestedAttributes", "ssn", "country"): country,
    }
    assert not request.identity_guaranteed


@pytest.mark.parametrize(
    ("country", "written", "number"),
    [
        ("SE", "980101-1231", "199801011231"),
        ("NO", "010239 90128", NORWEGIAN),
        ("DK", "010101-0101", "0101010101"),
        ("FI", "131052\u2013308t", "131052-308T"),
    ],
)
def test_the_number_may_be_written_in_any_way(country: Any, written: str, number: str) -> None:
    """Only its normal form goes out and is compared."""
    request = FrejaID(written, country=country, today=date(2025, 11, 29))
    assert request.login_hint == f"sub:ssncountry:{country} sub:ssn:{number}"
    assert request.identity["details", "requestedAttributes", "ssn", "ssn"] == number


@pytest.mark.parametrize(
    ("typed", "request_"),
    [
        ("+46 (0)70-174 06 05", FrejaID(phone=PHONE)),
        ("\u202a0046 70 174 06 05\u202c", FrejaID(phone=PHONE)),
        ("'+46701740605", FrejaID(phone=PHONE)),
        ("\u200bkim@EXAMPLE.com", FrejaID(email=EMAIL)),
        ("o'kim@example.com", FrejaID(email="o'kim@example.com")),
        ("20980101-1231", FrejaID(SWEDISH)),
        ("010239 90128", FrejaID(NORWEGIAN, country="NO")),
    ],
)
def test_whoever_is_typed_is_told_by_what_it_looks_like(typed: str, request_: FrejaID) -> None:
    """And whoever was read is who is asked."""
    country = "NO" if NORWEGIAN in str(request_.login_hint) else "SE"
    assert FREJAID.ask(typed, country=country) == request_
    read = FREJAID.check_ssn(typed, country=country)
    assert str(request_.login_hint).endswith(f":{read}")
    assert repr(read) == "<redacted>"


def test_finnish_numbers_keep_their_sign() -> None:
    """Of Finnish numbers the sign of the century belongs to the number."""
    assert FrejaID("010101-0101", country="FI").login_hint == "sub:ssncountry:FI sub:ssn:010101-0101"


@pytest.mark.parametrize(
    ("how", "hint"), [({"phone": PHONE}, f"sub:phone:{PHONE}"), ({"email": EMAIL}, f"sub:email:{EMAIL}")]
)
def test_freja_asks_by_phone_or_email(how: dict[str, str], hint: str) -> None:
    """Who is asked that way has no number to compare."""
    request = FrejaID(**how)  # type: ignore[arg-type] # what a dict holds is unknown to mypy
    assert request.login_hint == hint
    assert request.identity == {}


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (FrejaID, "one_hint"),
        (lambda: FrejaID(SWEDISH, phone=PHONE), "one_hint"),
        (lambda: FrejaID(email=EMAIL, phone=PHONE), "one_hint"),
        (lambda: FrejaID(SWEDISH, country="NO"), "national_number_country"),
        (lambda: FrejaID(SWEDISH, country="se"), "country"),  # type: ignore[arg-type]
        (lambda: FrejaID(phone="0701740605"), "phone_country_code"),
        (lambda: FrejaID(phone="+46 70 174 06 05/06"), "phone"),
        (lambda: FrejaID(phone="+4670174060\u0665"), "phone"),
        (lambda: FrejaID(email="kim"), "email"),
        (lambda: FrejaID(email="kim@example.com sub:ssn:1"), "email"),
        (lambda: FrejaID(email="kim@example.com\x00"), "email"),
        (lambda: FrejaID(email="kim@home@example.com"), "email"),
        (lambda: FrejaID(email=EMAIL, require_person=True), "require_person"),
    ],
)
def test_a_request_that_cannot_work_is_refused_where_it_is_made(make: Callable[[], object], expected: str) -> None:
    """Each broken rule has its code, and no phone rings."""
    assert code(make) == expected


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (FrejaID, "ssn"),
        (lambda value: FrejaID(phone=value), "phone"),
        (lambda value: FrejaID(email=value), "email"),
        (lambda value: FrejaID(SWEDISH, country=value), "country"),
    ],
)
def test_it_takes_text_and_nothing_that_looks_like_it(make: Callable[[Any], object], name: str) -> None:
    """A number loses its zeros, and None would be shown on the person's phone."""
    for value in (209801011231, b"209801011231", ["RP"], {"RP"}, True):
        assert code(lambda value=value: make(value)) == name  # type: ignore[misc]


@pytest.mark.parametrize(
    "make",
    [
        lambda: FrejaID("209801011232"),
        lambda: FrejaID(phone="209801011232"),
        lambda: FrejaID(email="209801011232"),
        lambda: FrejaID(SWEDISH, email="209801011232"),
    ],
)
def test_an_error_does_not_tell_of_whom_it_speaks(make: Callable[[], object]) -> None:
    """Not in its text, not in its causes, not in the variables of the frames it has passed, save the caller's own."""
    with pytest.raises(UsageError) as caught:
        make()
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    own = [frame for frame in told.stack if frame.filename != __file__]
    shown = f"{caught.value} {caught.value!r} {[frame.locals for frame in own]}"
    assert own
    assert caught.value.__context__ is None
    assert "209801011232" not in shown


@pytest.mark.parametrize(
    ("ssn", "given", "hint"),
    [
        (SWEDISH, {}, f"sub:ssncountry:SE sub:ssn:{SWEDISH}"),
        (NORWEGIAN, {"country": "NO"}, f"sub:ssncountry:NO sub:ssn:{NORWEGIAN}"),
        (PHONE, {"message": "Hej"}, f"sub:phone:{PHONE}"),
        (EMAIL, {"scope": "openid x"}, f"sub:email:{EMAIL}"),
    ],
)
def test_who_is_asked_is_told_by_how_it_is_written(ssn: str, given: dict[str, str], hint: str) -> None:
    """On the command line and in a file, where there is one place for it."""
    request = FREJAID.ask(ssn, **given)
    assert isinstance(request, FrejaID)
    assert (request.login_hint, request.binding_message) == (hint, given.get("message"))
    assert request.scope == given.get("scope", "openid")
