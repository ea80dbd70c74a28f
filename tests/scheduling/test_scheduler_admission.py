"""Tests of the schedulers: when authentication requests are admitted, and what refusals do to all requests."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from idura_ciba.errors import StateError
from idura_ciba.scheduling.scheduler import FairScheduler
from tests.jobs import Job, Log, MakeQueue, Requests, assert_nothing_is_left

# --- authentication requests ------------------------------------------------------------------------------------------


async def test_authentication_requests_count_as_requests(log: Log, make_queue: MakeQueue) -> None:
    """They and the polls together keep to the rate."""
    queue = make_queue(rate=4)
    requests = Requests(queue, log)
    await asyncio.gather(*(requests.send(str(number)) for number in range(6)))
    assert [at for _, at in log] == [0.0, 0.0, 0.0, 0.0, 1.0, 1.25]
    for number in range(4):
        queue.schedule(Job(log, f"poll {number}"), 1.5)
    await asyncio.sleep(5)
    assert [at for _, at in log[6:]] == [1.5, 1.5, 2.0, 2.25]
    assert_nothing_is_left(queue)


async def test_authentication_requests_and_polls_take_turns(log: Log, make_queue: MakeQueue) -> None:
    """A batch of authentication requests does not stop the polls, nor do the polls stop the authentication requests."""
    queue = make_queue(rate=10)
    requests = Requests(queue, log)
    for number in range(30):
        queue.schedule(Job(log, f"poll {number}"), 0.0)
    await asyncio.gather(*(requests.send(f"request {number}") for number in range(30)))
    await asyncio.sleep(10)
    # The first second went to those who were there first.
    kinds = [name.split()[0] for name, at in log if at > 0]
    assert len(log) == 60
    assert all({first, second} == {"request", "poll"} for first, second in itertools.pairwise(kinds[:42]))


async def test_authentication_requests_wait_while_too_many_are_pending(log: Log, make_queue: MakeQueue) -> None:
    """Counted are logins that wait, are due or in flight, and authentication requests under way."""
    queue = make_queue(max_pending=2)
    requests = Requests(queue, log, takes=1.0)
    tasks = [asyncio.create_task(requests.send(name, Job(log, f"poll {name}", 0.5), at))
             for name, at in [("a", 5.0), ("b", 8.0), ("c", 20.0), ("d", 30.0)]]  # fmt: skip
    forgotten = Job(log, "poll e")
    tasks.append(asyncio.create_task(requests.send("e", forgotten, 100.0)))
    await asyncio.sleep(50)
    assert log == [
        ("a", 0.0), ("b", 0.0), ("poll a", 5.0), ("c", 5.5), ("poll b", 8.0), ("d", 8.5), ("poll c", 20.0), ("e", 20.5),
        ("poll d", 30.0),
    ]  # fmt: skip
    await asyncio.gather(*tasks)
    queue.forget(forgotten)
    assert_nothing_is_left(queue)


async def test_a_request_that_fails_gives_its_place_back(log: Log, make_queue: MakeQueue) -> None:
    """And the next one has it at once."""
    queue = make_queue(max_pending=1)
    entered = asyncio.Event()

    async def fail() -> None:
        async with queue.admit():
            entered.set()
            await asyncio.sleep(3)
            raise ZeroDivisionError

    failing = asyncio.create_task(fail())
    await entered.wait()
    await Requests(queue, log).send("next")
    assert log == [("next", 3.0)]
    with pytest.raises(ZeroDivisionError):
        await failing
    assert_nothing_is_left(queue)


@pytest.mark.parametrize("steps", range(4))
async def test_a_request_that_is_cancelled_leaves_no_trace(steps: int, log: Log, make_queue: MakeQueue) -> None:
    """Whether it was waiting, had its place this very moment, or was under way."""
    queue = make_queue(max_pending=1)
    requests = Requests(queue, log, takes=2.0)
    first = asyncio.create_task(requests.send("first"))
    second = asyncio.create_task(requests.send("second"))
    await asyncio.sleep(2.0)
    for _ in range(steps):
        await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    await first
    await requests.send("third")
    assert log[-1] == ("third", 2.0)
    assert_nothing_is_left(queue)


async def test_closing_turns_waiting_requests_away(log: Log, make_queue: MakeQueue) -> None:
    """Nothing has been sent for them; one that is under way goes on."""
    queue = make_queue(max_pending=1)
    requests = Requests(queue, log, takes=5.0)
    first, second = (asyncio.create_task(requests.send(name)) for name in ("first", "second"))
    await asyncio.sleep(1)
    await queue.aclose(patience=1)
    for late in (second, requests.send("third")):
        with pytest.raises(StateError) as caught:
            await late
        assert caught.value.code == "closed"
    await first
    assert log == [("first", 0.0)]
    assert_nothing_is_left(queue)


@pytest.mark.parametrize("closes", [True, False], ids=["closed", "cancelled"])
async def test_nothing_wakes_up_for_a_request_that_is_gone(closes: bool, log: Log, make_queue: MakeQueue) -> None:
    """It waited for a request of the budget; the timer for that goes with it."""
    queue = make_queue(rate=1)
    requests = Requests(queue, log)
    await requests.send("first")
    second = asyncio.create_task(requests.send("second"))
    await asyncio.sleep(0.25)
    if closes:
        await queue.aclose(patience=0)
    else:
        second.cancel()
    await asyncio.wait([second])
    assert log == [("first", 0.0)]
    assert_nothing_is_left(queue)


# --- refusals ---------------------------------------------------------------------------------------------------------


async def test_retry_after_stops_all_requests_of_all_clients(log: Log) -> None:
    """Also authentication requests; but for a minute at most, because it was meant for one."""
    scheduler = FairScheduler()
    one, two = scheduler.queue(), scheduler.queue()
    await asyncio.sleep(1)
    one.refused(sent_at=1.0, retry_after=7.0)
    two.schedule(Job(log, "poll"), 2.0)
    request = asyncio.create_task(Requests(two, log).send("request"))
    await request
    await asyncio.sleep(0)
    assert sorted(log) == [("poll", 8.0), ("request", 8.0)]
    one.refused(sent_at=8.0, retry_after=1e6)
    two.schedule(Job(log, "later"), 9.0)
    await asyncio.sleep(100)
    assert log[-1] == ("later", 68.0)


async def test_refusals_lower_the_rate_of_all(log: Log) -> None:
    """And what is allowed now can be read."""
    scheduler = FairScheduler(rate=100)
    one, two = scheduler.queue(), scheduler.queue()
    await asyncio.sleep(0.5)
    for _ in range(60):
        one.answered(sent_at=0.4)
    for _ in range(8):
        two.refused(sent_at=0.4)
    assert scheduler.snapshot().allowed == pytest.approx(0.9 * 60)
    assert scheduler.snapshot().refused == 8
    for number in range(54):
        one.schedule(Job(log, str(number)), 1.0)
    two.schedule(Job(log, "one too many"), 1.0)
    await asyncio.sleep(10)
    assert {at for _, at in log[:54]} == {1.0}
    assert log[54] == ("one too many", 2.0)
