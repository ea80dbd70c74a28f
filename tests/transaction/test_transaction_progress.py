"""A transaction and those who watch it: updates, awaiters, observers."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from idura_ciba import Phase, State, SwedishBankID, Update
from idura_ciba.observe import AnyEvent, PollEvent, TransactionEvent
from idura_ciba.simulator import MemoryTransport, Script, SimulatedIdura
from idura_ciba.testing import VIRTUAL_EPOCH, virtual_clock
from tests.logins import SWEDE, MakeClient, swedish


async def collect(updates: object) -> list[Update]:
    """All updates to the end."""
    return [update async for update in updates]  # type: ignore[attr-defined]


async def test_updates_tell_the_present_each_step_and_the_end(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Two watchers see the same; one that comes late sees the end at once."""
    simulated_idura.script(SWEDE, Script.approve(after=8, opened_after=2, acknowledged_after=5))
    transport = MemoryTransport(simulated_idura, clock=virtual_clock(), latency=0.5)
    async with make_ciba_client(transport=transport) as ciba:
        transaction = await ciba.start(swedish())
        first, second = await asyncio.gather(
            collect(transaction.updates(polls=True)), collect(transaction.updates(polls=True))
        )
        assert first == second
        assert (await collect(transaction.updates(polls=True))) == first[-1:]
    # Discovery and the request take a second each; the end counts from the acknowledgement.
    assert first[0] == Update(State.PENDING, None, Phase.UNKNOWN, 0, VIRTUAL_EPOCH + 5, VIRTUAL_EPOCH + 122)
    under_way = [update.hint for update in first if update.next_poll_at is None]
    assert under_way[:2] == [None, "awaiting user request acknowledgement"]
    assert first[-1].state is State.APPROVED
    assert [update.polls for update in first] == sorted(update.polls for update in first)


async def test_a_slow_watcher_misses_steps_and_never_the_latest(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Nothing piles up for one who does not read."""
    simulated_idura.script(SWEDE, Script.deny(after=30))
    async with make_ciba_client() as ciba:
        transaction = await ciba.start(swedish())
        seen = []
        async for update in transaction.updates():
            seen.append(update)
            await asyncio.sleep(20)
    assert len(seen) == 3
    assert seen[-1].state is State.DENIED


async def test_awaiters_come_and_go_and_one_poll_loop_serves_them(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Ten wait, nine give up, and the provider sees one client's polls."""
    simulated_idura.script(SWEDE, Script.approve(after=8))
    async with make_ciba_client() as ciba:
        transaction = await ciba.start(swedish())
        waiting = [asyncio.create_task(transaction.outcome()) for _ in range(10)]
        await asyncio.sleep(4)
        for task in waiting[1:]:
            task.cancel()
        assert (await waiting[0]).state is State.APPROVED
    assert simulated_idura.ledger.orders[0].polls == 3


async def test_observers_hear_every_state_and_poll_and_cannot_break_a_login(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    """The broken one is complained about once."""
    simulated_idura.script(SWEDE, Script.approve(after=4))
    heard: list[AnyEvent] = []

    def broken(_: object) -> None:
        raise RuntimeError(SWEDE)

    async with make_ciba_client(observers=(broken, heard.append)) as ciba:
        transaction = await ciba.start(swedish())
        await transaction
    assert [event.state for event in heard if isinstance(event, TransactionEvent)] == [State.PENDING, State.APPROVED]
    assert [event.result for event in heard if isinstance(event, PollEvent)] == ["still pending", "approved"]
    assert {event.transaction for event in heard} == {transaction.id, None}  # documents are nobody's
    assert caplog.text.count("observer failed") == 1
    assert SWEDE not in caplog.text


async def test_each_change_that_people_can_see_is_told_once(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """However many polls are sent meanwhile: a page that is refreshed each second says the same for a minute."""
    simulated_idura.script(SWEDE, Script.approve(after=60, opened_after=20, acknowledged_after=40))
    async with make_ciba_client() as ciba:
        transaction = await ciba.start(swedish())
        seen = await collect(transaction.updates())
    assert [update.phase for update in seen] == [
        Phase.UNKNOWN,
        Phase.WAITING,
        Phase.OPENED,
        Phase.IDENTIFYING,
        Phase.APPROVED,
    ]
    assert [update.phase.text("sv") for update in seen][-1] == "Identiteten är bekräftad."
    assert [update.hint for update in seen[1:4]] == [
        "awaiting first user interaction",
        "awaiting user request acknowledgement",
        "awaiting user identification",
    ]


async def test_the_phases_survive_resuming(simulated_idura: SimulatedIdura, make_ciba_client: MakeClient) -> None:
    """Also those of an eID that the resuming process has never heard of."""
    simulated_idura.script(SWEDE, Script.approve(after=60, opened_after=1, acknowledged_after=2))
    words = {"awaiting user identification": Phase.CHOOSING}
    request = SwedishBankID(SWEDE, call_initiator="RP", message="Hello", phases=words)
    former = make_ciba_client()
    await former.start(request)
    await asyncio.sleep(12)
    (left,) = await former.close()
    async with make_ciba_client() as ciba:
        seen = await collect((await ciba.resume(left.token)).updates())
    assert [update.phase for update in seen] == [Phase.UNKNOWN, Phase.CHOOSING, Phase.APPROVED]


async def test_a_stream_ends_when_the_server_does(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """At once, in the middle of nothing; the login goes on, and nothing is left behind."""
    simulated_idura.script(SWEDE, Script.approve(after=60))
    stopping = asyncio.Event()
    async with make_ciba_client() as ciba:
        transaction = await ciba.start(swedish())
        stream = asyncio.create_task(collect(transaction.updates(until=stopping)))
        await asyncio.sleep(7.25)
        stopping.set()
        seen = await stream
        assert asyncio.get_running_loop().time() == 7.25
        assert [update.state for update in seen] == [State.PENDING] * 2
        assert [update.state for update in await collect(transaction.updates(until=stopping))] == [State.PENDING]
        assert (await transaction).person_confirmed
        assert [update.state for update in await collect(transaction.updates(until=stopping))] == [State.APPROVED]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_stream_that_is_left_early_leaves_nothing(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """A browser that goes away closes its generator."""
    del simulated_idura
    async with make_ciba_client() as ciba:
        transaction = await ciba.start(swedish())
        async with aclosing(transaction.updates(until=asyncio.Event())) as updates:  # type: ignore[type-var]
            await anext(updates)
            await anext(updates)
        transaction.abandon()
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}
