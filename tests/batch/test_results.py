"""Tests of what came of one person, in the journal and for the caller."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection

import pytest

from idura_ciba import CibaClient, Denied, Outcome, State, explain
from idura_ciba.batch import Result
from idura_ciba.batch.results import write_down
from idura_ciba.batch.sealing import Sealing
from idura_ciba.batch.store import Entry, Phase
from idura_ciba.redaction import Redacted
from idura_ciba.simulator import Script, SimulatedIdura
from tests.fakes import swede, swedish_number

MakeClient = Callable[..., CibaClient]


def entry() -> Entry:
    """Somebody who is being asked."""
    return Entry("key-1", b"p" * 16, Phase.ACCEPTED, 1, 100.0, 280.0, token=Redacted("token"), ended_at=107.0, polls=2)


async def outcome_of(client: CibaClient, idura: SimulatedIdura, script: Script) -> Outcome:
    """What comes of asking one person."""
    idura.script(swedish_number(1), script)
    async with client:
        transaction = await client.start(swede(1))
        return await transaction.outcome()


@pytest.mark.parametrize(
    ("claims", "names"),
    [((), set()), ({"ssn", "gone"}, {"ssn"}), (None, {"iss", "aud", "sub", "ssn"})],
    ids=["none", "some", "all"],
)
async def test_a_login_is_written_down(
    simulated_idura: SimulatedIdura,
    make_ciba_client: MakeClient,
    sealing: Sealing,
    claims: Collection[str] | None,
    names: set[str],
) -> None:
    """With the claims that were asked for; nothing in the entry says who it was."""
    outcome = await outcome_of(make_ciba_client(), simulated_idura, Script.approve(after=4))
    login, one = outcome.result(), entry()
    result = write_down(one, outcome, sealing, claims)
    assert result == Result(
        key="key-1",
        state=State.APPROVED,
        subject=login.subject,
        person_confirmed=True,
        acr=login.acr,
        trace_id=login.trace_id,
        claims={name: value for name, value in login.claims.items() if claims is None or name in claims},
        asked_at=100.0,
        ended_at=107.0,
        polls=2 + outcome.polls,
    )
    assert names <= set(result.claims)
    assert len(result.claims) == len(names) or claims is None
    assert (one.state, one.code, one.token) == ("approved", None, None)
    assert swedish_number(1) not in json.dumps(one.values(), default=repr)
    assert swedish_number(1) not in repr(result)


async def test_a_denial_is_written_down(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, sealing: Sealing
) -> None:
    """With its code and its sentences."""
    outcome = await outcome_of(make_ciba_client(), simulated_idura, Script.deny(after=4))
    one = entry()
    one.slow_downs, one.waited = 1, True
    result = write_down(one, outcome, sealing, None)
    assert isinstance(outcome.error, Denied)
    assert (result.state, result.code, result.explanation) == (State.DENIED, "denied", str(outcome.error))
    assert (result.trace_id, result.claims, result.subject) == (outcome.error.trace_id, {}, None)
    assert (result.waited, result.slow_downs, result.polls) == (True, 1, 2 + outcome.polls)
    assert (one.state, one.code, one.token) == ("denied", "denied", None)


@pytest.mark.parametrize("script", [Script.approve(after=4), Script.deny(after=4)], ids=["login", "denial"])
async def test_a_result_is_the_same_after_a_crash(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, sealing: Sealing, script: Script
) -> None:
    """But that it says so."""
    one = entry()
    result = write_down(
        one, await outcome_of(make_ciba_client(), simulated_idura, script), sealing, ["ssn", "authenticationtime"]
    )
    answer = sealing.decrypt("key-1", one.answer or b"")
    assert answer is not None
    again = Result.of(one, answer, replayed=True)
    assert again.replayed
    assert not result.replayed
    for name in ("key", "state", "code", "explanation", "subject", "claims", "acr", "trace_id", "polls", "asked_at"):
        assert getattr(again, name) == getattr(result, name)


async def test_polls_of_former_runs_count(sealing: Sealing) -> None:
    """As far as the journal knows of them."""
    one = entry()
    result = write_down(
        one, Outcome(State.EXPIRED, error=explain.interrupted("asking"), polls=3, slow_downs=2), sealing, ()
    )
    assert (result.polls, result.slow_downs, one.polls, one.slow_downs) == (5, 2, 5, 2)


def test_who_was_never_asked_has_no_instant() -> None:
    """Not the beginning of the epoch."""
    one = Entry("k", b"p", Phase.ENDED, 1, 0.0, 0.0, state="abandoned", code="person_twice", ended_at=5.0)
    assert Result.of(one, {}) == Result(key="k", state=State.ABANDONED, code="person_twice", ended_at=5.0)


def test_somebody_of_whom_the_journal_knows_nothing() -> None:
    """Is told with the error alone."""
    error = explain.named_before("key")
    assert Result.of_nobody("k", Outcome(State.ABANDONED, error=error)) == Result(
        key="k", state=State.ABANDONED, code="key_twice", explanation=str(error)
    )
