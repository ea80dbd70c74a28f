"""Tests of the journal's file: what stands in it, and every way in which it can be unusable."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sqlite3
import stat
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from idura_ciba import CibaClient
from idura_ciba.batch import store as module
from idura_ciba.batch.sealing import Sealing
from idura_ciba.batch.store import Change, Entry, Phase, Store
from idura_ciba.errors import JournalError
from idura_ciba.redaction import Redacted


def entry(key: str = "a", phase: Phase = Phase.INTENDED, **other: object) -> Entry:
    """An entry."""
    made = Entry(key, b"p" * 16, phase, 1, 100.0, 220.0)
    for name, value in other.items():
        setattr(made, name, value)
    return made


def put(store: Store, *entries: Entry) -> None:
    """Write entries."""
    store.apply([Change(each.values()) for each in entries])


def filled(path: Path, sealing: Sealing, count: int = 200) -> None:
    """Make a journal with entries, and close it."""
    store = Store(path, sealing)
    put(store, *(entry(f"key-{nth}", Phase.DELIVERED, state="approved", ended_at=110.0) for nth in range(count)))
    store.close()


def stored(path: Path, sealing: Sealing) -> list[Entry]:
    """What stands in a journal."""
    with closing(Store(path, sealing)) as store:
        return list(store)


@pytest.fixture(name="store")
async def _store(path: Path, sealing: Sealing) -> AsyncIterator[Store]:
    """An empty one."""
    with closing(Store(path, sealing)) as store:
        yield store


def test_what_was_written_is_read(store: Store, path: Path, sealing: Sealing) -> None:
    """Every value of it, by another process."""
    whole = entry(
        "Ø 1", Phase.ENDED, token=Redacted("t"), state="denied", code="denied", ended_at=1.25, polls=3, slow_downs=1,
        waited=True, answer=b"\0\1", mark=1 << 40,
    )  # fmt: skip
    put(store, whole)
    store.close()
    (found,) = stored(path, sealing)
    assert found.values() == whole.values()
    assert type(found.token) is Redacted
    assert "t" not in repr(found).split("token")
    assert found.phase is Phase.ENDED
    assert found.waited is True


def test_questions_about_entries(store: Store) -> None:
    """By key, by what is left to do, by who may have a prompt, by who was asked."""
    put(
        store,
        entry("done", Phase.DELIVERED, state="approved", ended_at=1.0, until=1.0),
        entry("late", Phase.ENDED, asked_at=3.0),
        entry("begun", Phase.ACCEPTED, asked_at=2.0, until=500.0),
        entry("open", asked_at=1.0, until=400.0),
    )
    assert [each.key for each in store.unfinished()] == ["open", "begun", "late"]
    assert store.find("done")
    assert store.find("none") is None
    assert store.held(300.0) == {b"p" * 16: 400.0}
    assert store.held(400.0) == {}
    assert store.was_asked(b"p" * 16, "another")
    assert not store.was_asked(b"q" * 16, "another")
    assert len(list(store)) == 4


def test_an_entry_is_new_once(store: Store) -> None:
    """A second one with its key changes nothing."""
    assert store.apply([Change(entry().values(), is_new=True)]) == [True]
    assert store.apply([Change(entry(polls=9).values(), is_new=True), Change(entry("b").values())]) == [False, True]
    found = store.find("a")
    assert found
    assert found.polls == 0
    store.apply([Change(forget="a")])
    assert store.find("a") is None


def test_output_is_durable_before_it_is_accounted_for(store: Store) -> None:
    """And no sooner asked for than that."""
    called: list[object] = []

    def sync() -> None:
        called.append(store.fact("position"))

    store.apply([Change(entry().values())], sync)
    assert called == []
    store.apply([Change(entry().values(), position=10), Change(position=25)], sync)
    assert called == [None]
    assert store.fact("position") == 25


def test_only_its_owner_may_read_it(store: Store, path: Path) -> None:
    """And what stands beside it."""
    put(store, entry())
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_what_was_committed_survives_a_kill(path: Path, sealing: Sealing) -> None:
    """Without closing, and with the run after it knowing which it is."""
    child = os.fork()
    if not child:
        store = Store(path, sealing)
        put(store, entry("kept"))
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    with closing(Store(path, sealing)) as store:
        assert [each.key for each in store] == ["kept"]
        assert store.run == 2


def test_nothing_of_what_was_handed_over_is_left(store: Store, path: Path) -> None:
    """Not even in what SQLite keeps of overwritten pages."""
    put(store, entry(answer=b"CANARY-ANSWER", token=Redacted("CANARY-TOKEN")))
    put(store, entry(phase=Phase.DELIVERED))
    store.close()
    assert b"CANARY" not in b"".join(file.read_bytes() for file in path.parent.iterdir())


def test_purging_forgets_what_is_over_and_old(store: Store, path: Path) -> None:
    """And gives back the room."""
    done = [entry(f"{nth}", Phase.DELIVERED, state="denied", ended_at=float(nth)) for nth in range(2000)]
    put(store, *done, entry("open"))
    before = path.stat().st_size + Path(f"{path}-wal").stat().st_size
    assert store.purge(1500.0) == 1500
    assert len(list(store)) == 501
    assert store.purge() == 500
    assert [each.key for each in store] == ["open"]
    assert path.stat().st_size < before / 4


# --- what makes it unusable -------------------------------------------------------------------------------------------


def refused(path: Path, sealing: Sealing) -> JournalError:
    """The error of opening it; the file is as it was."""
    before = path.read_bytes()
    with pytest.raises(JournalError) as caught:
        Store(path, sealing)
    assert path.read_bytes() == before
    assert str(path) in str(caught.value)
    assert "then run again" in caught.value.advice
    return caught.value


def test_a_second_runner_is_told(store: Store, path: Path, sealing: Sealing) -> None:
    """In this process and in another, and loses nothing for the first."""
    assert refused(path, sealing).code == "journal_locked"
    child = os.fork()
    if not child:
        try:
            Store(path, sealing)
        except JournalError as error:
            os._exit(7 if error.code == "journal_locked" else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    put(store, entry())
    store.close()
    assert len(stored(path, sealing)) == 1


@contextmanager
def nobody() -> Iterator[None]:
    """Be somebody whom permissions bind."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_journal_that_may_not_be_written_is_named(sealing: Sealing) -> None:
    """Nobody is asked with a journal that notes nothing."""
    # Not tmp_path: the folders above it are closed to others.
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o755)
        path = folder / "j"
        filled(path, sealing)
        path.chmod(0o444)
        with nobody():
            assert refused(path, sealing).code == "journal_readonly"
            with pytest.raises(JournalError) as caught:
                Store(folder / "none" / "j", sealing)
            assert caught.value.code == "journal_unusable"
    finally:
        path.chmod(0o600)
        shutil.rmtree(folder)


def test_a_full_disk_changes_nothing(path: Path, sealing: Sealing) -> None:
    """What was there is there, and goes on when there is room again."""
    store = Store(path, sealing, max_pages=12)
    put(store, entry("kept"))
    with pytest.raises(JournalError) as caught:
        put(store, *(entry(f"{nth}", token=Redacted("t" * 1000)) for nth in range(200)))
    assert caught.value.code == "journal_full"
    assert [each.key for each in store] == ["kept"]
    store.close()
    with closing(Store(path, sealing)) as store:
        put(store, entry("more"))
        assert len(list(store)) == 2


def test_a_file_that_may_not_grow_is_a_full_disk_or_a_broken_one(path: Path, sealing: Sealing) -> None:
    """As the kernel tells it, and not as a setting of SQLite does."""
    child = os.fork()
    if not child:
        store = Store(path, sealing)
        put(store, entry("kept"))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            put(store, *(entry(f"{nth}", token=Redacted("t" * 1000)) for nth in range(200)))
        except JournalError as error:
            os._exit(7 if error.code in {"journal_full", "journal_unusable"} else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert [each.key for each in stored(path, sealing)] == ["kept"]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_a_truncated_journal_is_noticed(path: Path, sealing: Sealing, share: float) -> None:
    """Wherever it was cut; an empty file alone is a new one, and that loses everything, so it is one of the cases."""
    filled(path, sealing)
    os.truncate(path, int(path.stat().st_size * share) or 1)
    assert refused(path, sealing).code == "journal_damaged"


def test_no_bit_can_flip_unnoticed(path: Path, sealing: Sealing) -> None:
    """In what is used of the file: it is refused, or it says what it said before."""
    filled(path, sealing, count=30)
    good = path.read_bytes()
    expected = [each.values() for each in stored(path, sealing)]
    codes: dict[str, int] = {}
    for place in range(0, len(good), 37):
        for file in path.parent.iterdir():
            file.unlink()
        path.write_bytes(good[:place] + bytes((good[place] ^ (1 << place % 8),)) + good[place + 1 :])
        try:
            store = Store(path, sealing)
        except JournalError as error:
            codes[error.code] = codes.get(error.code, 0) + 1
        else:
            assert [each.values() for each in store] == expected
            store.close()
    assert codes.pop("journal_damaged") > 50
    # In the first page: the name of the format, the version, the application.
    assert sum(codes.values()) < 10


def test_an_entry_that_somebody_changed_is_noticed(path: Path, sealing: Sealing) -> None:
    """A denial that becomes an approval, above all."""
    store = Store(path, sealing)
    put(store, entry("a", Phase.ENDED, state="denied"))
    store.close()
    with sqlite3.connect(path) as database:
        database.execute("UPDATE entry SET state = 'approved'")
    database.close()
    assert refused(path, sealing).code == "journal_damaged"


def test_a_log_that_is_gone_is_noticed(path: Path, sealing: Sealing) -> None:
    """Whoever copies a journal after a crash must copy what stands beside it."""
    child = os.fork()
    if not child:
        put(Store(path, sealing), entry("asked"))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    Path(f"{path}-wal").unlink()
    error = refused(path, sealing)
    assert error.code == "journal_damaged"
    assert f"{path}-wal" in str(error)


def test_a_bit_that_flipped_in_the_log_is_noticed(path: Path, sealing: Sealing) -> None:
    """What was committed before a kill stands there and nowhere else."""
    child = os.fork()
    if not child:
        store = Store(path, sealing)
        for nth in range(5):
            put(store, entry(f"{nth}"))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    wal = Path(f"{path}-wal")
    content = bytearray(wal.read_bytes())
    content[len(content) // 2] ^= 1
    wal.write_bytes(content)
    error = refused(path, sealing)
    assert error.code == "journal_damaged"
    assert "-wal" in str(error)


@pytest.mark.parametrize("content", [b"", b"key,ssn\n", b"SQLite format 3\0" + b"\1" * 5000])
def test_what_is_no_database_is_refused(path: Path, sealing: Sealing, content: bytes) -> None:
    """And left as it is."""
    path.write_bytes(content)
    assert refused(path, sealing).code == "journal_damaged"


def test_another_programs_database_is_refused(path: Path, sealing: Sealing) -> None:
    """And left as it is."""
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE t (x)")
    database.close()
    with pytest.raises(JournalError) as caught:
        Store(path, sealing)
    assert caught.value.code == "journal_foreign"


def test_a_newer_version_is_refused(path: Path, sealing: Sealing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both versions are named; the newer program goes on with it."""
    monkeypatch.setattr(module, "MIGRATIONS", [*module.MIGRATIONS, "CREATE TABLE more (x)"])
    filled(path, sealing)
    monkeypatch.undo()
    error = refused(path, sealing)
    assert error.code == "journal_version"
    assert "has version 2, but this program reads only up to 1" in str(error)


def test_an_older_version_is_brought_up_to_date(path: Path, sealing: Sealing, monkeypatch: pytest.MonkeyPatch) -> None:
    """All at once or not at all, and nothing is lost."""
    filled(path, sealing, count=3)
    monkeypatch.setattr(module, "MIGRATIONS", [*module.MIGRATIONS, "CREATE TABLE more (x); SELECT nonsense"])
    with pytest.raises(JournalError):
        Store(path, sealing)
    monkeypatch.setattr(module, "MIGRATIONS", [module.MIGRATIONS[0], "CREATE TABLE more (x); CREATE TABLE most (y)"])
    store = Store(path, sealing)
    assert len(list(store)) == 3
    assert store._version() == (2,)
    store.close()
    assert len(stored(path, sealing)) == 3


async def test_another_clients_journal_is_refused(
    path: Path, sealing: Sealing, make_ciba_client: Callable[..., CibaClient]
) -> None:
    """Its tags and answers would mean nothing."""
    filled(path, sealing)
    async with make_ciba_client(resume_secret=b"s" * 32) as other:
        assert refused(path, Sealing.of(other)).code == "journal_owner"


def test_an_error_of_reading_is_one_of_ours(store: Store) -> None:
    """No exception of SQLite crosses the edge."""
    store.close()
    store.close()
    with pytest.raises(JournalError):
        list(store)
    with pytest.raises(JournalError):
        store.purge()
    with pytest.raises(JournalError):
        put(store, entry())
    with pytest.raises(JournalError):
        store.note("a", 1)


def test_a_journal_in_memory_leaves_nothing(sealing: Sealing, tmp_path: Path) -> None:
    """For trials."""
    store = Store(None, sealing)
    put(store, entry())
    assert len(list(store)) == 1
    store.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("link", ["file", "folder", "chain"])
def test_a_journal_behind_a_link_survives_a_kill(tmp_path: Path, sealing: Sealing, link: str) -> None:
    """Its log stands beside the target of the link, and is looked for there, missing or damaged."""
    disk, here = tmp_path / "disk", tmp_path / "here"
    disk.mkdir()
    if link == "folder":
        here.symlink_to(disk)
    else:
        here.mkdir()
        (here / "journal").symlink_to(tmp_path / "between" if link == "chain" else disk / "journal")
        (tmp_path / "between").symlink_to(disk / "journal")
    Store(here / "journal", sealing).close()
    child = os.fork()
    if not child:
        put(Store(here / "journal", sealing), entry("a", Phase.ACCEPTED))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    log = disk / "journal-wal"
    whole = log.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    log.write_bytes(flipped)
    with pytest.raises(JournalError) as caught:
        Store(here / "journal", sealing)
    assert caught.value.code == "journal_damaged"
    log.write_bytes(whole)
    assert [each.key for each in stored(here / "journal", sealing)] == ["a"]
    assert link == "folder" or [each.name for each in here.iterdir()] == ["journal"]


def test_a_second_name_of_a_journal_is_told(tmp_path: Path, sealing: Sealing) -> None:
    """The log stands beside the name that was used, and nothing is damaged."""
    one, other = tmp_path / "one", tmp_path / "other"
    Store(one, sealing).close()
    other.hardlink_to(one)
    child = os.fork()
    if not child:
        put(Store(one, sealing), entry("a", Phase.ACCEPTED))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    with pytest.raises(JournalError) as caught:
        Store(other, sealing)
    assert caught.value.code == "journal_linked"
    assert [each.key for each in stored(one, sealing)] == ["a"]
