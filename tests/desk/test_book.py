"""Tests of what an agent has open, without pages and on a virtual clock."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path

import pytest
from attrs import asdict

from idura_ciba import AlreadyPending, Phase, State, UsageError
from idura_ciba.aio.clock import Clock
from idura_ciba.desk.book import DeskBook, day_file, new_id
from idura_ciba.errors import StoreError
from idura_ciba.simulator import Fault, Script, SimulatedIdura
from idura_ciba.testing import virtual_clock
from tests.desk.books import NORWEGIAN, SWEDE, ended, kill, norwegian, opened, swedish
from tests.fleet.replicas import kill as kill_fleet
from tests.logins import OTHER_SWEDE, MakeClient, on

REFUSED = Fault.answer(401, {"Content-Type": "application/json"}, b'{"error": "invalid_client"}')


async def test_a_login_goes_through_its_phases_to_a_name(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """The agent sees the words, each phase once, a clock, and at the end who it was."""
    simulated_idura.script(SWEDE, Script.approve(after=20, opened_after=6, acknowledged_after=12))
    seen = []
    async with opened(make_ciba_client) as book:
        begun = await swedish(book, "a" * 32, note="Case 17")
        assert SWEDE[2:] not in repr(asdict(begun)) + "".join(map(str, asdict(begun).values()))
        assert (begun.state, begun.verdict, begun.nth, begun.note) == (State.PENDING, "asking", 1, "Case 17")
        async for snapshot in book.snapshots():
            seen.append(snapshot)
            if snapshot.ended:
                break
    phases = [snapshot.open[0].phase for snapshot in seen if snapshot.open and snapshot.open[0].until]
    assert list(dict.fromkeys(phases)) == [Phase.UNKNOWN, Phase.WAITING, Phase.OPENED, Phase.IDENTIFYING]
    entry = seen[-1].ended[0]
    assert (entry.state, entry.verdict, entry.confirmed, entry.phase) == (
        State.APPROVED,
        "confirmed",
        True,
        Phase.APPROVED,
    )
    assert entry.name
    assert entry.level == "urn:grn:authn:se:bankid"
    assert entry.trace_id
    assert (entry.words, entry.code) == (None, None)
    until = seen[1].open[0].until
    assert until is not None
    assert until > seen[1].now


async def test_norwegian_words_are_there_to_be_read_until_the_end(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """And not a moment longer."""
    simulated_idura.script(NORWEGIAN, Script.approve(after=9))
    async with opened(make_ciba_client) as book:
        begun = await norwegian(book)
        assert begun.words
        assert (await ended(book, begun.id)).words is None


@pytest.mark.parametrize(
    ("script", "state", "verdict", "code"),
    [
        (Script.deny(after=9), State.DENIED, "no", "denied"),
        (Script.never(), State.EXPIRED, "no", "expired"),
        (Script.approve(after=9, shares_number=False), State.APPROVED, "unconfirmed", None),
    ],
)
async def test_each_end_has_a_verdict(
    simulated_idura: SimulatedIdura,
    make_ciba_client: MakeClient,
    script: Script,
    state: State,
    verdict: str,
    code: str | None,
) -> None:
    """An approval that does not say who approved is not a yes."""
    simulated_idura.script(NORWEGIAN, script)
    async with opened(make_ciba_client) as book:
        entry = await ended(book, (await norwegian(book)).id)
    assert (entry.state, entry.verdict, entry.code) == (state, verdict, code)


async def test_several_people_at_once(simulated_idura: SimulatedIdura, make_ciba_client: MakeClient) -> None:
    """The latest stands first, and each has a number of the day."""
    for number in (SWEDE, OTHER_SWEDE, NORWEGIAN):
        simulated_idura.script(number, Script.approve(after=30))
    async with opened(make_ciba_client) as book:
        begun = [await swedish(book), await swedish(book, number=OTHER_SWEDE), await norwegian(book)]
        snapshot = book.snapshot()
        assert [entry.nth for entry in snapshot.open] == [3, 2, 1]
        results = await asyncio.gather(*(ended(book, entry.id) for entry in begun))
    assert {entry.verdict for entry in results} <= {"confirmed", "unconfirmed"}


async def test_a_form_that_comes_twice_rings_once(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """At the same time, a moment later, and after the end."""
    simulated_idura.script(SWEDE, Script.approve(after=9))
    async with opened(make_ciba_client) as book:
        id_ = new_id()
        one, two = await asyncio.gather(swedish(book, id_), swedish(book, id_))
        assert one is two
        assert (await swedish(book, id_)).id == id_
        end = await ended(book, id_)
        assert await swedish(book, id_) is end
    assert len(simulated_idura.ledger.orders) == 1


async def test_a_form_that_comes_again_for_somebody_else_is_refused(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, tmp_path: Path
) -> None:
    """The browser may bring an old page back. The agent would see the first caller's answer as the second one's."""
    simulated_idura.script(SWEDE, Script.approve(after=9))
    id_ = new_id()
    async with opened(make_ciba_client, tmp_path / "desk.db") as book:
        _, second = await asyncio.gather(
            swedish(book, id_), swedish(book, id_, number=OTHER_SWEDE), return_exceptions=True
        )
        assert isinstance(second, UsageError)
        assert second.code == "form_used"
        await ended(book, id_)
    async with opened(make_ciba_client, tmp_path / "desk.db") as book:
        with pytest.raises(UsageError, match="somebody else"):
            await swedish(book, id_, number=OTHER_SWEDE)
        assert (await swedish(book, id_)).id == id_
    assert len(simulated_idura.ledger.orders) == 1


async def test_the_answer_to_an_earlier_caller_is_none_to_a_later_one(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Who calls hours later may only say that they are the same person; an old page must not show the old yes."""
    simulated_idura.script(SWEDE, Script.approve(after=9))
    async with opened(make_ciba_client) as book:
        begun = await swedish(book)
        assert (await ended(book, begun.id)).confirmed
        await asyncio.sleep(59)
        assert (await swedish(book, begun.id)).id == begun.id
        await asyncio.sleep(2)
        with pytest.raises(UsageError) as refused:
            await swedish(book, begun.id)
        assert refused.value.code == "form_used"
        assert (await swedish(book)).verdict == "asking"
    assert len(simulated_idura.ledger.orders) == 2


async def test_whoever_asks_the_same_person_again_sees_the_first_login(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """With another form and another spelling; nobody is rung, and the day has one login."""
    simulated_idura.script(SWEDE, Script.never())
    async with opened(make_ciba_client) as book:
        first = await swedish(book)
        again = await swedish(book, number=f"{SWEDE[:8]}-{SWEDE[8:]}")
        assert again.id == first.id
        assert again.again_at is not None
        assert [entry.id for entry in book.snapshot().open] == [first.id]
    assert len(simulated_idura.ledger.orders) == 1


async def test_a_prompt_that_nobody_waits_for_still_holds_the_person(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """After a cancellation the first login says until when; then the person can be asked."""
    simulated_idura.script(SWEDE, Script.never())
    async with opened(make_ciba_client) as book:
        first = await swedish(book)
        assert await book.cancel(first.id)
        stopped = await ended(book, first.id)
        assert (stopped.state, stopped.verdict) == (State.ABANDONED, "stopped")
        assert not await book.cancel(first.id)
        again = await swedish(book)
        assert again.id == first.id
        assert again.until is not None
        await asyncio.sleep(again.until - book.snapshot().now + 1)
        assert (await swedish(book)).id != first.id
    assert len(simulated_idura.ledger.orders) == 2


async def test_whoever_is_asked_again_is_on_the_desk_again(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Although the agent was done with the first login: nothing else says why nobody was rung."""
    simulated_idura.script(SWEDE, Script.never())
    async with opened(make_ciba_client) as book:
        first = await swedish(book)
        await book.cancel(first.id)
        await ended(book, first.id)
        book.done(first.id)
        again = await swedish(book)
        assert (again.id, again.is_done, again.again_at is None) == (first.id, False, False)
        assert not book.snapshot().ended[0].is_done
        assert len(simulated_idura.ledger.orders) == 1


async def test_what_cannot_work_asks_nobody_and_leaves_the_form_as_it_was(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """A wrong number, a missing message, an unknown eID, a number in the note: corrected, the same form works."""
    async with opened(make_ciba_client) as book:
        id_ = new_id()
        for wrong in (
            swedish(book, id_, number="209801011232"),
            swedish(book, id_, message=""),
            swedish(book, id_, call_initiator="nobody"),
            swedish(book, id_, note=f"about {SWEDE[2:]}"),
            swedish(book, id_, note="x" * 81),
            book.start(id_, "nowhere", SWEDE),
        ):
            with pytest.raises(UsageError) as refused:
                await wrong
            assert SWEDE[2:] not in str(refused.value)
        assert (book.snapshot().open, book.snapshot().ended) == ((), ())
        assert (await swedish(book, id_)).state is State.PENDING
    assert len(simulated_idura.ledger.orders) == 1


async def test_a_refusal_of_the_provider_is_a_result(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """So is a lost acknowledgement, of which nobody knows whether it rang."""
    simulated_idura.faults = [on("bc-authorize", REFUSED)]
    async with opened(make_ciba_client) as book:
        entry = await swedish(book)
        assert (entry.state, entry.verdict, entry.code) == (State.REJECTED, "trouble", "invalid_client")
        assert book.snapshot().ended == (entry,)


async def test_a_restart_goes_on_with_whoever_is_being_asked(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, tmp_path: Path
) -> None:
    """The words and the note are there again, and the answer comes to the new book."""
    simulated_idura.script(NORWEGIAN, Script.approve(after=60))
    store = tmp_path / "desk.db"
    async with opened(make_ciba_client, store) as book:
        before = await norwegian(book, note="Case 4")
        await asyncio.sleep(10)
    async with opened(make_ciba_client, store) as book:
        (restored,) = book.snapshot().open
        assert (restored.id, restored.note, restored.label) == (before.id, "Case 4", "Norwegian BankID")
        await asyncio.sleep(10)
        (restored,) = book.snapshot().open
        assert restored.words == before.words
        assert (await ended(book, before.id)).state is State.APPROVED
    async with opened(make_ciba_client, store) as book:
        (entry,) = book.snapshot().ended
        assert (entry.state, entry.note, bool(entry.name)) == (State.APPROVED, "Case 4", True)
    assert len(simulated_idura.ledger.orders) == 1


async def test_a_kill_loses_nobody(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, tmp_path: Path
) -> None:
    """Nothing was said before; the next book waits until the killed one counts as dead, and goes on."""
    simulated_idura.script(SWEDE, Script.approve(after=60))
    store = tmp_path / "desk.db"
    book = await DeskBook(make_ciba_client(), store, clock=virtual_clock()).__aenter__()
    begun = await swedish(book)
    await asyncio.sleep(5)
    await kill(book)
    async with opened(make_ciba_client, store) as book:
        entry = await ended(book, begun.id)
        assert (entry.state, entry.confirmed) == (State.APPROVED, True)
    assert len(simulated_idura.ledger.orders) == 1


async def test_a_login_that_nobody_wrote_down_may_have_rung(make_ciba_client: MakeClient, tmp_path: Path) -> None:
    """The entry is there and the fleet knows of nothing: that is no answer, and not a promise either."""
    store = tmp_path / "desk.db"
    async with AsyncExitStack() as stack:
        book = await stack.enter_async_context(opened(make_ciba_client, store))
        entry = await swedish(book)
        book._fleet._store._run("DELETE FROM hold")  # type: ignore[attr-defined]
        await kill_fleet(book._fleet)
        await book._fleet._store.aclose()
    async with opened(make_ciba_client, tmp_path / "other.db") as other:
        other._diary.write(entry)
    async with opened(make_ciba_client, tmp_path / "other.db") as other:
        assert (await ended(other, entry.id)).code == "interrupted"


async def test_a_file_has_one_desk(make_ciba_client: MakeClient, tmp_path: Path) -> None:
    """A second one says so, and changes nothing."""
    async with opened(make_ciba_client, tmp_path / "desk.db"):
        with pytest.raises(StoreError, match="store"):
            await DeskBook(make_ciba_client(), tmp_path / "desk.db").__aenter__()


async def test_no_file_says_who_was_asked(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, tmp_path: Path
) -> None:
    """Neither while they are asked nor afterwards: no number, name, note, message or words, in no spelling."""
    simulated_idura.script(NORWEGIAN, Script.approve(after=20))
    store = tmp_path / "desk.db"
    secrets = [SWEDE, SWEDE[2:], NORWEGIAN, "Secret case", "Secret message"]

    def found() -> list[str]:
        files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        return [secret for secret in secrets if secret.encode() in files]

    async with opened(make_ciba_client, store) as book:
        await swedish(book, note="Secret case", message="Secret message")
        begun = await norwegian(book, note="Secret case")
        assert begun.words is not None
        secrets.append(begun.words)
        assert found() == []
        entry = await ended(book, begun.id)
        assert entry.name is not None
        secrets.append(entry.name)
        assert found() == []
    assert found() == []
    assert day_file(store).exists()


async def test_a_day_is_forgotten_when_it_is_over(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, tmp_path: Path
) -> None:
    """An hour after its end at the earliest; in a desk that runs on, and in one that is started the next morning."""
    simulated_idura.script(SWEDE, Script.approve(after=9))
    store, shift = tmp_path / "desk.db", 0.0
    inner = virtual_clock()
    clock = Clock(wall=lambda: inner.wall() + shift)
    async with DeskBook(make_ciba_client(), store, clock=clock) as book:
        midnight = book._midnight() + 86_400
        shift = midnight - 1800 - inner.wall()
        late = await ended(book, (await swedish(book)).id)
        shift += 3500
        await asyncio.sleep(61)
        assert book.snapshot().ended == (late,)
        shift += 3600
        await asyncio.sleep(61)
        assert book.snapshot().ended == ()
        assert (await swedish(book)).nth == 1
        await asyncio.sleep(60)
    async with DeskBook(make_ciba_client(), store, clock=clock) as book:
        assert len(book.snapshot().ended) == 1
    shift += 90_000
    async with DeskBook(make_ciba_client(), store, clock=clock) as book:
        assert book.snapshot().ended == ()


async def test_what_the_agent_is_done_with_stays_in_the_day(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, tmp_path: Path
) -> None:
    """Also after a restart; what has not ended cannot be done."""
    simulated_idura.script(SWEDE, Script.approve(after=9))
    async with opened(make_ciba_client, tmp_path / "desk.db") as book:
        begun = await swedish(book)
        book.done(begun.id)
        book.done("unknown")
        assert not (await ended(book, begun.id)).is_done
        book.done(begun.id)
        assert book.snapshot().ended[0].is_done
    async with opened(make_ciba_client, tmp_path / "desk.db") as book:
        assert book.snapshot().ended[0].is_done


async def test_a_desk_that_stops_says_so_and_starts_nothing(make_ciba_client: MakeClient) -> None:
    """Whoever watches sees that what is open goes on."""
    async with opened(make_ciba_client) as book:
        await swedish(book)
        watching = asyncio.create_task(_last(book))
        await asyncio.sleep(0)
        book.stop()
        with pytest.raises(UsageError) as refused:
            await swedish(book, number=OTHER_SWEDE)
        assert refused.value.code == "closed"
        assert await watching
    assert repr(book) == "<DeskBook of 1 logins>"


async def _last(book: DeskBook) -> bool:
    return [snapshot.stopping async for snapshot in book.snapshots()][-1]


async def test_a_person_asked_by_a_login_that_the_desk_does_not_know(make_ciba_client: MakeClient) -> None:
    """The agent hears that they are being asked, and when they can be asked again."""
    async with opened(make_ciba_client) as book:
        first = await swedish(book)
        del book._entries[first.id]
        with pytest.raises(AlreadyPending) as refused:
            await swedish(book)
        assert refused.value.until is not None
        book._entries[first.id] = first


async def test_a_bug_leaves_no_call_that_waits_for_ever(
    make_ciba_client: MakeClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The end is unknown, and the log says why; nothing else is."""
    async with opened(make_ciba_client) as book:
        with monkeypatch.context() as broken:
            broken.setattr("idura_ciba.fleet.login.FleetLogin.outcome", broken_outcome)
            broken.setattr("idura_ciba.fleet.login.FleetLogin.updates", broken_outcome)
            async with asyncio.timeout(60):
                entry = await ended(book, (await swedish(book)).id)
        assert (entry.verdict, entry.code) == ("unknown", "indeterminate")
        assert "a bug" in caplog.text
        assert not book._logins


def broken_outcome(_: object) -> None:
    """As nothing should be."""
    raise KeyError


async def test_a_request_on_its_way_can_be_cancelled(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """As soon as the provider has it: before that, there is nothing to stop waiting for."""
    simulated_idura.script(SWEDE, Script.approve(after=30))
    simulated_idura.faults = [on("bc-authorize", Fault.delay(3.0))]
    async with opened(make_ciba_client) as book:
        id_ = new_id()
        asking = asyncio.create_task(swedish(book, id_))
        await asyncio.sleep(1)
        assert await book.cancel(id_)
        assert (await ended(book, id_)).verdict == "stopped"
        assert (await asking).id == id_
        assert not await book.cancel(id_)


async def test_whoever_is_asked_after_midnight_has_a_number_of_their_own(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Numbers begin again each day, and yesterday's last calls are still on the desk."""
    for person in (SWEDE, NORWEGIAN):
        simulated_idura.script(person, Script.never())
    inner, shift = virtual_clock(), 0.0
    async with DeskBook(make_ciba_client(), clock=Clock(wall=lambda: inner.wall() + shift)) as book:
        today = datetime.fromtimestamp(inner.wall()).astimezone()
        shift = (today.replace(hour=23, minute=59, second=0) - today).total_seconds()
        assert (await swedish(book)).nth == 1
        await asyncio.sleep(90)
        assert (await norwegian(book)).nth == 2
