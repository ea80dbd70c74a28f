"""Tests of files of results: what a line says, and that a crash neither loses one nor doubles it."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import re
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from idura_ciba import CibaClient, State
from idura_ciba.batch import Journal, Result, verify_many
from idura_ciba.batch.store import Entry, Phase
from idura_ciba.batch.writing import ResultFile, render
from idura_ciba.errors import UsageError
from idura_ciba.redaction import Redacted
from idura_ciba.simulator import Script, SimulatedIdura
from tests.fakes import swedes, swedish_number

Form = Literal["csv", "jsonl"]
Open = Callable[..., AbstractAsyncContextManager[tuple[ResultFile, Journal]]]

HEADER = b"key,state,code,explanation,subject,person_confirmed,acr,trace_id,asked_at,ended_at,polls,waited"
FORMS: tuple[Form, ...] = ("csv", "jsonl")


@pytest.fixture(name="open_results")
def _open_results(path: Path, make_ciba_client: Callable[..., CibaClient]) -> Open:
    """Opens the results of one batch beside its journal, as often as it runs."""

    @asynccontextmanager
    async def open_results(form: Form, claims: tuple[str, ...] = ()) -> AsyncIterator[tuple[ResultFile, Journal]]:
        results = ResultFile(path.with_suffix(f".{form}"), form, claims)
        try:
            async with make_ciba_client() as client, Journal(path, client, output=results) as journal:
                await results.open(journal)
                yield results, journal
        finally:
            results.close()

    return open_results


def entry(key: str, phase: Phase = Phase.ENDED, state: str | None = "approved") -> Entry:
    """One person in the journal."""
    token = Redacted("token") if phase is Phase.ACCEPTED else None
    answer = b"answer" if phase is Phase.ENDED else None
    return Entry(key, b"p" * 16, phase, 1, 100.0, 220.0, token=token, state=state, answer=answer)


def approved(key: str) -> Result:
    """What came of that person."""
    return Result(key=key, state=State.APPROVED, claims={"name": "Å"})


def lines(form: Form, *keys: str) -> bytes:
    """A whole file."""
    header = HEADER + b"\r\n" if form == "csv" else b""
    return header + b"".join(render(approved(key), form, ()) for key in keys)


async def hand_over(results: ResultFile, journal: Journal, *keys: str) -> None:
    """Write results, and hear that they arrived."""
    for key in keys:
        results.write(approved(key))
        journal.deliver(entry(key, Phase.DELIVERED))
    await journal.flush()


async def crash_after(results: ResultFile, journal: Journal, *keys: str) -> None:
    """Write results of which the journal hears no more."""
    for key in keys:
        await journal.write(entry(key))
        results.write(approved(key))


def names(folder: Path) -> set[str]:
    """What is in a folder."""
    return {file.name for file in folder.iterdir()}


def cells(line: bytes) -> list[str]:
    """A line of CSV, read again."""
    (row,) = csv.reader(io.StringIO(line.decode(), newline=""), strict=True)
    return row


# --- one line ---------------------------------------------------------------------------------------------------------

RESULT = Result(
    key="k-1",
    state=State.DENIED,
    code="denied",
    explanation="The person said no, and that is that.",
    subject="{s}",
    person_confirmed=False,
    acr="urn:x",
    trace_id="0123",
    claims={"name": "Åse", "address": {"city": "Ås"}, "age": -7},
    asked_at=1_767_225_600.0,
    ended_at=1_767_225_607.1234,
    polls=3,
    slow_downs=1,
    waited=True,
)


def test_a_line_of_json_says_everything() -> None:
    """All claims included, with instants that people can read, and in ASCII."""
    line = render(RESULT, "jsonl", ("name",))
    assert line.isascii()
    assert line.endswith(b"}\n")
    assert json.loads(line) == {
        "key": "k-1",
        "state": "denied",
        "code": "denied",
        "explanation": "The person said no, and that is that.",
        "subject": "{s}",
        "person_confirmed": False,
        "acr": "urn:x",
        "trace_id": "0123",
        "asked_at": "2026-01-01T00:00:00.000+00:00",
        "ended_at": "2026-01-01T00:00:07.123+00:00",
        "polls": 3,
        "waited": True,
        "claims": {"name": "Åse", "address": {"city": "Ås"}, "age": -7},
    }


def test_a_line_of_csv_has_the_claims_that_were_named() -> None:
    """In that order; one that is missing is empty, and one that is no text is JSON."""
    line = render(RESULT, "csv", ("address", "gone", "age", "name"))
    assert line.decode() == (
        'k-1,denied,denied,"The person said no, and that is that.",{s},false,urn:x,0123,'
        "2026-01-01T00:00:00.000+00:00,2026-01-01T00:00:07.123+00:00,3,true,"
        '"{""city"": ""Ås""}",,-7,Åse\r\n'
    )


def test_what_is_not_known_is_empty() -> None:
    """Nobody was asked: no instant, no code."""
    line = render(Result(key="k", state=State.ABANDONED), "csv", ())
    assert line == b"k,abandoned,,,,,,,,,0,false\r\n"


@pytest.mark.parametrize(
    ("claim", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+1+1", "'+1+1"),
        ("-cmd|'/C calc'!A0", "'-cmd|'/C calc'!A0"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1+1", "'\t=1+1"),
        ("=HYPERLINK(1)\n", "'=HYPERLINK(1)"),
        ("Anna;=1+1", "Anna;'=1+1"),
        ("Anna\t@SUM(1)", "Anna\t'@SUM(1)"),
        ("Anna\r=1+1", "Anna =1+1"),
        ("a,+cmd|-2;3", "a,'+cmd|-2;3"),
        ("\uff1d1+1", "'\uff1d1+1"),
        (" =1+1", "' =1+1"),
        ("Oslo;-5", "Oslo;-5"),
        ("+46 70 174 06 05", "+46 70 174 06 05"),
        ("-12.5", "-12.5"),
        (-12.5, "-12.5"),
        ("a=b", "a=b"),
        ("-", "-"),
        (["=1"], '["=1"]'),
    ],
    ids=repr,
)
def test_no_claim_calculates_in_a_spreadsheet(claim: object, cell: str) -> None:
    """And what is only a number stays one."""
    assert cells(render(Result(key="k", state=State.APPROVED, claims={"c": claim}), "csv", ("c",)))[-1] == cell


_TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('=+-@\t\r\n\x85\u2028",; '), max_size=12)
_JSON = st.recursive(st.none() | st.booleans() | st.integers() | _TEXT, lambda inner: st.lists(inner, max_size=3))


@given(_TEXT, _TEXT, _JSON)
def test_one_result_is_one_line(key: str, explanation: str, claim: Any) -> None:
    """Whatever is in it, and it is read as it was written, but for line breaks and the mark of what is no formula."""
    result = Result(key=key, state=State.FAILED, explanation=explanation, claims={"c": claim})
    read = json.loads(render(result, "jsonl", ()))
    assert (read["key"], read["explanation"], read["claims"]) == (key, explanation, {"c": claim})
    line = render(result, "csv", ("c",))
    assert len(line.decode().splitlines()) == len(line.splitlines()) == 1
    for written, value in zip((row := cells(line))[:4:3], (key, explanation), strict=True):
        # A mark stands in front of the cell, or within it where a spreadsheet may split.
        one, other = (re.sub(r"(^|[;,|\t])'", r"\1", text).split() for text in (written, value))
        assert one == other
    assert not any(cell[:1] in {"=", "+", "-", "@", "\t"} and any(map(str.isalpha, cell)) for cell in row)


# --- the file ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
async def test_each_run_adds_to_the_file(open_results: Open, path: Path, form: Form) -> None:
    """Under one header, and for its owner only."""
    async with open_results(form) as (results, journal):
        await hand_over(results, journal, "a", "b")
        assert results.position() == len(lines(form, "a", "b"))
    async with open_results(form) as (results, journal):
        assert results.position() == await journal.fact("position") == len(lines(form, "a", "b"))
        await hand_over(results, journal, "c")
    file = path.with_suffix(f".{form}")
    assert file.read_bytes() == lines(form, "a", "b", "c")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_the_header_names_the_claims(open_results: Open, path: Path) -> None:
    """Also one that looks like a formula."""
    async with open_results("csv", ("name", "=1+1")) as (results, _):
        results.write(approved("a"))
    first, second = path.with_suffix(".csv").read_bytes().splitlines()
    assert first == HEADER + b",name,'=1+1"
    assert second.endswith(",Å,".encode())


@pytest.mark.unmeasured
@pytest.mark.parametrize("form", FORMS)
async def test_a_line_that_a_crash_cut_off_is_removed(open_results: Open, path: Path, form: Form) -> None:
    """Wherever it was cut; what was there before it stays, and what comes after it is whole."""
    file, kept = path.with_suffix(f".{form}"), lines(form, "a")
    async with open_results(form) as (results, journal):
        await hand_over(results, journal, "a")
    torn = render(approved("b"), form, ())
    for end in range(1, len(torn)):
        file.write_bytes(kept + torn[:end])
        async with open_results(form) as (results, _):
            assert results.position() == len(kept)
        assert file.read_bytes() == kept
    async with open_results(form) as (results, journal):
        await hand_over(results, journal, "b")
    assert file.read_bytes() == lines(form, "a", "b")


async def test_a_header_that_a_crash_cut_off_is_written_again(open_results: Open, path: Path) -> None:
    """Wherever it was cut; and one that is whole stays."""
    file, whole = path.with_suffix(".csv"), lines("csv")
    async with open_results("csv"):
        assert file.read_bytes() == whole
    for end in range(len(whole) + 1):
        file.write_bytes(whole[:end])
        async with open_results("csv") as (results, _):
            assert results.position() == len(whole)
        assert file.read_bytes() == whole


@pytest.mark.parametrize("form", FORMS)
async def test_whole_lines_that_the_journal_does_not_know_of_count(open_results: Open, form: Form) -> None:
    """They were handed over, so that nobody gets them again; how far the journal had come makes no difference."""
    async with open_results(form) as (results, journal):
        await crash_after(results, journal, "a", "b")
        await journal.write(entry("c", Phase.ACCEPTED, None))
        results.write(Result(key="c", state=State.DENIED, code="denied"))
        await journal.write(entry("d"))
    async with open_results(form) as (results, journal):
        assert [each.key for each in await journal.unfinished()] == ["d"]
        assert results.position() == await journal.fact("position") > 0
        for key, state, code in (("a", "approved", None), ("b", "approved", None), ("c", "denied", "denied")):
            found = await journal.find(key)
            assert found is not None
            assert (found.phase, found.state, found.code) == (Phase.DELIVERED, state, code)
            assert (found.token, found.answer, found.ended_at) == (None, None, 100.0)
        await hand_over(results, journal, "d")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "key", ["=a", "-a-", "@a", "+a", 'a"b', "a,b", "a\nb", "\r\na", "å\u2028", " a ", "5", "null"], ids=ascii
)
async def test_a_key_is_found_again_however_it_is_written(open_results: Open, path: Path, form: Form, key: str) -> None:
    """Spreadsheets want some of them marked, and no key takes two lines."""
    async with open_results(form) as (results, journal):
        await crash_after(results, journal, key, "other")
    async with open_results(form) as (_, journal):
        assert await journal.unfinished() == []
        assert len(path.with_suffix(f".{form}").read_bytes().splitlines()) == (3 if form == "csv" else 2)


@pytest.mark.parametrize("form", FORMS)
async def test_a_key_that_stood_in_the_file_twice_is_passed_over(open_results: Open, form: Form) -> None:
    """Its line is not about anybody in the journal."""
    async with open_results(form) as (results, journal):
        await hand_over(results, journal, "a")
        results.write(Result(key="a", state=State.ABANDONED, code="key_twice"))
    async with open_results(form) as (results, journal):
        assert results.position() > len(lines(form, "a"))
        found = await journal.find("a")
        assert found is not None
        assert found.state == "approved"


FOREIGN: dict[str, tuple[Form, bytes]] = {
    "words": ("jsonl", b"hello\n"),
    "words in CSV": ("csv", b"hello\r\n"),
    "an empty line": ("csv", b"\r\n"),
    "a quote": ("csv", b'"\r\n'),
    "no text": ("csv", b"\xff\n"),
    "a list": ("jsonl", b"[]\n"),
    "somebody else": ("jsonl", render(approved("x"), "jsonl", ())),
    "somebody once more": ("csv", render(approved("a"), "csv", ())),
    "the same twice": ("csv", render(approved("b"), "csv", ()) * 2),
    "another end": ("jsonl", b'{"key": "b", "state": "denied"}\n'),
    "no end": ("jsonl", b'{"key": "c", "state": "pending"}\n'),
    "an end that is none": ("jsonl", b'{"key": "c", "state": ["denied"]}\n'),
    "a key that is none": ("jsonl", b'{"key": ["b"], "state": "approved"}\n'),
    "another header": ("csv", HEADER + b",name\r\n"),
}


@pytest.mark.parametrize(("form", "foreign"), FOREIGN.values(), ids=FOREIGN)
async def test_what_is_not_of_this_batch_is_left_alone(
    open_results: Open, path: Path, form: Form, foreign: bytes
) -> None:
    """Nothing is written behind it, and nothing is taken for an answer."""
    async with open_results(form) as (results, journal):
        await hand_over(results, journal, "a")
        await journal.write(entry("b"))
        await journal.write(entry("c", Phase.INTENDED, None))
    file = path.with_suffix(f".{form}")
    changed = file.read_bytes() + foreign + b"torn"
    file.write_bytes(changed)
    with pytest.raises(UsageError) as caught:
        async with open_results(form):
            pass
    assert caught.value.code == "output_changed"
    assert file.read_bytes() == changed
    file.write_bytes(changed[: -len(foreign) - 4])
    async with open_results(form) as (_, journal):
        assert {each.key for each in await journal.unfinished()} == {"b", "c"}


async def test_a_file_that_has_lost_results_is_refused(open_results: Open, path: Path) -> None:
    """They cannot be had again, and that is not to be passed over."""
    async with open_results("jsonl") as (results, journal):
        await hand_over(results, journal, "a")
    os.truncate(path.with_suffix(".jsonl"), len(lines("jsonl", "a")) - 1)
    with pytest.raises(UsageError) as caught:
        async with open_results("jsonl"):
            pass
    assert caught.value.code == "output_changed"


@pytest.mark.parametrize(("form", "claims"), [("jsonl", ("name",)), ("csv", ()), ("csv", ("age",))])
async def test_the_settings_of_a_batch_stay(open_results: Open, form: Form, claims: tuple[str, ...]) -> None:
    """Half a file in another format, or with other columns, is no use to anybody."""
    async with open_results("csv", ("name",)):
        pass
    with pytest.raises(UsageError) as caught:
        async with open_results(form, claims):
            pass
    assert caught.value.code == "output_settings"


async def test_no_file_of_somebody_elses_is_written_to(open_results: Open, path: Path) -> None:
    """A new journal wants a new file, or one with nothing in it."""
    file = path.with_suffix(".jsonl")
    file.write_bytes(b"precious")
    with pytest.raises(UsageError) as caught:
        async with open_results("jsonl"):
            pass
    assert caught.value.code == "file_exists"
    assert file.read_bytes() == b"precious"
    file.write_bytes(b"")
    async with open_results("jsonl") as (results, journal):
        await hand_over(results, journal, "a")
    assert file.read_bytes() == lines("jsonl", "a")


async def test_a_file_is_let_go(open_results: Open) -> None:
    """Once, however often that is asked for."""
    async with open_results("jsonl") as (results, _):
        descriptor = results._descriptor()
    results.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


async def test_a_file_that_cannot_be_written_is_an_error_at_once(open_results: Open, path: Path) -> None:
    """Before anybody is asked."""
    path.with_suffix(".jsonl").mkdir()
    with pytest.raises(UsageError, match="cannot be written: Is a directory") as caught:
        async with open_results("jsonl"):
            pass
    assert caught.value.code == "file"


@pytest.mark.parametrize("form", FORMS)
async def test_a_full_disk_loses_nothing(
    open_results: Open, path: Path, monkeypatch: pytest.MonkeyPatch, form: Form
) -> None:
    """Half a line does not count as written, and once there is room the file is as it would have been."""
    real, room = os.write, [len(render(approved("a"), form, ())) + 5]

    def full(descriptor: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = real(descriptor, data[: room[0]])
        room[0] -= written
        return written

    async with open_results(form) as (results, journal):
        await journal.write(entry("a"))
        await journal.write(entry("b"))
        monkeypatch.setattr(os, "write", full)
        results.write(approved("a"))
        with pytest.raises(UsageError, match="No space left") as caught:
            results.write(approved("b"))
        monkeypatch.undo()
        assert caught.value.code == "output"
        assert results.position() == len(lines(form, "a"))
    async with open_results(form) as (results, journal):
        assert [each.key for each in await journal.unfinished()] == ["b"]
        await hand_over(results, journal, "b")
    assert path.with_suffix(f".{form}").read_bytes() == lines(form, "a", "b")


async def test_a_line_that_is_written_in_pieces_is_whole(
    open_results: Open, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel may take less than it is given."""
    real = os.write
    async with open_results("csv") as (results, journal):
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:3]))
            results.write(approved("a"))
        assert results.position() == len(lines("csv", "a"))
        await journal.write(entry("a"))
    assert path.with_suffix(".csv").read_bytes() == lines("csv", "a")


async def test_what_counts_as_handed_over_is_on_the_disk(
    open_results: Open, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal hears of a position once nothing before it can be lost."""
    safe: list[int] = []
    async with open_results("jsonl") as (results, journal):
        file = path.with_suffix(".jsonl")
        monkeypatch.setattr(results, "sync", lambda: safe.append(file.stat().st_size))
        await hand_over(results, journal, "a", "b")
        assert safe[-1] == await journal.fact("position") == len(lines("jsonl", "a", "b"))
        monkeypatch.undo()
        synced: list[int] = []
        monkeypatch.setattr(os, "fsync", synced.append)
        results.sync()
        assert synced == [results._descriptor()]
        monkeypatch.undo()
    results.close()


@pytest.mark.parametrize("form", FORMS)
async def test_a_batch_that_is_stopped_again_and_again_tells_of_everybody_once(
    open_results: Open,
    path: Path,
    make_ciba_client: Callable[..., CibaClient],
    simulated_idura: SimulatedIdura,
    form: Form,
) -> None:
    """Also where each stop comes after a line was written and before the journal heard of it."""
    for nth in range(6):
        simulated_idura.script(swedish_number(nth), Script.approve(after=4 + nth))
    ran = 0
    unfinished = True
    while unfinished:
        unfinished, ran = False, ran + 1
        async with open_results(form, ("name",)) as (results, journal), make_ciba_client() as client:
            asking = verify_many(client, swedes(6), journal=journal, claims=["name"])
            async with aclosing(asking) as given:
                async for result in given:
                    results.write(result)
                    unfinished = True
                    break
    assert ran > 3
    found = path.with_suffix(f".{form}").read_bytes().splitlines()[form == "csv" :]
    keys = [line.split(b",")[0].decode() if form == "csv" else json.loads(line)["key"] for line in found]
    assert sorted(keys) == [key for key, _ in swedes(6)]
    assert all(b"approved" in line for line in found)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("had", [0, 1])
async def test_a_file_of_somebody_elses_stays_as_it_is(open_results: Open, path: Path, form: Form, had: int) -> None:
    """Also where the journal has been used before, and where the file has no line end that would be looked at."""
    file = path.with_suffix(f".{form}")
    async with open_results(form) as (results, journal):
        await hand_over(results, journal, *["a"][:had])
    precious = b"precious notes without any end of a line" * 20
    file.write_bytes(precious)
    with pytest.raises(UsageError) as caught:
        async with open_results(form):
            pass
    assert caught.value.code == "output_changed"
    assert file.read_bytes() == precious


async def test_a_power_failure_may_leave_zeros(open_results: Open, path: Path) -> None:
    """After half a line or instead of it."""
    file, kept = path.with_suffix(".jsonl"), lines("jsonl", "a")
    async with open_results("jsonl") as (results, journal):
        await hand_over(results, journal, "a")
    for rest in (b"\0" * 100, b'{"ke' + b"\0" * 9, b'{"key": "b", "sta' + b"\0"):
        file.write_bytes(kept + rest)
        async with open_results("jsonl"):
            pass
        assert file.read_bytes() == kept


async def test_the_file_stays_the_same_wherever_the_program_goes(
    open_results: Open, path: Path, tmp_path: Path, make_ciba_client: Callable[..., CibaClient], monkeypatch: Any
) -> None:
    """Paths are resolved once, and links are followed: files and journal stand where they lead to."""
    del open_results, path
    disk, elsewhere = tmp_path / "disk", tmp_path / "elsewhere"
    disk.mkdir()
    elsewhere.mkdir()
    monkeypatch.chdir(tmp_path)
    for name in ("results.csv", "journal"):
        (tmp_path / name).symlink_to(disk / name)
    async with make_ciba_client() as client:
        results = ResultFile(Path("results.csv"), "csv")
        journal = Journal(Path("journal"), client, output=results)
        monkeypatch.chdir(elsewhere)
        async with journal:
            await results.open(journal)
            await hand_over(results, journal, "a")
            assert names(disk) >= {"results.csv", "journal", "journal-marks", "journal-wal"}
        results.close()
    assert (disk / "results.csv").read_bytes() == lines("csv", "a")
    assert names(elsewhere) == set()
    assert names(tmp_path) == {"disk", "elsewhere", "results.csv", "journal"}


async def test_a_spreadsheet_opens_it_with_the_columns_of_its_own(path: Path, make_ciba_client: Any) -> None:
    """Semicolons, a byte order mark, the user's own columns under their names, and all of it again after a crash."""
    file = path.with_suffix(".csv")

    async def run(*keys: str, crash: bool) -> None:
        results = ResultFile(file, "csv", ("name",), keep=("Ort", "state"), excel=True)
        async with make_ciba_client() as client, Journal(path, client, output=results) as journal:
            await results.open(journal)
            for key in keys:
                await journal.write(entry(key))
                results.write(approved(key), {"Ort": "Ås;=1+1", "state": "old", "other": "no"})
                if not crash:
                    journal.deliver(entry(key, Phase.DELIVERED))
        results.close()

    await run("a", crash=True)
    file.write_bytes(file.read_bytes() + b"b;appro")
    await run("b", crash=False)
    content = file.read_bytes()
    assert content.startswith(b"\xef\xbb\xbfkey;state;")
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), delimiter=";"))
    assert [(row["key"], row["state"], row["name"], row["Ort"], row["input_state"]) for row in rows] == [
        (key, "approved", "Å", "Ås;'=1+1", "old") for key in ("a", "b")
    ]
    results = ResultFile(file, "csv", ("name",), keep=("Ort", "state"))
    async with make_ciba_client() as client, Journal(path, client, output=results) as journal:
        with pytest.raises(UsageError) as caught:
            await results.open(journal)
    assert caught.value.code == "output_settings"
