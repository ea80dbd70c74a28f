"""The contract of a store: what holds for SQLite in memory and in a file, and PostgreSQL with and without a pooler."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from random import Random

import pytest

from idura_ciba.errors import StoreError
from idura_ciba.fleet.store import (
    MOST_SOURCES,
    WINDOW,
    Change,
    Held,
    Others,
    Owned,
    Report,
    Stage,
    Store,
    Stored,
    Wish,
)
from idura_ciba.scheduling.budget import Throttle

pytestmark = pytest.mark.sockets

LAYOUT = 1


@pytest.fixture(name="store")
async def _store(make_store: Callable[[], Store]) -> AsyncIterator[Store]:
    """One that is open, with two workers."""
    store = make_store()
    await store.open()
    await store.join("one")
    await store.join("two")
    yield store
    await store.aclose()


async def held(
    store: Store, login: str = "a", tag: bytes = b"tag a", worker: str = "one", seconds: float = 60
) -> Owned:
    """A person held for a login."""
    owned = await store.hold(login, tag, worker, seconds=seconds)
    assert isinstance(owned, Owned)
    return owned


async def pending(store: Store, login: str = "a", tag: bytes = b"tag a", worker: str = "one") -> Owned:
    """A login that the provider has accepted."""
    owned = await held(store, login, tag, worker)
    assert await store.accept(owned, token="token", progress=b"progress", seconds=60, layout=LAYOUT)
    return owned


async def seen(store: Store, login: str = "a") -> Stored:
    """What is stored of a login."""
    stored = await store.get(login)
    assert stored is not None
    return stored


async def dead(store: Store, worker: str) -> None:
    """Have a worker be declared dead, and no other."""
    await asyncio.sleep(0.05)
    for other in {"one", "two"} - {worker}:
        assert await store.beat(other, lease=60)
    assert worker in await store.bury(lease=0.04)


# --- one prompt for each person ---------------------------------------------------------------------------------------


async def test_a_person_is_held_by_one_login_at_a_time(store: Store) -> None:
    """Whoever comes later is told which one, and for how long; another person is free."""
    first = await held(store)
    assert first == Owned("a", 1)
    refused = await store.hold("b", b"tag a", "two", seconds=60)
    assert isinstance(refused, Held)
    assert refused.login == "a"
    assert refused.seconds == pytest.approx(60, abs=2)
    assert await store.get("b") is None
    assert isinstance(await store.hold("c", b"tag c", "two", seconds=60), Owned)


async def test_of_many_who_ask_for_one_person_at_once_one_gets_them(store: Store) -> None:
    """For each of many people; and the others are told who."""
    answers = await asyncio.gather(
        *(
            store.hold(f"{person} by {asker}", f"tag {person}".encode(), "one" if asker % 2 else "two", seconds=60)
            for asker in range(4)
            for person in range(10)
        )
    )
    winners = [answer.login for answer in answers if isinstance(answer, Owned)]
    assert sorted(winner.partition(" ")[0] for winner in winners) == sorted(map(str, range(10)))
    assert {answer.login for answer in answers if isinstance(answer, Held)} == set(winners)


async def test_an_intent_says_who_and_nothing_more(store: Store) -> None:
    """Until the provider has accepted."""
    await held(store)
    stored = await seen(store)
    assert (stored.stage, stored.state, stored.owner, stored.token, stored.progress) == (
        *(Stage.ASKING, "submitting", "one", None, None),
    )
    assert not stored.cancelled
    assert stored.seconds == pytest.approx(60, abs=2)


async def test_what_was_not_sent_is_forgotten(store: Store) -> None:
    """The person is free at once."""
    owned = await held(store)
    assert await store.withdraw(owned)
    assert await store.get("a") is None
    assert not await store.withdraw(owned)
    assert isinstance(await store.hold("b", b"tag a", "two", seconds=60), Owned)


async def test_a_hold_ends_with_the_prompt_and_not_before(store: Store) -> None:
    """Whatever became of the login; afterwards the person can be asked again, under another id."""
    owned = await held(store, seconds=0.3)
    assert await store.end(owned, state="indeterminate", outcome=b"lost", gone=False)
    assert isinstance(await store.hold("b", b"tag a", "two", seconds=60), Held)
    await asyncio.sleep(0.35)
    assert isinstance(await store.hold("b", b"tag a", "two", seconds=60), Owned)
    assert (await seen(store)).seconds < 0


async def test_acceptance_says_how_long_the_prompt_lives(store: Store) -> None:
    """Longer or shorter than was thought."""
    owned = await held(store, seconds=600)
    assert await store.accept(owned, token="token", progress=b"words", seconds=30, layout=LAYOUT)
    stored = await seen(store)
    assert (stored.stage, stored.state, stored.token, stored.progress, stored.layout) == (
        *(Stage.PENDING, "pending", "token", b"words", LAYOUT),
    )
    refused = await store.hold("b", b"tag a", "two", seconds=60)
    assert isinstance(refused, Held)
    assert refused.seconds == pytest.approx(30, abs=2) == stored.seconds


@pytest.mark.parametrize("gone", [True, False])
async def test_the_end_frees_the_person_only_if_the_prompt_is_gone(store: Store, gone: bool) -> None:
    """The token is of no use any more, and nobody owns it."""
    owned = await pending(store)
    assert await store.end(owned, state="denied", outcome=b"no", gone=gone)
    stored = await seen(store)
    assert (stored.stage, stored.state, stored.token, stored.owner) == (Stage.ENDED, "denied", None, None)
    assert isinstance(await store.hold("b", b"tag a", "two", seconds=60), Owned if gone else Held)


async def test_a_later_hold_is_not_freed_by_an_earlier_login(store: Store) -> None:
    """Whose prompt had gone before it ended."""
    first = await held(store, seconds=0.1)
    await asyncio.sleep(0.15)
    await held(store, "b")
    assert await store.end(first, state="expired", outcome=b"", gone=True)
    assert isinstance(await store.hold("c", b"tag a", "two", seconds=60), Held)


async def test_an_id_is_used_once(store: Store) -> None:
    """Also after its login has ended, and with another person; nothing is held by the attempt."""
    owned = await pending(store)
    await store.end(owned, state="denied", outcome=b"no", gone=True)
    with pytest.raises(StoreError) as caught:
        await store.hold("a", b"tag b", "one", seconds=60)
    assert caught.value.code == "login_id"
    assert isinstance(await store.hold("b", b"tag b", "one", seconds=60), Owned)


# --- one owner for each login -----------------------------------------------------------------------------------------


async def test_a_login_without_owner_is_taken_once(store: Store) -> None:
    """By whoever asks first, the oldest first, and no more than wanted."""
    for nth in range(10):
        owned = await pending(store, f"login {nth}", f"tag {nth}".encode())
        assert await store.let_go(owned, token=f"token {nth}")
    taken = await asyncio.gather(
        *(store.take(worker, most=4, layouts=[LAYOUT]) for worker in ("one", "two", "one", "two"))
    )
    logins = [stored.login for some in taken for stored in some]
    assert sorted(logins) == sorted(f"login {nth}" for nth in range(10))
    assert max(map(len, taken)) <= 4
    assert {stored.token for some in taken for stored in some} == {f"token {nth}" for nth in range(10)}
    assert {stored.epoch for some in taken for stored in some} == {2}
    assert await store.take("one", most=99, layouts=[LAYOUT]) == []


async def test_only_what_was_let_go_leaves_no_doubt(store: Store) -> None:
    """A worker that dies may have had the answer, whatever token the one before it has left."""

    async def taken(worker: str) -> tuple[Owned, bool]:
        (stored,) = await store.take(worker, most=9, layouts=[LAYOUT])
        assert (await seen(store)).doubt is stored.doubt
        return Owned(stored.login, stored.epoch), stored.doubt

    assert await store.let_go(await pending(store), token="t")
    owned, doubt = await taken("two")
    assert not doubt
    assert await store.let_go(owned, token="t", doubt=True)
    owned, doubt = await taken("two")
    assert doubt
    assert await store.let_go(owned, token="t")
    assert await taken("two") == (Owned("a", 4), False)
    await dead(store, "two")
    assert await taken("one") == (Owned("a", 5), True)


async def test_nothing_is_taken_from_whoever_lives(store: Store) -> None:
    """Nor what has ended."""
    owned = await pending(store)
    assert await store.take("two", most=9, layouts=[LAYOUT]) == []
    await store.end(owned, state="denied", outcome=b"no", gone=True)
    assert await store.take("two", most=9, layouts=[LAYOUT]) == []


async def test_what_cannot_be_read_is_left_to_others(store: Store) -> None:
    """A login of a newer release; an intent has nothing to read."""
    newer = await held(store, "newer", b"tag n")
    assert await store.accept(newer, token="t", progress=b"", seconds=60, layout=7)
    assert await store.let_go(newer, token="t")
    await held(store, "intent", b"tag i", worker="two")
    await dead(store, "two")
    assert [stored.login for stored in await store.take("one", most=9, layouts=[LAYOUT])] == ["intent"]
    assert [stored.login for stored in await store.take("one", most=9, layouts=[7])] == ["newer"]


async def test_a_former_owner_changes_nothing(store: Store) -> None:
    """However late it comes; what it is told is that it was not heard."""
    former = await pending(store)
    await dead(store, "one")
    (taken,) = await store.take("two", most=1, layouts=[LAYOUT])
    present = Owned(taken.login, taken.epoch)
    assert (taken.owner, taken.stage, taken.token) == ("two", Stage.PENDING, "token")
    before = await seen(store)
    assert not await store.note(former, progress=b"late")
    assert not await store.end(former, state="approved", outcome=b"late", gone=True)
    assert not await store.let_go(former, token="late")
    assert not await store.accept(former, token="late", progress=b"late", seconds=1, layout=LAYOUT)
    assert not await store.withdraw(former)
    after = await seen(store)
    assert (after.stage, after.token, after.progress, after.owner) == (
        *(before.stage, before.token, before.progress, before.owner),
    )
    assert isinstance(await store.hold("b", b"tag a", "two", seconds=60), Held)
    assert await store.end(present, state="denied", outcome=b"no", gone=True)
    assert not await store.end(present, state="approved", outcome=b"twice", gone=True)
    assert await store.deliver("a") == b"no"


async def test_what_a_worker_does_not_know_of_is_let_go(store: Store) -> None:
    """That of others, and what has ended, stays as it is."""
    for nth in range(3):
        await pending(store, f"login {nth}", f"tag {nth}".encode())
    await pending(store, "another's", b"tag", worker="two")
    assert await store.release("one", keep=["login 1", "nobody's"]) == 2
    assert await store.release("one", keep=["login 1"]) == 0
    assert (await seen(store, "login 1")).owner == "one"
    assert (await seen(store, "another's")).owner == "two"
    taken = await store.take("two", most=9, layouts=[LAYOUT])
    assert sorted(stored.login for stored in taken) == ["login 0", "login 2"]


# --- who is alive -----------------------------------------------------------------------------------------------------


async def test_whoever_is_not_heard_of_is_dead_and_learns_it(store: Store) -> None:
    """Once; what it had has no owner, and it can begin nothing new."""
    await pending(store)
    await held(store, "b", b"tag b")
    assert await store.bury(lease=60) == []
    await dead(store, "one")
    assert await store.bury(lease=60) == []
    assert not await store.beat("one", lease=60)
    assert await store.beat("two", lease=60)
    assert {(await seen(store, login)).owner for login in ("a", "b")} == {None}
    with pytest.raises(StoreError) as caught:
        await store.hold("c", b"tag c", "one", seconds=60)
    assert caught.value.code == "worker_dead"
    assert await store.get("c") is None
    assert isinstance(await store.hold("d", b"tag c", "two", seconds=60), Owned)  # the refused one holds nobody
    assert {stored.login for stored in await store.take("two", most=9, layouts=[LAYOUT])} == {"a", "b"}


async def test_whoever_leaves_leaves_nothing_behind(store: Store) -> None:
    """What it forgot to let go can be taken."""
    await pending(store)
    await store.leave("one")
    assert not await store.beat("one", lease=60)
    (taken,) = await store.take("two", most=9, layouts=[LAYOUT])
    assert taken.owner == "two"
    with pytest.raises(StoreError):
        await store.take("one", most=9, layouts=[LAYOUT]) if await store.let_go(
            Owned("a", taken.epoch), token="t"
        ) else None


# --- one rate ---------------------------------------------------------------------------------------------------------


async def test_shares_never_exceed_the_rate(store: Store) -> None:
    """Each gets what the others leave; with less it is told at once, and the rest is theirs."""
    assert await store.share("one", wanted=30, rate=30, lease=60) == 30
    assert await store.share("two", wanted=15, rate=30, lease=60) == 0
    assert await store.share("one", wanted=15, rate=30, lease=60) == 15
    assert await store.share("two", wanted=15, rate=30, lease=60) == 15
    assert await store.share("two", wanted=30, rate=30, lease=60) == 15
    assert await store.share("two", wanted=15, rate=20, lease=60) == 5


async def test_of_many_who_want_a_share_at_once_none_gets_what_anothers_is(store: Store) -> None:
    """However their wishes come."""
    for nth in range(8):
        await store.join(f"worker {nth}")
    # Twice in the end: whoever comes before those that give back gets less.
    for wanted in (10.0, 3.0, 7.0, 4.0, 4.0):
        got = await asyncio.gather(
            *(store.share(f"worker {nth}", wanted=wanted, rate=30, lease=60) for nth in range(8))
        )
        assert sum(got) <= 30
    assert sum(got) == pytest.approx(30)


async def test_the_share_of_whoever_goes_is_free_after_a_second(store: Store) -> None:
    """What it has sent in that second counts; one that was not heard of keeps it for its lease as well."""
    await store.share("one", wanted=20, rate=30, lease=60)
    await store.share("two", wanted=10, rate=30, lease=0.1)
    await store.leave("one")
    await store.join("three")
    assert await store.share("three", wanted=30, rate=30, lease=60) == 0
    await asyncio.sleep(WINDOW + 0.2)
    assert await store.share("three", wanted=30, rate=30, lease=60) == 30
    await store.share("two", wanted=10, rate=40, lease=0.1)
    assert await store.beat("two", lease=0.4) == Others(2)
    await asyncio.sleep(WINDOW + 0.2)
    assert await store.share("three", wanted=40, rate=40, lease=60) == 30
    await asyncio.sleep(0.4)
    assert await store.share("three", wanted=40, rate=40, lease=60) == 40


# --- what refusals teach ----------------------------------------------------------------------------------------------


async def said(store: Store, worker: str, **throttle: float | None) -> Throttle:
    """What a worker hears that says this."""
    others = await store.beat(worker, lease=60, report=Report(Throttle(**throttle)))  # type: ignore[arg-type]  # cuts
    assert others is not None
    return others.throttle


async def heard(store: Store, worker: str) -> Throttle:
    """What a worker hears that has nothing to say."""
    return await said(store, worker)


async def test_what_one_has_learned_the_others_hear(store: Store) -> None:
    """With their next sign of life; of the last cut, and of all who were told to wait the longest time."""
    assert await heard(store, "one") == Throttle()
    await said(store, "one", cuts=3, part=0.5, allowed=10.0, closed=40.0)
    await said(store, "two", cuts=2, part=0.9, allowed=18.0, closed=5.0)
    known = await heard(store, "two")
    assert (known.cuts, known.part, known.allowed) == (3, 0.5, 10.0)
    assert known.closed == pytest.approx(40, abs=2)
    await said(store, "two", cuts=3, part=0.6, allowed=20.0)
    known = await heard(store, "one")
    assert (known.cuts, known.part, known.allowed) == (3, 0.6, 15.0)


async def test_a_rate_that_nobody_agreed_on_is_told_too(store: Store) -> None:
    """Then there is no part; and no limit is none."""
    await said(store, "one", cuts=1, part=None, allowed=8.0)
    assert await heard(store, "two") == Throttle(1, None, 8.0)
    await said(store, "one", cuts=2)
    assert await heard(store, "two") == Throttle(2)


async def test_who_joins_hears_what_one_has_learned_that_has_left(store: Store) -> None:
    """And whoever was declared dead says nothing more, and hears nothing."""
    await said(store, "one", cuts=4, part=0.5, allowed=10.0, closed=40.0)
    await store.leave("one")
    await store.join("three")
    known = await heard(store, "three")
    assert (known.cuts, known.part) == (4, 0.5)
    assert known.closed == pytest.approx(40, abs=2)
    assert await store.beat("one", lease=60, report=Report(Throttle(cuts=9))) is None
    assert (await heard(store, "three")).cuts == 4


async def test_a_census_shows_what_is_allowed(store: Store) -> None:
    """Of its share, for how long nothing leaves, how late its polls are, and what it has taken over."""
    assert (await store.census()).closed == 0
    await store.share("one", wanted=20, rate=30, lease=60)
    report = Report(Throttle(1, 0.5, 10.0, closed=30.0), late=1.5, taken_over=7)
    await store.beat("one", lease=60, report=report)
    found = await store.census()
    one, two = found.workers
    assert (one.share, one.allowed, one.late, one.taken_over) == (20.0, 10.0, 1.5, 7)
    assert (two.share, two.allowed, two.late, two.taken_over) == (None, None, 0.0, 0)
    assert found.closed == pytest.approx(30, abs=2)


# --- what strategies learn --------------------------------------------------------------------------------------------


async def test_what_a_process_has_learned_the_others_can_consult(store: Store) -> None:
    """The latest of each, of one kind, and never its own; also when it is gone."""
    assert await store.consult("a", "kind") == []
    for written in ("a kind old", "a other x", "a kind A", "b kind B"):
        source, kind, experience = written.split()
        await store.publish(source, kind, experience=experience.encode())
        await asyncio.sleep(0.01)
    assert await store.consult("a", "kind") == [b"B"]
    assert await store.consult("b", "kind") == [b"A"]
    assert await store.consult("c", "kind") == [b"B", b"A"]
    assert await store.consult("c", "other") == [b"x"]
    await store.leave("one")
    assert await store.purge(older=0) == 0
    assert await store.consult("c", "kind") == [b"B", b"A"]


async def test_experience_is_kept_of_the_latest_only(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each kind so many, and none that is old."""
    for nth in range(MOST_SOURCES + 3):
        await store.publish(f"source {nth}", "kind", experience=b"%d" % nth)
        await asyncio.sleep(0.002)
    await store.publish("source 0", "other", experience=b"other")
    latest = [b"%d" % nth for nth in reversed(range(3, MOST_SOURCES + 3))]
    assert await store.consult("me", "kind") == latest
    await store.purge(older=60)
    assert await store.consult("me", "kind") == latest
    assert await store.consult(f"source {MOST_SOURCES}", "kind") == [
        each for each in latest if each != b"%d" % MOST_SOURCES
    ]
    assert await store.consult("me", "other") == [b"other"]
    for module in ("sqlite_signs", "postgres_signs"):
        monkeypatch.setattr(f"idura_ciba.fleet.{module}.EXPERIENCE_KEPT", 0.05)
    await asyncio.sleep(0.1)
    assert await store.consult("me", "kind") == []


# --- outcomes and wishes ----------------------------------------------------------------------------------------------


async def test_an_outcome_is_delivered_once_and_then_gone(store: Store) -> None:
    """That it was, and how it ended, stays."""
    owned = await pending(store)
    assert await store.deliver("a") is None
    await store.end(owned, state="approved", outcome=b"all of it", gone=True)
    answers = await asyncio.gather(*(store.deliver("a") for _ in range(5)))
    assert sorted(answers, key=str) == [None, None, None, None, b"all of it"]
    stored = await seen(store)
    assert (stored.stage, stored.state, stored.progress) == (Stage.DELIVERED, "approved", None)
    assert await store.deliver("nobody's") is None


async def test_anybody_can_want_a_login_to_stop(store: Store) -> None:
    """As long as it has not ended."""
    owned = await pending(store)
    assert await store.cancel("a")
    assert (await seen(store)).cancelled
    assert await store.cancelled("one") == ["a"]
    assert await store.cancelled("two") == []
    await store.end(owned, state="abandoned", outcome=b"", gone=False)
    assert not await store.cancel("a")
    assert not await store.cancel("nobody's")


async def test_what_has_ended_long_ago_is_forgotten(store: Store) -> None:
    """Not before its prompt is gone, and nothing that pends; an intent of which nothing more was heard, too."""
    old = await held(store, "old", b"tag o", seconds=0.1)
    await store.end(old, state="expired", outcome=b"", gone=False)
    await held(store, "intent", b"tag i", seconds=0.1)
    ringing = await held(store, "ringing", b"tag r", seconds=60)
    await store.end(ringing, state="indeterminate", outcome=b"", gone=False)
    await pending(store)
    assert await store.purge(older=60) == 0
    await asyncio.sleep(0.15)
    assert await store.purge(older=0.1) == 2
    assert await store.get("old") is None
    assert await store.get("intent") is None
    assert await store.get("ringing") is not None
    assert await store.get("a") is not None
    assert isinstance(await store.hold("new", b"tag r", "one", seconds=60), Held)


# --- changes ----------------------------------------------------------------------------------------------------------


async def test_whoever_listens_hears_of_every_change(store: Store) -> None:
    """Acceptance, progress, wishes, pings and the end; by their ids only."""
    heard: list[Change] = []
    more = asyncio.Event()

    async def listen() -> None:
        async for change in store.changes():
            heard.append(change)
            more.set()

    listening = asyncio.create_task(listen())
    owned = await held(store)
    async with asyncio.timeout(5):
        # Until the listener is there, changes may be missed.
        while Change("a") not in heard:
            await store.accept(owned, token="token", progress=b"", seconds=60, layout=LAYOUT)
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.1)
        heard.clear()
        await store.note(owned, progress=b"new")
        await store.cancel("a")
        await store.watch("a")
        await store.note(Owned("a", 99), progress=b"nobody's")
        await store.pass_on("sealed")
        await store.end(owned, state="abandoned", outcome=b"", gone=True)
        while len(heard) < 5:
            more.clear()
            await more.wait()
        await asyncio.sleep(0.05)
        await store.aclose()
        await listening
    assert heard == [
        Change("a"),
        Change("a", Wish.STOP),
        Change("a", Wish.WATCH),
        Change(None, ping="sealed"),
        Change("a"),
    ]
    assert "sealed" not in repr(heard)


async def test_a_census_counts_workers_and_logins(store: Store) -> None:
    """By whom, how far, and what nobody asks for."""
    await pending(store)
    await held(store, "b", b"tag b")
    free = await pending(store, "c", b"tag c", worker="two")
    await store.let_go(free, token="t")
    over = await pending(store, "d", b"tag d", worker="two")
    await store.end(over, state="denied", outcome=b"", gone=True)
    await store.share("one", wanted=20, rate=30, lease=60)
    found = await store.census()
    assert [(each.name, each.logins, each.share) for each in found.workers] == [("one", 2, 20.0), ("two", 0, None)]
    assert all(0 <= each.heard < 5 for each in found.workers)
    assert (found.asking, found.pending, found.unowned, found.ended) == (1, 2, 1, 1)


# --- the store itself -------------------------------------------------------------------------------------------------


async def test_a_store_that_was_closed_says_so(store: Store) -> None:
    """And can be closed again."""
    await store.aclose()
    await store.aclose()
    with pytest.raises(StoreError) as caught:
        await store.beat("one", lease=60)
    assert caught.value.code == "store_closed"


class Life:
    """Random lives of random logins and workers, beside a model of the rules."""

    def __init__(self, store: Store, seed: int) -> None:
        self.store, self.dice, self.workers = store, Random(seed), ["one", "two"]
        self.known: dict[str, Owned] = {}
        self.holds: dict[bytes, str] = {}

    async def step(self, nth: int) -> None:
        """Something happens."""
        acts = [self.hold, self.hold, self.take, self.die, self.write, self.write, self.write]
        await self.dice.choice(acts)(nth)

    async def hold(self, nth: int) -> None:
        """Somebody wants to ask somebody."""
        tag, name = f"tag {self.dice.randrange(6)}".encode(), f"login {nth}"
        answer = await self.store.hold(name, tag, self.dice.choice(self.workers), seconds=600)
        if tag in self.holds:
            assert isinstance(answer, Held)
            assert answer.login == self.holds[tag]
        else:
            assert isinstance(answer, Owned)
            self.known[name], self.holds[tag] = answer, name

    async def take(self, _: int) -> None:
        """Somebody looks around."""
        for stored in await self.store.take(self.dice.choice(self.workers), most=2, layouts=[LAYOUT]):
            assert stored.epoch == self.known[stored.login].epoch + 1
            self.known[stored.login] = Owned(stored.login, stored.epoch)

    async def die(self, nth: int) -> None:
        """A worker goes, and another one comes."""
        gone, name = self.workers.pop(0), f"worker {nth}"
        await self.store.leave(gone)
        await self.store.join(name)
        self.workers.append(name)

    async def write(self, _: int) -> None:
        """Its present owner, and before that a former one, write about a login."""
        if not self.known:
            return
        owned = self.known[self.dice.choice(sorted(self.known))]
        act = self.dice.choice([self.accept, self.let_go, self.end, self.withdraw])
        assert not await act(Owned(owned.login, owned.epoch - 1))
        assert await act(owned)
        if act in (self.end, self.withdraw):
            del self.known[owned.login]
            self.holds = {tag: holder for tag, holder in self.holds.items() if holder != owned.login}

    async def accept(self, owned: Owned) -> bool:
        """The provider has accepted."""
        return await self.store.accept(owned, token="t", progress=b"", seconds=600, layout=LAYOUT)

    async def let_go(self, owned: Owned) -> bool:
        """Its owner asks no more."""
        return await self.store.let_go(owned, token="t")

    async def end(self, owned: Owned) -> bool:
        """It has ended."""
        return await self.store.end(owned, state="denied", outcome=b"", gone=True)

    async def withdraw(self, owned: Owned) -> bool:
        """Nothing was sent."""
        return await self.store.withdraw(owned)


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_happens_a_person_is_asked_by_one_and_a_login_has_one_owner(store: Store, seed: int) -> None:
    """As the model says, step by step."""
    life = Life(store, seed)
    for nth in range(120):
        await life.step(nth)
    for login, owned in life.known.items():
        assert (await seen(store, login)).epoch == owned.epoch
