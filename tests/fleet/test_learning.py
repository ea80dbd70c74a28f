"""Tests of what strategies learn together: a fresh replica polls as well as any, and nothing counts twice."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from idura_ciba import FinalPoll, Fixed, HazardAware, PhaseAware
from idura_ciba.errors import StoreError, UsageError
from idura_ciba.fleet.fleet import Fleet
from idura_ciba.fleet.learning import EXCHANGE_EVERY, MOST_BYTES, Learning
from idura_ciba.fleet.sealing import Sealing
from idura_ciba.fleet.sqlite import SqliteStore
from idura_ciba.polling.strategy import PollView, Record
from idura_ciba.simulator import Script, SimulatedIdura
from tests.fakes import swede, swedish_number
from tests.fleet.replicas import LEASE, Line, MakeFleet, kill

SEALING = Sealing(b"people", AESGCM(b"k" * 32))
KIND = ("urn:grn:authn:se:bankid", 120.0)


def weight(strategy: HazardAware) -> float:
    """How many logins it decides by, nearly: those before count a little less."""
    return sum(strategy._experience.peek(key).total().weight for key in strategy._experience)


def count(strategy: Any, logins: int, after: float = 40.0) -> None:
    """Let it learn of so many people, who take so long."""
    hints = (("awaiting first user interaction", 0.5), ("signing", after / 2))
    for _ in range(logins):
        record = Record(KIND, 0.0, 0.0, answered=True, last_pending_at=after - 1, decided_by_at=after, hints=hints)
        strategy.finished(record)


def beside(store: Any, strategy: Any, sealing: Sealing = SEALING) -> Learning:
    """What shares it; the store is there."""

    async def once(work: Any) -> None:
        await work

    return Learning(store, sealing, strategy, once)


async def log_in(fleet: Fleet, people: Iterable[int]) -> list[int]:
    """Ask these people, one after the other; how often each was polled."""
    polls = []
    for nth in people:
        login = await fleet.start(swede(nth))
        transaction = fleet._own[login.id].transaction
        await login.outcome()
        polls.append((await transaction.outcome()).polls)
    return polls


@pytest.mark.parametrize("make", [HazardAware, PhaseAware])
async def test_a_fresh_replica_polls_as_well_as_the_one_that_has_learned(
    simulated_idura: SimulatedIdura, replica: MakeFleet, make: type[Any]
) -> None:
    """From its first login on, whether the other one was closed, killed or goes on."""
    people = 120
    for nth in range(2 * people):
        simulated_idura.script(swedish_number(nth), Script.approve(after=40 + nth % 3))
    one = await replica(strategy=FinalPoll(make()))
    before = await log_in(one, range(3))
    await log_in(one, range(3, people))
    await asyncio.sleep(2 * EXCHANGE_EVERY)
    after = await log_in(one, range(people, people + 6))
    fresh = await replica(strategy=FinalPoll(make()))
    assert sum(after[:3]) <= 0.8 * sum(before)
    assert sum(await log_in(fresh, range(people + 6, people + 12))) <= 1.1 * sum(after)
    await kill(one)
    await fresh.close()
    last = await replica(strategy=FinalPoll(make()))
    assert sum(await log_in(last, range(people + 12, people + 18))) <= 1.1 * sum(after)


async def test_nothing_is_counted_twice(store: SqliteStore) -> None:
    """Neither one's own, however often it is exchanged, nor another's; and both decide alike."""
    one, two = HazardAware(), HazardAware()
    learned = [beside(store, strategy) for strategy in (one, two)]
    count(one, 20)
    count(two, 30)
    for _ in range(5):
        for learning in learned:
            await learning.publish()
            await learning.consult()
    assert weight(one) == weight(two) == pytest.approx(50, abs=1.5)
    count(one, 10)
    await learned[0].publish()
    await learned[1].consult()
    assert weight(two) == pytest.approx(60, abs=1.5)


async def test_whoever_comes_back_as_somebody_else_does_not_hear_itself(
    simulated_idura: SimulatedIdura, replica: MakeFleet, store: SqliteStore
) -> None:
    """It was declared dead, and has another name; what it has learned is its own all the same."""
    del simulated_idura
    strategy = HazardAware()
    one = await replica(strategy=strategy)
    count(strategy, 20)
    await asyncio.sleep(EXCHANGE_EVERY + 1)
    former = one._worker.name
    await store.leave(former)
    await asyncio.sleep(2 * EXCHANGE_EVERY)
    assert one._worker.name != former
    assert weight(strategy) == pytest.approx(20, abs=0.5)


async def test_clients_that_share_a_strategy_are_one(store: SqliteStore) -> None:
    """They would each publish it."""
    strategy, other = HazardAware(), HazardAware()
    both = [beside(store, FinalPoll(strategy)) for _ in range(2)]
    listening = beside(store, other)
    count(strategy, 20)
    for learning in (*both, listening):
        await learning.publish()
        await learning.consult()
    assert weight(strategy) == weight(other) == pytest.approx(20, abs=0.5)


async def test_whoever_has_learned_nothing_publishes_nothing(store: SqliteStore) -> None:
    """Else a replica that begins again and again would push out what is worth knowing."""
    known = HazardAware()
    count(known, 20)
    for strategy in (HazardAware(), known):
        await beside(store, strategy).publish()
        assert await store.consult("", "HazardAware 1") == []
    learning = beside(store, known)
    count(known, 1)
    await learning.publish()
    assert len(await store.consult("", "HazardAware 1")) == 1


async def test_a_strategy_without_experience_asks_nothing_of_the_store(
    replica: MakeFleet, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither at the beginning, nor now and then, nor at the end."""

    async def never(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(store, "publish", never)
    monkeypatch.setattr(store, "consult", never)
    fleet = await replica(strategy=Fixed())
    await asyncio.sleep(2 * EXCHANGE_EVERY)
    await fleet.close()


async def test_what_wraps_a_strategy_shares_beside_it(store: SqliteStore) -> None:
    """One replica has lost an approval because the provider ended early; no other one need."""
    one, two = (FinalPoll(HazardAware()) for _ in range(2))
    learned = [beside(store, strategy) for strategy in (one, two)]
    count(one, 20)
    one.finished(Record(KIND, 0.0, 0.1, False, 100.0, None, (), 120.0, (119.8, 119.9)))  # noqa: FBT003
    for learning in learned:
        await learning.publish()
        await learning.consult()
    assert (one.distance, two.distance) == (1.2, 1.2)
    assert isinstance(two.inner, HazardAware)
    assert weight(two.inner) == pytest.approx(21, abs=0.5)
    assert len(await store.consult("", "FinalPoll 1")) == 1, "nobody passes on what it only heard"


async def test_a_store_that_is_away_is_asked_again(
    simulated_idura: SimulatedIdura, replica: MakeFleet, store: SqliteStore
) -> None:
    """What was learned meanwhile is published then."""
    del simulated_idura
    strategy, line = HazardAware(), Line(store)
    await replica(line, strategy=strategy)
    count(strategy, 20)
    line.is_refused = True
    await asyncio.sleep(EXCHANGE_EVERY + LEASE)
    assert await store.consult("", "HazardAware 1") == []
    line.is_refused = False
    await asyncio.sleep(EXCHANGE_EVERY)
    assert len(await store.consult("", "HazardAware 1")) == 1


async def test_whoever_closes_leaves_what_it_has_learned(replica: MakeFleet, store: SqliteStore) -> None:
    """Also before its first exchange."""
    strategy = HazardAware()
    fleet = await replica(strategy=strategy)
    count(strategy, 20)
    await fleet.close()
    assert len(await store.consult("", "HazardAware 1")) == 1


async def test_a_store_that_is_away_is_not_waited_for_twice(replica: MakeFleet, store: SqliteStore) -> None:
    """Whoever stops the process has little patience."""
    strategy, line = HazardAware(), Line(store)
    fleet = await replica(line, strategy=strategy)
    count(strategy, 20)
    line.cut()
    began = asyncio.get_running_loop().time()
    await fleet.close()
    assert asyncio.get_running_loop().time() - began == pytest.approx(LEASE)


async def test_what_is_stored_cannot_be_read_without_the_secret(store: SqliteStore) -> None:
    """Nor is it used by whoever has another one."""
    strategy, other = PhaseAware(), PhaseAware()
    learning = beside(store, strategy)
    count(strategy, 40)
    await learning.publish()
    (blob,) = await store.consult("", "PhaseAware 1")
    assert b"bankid" not in blob
    assert b"signing" not in blob
    stranger = beside(store, other, Sealing(b"people", AESGCM(b"o" * 32)))
    await stranger.consult()
    assert weight(other.plain) == 0
    await beside(store, other).consult()
    assert weight(other.plain) == weight(strategy.plain) > 35


class Own:
    """A strategy of one's own, which cannot be referred to weakly, and breaks as told."""

    __slots__ = ("broken", "heard", "learned")

    def __init__(self, learned: int = 0, broken: str = "") -> None:
        self.learned, self.broken, self.heard = learned, broken, list[int]()

    def next_poll(self, view: PollView) -> float:
        """As soon as possible."""
        return view.not_before

    def export(self) -> dict[str, Any]:
        """Version 7."""
        if self.broken == "export":
            raise KeyError("secret")
        return {"version": 7, "learned": self.learned, "rest": "x" * MOST_BYTES * (self.broken == "size")}

    def consult(self, exports: Iterable[Mapping[str, Any]]) -> None:
        """Odd numbers cannot be read."""
        learned = [exported["learned"] for exported in exports]
        if self.broken == "consult":
            raise KeyError("secret")
        if any(number % 2 for number in learned):
            raise UsageError("odd")
        self.heard = learned


async def test_one_that_cannot_be_read_does_not_hide_the_others(store: SqliteStore) -> None:
    """During a deploy, the new release may write what the old one does not know."""
    for number in (2, 3, 4):
        strategy = Own()
        learning = beside(store, strategy)
        strategy.learned = number
        await learning.publish()
    listening = Own()
    await beside(store, listening).consult()
    assert sorted(listening.heard) == [2, 4]


@pytest.mark.parametrize(
    ("broken", "name"), [("export", "KeyError"), ("consult", "KeyError"), ("size", "OverflowError")]
)
async def test_a_strategy_that_breaks_is_told_once_and_harms_nothing(
    store: SqliteStore, caplog: pytest.LogCaptureFixture, broken: str, name: str
) -> None:
    """Nor what it says of itself in its error."""
    other = Own()
    publishing = beside(store, other)
    other.learned = 2
    await publishing.publish()
    strategy = Own()
    learning = beside(store, strategy)
    strategy.learned, strategy.broken = 4, broken
    for _ in range(3):
        await learning.publish()
        await learning.consult()
        learning._parts[0].consulted.clear()
    assert [record.getMessage() for record in caplog.records] == [
        f"sharing what a strategy has learned failed with {name}; further failures are not logged"
    ]
    await publishing.consult()
    assert other.heard == ([4] if broken == "consult" else [])


async def test_what_was_not_written_is_written_later(store: SqliteStore) -> None:
    """It counts as published only once it is."""
    strategy, answers = HazardAware(), [StoreError("away"), None]

    class Away:
        async def publish(self, source: str, kind: str, *, experience: bytes) -> None:
            if (answer := answers.pop(0)) is not None:
                raise answer
            await store.publish(source, kind, experience=experience)

    learning = beside(Away(), strategy)
    count(strategy, 5)
    with pytest.raises(StoreError):
        await learning.publish()
    await learning.publish()
    await learning.publish()
    assert answers == []
    assert len(await store.consult("", "HazardAware 1")) == 1
