"""Tests of whole tables of people that programs have had their hands on."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from idura_ciba import FrejaID, NorwegianBankID, SwedishBankID
from idura_ciba.batch.reading import BadRow, RowReader
from idura_ciba.cli.people import Choices, People
from tests.national_numbers import BLANKS, PEOPLE, TODAY, Person, noise

#: What may stand around a cell and does not end its row.
_LINE_BREAKS = str.maketrans("", "", "".join(blank for blank in BLANKS if len(blank.splitlines()[0]) == 0))


def damaged(person: Person, draw: st.DrawFn) -> str:
    """A number that has lost what nobody can put back."""
    digits = "".join(filter(str.isdigit, person.number))
    return draw(
        st.sampled_from(
            (
                f"{int(digits):.4E}",
                f"{int(digits):,}",
                person.number[:-1],
                f"{person.number[:3]}O{person.number[4:]}",
                f"{person.number};{person.number}",
                person.number[:8],
            )
        )
    )


def hint(person: Person) -> str:
    """By what exactly this person is asked."""
    requests = {
        "SE": lambda: SwedishBankID(person.number, call_initiator="RP", message="Hello"),
        "NO": lambda: NorwegianBankID(person.number),
        "DK": lambda: FrejaID(person.number, country="DK"),
        "FI": lambda: FrejaID(person.number, country="FI"),
    }
    return str(requests[person.country]().login_hint)


@settings(max_examples=40)
@given(people=st.lists(st.tuples(PEOPLE, st.booleans()), min_size=1, max_size=8), data=st.data())
def test_everybody_is_asked_by_the_right_number_or_not_at_all(
    people: list[tuple[Person, bool]], data: st.DataObject
) -> None:
    """Whatever was done to the table, each row is somebody's own or refused, and the trial says the same."""
    table = io.StringIO()
    write = csv.writer(table, delimiter=data.draw(st.sampled_from(",;\t")))
    write.writerow(("key", "ssn", "eid", "country"))
    for nth, (person, whole) in enumerate(people):
        cell = noise(data.draw(st.sampled_from(person.all_forms)) if whole else damaged(person, data.draw))
        eid = {"SE": "se", "NO": "no"}.get(person.country, "freja")
        write.writerow((f"row {nth}", data.draw(cell).translate(_LINE_BREAKS), eid, person.country))
    rows = list(RowReader(io.BytesIO(table.getvalue().encode())))
    assert len(rows) == len(people)

    choices = Choices(eid="se", options={"call_initiator": "RP", "message": "Hello"})
    asking, trial = People(choices), People(choices)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("idura_ciba.eids.written_number._present_day", lambda: TODAY)
        made = [asking.request(row) for row in rows]
        refused = list(trial.check(iter(rows)))
    for (person, whole), each in zip(people, made, strict=True):
        assert isinstance(each, BadRow) is not whole
        assert isinstance(each, BadRow) or each[1].login_hint == hint(person)
    assert refused == [each for each in made if isinstance(each, BadRow)]
    assert (trial.good, trial.bad, trial.again) == (asking.good, asking.bad, asking.again)
    asking.close()
    trial.close()
