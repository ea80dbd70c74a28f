"""The contract of a store for batches, over SQLite in memory and in a file, and PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from idura_ciba.errors import StoreError
from idura_ciba.fleet.batch_store import ABANDONED, Member
from idura_ciba.fleet.store import Owned, Stage, Store

pytestmark = pytest.mark.sockets

BATCH, DIGEST = "november", b"digest"
MEMBER = Member(BATCH, b"about")


@pytest.fixture(name="store")
async def _store(make_store: Callable[[], Store]) -> AsyncIterator[Store]:
    """One with two workers and a batch."""
    store = make_store()
    await store.open()
    await store.join("one")
    await store.join("two")
    await store.open_batch(BATCH, DIGEST)
    yield store
    await store.aclose()


async def ended(store: Store, login: str) -> None:
    """A login of the batch that has ended."""
    owned = await store.hold(login, f"tag of {login}".encode(), "one", seconds=60, member=MEMBER)
    assert isinstance(owned, Owned)
    assert await store.accept(owned, token="token", progress=b"p", seconds=60, layout=1)
    assert await store.end(owned, state="approved", outcome=b"outcome", gone=True)


async def bury(store: Store, worker: str) -> None:
    """Have a worker be declared dead, and no other."""
    await asyncio.sleep(0.05)
    for other in {"one", "two"} - {worker}:
        assert await store.beat(other, lease=60)
    assert worker in await store.bury(lease=0.04)


async def test_everybody_must_have_the_same_people(store: Store) -> None:
    """The name alone does not tell."""
    await store.open_batch(BATCH, DIGEST)
    with pytest.raises(StoreError) as caught:
        await store.open_batch(BATCH, b"other")
    assert caught.value.code == "batch_differs"
    await store.open_batch("december", b"other")


async def test_of_many_who_claim_a_slice_one_gets_it(store: Store) -> None:
    """However many at once; whoever has it may ask again, because an answer may be lost."""
    claims = [(number, worker) for number in range(10) for worker in ("one", "two")]
    got = await asyncio.gather(*(store.claim_slice(BATCH, number, worker) for number, worker in claims))
    winners = [claim for claim, has in zip(claims, got, strict=True) if has]
    assert sorted(number for number, _ in winners) == list(range(10))
    assert all([await store.claim_slice(BATCH, number, worker) for number, worker in winners])


async def test_the_slices_of_the_dead_are_others(store: Store) -> None:
    """But those that were done are done."""
    for number in range(2):
        assert await store.claim_slice(BATCH, number, "one")
    await store.finish_slice(BATCH, 0, "one")
    await store.count_slices(BATCH, 2)
    assert (await store.standing(BATCH, "two")).free == 0
    await bury(store, "one")
    standing = await store.standing(BATCH, "two")
    assert (standing.slices, standing.done, standing.free, standing.is_all_done) == (2, 1, 1, False)
    assert standing.workers == 1
    assert not await store.claim_slice(BATCH, 0, "two")
    assert await store.claim_slice(BATCH, 1, "two")
    await store.finish_slice(BATCH, 1, "one")  # too late
    assert not (await store.standing(BATCH, "two")).is_all_done
    await store.finish_slice(BATCH, 1, "two")
    assert (await store.standing(BATCH, "two")).is_all_done


async def test_who_leaves_lets_go(store: Store) -> None:
    """Of slices, and of writing."""
    assert await store.claim_slice(BATCH, 0, "one")
    assert await store.may_write(BATCH, "one") is True
    await store.leave_batch(BATCH, "one")
    assert (await store.standing(BATCH, "two")).free == 1
    assert await store.may_write(BATCH, "two") is True


async def test_one_at_a_time_writes(store: Store) -> None:
    """And knows whether it has begun just now; another one goes on when it is dead."""
    answers = await asyncio.gather(*(store.may_write(BATCH, worker) for worker in ("one", "two")))
    assert sorted(map(str, answers)) == ["False", "True"]
    writer, other = ("one", "two") if answers[0] else ("two", "one")
    assert await store.may_write(BATCH, writer) is None
    await bury(store, writer)
    assert await store.may_write(BATCH, other) is True


async def test_a_worker_that_is_dead_can_claim_nothing(store: Store) -> None:
    """It finds out."""
    await bury(store, "one")
    for work in (store.claim_slice(BATCH, 0, "one"), store.may_write(BATCH, "one")):
        with pytest.raises(StoreError) as caught:
            await work
        assert caught.value.code == "worker_dead"


async def test_a_login_of_a_batch_is_a_result_and_no_delivery(store: Store) -> None:
    """With what stands beside it, once it has ended."""
    await ended(store, "a")
    (result,) = await store.results(BATCH, most=9)
    assert (result.login, result.state, result.about, result.outcome) == ("a", "approved", b"about", b"outcome")
    assert await store.deliver("a") is None
    assert await store.results("december", most=9) == []
    assert await store.known(["a", "b"]) == {"a": b"tag of a"}


async def test_what_is_taken_is_gone(store: Store) -> None:
    """All that is left is the state; only who writes can take."""
    await ended(store, "a")
    assert not await store.take_results(BATCH, "one", ["a"], keep=False)
    assert await store.may_write(BATCH, "one")
    assert await store.take_results(BATCH, "one", ["a"], keep=False)
    assert await store.results(BATCH, most=9) == []
    stored = await store.get("a")
    assert stored is not None
    assert (stored.stage, stored.state, stored.progress) == (Stage.DELIVERED, "approved", None)
    assert await store.offer_again(BATCH, "one", most=9) == 0
    assert await store.results(BATCH, most=9) == []


async def test_what_must_be_whole_is_kept_for_who_writes_next(store: Store) -> None:
    """Until the batch is over."""
    for login in "abc":
        await ended(store, login)
    assert await store.may_write(BATCH, "one")
    assert await store.take_results(BATCH, "one", ["a", "b"], keep=True)
    assert [result.login for result in await store.results(BATCH, most=9)] == ["c"]
    await bury(store, "one")
    assert await store.may_write(BATCH, "two")
    assert await store.offer_again(BATCH, "one", most=9) == 0, "too late"
    assert len(await store.results(BATCH, most=9)) == 1
    assert [await store.offer_again(BATCH, "two", most=1) for _ in range(3)] == [1, 1, 0]
    again = await store.results(BATCH, most=2)
    assert [(result.login, result.outcome, result.about) for result in again] == [
        ("a", b"outcome", b"about"),
        ("b", b"outcome", b"about"),
    ]


async def test_somebody_who_is_not_asked_has_a_result(store: Store) -> None:
    """Unless there is a login, which knows better."""
    await store.conclude("a", b"tag", MEMBER, state="rejected", outcome=b"refused")
    await ended(store, "b")
    await store.conclude("b", b"tag of b", MEMBER, state="rejected", outcome=b"refused")
    found = {result.login: (result.state, result.outcome) for result in await store.results(BATCH, most=9)}
    assert found == {"a": ("rejected", b"refused"), "b": ("approved", b"outcome")}
    with pytest.raises(StoreError) as caught:
        await store.hold("a", b"tag", "one", seconds=60, member=MEMBER)
    assert caught.value.code == "login_id"
    assert isinstance(await store.hold("again", b"tag", "one", seconds=60), Owned)


async def test_it_is_over_when_all_is_taken(store: Store) -> None:
    """And not before; then nothing of anybody is kept."""
    assert await store.may_write(BATCH, "one")
    assert await store.claim_slice(BATCH, 0, "one")
    await ended(store, "a")
    assert not await store.finish_batch(BATCH, "one"), "the people may go on"
    await store.count_slices(BATCH, 1)
    await store.finish_slice(BATCH, 0, "one")
    assert not await store.finish_batch(BATCH, "one"), "a result was not taken"
    assert await store.take_results(BATCH, "one", ["a"], keep=True)
    assert not await store.finish_batch(BATCH, "two"), "another one writes"
    assert not (await store.standing(BATCH, "two")).is_over
    assert await store.empty_batch(BATCH, most=9) == 0, "it is not over"
    assert await store.finish_batch(BATCH, "one")
    assert (await store.standing(BATCH, "two")).is_over
    assert [await store.empty_batch(BATCH, most=9) for _ in range(2)] == [1, 0]
    assert await store.offer_again(BATCH, "one", most=9) == 0


async def test_a_purge_empties_what_an_end_has_left(store: Store) -> None:
    """Whoever wrote last may have died just then."""
    await ended(store, "a")
    assert await store.may_write(BATCH, "one")
    await store.count_slices(BATCH, 0)
    assert await store.take_results(BATCH, "one", ["a"], keep=True)
    assert await store.finish_batch(BATCH, "one")
    await store.purge(older=60)
    assert await store.empty_batch(BATCH, most=9) == 0


async def test_a_batch_is_forgotten_with_its_logins(store: Store) -> None:
    """Once it is over; until then nobody forgets whom it has asked."""
    await ended(store, "a")
    await asyncio.sleep(0.02)
    await store.purge(older=0.01)
    assert await store.get("a") is not None
    assert await store.may_write(BATCH, "one")
    await store.count_slices(BATCH, 0)
    assert await store.take_results(BATCH, "one", ["a"], keep=False)
    assert await store.finish_batch(BATCH, "one")
    await store.purge(older=60)
    assert await store.get("a") is not None
    await asyncio.sleep(0.02)
    await store.purge(older=0.01)
    assert await store.get("a") is None
    await store.open_batch(BATCH, b"other")


async def test_a_batch_that_nobody_goes_on_with_is_forgotten_at_last(store: Store) -> None:
    """A month later than one that is over."""
    await ended(store, "a")
    await asyncio.sleep(0.02)
    await store.purge(older=0.01 - ABANDONED)
    assert await store.get("a") is None
