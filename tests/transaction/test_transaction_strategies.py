"""A transaction and its strategy: what it is asked, what it is told, and what it cannot do."""

from __future__ import annotations

import pytest

from idura_ciba import FinalPoll, HazardAware, PhaseAware, PollView, State
from idura_ciba.polling.strategy import Record
from idura_ciba.simulator import Script, SimulatedIdura
from tests.logins import SWEDE, MakeClient, Recorder, swedish

# --- learning ---------------------------------------------------------------------------------------------------------


class Learner:
    """A strategy that remembers what it is told."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def next_poll(self, view: PollView) -> float:
        """The floor."""
        return view.not_before

    def finished(self, record: Record) -> None:
        """Remember, and break."""
        self.records.append(record)
        raise KeyError(SWEDE)


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize(
    ("script", "decided", "pending_at"),
    [
        (Script.approve(after=7), True, 6.0),
        (Script.deny(after=7), True, 6.0),
        (Script.approve(after=7, answered_by="209602294564"), True, 6.0),
        (Script.approve(after=1), True, None),
        (Script.never(), False, pytest.approx(120, abs=3)),
    ],
    ids=["approved", "denied", "somebody else", "at once", "never"],
)
async def test_a_strategy_that_learns_is_told_once_how_each_transaction_went(
    simulated_idura: SimulatedIdura,
    make_ciba_client: MakeClient,
    caplog: pytest.LogCaptureFixture,
    script: Script,
    pending_at: float | None,
    *,
    decided: bool,
    wrapped: bool,
) -> None:
    """Whatever the decision was, and through any wrapper; and if it breaks, nothing else does."""
    learner = Learner()
    simulated_idura.script(SWEDE, script)
    async with make_ciba_client(strategy=FinalPoll(learner) if wrapped else learner) as ciba:
        transaction = await ciba.start(swedish())
        await transaction.outcome()
        transaction.abandon()
    (record,) = learner.records
    assert record.answered is decided
    assert record.last_pending_at == pending_at
    assert record.decided_by_at == (None if not decided else 3.0 if pending_at is None else 9.0)
    assert record.key == (("urn:grn:authn:se:bankid",), 120.0)
    assert (record.requested_at, record.acknowledged_at) == (0.0, 0.0)
    assert "a strategy that learns failed with KeyError" in caplog.text
    assert SWEDE not in caplog.text


@pytest.mark.unmeasured
async def test_hazard_and_phase_aware_learn_from_real_logins(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Through the client: after some hundred logins of people who take 20 s, fewer polls find nobody ready."""
    for strategy in (HazardAware(), PhaseAware()):
        polls: list[int] = []
        async with make_ciba_client(strategy=strategy) as ciba:
            for nth in range(80):
                simulated_idura.script(SWEDE, Script.approve(after=18 + nth % 5))
                await ciba.authenticate(swedish())
                polls.append(simulated_idura.ledger.orders[-1].polls)
        assert sum(polls[-20:]) < 0.8 * sum(polls[:20])
        assert simulated_idura.ledger.summary()["slow_downs"] == 0


# --- strategies -------------------------------------------------------------------------------------------------------


async def test_a_function_is_a_strategy_and_sees_the_present(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """The view tells attempts, hints and the floor, all on one clock."""
    simulated_idura.script(SWEDE, Script.approve(after=20, opened_after=5, acknowledged_after=10))
    views: list[PollView] = []

    def every_seven_seconds(view: PollView) -> float:
        views.append(view)
        return view.now + 7

    async with make_ciba_client(strategy=every_seven_seconds) as ciba:
        await ciba.authenticate(swedish())
    assert [view.now for view in views] == [0, 7, 14]
    assert [view.attempt for view in views] == [1, 2, 3]
    assert [view.not_before for view in views] == [3, 10, 17]
    assert views[2].hint == "awaiting user identification"
    assert views[2].hint_since == 14
    assert views[2].key == (("urn:grn:authn:se:bankid",), 120.0)
    assert views[1].last is not None
    assert views[1].last.outcome == "pending"


@pytest.mark.parametrize("answer", [float("nan"), -1.0, "soon", None])
async def test_a_broken_strategy_costs_its_own_transaction_only(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, answer: object
) -> None:
    """It ends with an error that says so and a resume token; the next start works."""
    del simulated_idura

    def broken(_: PollView) -> float:
        if answer is None:
            raise ZeroDivisionError
        return answer  # type: ignore[return-value]

    async with make_ciba_client(strategy=broken) as ciba:
        transaction = await ciba.start(swedish())
        outcome = await transaction.outcome()
        assert ciba.pending == ()
    assert outcome.state is State.ABANDONED
    assert outcome.error is not None
    assert outcome.error.code == "strategy_failed"
    assert outcome.error.resume_token is not None


async def test_a_strategy_that_gives_up_leaves_the_grace_poll(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """None means no further regular poll; the end is waited for, and nobody knows what the person did before it."""
    recorder = Recorder(simulated_idura)
    async with make_ciba_client(transport=recorder, strategy=lambda _: None) as ciba:
        outcome = await (await ciba.start(swedish())).outcome()
    assert outcome.error is not None
    assert (outcome.state, outcome.error.code) == (State.INDETERMINATE, "unheard")
    assert "(no poll was sent; then HTTP 400, expired_token)" in outcome.error.what
    assert "FinalPoll" in outcome.error.advice
    assert recorder.times == [121]


async def test_no_strategy_gets_below_the_floor(simulated_idura: SimulatedIdura, make_ciba_client: MakeClient) -> None:
    """Greed is answered with the floor, and a strict provider never complains."""
    simulated_idura.script(SWEDE, Script.approve(after=30))
    async with make_ciba_client(strategy=lambda _: 0.0) as ciba:
        await ciba.authenticate(swedish())
    assert simulated_idura.ledger.orders[0].min_spacing == pytest.approx(3)
    assert simulated_idura.ledger.summary()["slow_downs"] == 0
