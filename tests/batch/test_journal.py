"""Tests of the journal as asyncio sees it. What stands in the file is tested in `test_store.py`."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from idura_ciba import CibaClient
from idura_ciba.batch import Journal
from idura_ciba.batch.sealing import Sealing
from idura_ciba.batch.store import Entry, Phase, Store
from idura_ciba.errors import JournalError
from idura_ciba.testing import run_virtual

MakeClient = Callable[..., CibaClient]
OpenJournal = Callable[[CibaClient], Journal]


def entry(key: str = "a", phase: Phase = Phase.INTENDED) -> Entry:
    """An entry."""
    return Entry(key, b"p" * 16, phase, 1, 100.0, 220.0)


class Output:
    """An output that counts."""

    def __init__(self, error: OSError | None = None) -> None:
        self.written = 0
        self.synced: list[int] = []
        self._error = error

    def position(self) -> int:
        """How much has been written."""
        return self.written

    def sync(self) -> None:
        """Remember how much that was, or fail."""
        if self._error is not None:
            raise self._error
        self.synced.append(self.written)


async def test_what_is_written_is_there_for_the_next_run(make_ciba_client: MakeClient, journal: OpenJournal) -> None:
    """Whether anybody waited for it or not."""
    async with make_ciba_client() as ciba:
        async with journal(ciba) as first:
            assert first.run == 1
            assert await first.begin(entry("new"))
            assert not await first.begin(entry("new"))
            await first.write(entry("waited"))
            first.write_soon(entry("soon", Phase.ACCEPTED))
            first.deliver(entry("told", Phase.DELIVERED))
            await first.write(entry("withdrawn"))
            await first.forget("withdrawn")
            await first.note("setting", "x")
        async with journal(ciba) as second:
            assert second.run == 2
            assert await second.read(lambda store: sorted(each.key for each in store)) == [
                "new", "soon", "told", "waited",
            ]  # fmt: skip
            assert sorted(each.key for each in await second.unfinished()) == ["new", "soon", "waited"]
            assert await second.fact("setting") == "x"
            assert await second.held(0.0) == {b"p" * 16: 220.0}
            assert await second.purge(1e12) == 0
            found = await second.find("soon")
            assert found
            assert found.phase is Phase.ACCEPTED


async def test_changes_that_come_together_are_committed_together(
    make_ciba_client: MakeClient, journal: OpenJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hundred that begin at once cost a few commits, in the order in which they were made."""
    sizes: list[int] = []
    apply = Store.apply

    def count(store: Store, changes: list[object], *arguments: object) -> object:
        sizes.append(len(changes))
        return apply(store, changes, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Store, "apply", count)
    async with make_ciba_client() as ciba, journal(ciba) as open_journal:
        await asyncio.gather(*(open_journal.begin(entry(str(nth))) for nth in range(100)))
        assert sum(sizes) == 100
        assert len(sizes) <= 2
        sizes.clear()
        for nth in range(50):
            open_journal.deliver(entry(str(nth), Phase.DELIVERED))
        await asyncio.sleep(1)
        assert sizes == [50]


async def test_results_are_safe_before_they_count_as_handed_over(make_ciba_client: MakeClient, path: Path) -> None:
    """In one commit with how far the output goes."""
    output = Output()
    async with make_ciba_client() as ciba, Journal(path, ciba, output=output) as journal:
        await journal.write(entry())
        assert output.synced == []
        output.written = 70
        journal.deliver(entry(phase=Phase.DELIVERED))
        output.written = 140
        await journal.flush()
        assert output.synced == [140]
        assert await journal.fact("position") == 70
        await journal.account([entry("b", Phase.DELIVERED)], 100)
        assert await journal.fact("position") == 100


async def test_a_journal_that_cannot_be_written_says_so_from_then_on(
    make_ciba_client: MakeClient, journal: OpenJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To those who wait, to those who come later, and in the end; each with an error of their own."""
    full = JournalError("there is no room", code="journal_full")

    def fail(_store: Store, *_arguments: object) -> None:
        raise full

    async with make_ciba_client() as ciba:
        with pytest.raises(JournalError) as last:  # noqa: PT012 - what is raised at its end is meant
            async with journal(ciba) as open_journal:
                monkeypatch.setattr(Store, "apply", fail)
                results = await asyncio.gather(
                    *(open_journal.begin(entry(str(nth))) for nth in range(3)), return_exceptions=True
                )
                assert [getattr(each, "code", None) for each in results] == ["journal_full"] * 3
                assert len({id(each) for each in results}) == 3
                assert open_journal.failure is not None
                open_journal.write_soon(entry("later"))
                with pytest.raises(JournalError):
                    await open_journal.write(entry("later"))
                monkeypatch.undo()
        assert last.value.code == "journal_full"
        async with journal(ciba) as again:
            assert await again.unfinished() == []


async def test_an_output_that_cannot_be_made_safe_stops_the_journal(make_ciba_client: MakeClient, path: Path) -> None:
    """Nothing counts as handed over, and the reason is told."""
    async with make_ciba_client() as ciba:
        with pytest.raises(JournalError, match="No space") as caught:
            async with Journal(path, ciba, output=Output(OSError(28, "No space left"))) as journal:
                journal.deliver(entry(phase=Phase.DELIVERED))
        assert caught.value.code == "journal_output"


async def test_a_journal_is_used_while_it_is_open(make_ciba_client: MakeClient, path: Path) -> None:
    """And in no other way; one that cannot be opened leaves no thread."""
    async with make_ciba_client() as ciba:
        closed = Journal(path, ciba)
        with pytest.raises(JournalError) as caught:
            await closed.find("a")
        assert caught.value.code == "journal_closed"
        path.write_bytes(b"something else")  # noqa: ASYNC240 - eight bytes
        with pytest.raises(JournalError) as caught:
            async with Journal(path, ciba):
                pass
        assert caught.value.code == "journal_damaged"


@pytest.mark.sockets
async def test_on_a_real_loop_it_works_in_a_thread_of_its_own(
    make_ciba_client: MakeClient, journal: OpenJournal
) -> None:
    """The loop goes on meanwhile, and somebody who is cancelled leaves the store to itself."""
    async with make_ciba_client() as ciba, journal(ciba) as open_journal:
        assert await open_journal.read(lambda _store: threading.current_thread().name) != threading.main_thread().name
        reading = asyncio.create_task(open_journal.read(list))
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait({reading})
        assert await open_journal.begin(entry())
        await asyncio.gather(*(open_journal.write(entry(str(nth))) for nth in range(50)))
        assert len(await open_journal.unfinished()) == 51


@pytest.mark.parametrize("virtual", [True, False])
def test_who_is_cancelled_while_opening_leaves_it_closed(
    make_ciba_client: MakeClient, journal: OpenJournal, virtual: bool
) -> None:
    """The next one can open it; a journal that is damaged says nothing more to nobody."""

    async def run() -> None:
        async with make_ciba_client() as ciba:
            for _ in range(2):
                left = journal(ciba)
                opening = asyncio.create_task(left.__aenter__())
                await asyncio.sleep(0)
                opening.cancel()
                await asyncio.wait({opening})
                assert opening.cancelled()
                while not left._thread._shutdown:  # noqa: ASYNC110 - no event tells of it
                    await asyncio.sleep(0)
                left._thread.shutdown(wait=True)
            async with journal(ciba) as open_journal:
                assert open_journal.run >= 2

    run_virtual(run()) if virtual else asyncio.run(run())


@pytest.mark.parametrize("ends_first", ["loop", "thread"])
def test_an_opening_that_is_given_up_leaves_no_damage(
    path: Path, make_ciba_client: MakeClient, monkeypatch: pytest.MonkeyPatch, ends_first: str
) -> None:
    """A signal may come at any moment, and the event loop may end before the thread has opened the file."""
    Store(path, make_sealing(make_ciba_client)).close()
    real, may_end = Store.__init__, threading.Event()

    def slow(store: Store, *arguments: Any, **options: Any) -> None:
        real(store, *arguments, **options)
        may_end.wait(10)

    monkeypatch.setattr(Store, "__init__", slow)
    journal = Journal(path, make_ciba_client())

    async def enter() -> None:
        task = asyncio.create_task(journal.__aenter__())
        await asyncio.sleep(0)
        if ends_first == "thread":
            may_end.set()
            journal._thread.submit(int).result()
        task.cancel()
        await asyncio.sleep(0)
        # Twice: whoever is in that much of a hurry does not wait for the thread.
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()

    asyncio.run(enter())
    may_end.set()
    journal._thread.shutdown(wait=True)
    monkeypatch.undo()
    journal._store = None
    gc.collect()
    Store(path, make_sealing(make_ciba_client)).close()


def test_who_is_cancelled_while_opening_ends_when_the_file_is_free(
    path: Path, make_ciba_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next run in the same process need not wait."""
    real = Store.close

    def slowly(store: Store) -> None:
        threading.Event().wait(0.05)  # in the journal's thread
        real(store)

    monkeypatch.setattr(Store, "close", slowly)

    async def run() -> None:
        task = asyncio.create_task(Journal(path, make_ciba_client()).__aenter__())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
        Store(path, make_sealing(make_ciba_client)).close()

    asyncio.run(run())


def make_sealing(make_ciba_client: MakeClient) -> Sealing:
    """That of the client of these tests."""
    return Sealing.of(make_ciba_client())
