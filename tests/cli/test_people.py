"""Tests of making requests of rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idura_ciba import EidRequest, FrejaID, NorwegianBankID, SwedishBankID
from idura_ciba.batch.reading import BadRow, Row
from idura_ciba.cli.people import Choices, People, Seen
from tests.fakes import swedish_number

NO, SE = "01023990128", swedish_number(1)
RP = {"call_initiator": "RP", "message": "Hello"}
SWEDISH = Choices(eid="se", options=RP)


@pytest.fixture(name="people")
def _people() -> Iterator[People]:
    """People who are asked through Swedish BankID unless their rows say otherwise."""
    people = People(SWEDISH)
    yield people
    people.close()


def row(line: int = 2, **values: str) -> Row:
    """A row."""
    return Row(line, values)


def made(people: People, *rows: Row) -> list[tuple[str, EidRequest]]:
    """The keys and requests of rows, all of which are good."""
    found = [people.request(each) for each in rows]
    assert not any(isinstance(each, BadRow) for each in found)
    return [each for each in found if not isinstance(each, BadRow)]


def refused(people: People, found: Row) -> BadRow:
    """Why a row is bad."""
    bad = people.request(found)
    assert isinstance(bad, BadRow)
    return bad


# --- good rows --------------------------------------------------------------------------------------------------------


def test_a_row_is_a_key_and_a_request(people: People) -> None:
    """Without a key the line stands for the person."""
    assert made(people, row(5, ssn=SE), row(6, ssn=swedish_number(2), key="a")) == [
        ("5", SwedishBankID(SE, call_initiator="RP", message="Hello")),
        ("a", SwedishBankID(swedish_number(2), call_initiator="RP", message="Hello")),
    ]
    assert (people.good, people.bad, people.again) == (2, 0, 0)


REQUESTS: dict[str, tuple[dict[str, str], EidRequest]] = {
    "its own message": ({"message": "Hej"}, SwedishBankID(SE, call_initiator="RP", message="Hej")),
    "its own call": ({"call_initiator": "user"}, SwedishBankID(SE, call_initiator="user", message="Hello")),
    "a country that is not needed": ({"country": "NO"}, SwedishBankID(SE, call_initiator="RP", message="Hello")),
    "another eID": ({"eid": "no", "ssn": NO}, NorwegianBankID(NO)),
    "Freja": ({"eid": "freja"}, FrejaID(SE, country="SE", binding_message="Hello")),
    "Freja elsewhere": (
        {"eid": "freja", "ssn": NO, "country": "NO", "message": "Hei"},
        FrejaID(NO, country="NO", binding_message="Hei"),
    ),
    "Freja by address": (
        {"eid": "freja", "ssn": "nobody@example.invalid"},
        FrejaID(email="nobody@example.invalid", binding_message="Hello"),
    ),
}


@pytest.mark.parametrize(("values", "request_"), REQUESTS.values(), ids=REQUESTS)
def test_a_row_goes_before_the_options(people: People, values: dict[str, str], request_: EidRequest) -> None:
    """And an option that the eID of a row does not take is not for that row."""
    assert made(people, Row(2, {"ssn": SE, **values})) == [("2", request_)]


def test_what_holds_for_all_is_in_each_request() -> None:
    """A scope, and that the person must be confirmed."""
    people = People(Choices(eid="no", fields={"scope": "openid ssn", "require_person": True}))
    assert made(people, row(ssn=NO)) == [("2", NorwegianBankID(NO, scope="openid ssn", require_person=True))]
    people.close()


def test_a_person_may_be_named_again(people: People) -> None:
    """That is counted, told with both lines, and left to whoever asks."""
    told: list[BadRow] = []
    people.repeated = told.append
    made(people, row(2, ssn=SE), row(3, ssn=SE), row(4, ssn=swedish_number(2)), row(5, ssn=SE, eid="freja"))
    assert (people.good, people.again) == (4, 2)
    assert [(row.line, row.code, row.why) for row in told] == [
        (3, "person_twice", "names the same person as line 2"),
        (5, "person_twice", "names the same person as line 2"),
    ]
    assert all("--skip-duplicates" in row.remedy for row in told)


@pytest.mark.parametrize(
    ("values", "spellings"),
    [
        ({"eid": "se"}, (SE, f"{SE[:8]}-{SE[8:]}", f"\u200b{SE[:8]}\u2013{SE[8:]}", f'="{SE}"', f"{SE}.0")),
        ({"eid": "no"}, (NO, f"{NO[:6]} {NO[6:]}", f"'{NO}", f"{NO[:6]}\u00a0{NO[6:]}")),
        ({"eid": "freja"}, (SE, f"{SE[:8]} {SE[8:]}")),
        ({"eid": "freja", "country": "FI"}, ("131052-308T", "131052-308t", "131052\u2212308T")),
        ({"eid": "freja", "country": "DK"}, ("0101901234", "010190-1234")),
        ({"eid": "freja"}, ("+46701740605", "0046 (0)70-174 06 05", "'+46701740605")),
        ({"eid": "freja"}, ("kim@example.com", "kim@EXAMPLE.com", "\ufeffkim@example.com")),
    ],
)
def test_two_spellings_are_one_person(people: People, values: dict[str, str], spellings: tuple[str, ...]) -> None:
    """Files of other programs have them; asked twice at once somebody would lose both prompts."""
    rows = [Row(line, {**values, "ssn": written}) for line, written in enumerate(spellings)]
    requests = [request for _, request in made(people, *rows)]
    assert requests == requests[:1] * len(spellings)
    assert people.again == len(spellings) - 1
    trial = People(SWEDISH)
    assert list(trial.check(iter(rows))) == []
    assert trial.again == people.again
    trial.close()


# --- bad rows ---------------------------------------------------------------------------------------------------------


def wrong(number: str) -> str:
    """The same with another check digit."""
    return f"{number[:-1]}{(int(number[-1]) + 1) % 10}"


BAD: dict[str, tuple[dict[str, str], str, str | None]] = {
    "nobody": ({"key": "a"}, "missing", "ssn"),
    "a wrong number": ({"ssn": wrong(SE)}, "national_number_check_digit", "ssn"),
    "no number": ({"ssn": "x"}, "national_number_format", "ssn"),
    "a number of another eID": ({"ssn": SE, "eid": "no"}, "national_number_country", "ssn"),
    "an eID that there is not": ({"ssn": SE, "eid": "SE"}, "eid", "eid"),
    "a call by nobody": ({"ssn": SE, "call_initiator": "rp"}, "call_initiator", "call_initiator"),
    "a country without Freja": ({"ssn": SE, "eid": "freja", "country": "IS"}, "country", "country"),
    "a call where there is none": ({"ssn": NO, "eid": "no", "call_initiator": "RP"}, "call_initiator", None),
    "a message that is not shown": ({"ssn": NO, "eid": "no", "message": "Hei"}, "message_forbidden", None),
    "a message that is too long": ({"ssn": SE, "message": "å" * 1000}, "message_too_long", None),
    "a number without its century": ({"ssn": SE[2:]}, "national_number_century_missing", "ssn"),
    "a rounded number": ({"ssn": "1.96802E+11"}, "national_number_exponent", "ssn"),
    "no address": ({"ssn": "a b@c", "eid": "freja"}, "email", "ssn"),
    "no country code": ({"ssn": "070-174 06 05", "eid": "freja"}, "national_number_length", "ssn"),
    "a phone that is too short": ({"ssn": "+46 70", "eid": "freja"}, "phone", "ssn"),
}


@pytest.mark.parametrize(("values", "code", "column"), BAD.values(), ids=BAD)
def test_a_bad_row_says_what_is_wrong(people: People, values: dict[str, str], code: str, column: str | None) -> None:
    """With its line and its key, and never with the number; and nobody is asked by it."""
    bad = refused(people, row(7, **{"key": "k", **values}))
    assert (bad.line, bad.code, bad.column) == (7, code, column)
    assert bad.key == values.get("key", "k")
    assert bad.why[0].islower()
    assert not bad.why.endswith(".")
    assert "ssn" not in values or values["ssn"] not in str(bad)
    assert (people.good, people.bad, people.again) == (0, 1, 0)


def test_a_reason_can_be_read_after_the_line(people: People) -> None:
    """Also where the error was made for somebody who asks one person."""
    bad = refused(people, row(ssn=wrong(NO), eid="no"))
    assert bad.why == (
        "is invalid: The Norwegian national number has a check digit that does not match: "
        "a digit is wrong or two are swapped"
    )


@pytest.mark.parametrize(
    ("choices", "code"),
    [
        (Choices(options=RP), "eid"),
        (Choices(eid="se", options={"message": "Hello"}), "call_initiator"),
        (Choices(eid="se", options={"call_initiator": "RP"}), "message_required"),
    ],
    ids=["no eID", "no call", "no message"],
)
def test_what_nobody_says_is_missing(choices: Choices, code: str) -> None:
    """Neither the row nor an option; and a row that says it is good."""
    people = People(choices)
    assert refused(people, row(ssn=SE)).code == code
    made(people, row(ssn=SE, eid="se", call_initiator="user", message="Hej"))
    people.close()


@pytest.mark.parametrize(
    ("number", "key"),
    [
        (SE, SE),
        (SE, f"customer {SE}!"),
        (SE, SE[2:]),
        (SE, f"{SE[2:8]}-{SE[8:]}"),
        (SE, f"{' '.join(SE[:8])} {SE[8:]}"),
        (f"{SE[:8]}-{SE[8:]}", SE),
        (f'="{SE}"', SE),
        (f"{SE[:8]}\u2011{SE[8:]}\u200b", SE[2:]),
        (f"'{SE[2:]}", SE[2:]),
        (f'="{wrong(SE)}"', wrong(SE)),
        (NO, f"no-{NO}"),
        ("nobody@example.invalid", "<nobody@example.invalid>"),
        ("nobody@Example.invalid", "nobody@EXAMPLE.INVALID"),
    ],
    ids=[
        *("it", "within", "no century", "hyphen", "spaces", "hyphen in the number", "formula", "invisible"),
        *("century lost", "wrong", "Norwegian", "an address", "an address in capitals"),
    ],
)
def test_a_key_that_tells_the_number_is_refused(people: People, number: str, key: str) -> None:
    """It would stand in the journal and the results, and it does not stand in the report either."""
    bad = refused(people, row(ssn=number, key=key, eid="freja"))
    assert (bad.code, bad.column, bad.key) == ("key", "key", None)
    assert key not in str(bad)


def test_a_key_may_have_other_digits(people: People) -> None:
    """Also many of them, or the last ones."""
    made(people, row(2, ssn=SE, key=swedish_number(2)), row(3, ssn=SE, key=SE[-4:]), row(4, ssn=SE, key=SE[:8]))


def test_a_key_stands_for_one_row(people: People) -> None:
    """The first one, a line's number included; a bad row takes none."""
    assert refused(people, row(2, ssn="x", key="a")).code == "national_number_format"
    made(people, row(3, ssn=SE, key="a"), row(4, ssn=SE, key="6"), row(5, ssn=SE))
    again = ((4, row(6, ssn=SE)), (3, row(7, ssn=swedish_number(2), key="a")), (5, row(8, ssn=SE, key="5")))
    for first, bad in again:
        assert refused(people, bad) == BadRow(
            bad.line, "key_twice", f"repeats the key of line {first}", "key", bad.values.get("key", "6")
        )
    assert (people.good, people.bad, people.again) == (3, 4, 2)


def test_what_was_bad_before_stays_so(people: People) -> None:
    """A row that could not even be read is counted, and handed on."""
    bad = BadRow(3, "cells", "has 1 cell, but the header has 2")
    assert people.request(bad) is bad
    assert list(people.check(iter([bad]))) == [bad]
    assert (people.good, people.bad) == (0, 2)


# --- checking without asking ------------------------------------------------------------------------------------------

_VALUES: dict[str, Any] = {
    "key": st.sampled_from(("a", "b", SE, NO)),
    "ssn": st.sampled_from(
        (
            *(SE, NO, f"{SE[:8]}-{SE[8:]}", f"'{NO}", swedish_number(2), SE[2:], wrong(SE), wrong(NO), "x"),
            *("a@b", "a@B", "+46000", "+4670000", "0046 70000"),
        )
    ),
    "eid": st.sampled_from(("se", "no", "freja", "raw", "dk")),
    "login_hint": st.sampled_from(("cpr:1", "cpr:{ssn}", SE, "\ud800")),
    "acr": st.sampled_from(("urn:a", " ")),
    "call_initiator": st.sampled_from(("RP", "user", "x")),
    "message": st.sampled_from(("Hej", "å" * 1000, "\ud800")),
    "country": st.sampled_from(("SE", "NO", "DK", "IS")),
}
_ROWS = st.lists(st.fixed_dictionaries({}, optional=_VALUES), max_size=12)
_CHOICES = st.builds(
    Choices,
    eid=st.sampled_from((None, "se", "no", "freja", "raw")),
    options=st.fixed_dictionaries(
        {},
        optional={
            "call_initiator": st.sampled_from(("RP",)),
            "message": st.sampled_from(("Hello",)),
            "country": st.sampled_from(("SE", "NO")),
            "login_hint": st.sampled_from(("cpr:{ssn}", "cpr:1", "{cpr}")),
            "identity": st.sampled_from((("cpr={ssn}",), ("cpr",))),
        },
    ),
    fields=st.fixed_dictionaries(
        {},
        optional={"scope": st.sampled_from(("openid", "openid ssn", "ssn")), "require_person": st.booleans()},
    ),
)


@given(st.lists(st.lists(st.sampled_from("abcdef"))))
def test_what_is_new_is_told_from_what_is_not(batches: list[list[str]]) -> None:
    """However they come together, of equal ones only the first is new, and the others lead to its line."""
    seen, before, lines = Seen(), dict[str, int](), iter(range(1 << 32, 1 << 33))
    for batch in batches:
        numbers = [next(lines) for _ in batch]
        again = seen.add(batch, numbers)
        for nth, value in enumerate(batch):
            assert again.get(nth) == before.get(value)
            before.setdefault(value, numbers[nth])
    seen.close()


@given(_CHOICES, _ROWS, st.integers(1, 5))
def test_a_trial_finds_what_asking_would(choices: Choices, rows: list[dict[str, str]], together: int) -> None:
    """The same bad rows, for the same reasons, and the same counts."""
    numbered = [Row(line, values) for line, values in enumerate(rows, 2)]
    trial, real = People(choices), People(choices)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("idura_ciba.cli.people._TOGETHER", together)
        found = list(trial.check(iter(numbered)))
    assert found == [bad for bad in map(real.request, numbered) if isinstance(bad, BadRow)]
    assert (trial.good, trial.bad, trial.again) == (real.good, real.bad, real.again)
    trial.close()
    real.close()


def test_a_trial_of_many_is_quick(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request is built for each message, not for each person; and not all messages are kept."""
    built: list[str] = []
    real = SwedishBankID.__init__

    def counting(self: SwedishBankID, *arguments: Any, **options: Any) -> None:
        built.append(options["message"])
        real(self, *arguments, **options)

    monkeypatch.setattr(SwedishBankID, "__init__", counting)
    monkeypatch.setattr("idura_ciba.cli.people._MOST_KEPT", 2)
    rows = [row(line, ssn=swedish_number(line), message="cba"[line % 3]) for line in range(30)]
    assert list(people.check(iter(rows))) == []
    assert built == ["c", "b", *"a" * 10]
    assert people.good == 30
    assert len(people._ways) == 2


def test_a_trial_looks_at_each_number(people: People) -> None:
    """Also where everything else has been found good before."""
    rows = [
        *(row(2, ssn=SE), row(3, ssn=wrong(SE)), row(4, ssn=NO, eid="no"), row(5, ssn=wrong(NO), eid="no")),
        *(row(6, ssn=SE, eid="freja"), row(7, ssn=wrong(SE), eid="freja"), row(8, ssn="a@b@c", eid="freja")),
    ]
    assert [(bad.line, bad.code) for bad in people.check(iter(rows))] == [
        (3, "national_number_check_digit"),
        (5, "national_number_check_digit"),
        (7, "national_number_check_digit"),
        (8, "email"),
    ]


def test_a_person_who_is_named_by_a_hint_is_not_kept() -> None:
    """What rows have in common is kept, and hints are nobody else's."""
    people = People(Choices(eid="raw"))
    made(people, row(2, login_hint="cpr:1"), row(3, login_hint="cpr:2"), row(4, ssn="cpr:3"), row(5, ssn="cpr:4"))
    assert [words for words in people._ways if any(words)] == []
    assert (people.good, people.again) == (4, 0)
    assert list(people.check(iter([row(6, login_hint="cpr:1")]))) == []
    assert people.again == 1
    people.close()


def test_what_was_seen_is_forgotten_at_the_end(people: People) -> None:
    """Nothing of it is left, and nothing can be added."""
    people.close()
    for seen in (people._keys, people._people):
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            seen.add(["a"], [1])


def test_nobodys_number_is_in_a_repr(people: People) -> None:
    """Crash reports show who goes through the rows."""
    made(people, row(ssn=SE))
    assert SE not in repr(people)
