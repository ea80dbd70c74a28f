"""Tests of files: private from their first moment, and never in the place of another."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from idura_ciba import UsageError
from idura_ciba.cli.files import (
    PRIVATE,
    PUBLIC,
    read_secret,
    refuse_existing,
    refuse_shared,
    refuse_unrelated,
    replace_file,
    write_new,
)


@pytest.mark.parametrize("mode", [PRIVATE, PUBLIC])
def test_a_new_file_has_its_mode(mode: int, tmp_path: Path) -> None:
    """A secret can be read by its owner only."""
    path = tmp_path / "new"
    write_new(path, "text å", mode=mode)
    assert path.read_text("utf-8") == "text å"
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """Neither a file nor what a link points to is touched."""
    path = tmp_path / "old"
    path.write_text("precious")
    with pytest.raises(UsageError, match="already") as refused:
        write_new(path, "new", mode=PUBLIC)
    assert refused.value.code == "file_exists"
    assert path.read_text() == "precious"
    refuse_existing(tmp_path / "free")


def test_a_link_that_leads_nowhere_is_not_followed(tmp_path: Path) -> None:
    """Somebody else's link in a shared folder gets no secret."""
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="already exists"):
        write_new(link, "secret", mode=PRIVATE)
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    """The reason is the system's own."""
    with pytest.raises(UsageError, match="No such file or directory"):
        write_new(tmp_path / "missing" / "file", "text", mode=PRIVATE)


def test_a_secret_is_replaced_whole(tmp_path: Path) -> None:
    """The new content is private also where the old one was not, and nothing stays beside it."""
    path = tmp_path / "token"
    path.write_text("old")
    path.chmod(0o644)
    replace_file(path, "new", mode=PRIVATE)
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == PRIVATE
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_replaced_leaves_no_copy(tmp_path: Path) -> None:
    """A secret that found no place is not left lying around."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        replace_file(folder, "secret", mode=PRIVATE)
    assert list(tmp_path.iterdir()) == [folder]


def test_a_secret_is_read_without_its_line_break(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Editors end files with a line break, some begin them with a byte order mark, and none of it is the secret's."""
    path = tmp_path / "secret"
    path.write_bytes(b"\xef\xbb\xbfhush\r\n")
    assert read_secret(str(path), what="secret") == "hush"
    with path.open() as file:
        file.seek(3)
        monkeypatch.setattr("sys.stdin", file)
        assert read_secret("-", what="secret") == "hush"


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "No such file"), (b" \n", "empty"), (b"s\xffcret", "UTF-8"), (b"\0", None)]
)
def test_an_unreadable_secret_is_told_without_it(content: bytes | None, reason: str | None, tmp_path: Path) -> None:
    """The file and the reason are named, the content is not."""
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    if reason is None:
        with pytest.raises(UsageError, match="cannot be read"):
            read_secret("no\0path", what="secret")
        return
    with pytest.raises(UsageError, match=reason) as refused:
        read_secret(str(path), what="secret")
    assert "cret" not in str(refused.value).replace("secret", "")


def test_a_link_is_written_through(tmp_path: Path) -> None:
    """What it leads to is replaced; the link stays."""
    there, link = tmp_path / "there", tmp_path / "link"
    there.write_text("old")
    link.symlink_to(there)
    replace_file(link, "new", mode=PUBLIC)
    assert link.is_symlink()
    assert there.read_text() == "new"
    with pytest.raises(UsageError, match="already exists"):
        refuse_existing(link)


@pytest.mark.parametrize("how", ["same", "dotted", "symlink", "hard link", "folder", "missing"])
def test_one_file_has_one_role(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """By whatever names, there or not."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "folder")
    file = tmp_path / "folder" / "file"
    if how != "missing":
        file.write_text("precious")
    other = tmp_path / "other"
    if how == "symlink":
        other.symlink_to(file)
    elif how == "hard link":
        other.hardlink_to(file)
    elif how in {"folder", "missing"}:
        other = tmp_path / "linked" / "file"
    else:
        other = Path("folder/file" if how == "same" else "folder/../folder/./file")
    with pytest.raises(UsageError, match="IN and --report are the same file") as caught:
        refuse_shared({"IN": file, "--out": tmp_path / "out", "--words": None, "--report": other})
    assert caught.value.code == "same_file"
    refuse_shared({"IN": file, "--out": tmp_path / "out"})


def test_a_stream_may_be_a_file_too(tmp_path: Path) -> None:
    """As the shell has redirected it; and the null device has any number of roles."""
    path = tmp_path / "people.csv"
    path.write_text("ssn")
    with path.open() as file, pytest.raises(UsageError, match="IN and --bad-rows"):
        refuse_shared({"IN": file.fileno(), "--bad-rows": path})
    refuse_shared({"--report": Path("/dev/null"), "--words": Path("/dev/null")})


def test_only_what_the_command_has_written_is_written_anew(tmp_path: Path) -> None:
    """A file that is missing, empty or of an earlier run."""
    path = tmp_path / "file"
    refuse_unrelated(path, "--report", (b"line",))
    for content, is_refused in ((b"", False), (b"line,key", False), (b"notes", True), (b"li", True)):
        path.write_bytes(content)
        if is_refused:
            with pytest.raises(UsageError, match="--report") as caught:
                refuse_unrelated(path, "--report", (b"line",))
            assert caught.value.code == "file_exists"
        else:
            refuse_unrelated(path, "--report", (b"line",))
