"""Tests of the files of a batch."""

from __future__ import annotations

import csv
import gzip
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from idura_ciba import UsageError
from idura_ciba.batch.reading import BadRow, Row, RowReader
from idura_ciba.batch.rows import REMEDIES
from idura_ciba.cli.batch_files import BadRows, Files, column_names, count_lines, opened
from tests.fakes import swedish_number

ONE = swedish_number(1)
REMEDY = "Correct the cell, or delete the row"
DEFAULTS: dict[str, Any] = {"columns": {}, "input_format": None, "encoding": None}


def rows_of(source: str, **options: Any) -> list[Row | BadRow]:
    """All rows of what is read."""
    with opened(source, **(DEFAULTS | options)) as reader:
        return list(reader)


def refused(path: Path, content: bytes, **options: Any) -> UsageError:
    """The error about a file."""
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        rows_of(str(path), **options)
    return caught.value


@contextmanager
def piped(data: bytes) -> Iterator[int]:
    """A pipe with something in it."""
    reading, writing = os.pipe()
    try:
        os.write(writing, data)
        os.close(writing)
        yield reading
    finally:
        os.close(reading)


# --- where things go --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("out", "options", "expected"),
    [
        ("r.csv", {}, ("r.csv", "csv", "r.csv.journal")),
        ("a/r.JSONL", {}, ("a/r.JSONL", "jsonl", "a/r.JSONL.journal")),
        ("r.ndjson", {"keeps_journal": False}, ("r.ndjson", "jsonl", None)),
        ("r.csv", {"journal": Path("j")}, ("r.csv", "csv", "j")),
        ("-", {"journal": Path("j")}, (None, "jsonl", "j")),
        ("-", {"keeps_journal": False}, (None, "jsonl", None)),
    ],
    ids=str,
)
def test_what_was_not_said_is_filled_in(out: str, options: dict[str, Any], expected: tuple[str | None, ...]) -> None:
    """The format by the name, and the journal beside the results."""
    files = Files.of(out, **{"journal": None, "words": Path("w"), "keeps_journal": True, **options})
    assert (files.out and str(files.out), files.output_format, files.journal and str(files.journal)) == expected
    assert files.words == Path("w")


@pytest.mark.parametrize(("out", "code"), [("-", "journal"), ("results", "out"), ("r.xlsx", "out")])
def test_what_is_not_clear_is_asked_for(out: str, code: str) -> None:
    """Rather than guessed."""
    with pytest.raises(UsageError) as caught:
        Files.of(out, journal=None, words=None, keeps_journal=True)
    assert caught.value.code == code


def test_columns_are_named_in_options() -> None:
    """A name may have an equals sign."""
    assert column_names(["ssn=Person nummer", "key=a=b"]) == {"ssn": "Person nummer", "key": "a=b"}
    assert column_names([]) == {}


@pytest.mark.parametrize("option", ["ssn", "ssn=", "=x", "name=x", "SSN=x", ""])
def test_an_option_that_names_no_column_is_refused(option: str) -> None:
    """The fields are told."""
    with pytest.raises(UsageError, match="key, ssn, eid, message, call_initiator, country") as caught:
        column_names(["key=x", option])
    assert caught.value.code == "column"


# --- what is read -----------------------------------------------------------------------------------------------------


def test_a_file_is_read(tmp_path: Path) -> None:
    """With what was said of it, and it is closed at the end."""
    path = tmp_path / "people"
    path.write_bytes(f"nummer;message\n{ONE};Hå\n".encode("cp1252"))
    columns = {"ssn": "nummer"}
    with opened(str(path), columns=columns, input_format="csv", encoding="cp1252") as reader:
        assert list(reader) == [Row(2, {"ssn": ONE, "message": "Hå"})]
    assert reader.source.file.closed


@pytest.mark.parametrize(("name", "reason"), [("none", "No such file"), ("", "Is a directory")])
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, name: str, reason: str) -> None:
    """In a sentence."""
    with pytest.raises(UsageError, match=f"cannot be read: {reason}") as caught:
        rows_of(str(tmp_path / name))
    assert caught.value.code == "file"


PLACES: dict[str, tuple[bytes, str | None, str]] = {
    "another encoding": (b"ssn\n\xc3\xa5 \xe4a\n", None, "Line 2 is not valid utf-8: byte 0xE4 at column 3"),
    "one at the end": (b"ssn\r\n\r\nab\xc3", None, "Line 3 is not valid utf-8: byte 0xC3 at column 3"),
    "one after a mark": (b"\xef\xbb\xbfssn\n\xff", None, "Line 2 is not valid utf-8: byte 0xFF at column 1"),
    "half of a character": (b"\xff\xfes\0s\0n\0\n\0x\0y", None, "Line 2 is not valid utf-16-le: byte 0x79 at column 2"),
    "half of a pair": (
        b"\xfe\xff\0s\0s\0n\0\n\xd8\x3d\xde\0\xd8\x01\0x\0\n",
        None,
        "Line 2 is not valid utf-16-be: byte 0xD8 at column 2",
    ),
    "none of a code page": (b"ssn\n\x80\x81\n", "cp1252", "Line 2 is not valid cp1252: byte 0x81 at column 2"),
    "none of a big one": (b"ssn\n\x82\xa0\x81\n", "shift_jis", "Line 2 is not valid shift_jis: byte 0x81 at column 2"),
    "in the header": (b"\xe4,ssn\n", None, "Line 1 is not valid utf-8: byte 0xE4 at column 1"),
}


@pytest.mark.parametrize(("content", "encoding", "place"), PLACES.values(), ids=PLACES)
def test_a_file_that_cannot_be_decoded_says_where(
    tmp_path: Path, content: bytes, encoding: str | None, place: str
) -> None:
    """Before the first row, whichever row it is in, with the byte that is wrong and what to do."""
    error = refused(tmp_path / "people", content, encoding=encoding)
    assert error.code == "encoding"
    assert place in str(error)
    assert "--encoding cp1252" in str(error)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("chunk", [1, 2, 3, 5])
def test_a_file_is_looked_through_piece_by_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, chunk: int
) -> None:
    """Characters and lines on the edge of two pieces are whole."""
    monkeypatch.setattr("idura_ciba.cli.batch_files._CHUNK", chunk)
    path = tmp_path / "people"
    path.write_bytes(f"ssn,message\n{ONE},å\u4100\U0001f600\n".encode(encoding))
    assert rows_of(str(path)) == [Row(2, {"ssn": ONE, "message": "å\u4100\U0001f600"})]
    path.write_bytes(path.read_bytes() + b"\xff\xd8\xff")
    with pytest.raises(UsageError, match="Line 3 is not valid utf-"):
        rows_of(str(path))


def test_a_file_that_is_put_right_meanwhile_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is wrong any more, there is nothing to name."""
    path, real, times = tmp_path / "people", Path.open, []

    def opening(self: Path, mode: str) -> Any:
        times.append(mode)
        if len(times) == 3:
            with real(self, "wb") as file:
                file.write(f"ssn\n{ONE}\n".encode())
        return real(self, mode)

    path.write_bytes(b"ssn\n%s \xff" % ONE.encode())
    monkeypatch.setattr(Path, "open", opening)
    assert len(rows_of(str(path))) == 1
    assert times == ["rb"] * 3


@pytest.mark.parametrize("kind", ["pipe", "file"])
def test_the_standard_input_is_read(tmp_path: Path, kind: str) -> None:
    """What cannot be decoded is a bad row there: nobody can look through it first; and it stays open."""
    content = b"ssn,key\n%s,a\n%s,\xff\n" % (ONE.encode(), ONE.encode())
    (tmp_path / "people").write_bytes(content)
    with piped(content) as pipe, (tmp_path / "people").open("rb") as file:
        former = os.dup(0)
        try:
            os.dup2(pipe if kind == "pipe" else file.fileno(), 0)
            rows = rows_of("-")
            os.fstat(0)
        finally:
            os.dup2(former, 0)
            os.close(former)
    assert rows == [
        Row(2, {"ssn": ONE, "key": "a"}),
        BadRow(3, "encoding", f"is not valid utf-8: byte 0xFF at column {len(ONE) + 2}"),
    ]


def test_a_pipe_with_a_name_is_read_once() -> None:
    """As shells make one of `<(gpg --decrypt people.gpg)`."""
    with piped(b"ssn\n%s\xff\n" % (b"%s\n" % ONE.encode() * 2000)) as pipe:
        *rows, last = rows_of(f"/dev/fd/{pipe}")
    assert rows == [Row(line, {"ssn": ONE}) for line in range(2, 2002)]
    assert last == BadRow(2002, "encoding", "is not valid utf-8: byte 0xFF at column 1")


def test_an_error_of_the_caller_closes_the_file(tmp_path: Path) -> None:
    """It goes on unchanged."""
    path = tmp_path / "people"
    path.write_text("ssn\n")
    readers: list[RowReader] = []

    def fail() -> None:
        with opened(str(path), **DEFAULTS) as reader:
            readers.append(reader)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert readers[0].source.file.closed


@pytest.mark.parametrize("chunk", [1, 2, 1000])
@pytest.mark.parametrize(
    ("content", "lines"), [(b"", 0), (b"a", 1), (b"a\n", 1), (b"\n\n", 2), (b"a\r\nb", 2), (b"a\nb\n", 2)]
)
def test_lines_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, lines: int, chunk: int
) -> None:
    """Whether the last one has an end or not."""
    monkeypatch.setattr("idura_ciba.cli.batch_files._CHUNK", chunk)
    (tmp_path / "people").write_bytes(content)
    assert count_lines(tmp_path / "people") == lines


# --- what is set aside ------------------------------------------------------------------------------------------------


def bad(line: int) -> BadRow:
    """A row."""
    return BadRow(line, "eid", "names no eID", "eid", f"key, {line}")


def test_bad_rows_are_in_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All of them, for its owner only; the first ones are told too."""
    path = tmp_path / "bad.csv"
    with BadRows(path) as rejected:
        assert not path.exists()
        for line in range(2, 9):
            rejected.add(bad(line))
        rejected.add(BadRow(9, "csv", "cannot be read"))
    with path.open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [
            ["line", "key", "column", "code", "why", "remedy"],
            *([str(line), f"key, {line}", "eid", "eid", "names no eID", REMEDY] for line in range(2, 9)),
            ["9", "", "", "csv", "cannot be read", REMEDIES["csv"]],
        ]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    *told, last = capsys.readouterr().err.splitlines()
    assert told == [f"Line {line}, column eid names no eID. {REMEDY}. [eid]" for line in range(2, 7)]
    assert last == f"3 more rows; all are in {path}."


def test_bad_rows_of_a_former_run_are_gone(tmp_path: Path) -> None:
    """But only once there is a new one."""
    path = tmp_path / "bad.csv"
    path.write_text("former\n" * 100)
    with BadRows(path):
        pass
    assert path.read_text().startswith("former")
    with BadRows(path) as rejected:
        rejected.add(bad(2))
    assert "former" not in path.read_text()


def test_five_bad_rows_are_all_told(capsys: pytest.CaptureFixture[str]) -> None:
    """And none is more."""
    with BadRows(None) as rejected:
        for line in range(2, 7):
            rejected.add(bad(line))
    assert len(capsys.readouterr().err.splitlines()) == 5


def test_without_a_file_there_are_words(capsys: pytest.CaptureFixture[str]) -> None:
    """What a header calls a column cannot steer the terminal."""
    with BadRows(None) as rejected:
        rejected.add(BadRow(4, "text", "is not text", "\x1b[2J"))
    assert capsys.readouterr().err == "Line 4, column \\x1b[2J is not text. Write the value in quotes. [text]\n"


def test_rows_that_cannot_be_reported_are_an_error(tmp_path: Path) -> None:
    """Nobody would miss them otherwise."""
    with pytest.raises(UsageError, match="cannot be written: Is a directory") as caught, BadRows(tmp_path) as rejected:
        rejected.add(bad(2))
    assert caught.value.code == "file"


@pytest.mark.parametrize("count", [1, 1000])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
def test_a_full_disk_is_an_error(count: int) -> None:
    """At the end at the latest."""

    def reject() -> None:
        with BadRows(Path("/dev/full")) as rejected:
            for line in range(count):
                rejected.add(bad(line))

    with pytest.raises(UsageError, match="/dev/full cannot be written: No space left") as caught:
        reject()
    assert caught.value.code == "file"


# --- damaged files ----------------------------------------------------------------------------------------------------


def test_a_stray_quote_asks_nobody_by_anothers_row(tmp_path: Path, invoke: Callable[..., Any]) -> None:
    """A dry run lists each line of the damage beside the input, with a remedy and without a cell."""
    numbers = [swedish_number(nth) for nth in range(4)]
    path = tmp_path / "people.csv"
    path.write_text(
        f'key,ssn,message\na,{numbers[0]},Hi\nb,{numbers[1]},"Hi 5\nc,{numbers[2]},Hi 7"\nd,{numbers[3]},Hi\n'
        f"e,{numbers[0]},Hi\nd,{numbers[2]},Hi\n"
    )
    ran = invoke("batch", str(path), "--dry-run", "--eid", "se", "--call-initiator", "RP")
    assert ran.exit_code == 7
    assert "3 valid rows, 3 invalid, 1 duplicate." in ran.stderr
    text = (tmp_path / "people.csv.bad.csv").read_text("utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    assert {(row["line"], row["code"], row["why"].split(" ")[0]) for row in rows} == {
        ("3", "spans_lines", "has"), ("4", "spans_lines", "is"), ("6", "person_twice", "names"),
        ("7", "key_twice", "repeats"),
    }  # fmt: skip
    assert all(row["remedy"] for row in rows)
    assert "line 2" in next(row["why"] for row in rows if row["line"] == "6")
    assert "line 5" in next(row["why"] for row in rows if row["line"] == "7")
    assert not any(number in text + ran.output for number in numbers)


def test_misspelt_columns_stop_the_run_unless_they_are_meant(tmp_path: Path, invoke: Callable[..., Any]) -> None:
    """Nobody gets the message for all instead of their own."""
    path = tmp_path / "people.csv"
    path.write_text(f"key,ssn,Call-Initiator,Mesage,Town\na,{ONE},RP,Hi,Oslo\n")
    run = ("batch", str(path), "--dry-run", "--eid", "se")
    ran = invoke(*run, "--call-initiator", "RP", "--message", "x", "--ignore-column", "*")
    assert ran.exit_code == 2
    assert "Call-Initiator (like call_initiator), Mesage (like message)." in " ".join(ran.stderr.split())
    ran = invoke(
        *run, "--column", "call_initiator=call-initiator", "--column", "message=Mesage", "--ignore-column", "town"
    )
    assert ran.exit_code == 0
    assert "1 valid row" in ran.stderr


def test_a_compressed_file_is_checked_as_a_whole(tmp_path: Path) -> None:
    """Before anybody is asked: a bad byte, or an early end."""
    text = b"ssn\n" + b"%s\n" % ONE.encode() * 5000
    whole = tmp_path / "whole.gz"
    whole.write_bytes(gzip.compress(text))
    assert len(rows_of(str(whole))) == 5000
    assert refused(tmp_path / "cut.gz", gzip.compress(text)[:-9]).code == "damaged"
    assert "Line 5002 is not valid utf-8" in str(refused(tmp_path / "bad.gz", gzip.compress(text + b"\xff")))


@pytest.mark.parametrize("where", ["-", "/dev/stdin"])
def test_nothing_is_written_beside_a_pipe(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, invoke: Callable[..., Any]
) -> None:
    """What is refused is shown."""
    monkeypatch.chdir(tmp_path)
    with piped(b"ssn\nx\n") as pipe:
        name = where if where == "-" else f"/dev/fd/{pipe}"
        former = os.dup(0)
        try:
            os.dup2(pipe, 0)
            ran = invoke("batch", name, "--dry-run", "--eid", "se", "--call-initiator", "RP", "--message", "x")
        finally:
            os.dup2(former, 0)
            os.close(former)
    assert ran.exit_code == 7
    assert list(tmp_path.iterdir()) == []
