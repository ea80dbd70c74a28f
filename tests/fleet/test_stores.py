"""Tests of which store an argument names."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from idura_ciba import UsageError
from idura_ciba.fleet.sqlite import SqliteStore
from idura_ciba.fleet.stores import open_store
from tests.logins import MakeClient


async def test_a_path_or_nothing_is_sqlite_and_a_store_is_itself(make_ciba_client: MakeClient, tmp_path: Path) -> None:
    """One process needs no server and no secret of its own."""
    ciba = make_ciba_client()
    for named in (None, tmp_path / "store", str(tmp_path / "store")):
        assert isinstance(open_store(named, ciba), SqliteStore)
    own = SqliteStore()
    assert open_store(own, ciba) is own


@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
async def test_postgresql_needs_its_driver_and_a_secret(
    make_ciba_client: MakeClient, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """Said before anything is asked."""
    ciba = make_ciba_client(resume_secret=b"s" * 32)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "idura_ciba.fleet.postgres", raising=False)
    with pytest.raises(UsageError) as caught:
        open_store(f"{scheme}://127.0.0.1/none", ciba)
    assert caught.value.code == "fleet_extra"
    monkeypatch.undo()
    pytest.importorskip("psycopg")
    with pytest.raises(UsageError) as caught:
        open_store(f"{scheme}://127.0.0.1/none", make_ciba_client())
    assert caught.value.code == "resume_secret"


async def test_a_store_that_is_made_by_hand_needs_the_secret_too(make_ciba_client: MakeClient) -> None:
    """Others may share it, whatever it is; somebody who only looks needs none."""
    pytest.importorskip("psycopg")
    from idura_ciba.fleet.postgres import PostgresStore  # noqa: PLC0415 - needs the extra `fleet`

    store = PostgresStore("postgresql://pooler/none", listen_dsn="postgresql://server/none")
    with pytest.raises(UsageError) as caught:
        open_store(store, make_ciba_client())
    assert caught.value.code == "resume_secret"
    assert open_store(store, make_ciba_client(resume_secret=b"s" * 32)) is open_store(store) is store
