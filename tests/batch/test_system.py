"""Tests of what systems do differently: with and without the names that not every system has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from idura_ciba.batch.system import BINARY, put_new, read_at, write_at


@pytest.mark.parametrize("without", [(), ("pread", "pwrite")])
def test_a_place_in_a_file_is_read_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without: tuple[str, ...]
) -> None:
    """And nothing around it; behind the end there is nothing to read."""
    for name in without:
        monkeypatch.delattr(os, name)
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT | BINARY, 0o600)
    try:
        for place, data in ((8, b"word"), (0, b"\r\n\x1a\n"), (4, b"more")):
            write_at(descriptor, data, place)
        assert read_at(descriptor, 4, 4) == b"more"
        assert read_at(descriptor, 4, 100) == b""
    finally:
        os.close(descriptor)
    assert (tmp_path / "file").read_bytes() == b"\r\n\x1a\nmoreword"


def no_links(*_: object) -> None:
    """As on a file system that has none."""
    raise PermissionError


@pytest.mark.parametrize("how", ["link", "no link", "no such name"])
@pytest.mark.parametrize("is_there", [False, True])
def test_a_file_gets_its_name_unless_somebody_was_faster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, is_there: bool
) -> None:
    """Whoever was faster keeps their file; nothing else stays behind."""
    beside, path = tmp_path / "beside", tmp_path / "path"
    beside.write_text("ours")
    if is_there:
        path.write_text("theirs")
    if how == "no link":
        monkeypatch.setattr(os, "link", no_links)
    elif how == "no such name":
        monkeypatch.delattr(os, "link")
    put_new(beside, path)
    assert path.read_text() == ("theirs" if is_there else "ours")
    assert [each.name for each in tmp_path.iterdir()] == ["path"]


def test_what_cannot_be_done_is_an_error(tmp_path: Path) -> None:
    """As for any other file."""
    beside = tmp_path / "beside"
    beside.write_text("ours")
    with pytest.raises(OSError, match="No such file"):
        put_new(beside, tmp_path / "nowhere" / "path")
