"""Tests of the phases: what they are called, and what is told to people about them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from idura_ciba import State, UsageError
from idura_ciba.eids import EIDS
from idura_ciba.eids.phase import LANGUAGES, Phase, phase_of, phase_table


def test_every_end_has_its_phase_and_every_other_phase_is_on_the_way() -> None:
    """A state that is added and forgotten here would break the progress of whoever ends in it."""
    ends = {state.value for state in State if state.is_final}
    assert {phase.value for phase in Phase} - ends == {"waiting", "opened", "identifying", "choosing", "unknown"}
    assert all(phase_of(State(end), "awaiting anything", ()) is Phase(end) for end in ends)


@pytest.mark.parametrize("phase", Phase)
def test_there_is_a_text_in_each_language(phase: Phase) -> None:
    """Short sentences, each language its own, and none that pretends a prompt was taken back."""
    texts = [phase.text(language) for language in LANGUAGES]
    assert len(set(texts)) >= 3  # Norwegian and Danish may agree
    for text in texts:
        assert re.fullmatch(r"[A-ZÅÄÖÆØ][^.!?]+[.]( [A-ZÅÄÖÆØ][^.!?]+[.])?", text), text
        assert len(text) <= 90, text
    assert not re.search("withdrawn|återkalla|trukket", " ".join(texts))


@pytest.mark.parametrize(
    ("tag", "language"),
    [("en-GB", "en"), ("sv-SE", "sv"), ("nb", "no"), ("nn-NO", "no"), ("NO", "no"), ("da-DK", "da"), ("SV", "sv")],
)
def test_a_tag_of_a_browser_is_understood(tag: str, language: str) -> None:
    """With its region, in either case, and by either name of Norwegian."""
    assert Phase.CHOOSING.text(tag) == Phase.CHOOSING.text(language)


@pytest.mark.parametrize("language", ["fi", "", "svenska", "s", None, 7])
def test_another_language_is_refused_by_name(language: Any) -> None:
    """English in its place would look like a mistake of the page."""
    with pytest.raises(UsageError) as caught:
        Phase.WAITING.text(language)
    assert caught.value.code == "language"


@pytest.mark.parametrize("name", [name for name, eid in EIDS.items() if eid.phases])
def test_a_request_knows_what_the_words_of_its_eid_mean(name: str) -> None:
    """In the order in which the provider says them; any other word is unknown."""
    eid = EIDS[name]
    table = phase_table(eid.fill(ssn="209801011231", call_initiator="RP")["phases"])
    assert table == tuple(eid.phases.items())
    for words, phase in table:
        assert phase_of(State.PENDING, words, table) is phase
    assert phase_of(State.PENDING, None, table) is phase_of(State.IN_DOUBT, "something new", table) is Phase.UNKNOWN


def test_equal_tables_are_one_object() -> None:
    """A hundred thousand logins may hold it."""
    one, other = ({"a": Phase.WAITING} for _ in range(2))
    assert phase_table(one) is phase_table(other)
