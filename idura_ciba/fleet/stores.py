"""Which store is meant: by its address, its path, or nothing."""

from __future__ import annotations

from pathlib import Path

from idura_ciba.client import CibaClient
from idura_ciba.errors import ArgumentError
from idura_ciba.fleet.sqlite import SqliteStore
from idura_ciba.fleet.store import Store

__all__ = ["open_store"]


def open_store(store: str | Path | Store | None, ciba: CibaClient | None = None) -> Store:
    """The store that an argument of `Fleet` names, not open yet.

    Args:
        store: Its address, its path, itself, or None for one in memory.
        ciba: The client that will ask; None for somebody who only looks.

    Raises:
        UsageError: PostgreSQL without the extra; or a store that others may share, for a client without a
            `resume_secret`.
    """
    if store is None or isinstance(store, Path):
        return SqliteStore(store)
    if isinstance(store, str):
        store = _at(store)
    if not isinstance(store, SqliteStore) and ciba is not None and not ciba.has_resume_secret:
        raise ArgumentError(
            "replicas need a resume_secret of their own, the same for all",
            code="resume_secret",
            advice="pass CibaClient(resume_secret=...), 32 random bytes: else whoever gets a new credential first "
            "could not read what the others have stored",
        )
    return store


def _at(address: str) -> Store:
    if not address.startswith(("postgresql://", "postgres://")):
        return SqliteStore(address)
    try:
        from idura_ciba.fleet.postgres import PostgresStore  # noqa: PLC0415 - needs the extra
    except ImportError:
        raise ArgumentError(
            "PostgreSQL needs the extra `fleet`", code="fleet_extra", advice="pip install 'idura_ciba[fleet]'"
        ) from None
    return PostgresStore(address)
