"""Tests of a file of results that is whole or not there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from idura_ciba import ArgumentError, State
from idura_ciba.batch import Result
from idura_ciba.cli.whole_file import WholeFile


def result(key: str) -> Result:
    """Somebody who said yes."""
    return Result(key=key, state=State.APPROVED, subject="s", claims={"name": "Åsa"})


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    """Where it goes."""
    return tmp_path / "out.csv"


def test_it_has_its_name_once_it_is_whole(path: Path) -> None:
    """Readable by its owner only."""
    file = WholeFile(path, "csv", ("name",), keep=("state", "dept"))
    file.begin()
    file.write(result("a"), {"dept": "D1", "state": "Skåne"})
    assert not path.exists()
    file.publish()
    head, line = path.read_text("utf-8").splitlines()
    assert head.startswith("key,state,code,")
    assert head.endswith(",name,input_state,dept")
    assert line.startswith("a,approved,")
    assert line.endswith(",Åsa,Skåne,D1")
    assert path.stat().st_mode & 0o077 == 0
    assert [each.name for each in path.parent.iterdir()] == ["out.csv"]


def test_beginning_anew_leaves_nothing_of_before(path: Path) -> None:
    """Not even where a machine that was paused still writes to the old one, on a disk that they share."""
    paused, file = WholeFile(path, "jsonl"), WholeFile(path, "jsonl")
    paused.begin()
    paused.write(result("old"), {})
    file.begin()
    file.write(result("a"), {})
    paused.write(result("late"), {})
    with pytest.raises(ArgumentError) as caught:
        paused.publish()
    assert "another machine writes it" in caught.value.what
    paused.discard()
    file.begin()
    file.write(result("b"), {"left": "out"})
    file.publish()
    (line,) = path.read_text("utf-8").splitlines()
    assert json.loads(line)["key"] == "b"


def test_what_others_write_is_discarded_here(path: Path) -> None:
    """And theirs is left, where they write to the same place."""
    file = WholeFile(path, "jsonl")
    file.discard()
    file.begin()
    file.write(result("a"), {})
    file.discard()
    assert list(path.parent.iterdir()) == []
    file.begin()
    theirs = WholeFile(path, "jsonl")
    theirs.begin()
    file.discard()
    theirs.publish()
    assert path.read_bytes() == b""


def test_excel_gets_what_it_reads(path: Path) -> None:
    """Semicolons and a byte order mark."""
    file = WholeFile(path, "csv", excel=True)
    file.begin()
    file.write(result("a"), {})
    file.publish()
    assert path.read_bytes().startswith(b"\xef\xbb\xbfkey;state;")


def test_what_cannot_be_written_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to do; the store has the results."""
    nowhere = WholeFile(path.parent / "none" / "out.csv", "csv")
    with pytest.raises(ArgumentError) as caught:
        nowhere.begin()
    assert caught.value.code == "output"
    file = WholeFile(path, "csv")
    file.begin()

    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.write", full)
    with pytest.raises(ArgumentError) as caught:
        file.write(result("a"), {})
    assert "No space left on device" in caught.value.what
    monkeypatch.undo()
    file._part.unlink()
    with pytest.raises(ArgumentError):
        file.publish()
