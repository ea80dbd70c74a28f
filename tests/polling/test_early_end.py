"""Tests of providers that end before the end that they have announced: noticed once, kept away from, and no further."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from idura_ciba import CibaClient, ClientSecretPost, FinalPoll, Fixed, HazardAware, State, Strategy, UsageError
from idura_ciba.polling.early_end import GUARD, MOST, EarlyEnd
from idura_ciba.polling.pinged import usual
from idura_ciba.polling.strategy import PollView, Record
from idura_ciba.simulator import MemoryTransport, Rules, Script, SimulatedIdura
from idura_ciba.testing import virtual_clock
from tests.fakes import swede, swedish_number

# --- what one login shows ---------------------------------------------------------------------------------------------

#: The end that the provider announced, in each record here.
END = 220.0


def expired(heard_at: float, left_at: float | None = None) -> Record:
    """A login that the provider called expired in an answer that was here then."""
    left_at = heard_at - 0.1 if left_at is None else left_at
    return Record("kind", 100.0, 100.1, False, left_at - 5.0, None, (), END, (left_at, heard_at))  # noqa: FBT003


def silent(pending_at: float | None) -> Record:
    """A login that nobody answered, and of which the provider said nothing before its end."""
    return Record("kind", 100.0, 100.1, False, pending_at, None, (), END)  # noqa: FBT003


def learned(*records: Record, guard: float = GUARD) -> float:
    """The distance that is kept after these logins."""
    early = EarlyEnd(guard)
    for record in records:
        early.learn(record)
    return early.distance


@pytest.mark.parametrize(
    ("heard_at", "distance"),
    [
        (END - 0.01, 1.2),
        (END - 0.1, 1.2),
        (END - 0.7, 1.2),
        (END - 1.0, 1.2),
        (END - 1.1, 2.2),
        (END - 2.0, 2.2),
        # Rounding does not take more than that away: this one was cancelled.
        (END - 2.1, GUARD),
        (END - 40.0, GUARD),
        (END - 119.0, GUARD),
    ],
)
def test_one_early_end_is_enough(heard_at: float, distance: float) -> None:
    """As many whole seconds are kept as it was early, if rounding explains it, and otherwise none."""
    assert learned(expired(heard_at)) == pytest.approx(distance)
    assert learned(*[expired(heard_at)] * 50) == pytest.approx(distance), "again and again it is the same"


@pytest.mark.parametrize("heard_at", [END, END + 0.1, END + 30.0])
def test_an_end_that_was_heard_in_time_or_later_proves_nothing(heard_at: float) -> None:
    """A poll after the end finds every login expired."""
    assert learned(*[expired(heard_at, END + 1e-3)] * 50) == GUARD


def test_where_the_way_is_long_two_signs_are_taken_for_a_proof() -> None:
    """The poll left in time, and its answer could not be here before the end."""
    sign = expired(END + 0.1, END - GUARD)
    assert learned(sign) == GUARD
    assert learned(sign, sign) == pytest.approx(1.2)
    # Others that say nothing of their end change nothing in between.
    assert learned(sign, silent(END - 30.0), silent(None), expired(END - 40.0), sign) == pytest.approx(1.2)
    # One that was still pending when its last poll left says that the first was an accident of the way.
    assert learned(sign, silent(END - GUARD), sign) == GUARD


@pytest.mark.parametrize(("guard", "distance"), [(0.0, 1.2), (0.5, 1.2), (1.2, 1.2), (5.0, 5.0)])
def test_what_the_caller_keeps_anyway_counts(guard: float, distance: float) -> None:
    """The distance is the guard, or what the provider needs, whichever is more."""
    assert learned(guard=guard) == guard
    assert learned(expired(END - 0.5), guard=guard) == pytest.approx(distance)


# --- any logins -------------------------------------------------------------------------------------------------------

_WAYS = st.floats(0.001, 3.0)


@st.composite
def ends(draw: st.DrawFn, early: st.SearchStrategy[float]) -> Record:
    """A login nobody answers, at a provider that ends it so much early, over any way; its last poll is anywhere."""
    requested_at, lifetime = draw(st.floats(0, 1e6)), draw(st.integers(10, 900))
    announced_end = requested_at + lifetime
    ends_at = requested_at + draw(_WAYS) + lifetime - draw(early)
    left_at = announced_end - draw(st.floats(0.0, 8.0))
    arrives_at = left_at + draw(_WAYS)
    said = (left_at, arrives_at + draw(_WAYS)) if arrives_at >= ends_at else None
    pending_at = left_at - 5.0 if said else left_at
    return Record("kind", requested_at, requested_at, False, pending_at, None, (), announced_end, said)  # noqa: FBT003


@pytest.mark.unmeasured
@given(st.lists(ends(st.just(0.0)), max_size=30))
def test_a_provider_that_keeps_its_word_never_proves_an_early_end(records: list[Record]) -> None:
    """Whatever the network does: one answer never moves the last poll, and nothing moves it by more than a second."""
    for record in records:
        assert learned(record) == GUARD
    assert learned(*records) <= 1 + GUARD


@pytest.mark.unmeasured
@given(st.lists(ends(st.floats(0.0, 900.0)), max_size=30), st.floats(0.0, 3.0))
def test_whatever_providers_do_the_distance_is_bounded_and_never_shrinks(records: list[Record], guard: float) -> None:
    """Cancellations, rounding and delays in any order move the last poll by two seconds at most."""
    early, before = EarlyEnd(guard), guard
    for record in records:
        early.learn(record)
        assert before <= early.distance <= max(guard, MOST + GUARD)
        before = early.distance


@pytest.mark.unmeasured
@given(
    st.floats(0.0, 1.99),
    st.floats(0.001, 0.09),
    st.lists(st.sampled_from([0.0, 0.3, 0.7, 1.0]), min_size=3, max_size=12),
)
def test_each_second_of_rounding_costs_one_approval(early: float, way: float, shares: list[float]) -> None:
    """A last poll that comes too late moves the next one by a second, and where that is not enough by another."""
    kept, lost = EarlyEnd(GUARD), 0
    for share in shares:
        left_at = END - kept.distance
        if left_at + way >= END + way - early * share:
            lost += 1
            kept.learn(expired(left_at + 2 * way, left_at))
        else:
            kept.learn(silent(left_at))
    assert lost <= math.ceil(early)


# --- whole logins -----------------------------------------------------------------------------------------------------

LIFE, INTERVAL = 30, 5


async def log_in(
    expiry: Any, after: float, *, logins: int = 8, latency: float = 0.04, strategy: Strategy | None = None
) -> tuple[list[State], Strategy]:
    """People who approve so many seconds after they were asked, one after the other; each asked at another moment.

    The provider counts as `expiry` says. The first is asked late in a second, so that rounding down costs the most.
    """
    idura = SimulatedIdura(seed=1, interval=INTERVAL, expires_in=LIFE, rules=Rules(expiry=expiry))
    idura.register_client("urn:my:app", secret="hush")
    clock, states = virtual_clock(), list[State]()
    transport = MemoryTransport(idura, latency=latency, clock=clock)
    auth = ClientSecretPost("urn:my:app", "hush")
    async with CibaClient(
        idura.issuer, auth, transport=transport, clock=clock, strategy=strategy, observers=()
    ) as ciba:
        await ciba.check()  # it has fetched the provider's document
        for nth in range(logins):
            idura.script(swedish_number(nth), Script.approve(after=after))
            arrives_at = math.ceil(clock.wall()) + 0.9 - 0.1 * (nth % 3)
            await asyncio.sleep(arrives_at - latency - clock.wall())
            transaction = await ciba.start(swede(nth))
            states.append((await transaction.outcome()).state)
        return states, ciba.strategy


async def test_the_default_loses_no_approval_of_the_last_second_twice() -> None:
    """The first may be lost: nothing had shown that this provider counts whole seconds."""
    states, _ = await log_in("early", LIFE - 1.5)
    assert states == [State.EXPIRED] + [State.APPROVED] * 7


class Forgetful:
    """`FinalPoll` that is told nothing of how logins end."""

    def __init__(self) -> None:
        self._final = FinalPoll(Fixed())

    def next_poll(self, view: PollView) -> float | None:
        """As it says."""
        return self._final.next_poll(view)


async def test_one_that_learned_nothing_would_lose_each_of_them() -> None:
    """So the test above tests something."""
    states, _ = await log_in("early", LIFE - 1.5, strategy=Forgetful())
    assert states == [State.EXPIRED] * 8


@pytest.mark.parametrize("make", [Fixed, HazardAware])
async def test_it_holds_around_any_strategy(make: Any) -> None:
    """What is inside goes on learning."""
    states, strategy = await log_in("early", LIFE - 1.5, strategy=FinalPoll(make()))
    assert states.count(State.APPROVED) == 7
    assert isinstance(strategy, FinalPoll)
    assert strategy.distance == pytest.approx(1.2)


@pytest.mark.parametrize("expiry", ["exact", "late"])
async def test_a_provider_that_ends_on_time_or_late_is_polled_as_before(expiry: str) -> None:
    """To the last moment, however many logins nobody answers."""
    states, strategy = await log_in(expiry, 10 * LIFE, logins=6)
    assert states == [State.EXPIRED] * 6
    assert isinstance(strategy, FinalPoll)
    assert strategy.distance == GUARD
    states, _ = await log_in(expiry, LIFE - 0.3, strategy=strategy)
    assert states == [State.APPROVED] * 8


async def test_where_the_way_takes_longer_than_the_guard_it_takes_one_more() -> None:
    """No answer is here before the end, so one alone could be an accident of the way."""
    states, _ = await log_in("early", LIFE - 1.5, latency=0.15)
    assert states == [State.EXPIRED] * 2 + [State.APPROVED] * 6


async def test_a_client_that_gets_pings_notices_it_too() -> None:
    """It polls so seldom that nobody can say that the person has not answered; that the provider ended is said."""
    states, strategy = await log_in("early", 10 * LIFE, logins=1, strategy=usual(pinged=True))
    assert isinstance(strategy, FinalPoll)
    assert strategy.distance == pytest.approx(1.2)
    assert states[0] in {State.INDETERMINATE, State.EXPIRED}


# --- among processes --------------------------------------------------------------------------------------------------


def test_processes_tell_each_other() -> None:
    """What one has seen all keep, until it is no longer said; and nobody passes on what it only heard."""
    one, two = FinalPoll(Fixed()), FinalPoll(Fixed())
    fresh = one.export()
    one.finished(expired(END - 0.5))
    two.consult([one.export(), fresh])
    assert two.distance == one.distance == pytest.approx(1.2)
    assert two.export() == fresh
    two.consult([])
    assert two.distance == GUARD


@pytest.mark.parametrize(
    "exported",
    [
        {},
        {"version": 1},
        {"version": 2, "seconds": 1},
        {"version": 1, "seconds": 3},
        {"version": 1, "seconds": -1},
        {"version": 1, "seconds": 1.5},
        {"version": 1, "seconds": True},
        {"version": 1, "seconds": "1"},
        None,
    ],
    ids=repr,
)
def test_what_is_no_export_is_refused_and_changes_nothing(exported: Any) -> None:
    """Another process cannot move the last poll by a minute either."""
    strategy = FinalPoll(Fixed())
    strategy.consult([{"version": 1, "seconds": 1}])
    with pytest.raises(UsageError, match="not an export"):
        strategy.consult([{"version": 1, "seconds": 2}, exported])
    assert strategy.distance == pytest.approx(1.2)


async def test_a_last_poll_that_leaves_earlier_is_urgent_earlier() -> None:
    """A scheduler that is short of requests must not keep it until it is too late."""
    idura, strategy = SimulatedIdura(seed=1, interval=INTERVAL, expires_in=LIFE), FinalPoll(Fixed())
    idura.register_client("urn:my:app", secret="hush")
    auth, clock = ClientSecretPost("urn:my:app", "hush"), virtual_clock()
    transport = MemoryTransport(idura, clock=clock)
    async with CibaClient(idura.issuer, auth, transport=transport, clock=clock, strategy=strategy) as ciba:
        transaction = await ciba.start(swede(1))
        before = transaction._driver.urgent_at
        strategy.finished(expired(END - 0.5))
        assert transaction._driver.urgent_at == pytest.approx(before - 1)
        transaction.abandon()


@pytest.mark.parametrize("behind", [0.0, 1.0])
async def test_a_login_that_was_resumed_shows_nothing_of_the_end(behind: float) -> None:
    """Its beginning was noted by another clock; one that is a second off would make each end an early one."""
    idura = SimulatedIdura(seed=1, interval=INTERVAL, expires_in=LIFE)
    idura.register_client("urn:my:app", secret="hush")
    idura.script(swedish_number(1), Script.never())
    auth, clock = ClientSecretPost("urn:my:app", "hush"), virtual_clock()
    other = evolve(clock, wall=lambda: clock.wall() - behind)
    transport = MemoryTransport(idura, latency=0.04, clock=clock)
    async with CibaClient(idura.issuer, auth, transport=transport, clock=clock, observers=()) as ciba:
        await ciba.start(swede(1))
        (left,) = await ciba.close()
    await asyncio.sleep(5)
    async with CibaClient(idura.issuer, auth, transport=transport, clock=other, observers=()) as ciba:
        transaction = await ciba.resume(left)
        await transaction.outcome()
        assert isinstance(ciba.strategy, FinalPoll)
        assert ciba.strategy.distance == GUARD
