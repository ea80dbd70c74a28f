"""Tests of a worker among others, beside a store that does as told."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from idura_ciba.errors import StoreError
from idura_ciba.fleet.budget import Share
from idura_ciba.fleet.events import Events
from idura_ciba.fleet.signs import Signs
from idura_ciba.fleet.sqlite import SqliteStore
from idura_ciba.fleet.worker import AGAIN, Worker
from idura_ciba.observe import Observers
from idura_ciba.scheduling.scheduler import client_queue
from idura_ciba.testing import virtual_clock

#: Without observers.
NOBODY = Events(Observers(), virtual_clock())


async def nothing(_: object) -> None:
    """Go on with nothing."""


def unlimited() -> Share:
    """A share of no limit."""
    return Share(SqliteStore(), None, 5, list)  # type: ignore[arg-type]  # never called


def worker_of(store: SqliteStore | None = None, **changed: Any) -> Worker:
    """One with a lease of five seconds, to which nothing happens but what is said."""
    options: dict[str, Any] = {"share": unlimited(), "signs": Signs(client_queue(None)), "events": NOBODY}
    options |= {"resume": nothing, "died": list, "known": list}
    return Worker(store or SqliteStore(), 5, **options | changed)


async def test_a_store_that_says_nothing_is_waited_for_no_longer_than_a_lease() -> None:
    """A connection that is cut gives no error."""
    worker = worker_of()
    began = asyncio.get_running_loop().time()
    with pytest.raises(StoreError) as caught:
        await worker.in_time(asyncio.sleep(3600))
    assert caught.value.code == "store_away"
    assert asyncio.get_running_loop().time() - began == pytest.approx(5)


async def test_what_must_be_written_is_tried_until_it_is() -> None:
    """Again and again, whether the store is away or silent."""
    worker, tries = (
        worker_of(),
        list[float](),
    )

    async def write() -> bool:
        tries.append(asyncio.get_running_loop().time())
        if len(tries) == 2:
            await asyncio.sleep(3600)
        if len(tries) < 4:
            raise StoreError("away")
        return True

    assert await worker.insist(write)
    gaps = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert gaps == pytest.approx([AGAIN, 5 + AGAIN, AGAIN])


async def test_a_cancellation_is_never_swallowed() -> None:
    """Also if it comes just when the store has answered."""
    worker = worker_of()

    async def at_once() -> None:
        """Done before anybody looks."""

    async def live() -> None:
        while True:
            await worker.once(at_once())
            await asyncio.sleep(0)

    for turns in range(6):
        task = asyncio.create_task(live())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task}, timeout=1)
        assert task.cancelled()


async def test_whoever_was_declared_dead_comes_back_as_somebody_else(caplog: pytest.LogCaptureFixture) -> None:
    """After it was told to drop everything."""
    store, died = SqliteStore(clock=virtual_clock()), list[str]()
    await store.open()
    worker = worker_of(store, died=lambda: died.append(worker.name))
    await worker.join()
    former = worker.name
    living = asyncio.create_task(worker.live())
    await asyncio.sleep(2)
    await store.leave(former)
    await asyncio.sleep(2)
    assert died == [former]
    assert worker.name != former
    assert worker.lease.holds
    assert caplog.records == []
    living.cancel()
    await asyncio.wait({living})
    await store.aclose()


async def test_a_bug_does_not_end_a_worker(caplog: pytest.LogCaptureFixture) -> None:
    """It is told, without its words, and signs of life go on."""
    store = SqliteStore(clock=virtual_clock())
    await store.open()
    await store.join("dead")
    await store.hold("login", b"tag", "dead", seconds=600)

    async def resume(_: object) -> None:
        raise KeyError("secret")

    worker = worker_of(store, resume=resume)
    await worker.join()
    living = asyncio.create_task(worker.live())
    await asyncio.sleep(20)
    assert worker.lease.holds
    assert "a bug in the fleet, please report it: KeyError" in caplog.text
    assert "secret" not in caplog.text
    living.cancel()
    await asyncio.wait({living})
    await store.aclose()


async def test_many_logins_are_taken_in_turns() -> None:
    """All of them, and each once."""
    store, resumed = SqliteStore(clock=virtual_clock()), list[str]()
    await store.open()
    await store.join("dead")
    for nth in range(250):
        await store.hold(f"login {nth}", f"tag {nth}".encode(), "dead", seconds=600)

    async def resume(stored: Any) -> None:
        resumed.append(stored.login)

    worker = worker_of(store, resume=resume)
    await worker.join()
    living = asyncio.create_task(worker.live())
    await asyncio.sleep(12)
    assert sorted(resumed) == sorted(f"login {nth}" for nth in range(250))
    living.cancel()
    await asyncio.wait({living})
    await store.aclose()


@pytest.mark.parametrize(("lease", "signs"), [(30.0, 10), (5.0, 10), (2.0, 25)])
async def test_a_sign_of_life_is_given_each_second_however_long_the_lease(lease: float, signs: int) -> None:
    """Five times in a short one. What others learn must be heard within two seconds."""
    beats = list[float]()

    class Counting(SqliteStore):
        async def beat(self, worker: str, **said: Any) -> Any:
            beats.append(asyncio.get_running_loop().time())
            return await super().beat(worker, **said)

    store = Counting(clock=virtual_clock())
    await store.open()
    queue = client_queue(None)
    worker = Worker(
        *(store, lease), share=unlimited(), signs=Signs(queue), events=NOBODY, resume=nothing, died=list, known=list
    )
    await worker.join()
    living, began = asyncio.create_task(worker.live()), asyncio.get_running_loop().time()
    await asyncio.sleep(10.05)
    assert len(beats) == 1 + signs
    queue.refused(sent_at=began, retry_after=30.0)
    await asyncio.sleep(0.01)
    assert len(beats) == 2 + signs  # at once
    living.cancel()
    await asyncio.wait({living})
    await store.aclose()
