"""Tests of the file of the day."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from idura_ciba.desk.diary import Diary
from idura_ciba.desk.entry import Entry
from idura_ciba.errors import StoreError
from idura_ciba.fleet.sealing import Sealing
from tests.logins import MakeClient

ENTRY = Entry(id="a" * 32, nth=1, eid="se", label="Swedish BankID", note="Case 1", asked_at=10.0, name="Testina")


def _sealing(make: MakeClient, secret: bytes = b"s" * 32) -> Sealing:
    return Sealing.of(make(resume_secret=secret))


async def test_entries_come_back_in_order(make_ciba_client: MakeClient, tmp_path: Path) -> None:
    """The last that was said of each; those that were forgotten do not, and leave no trace in the file."""
    sealing, path = _sealing(make_ciba_client), tmp_path / "day"
    diary = Diary(path, sealing)
    diary.open()
    later = Entry(id="b" * 32, nth=2, eid="no", label="Norwegian BankID", asked_at=20.0)
    for entry in (later, ENTRY, ENTRY):
        diary.write(entry)
    diary.close()
    diary.close()
    again = Diary(path, sealing)
    again.open()
    assert [entry.id for entry in again.read(since=0.0)] == [ENTRY.id, later.id]
    assert again.read(since=0.0)[0].name == "Testina"
    again.forget(ENTRY.id)
    assert [entry.id for entry in again.read(since=0.0)] == [later.id]
    again.close()
    assert ENTRY.id.encode() not in path.read_bytes()


async def test_what_another_credential_has_sealed_goes_with_its_day(
    make_ciba_client: MakeClient, tmp_path: Path
) -> None:
    """Nobody can read it here; it may be of today, and then its owner may come back."""
    path = tmp_path / "day"
    one, two = Diary(path, _sealing(make_ciba_client)), Diary(path, _sealing(make_ciba_client, b"t" * 32))
    one.open()
    one.write(ENTRY)
    one.close()
    two.open()
    assert two.read(since=5.0) == []
    two.close()
    one.open()
    assert len(one.read(since=0.0)) == 1
    one.close()
    two.open()
    assert two.read(since=15.0) == []
    two.close()
    one.open()
    assert one.read(since=0.0) == []
    one.close()


async def test_a_file_of_another_program_is_left_alone(make_ciba_client: MakeClient, tmp_path: Path) -> None:
    """So is one that is no database, and one that another desk has open."""
    sealing, foreign, text = _sealing(make_ciba_client), tmp_path / "foreign", tmp_path / "text"
    with closing(sqlite3.connect(foreign)) as database:
        database.execute("CREATE TABLE theirs (a)")
    text.write_text("not a database, but long enough to be looked at as one" * 20)
    opened = Diary(tmp_path / "day", sealing)
    opened.open()
    for path in (foreign, text, tmp_path / "day"):
        before = path.read_bytes()
        with pytest.raises(StoreError) as refused:
            Diary(path, sealing).open()
        assert refused.value.code == "store_file"
        assert path.read_bytes() == before
    opened.close()
