"""What the tests of the batch share: a journal in a file, and the keys of its client."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from idura_ciba import CibaClient
from idura_ciba.batch import Journal
from idura_ciba.batch.sealing import Sealing


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    """Where the journal is."""
    return tmp_path / "people.journal"


@pytest.fixture(name="sealing")
async def _sealing(make_ciba_client: Callable[..., CibaClient]) -> Sealing:
    """That of the client of these tests."""
    async with make_ciba_client() as ciba:
        return Sealing.of(ciba)


@pytest.fixture(name="journal")
def _journal(path: Path) -> Callable[[CibaClient], Journal]:
    """Opens the journal for a client."""
    return lambda client: Journal(path, client)
