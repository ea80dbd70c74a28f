"""Tests of what is particular to batches in SQLite; `test_batch_store.py` has what holds for every store."""

from __future__ import annotations

from pathlib import Path

from idura_ciba.fleet.batch_store import Member
from idura_ciba.fleet.sqlite import SqliteStore
from idura_ciba.fleet.store import Owned


async def test_a_batch_survives_its_process(tmp_path: Path) -> None:
    """The worker that had its slices is gone, which is found out as for any other."""
    store = SqliteStore(tmp_path / "store")
    await store.open()
    await store.join("one")
    await store.open_batch("november", b"digest")
    assert await store.claim_slice("november", 0, "one")
    owned = await store.hold("a", b"tag", "one", seconds=60, member=Member("november", b"about"))
    assert isinstance(owned, Owned)
    await store.end(owned, state="approved", outcome=b"o", gone=True)
    await store.aclose()
    again = SqliteStore(tmp_path / "store")
    await again.open()
    await again.join("two")
    await again.open_batch("november", b"digest")
    assert not await again.claim_slice("november", 0, "two")
    await again.bury(lease=-1)
    await again.join("three")
    assert await again.claim_slice("november", 0, "three")
    assert [result.login for result in await again.results("november", most=9)] == ["a"]
    await again.aclose()
