"""Tests of phone numbers and e-mail addresses as they are written."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idura_ciba.eids.written_contact import looks_like_phone, read_email, read_phone
from idura_ciba.errors import UsageError
from idura_ciba.redaction import Redacted
from tests.national_numbers import noise

#: In the range that the Swedish telecom authority keeps free for fiction.
PHONE = "+46701740605"
EMAIL = "Kim.O'Test+a@example.com"


@pytest.mark.parametrize(
    "written",
    [
        PHONE,
        "+46 70 174 06 05",
        "+46 70-174 06 05",
        "+46-70-174-06-05",
        "+46.70.174.06.05",
        "+46 (70) 174 06 05",
        "(+46) 70 174 06 05",
        "0046701740605",
        "00 46 70-174 06 05",
        "(0046) 70-174 06 05",
        # The zero of calls within Sweden, which everybody writes and nobody dials from abroad.
        "+46 (0)70-174 06 05",
        "+46(0)70-174 06 05",
        "(+46)(0)70-174 06 05",
        "0046 (0) 70 174 06 05",
        "+46 070-174 06 05",
        "+46 (070) 174 06 05",
        "tel:+46-70-174-06-05",
        "\uff0b46 70\u2011174\u00a006\u202f05",
        "\u202a+46701740605\u202c",
        "+46 70\u00ad174 06 05",
        "'+46701740605",
        '="+46701740605"',
        "\n+46701740605 \r\n",
    ],
    ids=ascii,
)
def test_a_phone_number_is_read(written: str) -> None:
    """Whatever stands between its digits, and whichever way it says that the country follows."""
    assert read_phone(written) == PHONE
    assert repr(read_phone(written)) == "<redacted>"
    assert looks_like_phone(written)


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("+39 06 123 456", "+3906123456"),
        ("+39 (0)6 123 456", "+3906123456"),
        ("+44 (0)20 7946 0123", "+442079460123"),
        ("+358 (0)40 123456", "+35840123456"),
        ("+358 040 123456", "+35840123456"),
        ("+47 21 09 87 65", "+4721098765"),
        ("+1 (555) 010-0123", "+15550100123"),
    ],
)
def test_a_zero_is_left_out_only_where_it_is_not_part_of_the_number(written: str, number: str) -> None:
    """In Italy it is dialled from abroad too, in brackets or not."""
    assert read_phone(written) == number


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("0701740605", "phone_country_code"),
        ("070-174 06 05", "phone_country_code"),
        ("(070) 174 06 05", "phone_country_code"),
        ("46701740605", "phone_country_code"),
        ("701740605", "phone_country_code"),
        ("4.67017E+10", "phone_exponent"),
        ("4,67017E+10", "phone_exponent"),
        ("+46 70 174 06 05/06", "phone"),
        ("+46 70 174 06 05, +46 70 174 06 06", "phone"),
        ("+46 70 174 06 05 ext 1", "phone"),
        ("+46 70 174 O6 05", "phone"),
        ("+4670174060\u0665", "phone"),
        ("+46", "phone"),
        ("+4670174060512345", "phone"),
        ("++46701740605", "phone"),
        ("+46701740605\n+46701740606", "phone"),
        ("46,701,740,605", "phone"),
        ("+46701740605.0", "phone"),
        ("0046701740605.0", "phone"),
        ("46701740605.0", "phone"),
        ("", "phone"),
    ],
)
def test_a_phone_number_that_has_lost_something_is_refused(written: str, code: str) -> None:
    """A country that is not there is not guessed: eight digits are somebody's in each of these countries."""
    with pytest.raises(UsageError) as caught:
        read_phone(written)
    assert caught.value.code == code
    assert caught.value.advice


@pytest.mark.parametrize(
    ("written", "address"),
    [
        (EMAIL, EMAIL),
        ("Kim@EXAMPLE.com", "Kim@example.com"),
        (" kim@example.com\r\n", "kim@example.com"),
        ("kim@exam\u200bple.com\u200e", "kim@example.com"),
        ("\ufeffkim@example.com", "kim@example.com"),
        ("kim@exam\u00adple.com", "kim@example.com"),
        ("'kim@example.com", "kim@example.com"),
        ('="kim@example.com"', "kim@example.com"),
        ("\u201ckim@example.com\u201d", "kim@example.com"),
        ("mailto:kim@example.com", "kim@example.com"),
        ("k\u00efm@ex\u00e4mple.com", "k\u00efm@ex\u00e4mple.com"),
    ],
    ids=ascii,
)
def test_an_address_is_read(written: str, address: str) -> None:
    """What nobody sees is taken off; letters before the @ are the mailbox's own, and a domain has no capitals."""
    assert read_email(written) == address
    assert repr(read_email(written)) == "<redacted>"
    assert not looks_like_phone(written)


@pytest.mark.parametrize(
    "written",
    [
        "kim",
        "kim@",
        "@example.com",
        "kim@home@example.com",
        "kim@example.com sub:ssn:1",
        "kim@example.com\x00",
        "kim\u00a0o@example.com",
        "kim@example.com;lo@example.com",
        "kim@example.com,",
        "Kim <kim@example.com>",
        "<kim@example.com>",
        'kim@example.com"',
        "kim@example.com\nlo@example.com",
        "",
    ],
    ids=ascii,
)
def test_what_is_no_single_address_is_refused(written: str) -> None:
    """Two of them, one with a name, one with what belongs to a list."""
    with pytest.raises(UsageError) as caught:
        read_email(written)
    assert caught.value.code == "email"


@pytest.mark.unmeasured
@given(
    country=st.sampled_from(("46", "47", "45", "358", "44", "1")),
    number=st.from_regex("[1-9][0-9]{6,9}", fullmatch=True),
    data=st.data(),
)
def test_two_spellings_of_one_phone_are_one_phone(country: str, number: str, data: st.DataObject) -> None:
    """Breaks anywhere behind the country code, and whatever programs do to a text."""
    written = "".join(f"{digit}{data.draw(st.sampled_from(('', '', ' ', '-')))}" for digit in number)
    prefix = data.draw(st.sampled_from(("+", "00")))
    trunk = data.draw(st.sampled_from(("", " (0)", " ")))
    read = read_phone(data.draw(noise(f" {prefix}{country}{trunk}{written}")))
    assert read == f"+{country}{number}"
    assert read_phone(read) == read


@pytest.mark.parametrize("number", ["209801011231", "010239 90128", "0101901234", "131052-308T", "980101-1231", "="])
def test_no_national_number_looks_like_a_phone(number: str) -> None:
    """No day and no century is 00, and none begins with a +."""
    assert not looks_like_phone(number)


@pytest.mark.unmeasured
@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    """And what was read is read again as the same."""
    for read in (read_phone, read_email):
        try:
            found = read(text)
        except UsageError:
            continue
        assert read(found) == found


@pytest.mark.parametrize(
    ("read", "written"), [(read_phone, "46 701 740 605"), (read_phone, "4.67017E+10"), (read_email, "kim@kim@kim")]
)
def test_no_refusal_tells_of_whom_it_speaks(read: Callable[[str], Redacted], written: str) -> None:
    """Neither its sentences nor the variables of the frames that it has come through."""
    with pytest.raises(UsageError) as caught:
        read(Redacted(written))
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    own = [frame.locals for frame in told.stack if frame.filename != __file__]
    assert own
    assert caught.value.__context__ is None
    assert not any(word in f"{caught.value} {own}" for word in (written, "740", "67017", "kim"))
