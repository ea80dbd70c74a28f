"""`idura-ciba fleet status`: what the replicas of a service are doing, as their store sees it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer
from attrs import asdict

from idura_ciba import ArgumentError
from idura_ciba.cli.guard import Guarded
from idura_ciba.cli.text import OUT, counted, say
from idura_ciba.fleet.store import Census, Seen
from idura_ciba.fleet.stores import open_store

__all__ = ["fleet"]

fleet: typer.Typer = typer.Typer(no_args_is_help=True, help="Look at the replicas of a service.")


@fleet.callback()
def _group() -> None:
    """Look at the replicas of a service."""


@fleet.command(cls=Guarded)
def status(
    *,
    store: Annotated[
        str, typer.Option(envvar="IDURA_CIBA_STORE", help="Their store: postgresql://..., or an SQLite file.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print it for programs.")] = False,
) -> None:
    """Show the workers of a fleet, what each asks for, and what nobody does."""
    if "://" not in store and not Path(store).exists():
        raise ArgumentError("there is no such store", code="store", advice="name the one that the replicas use")
    found = asyncio.run(_look(store))
    if as_json:
        OUT.out(json.dumps(asdict(found)), highlight=False)
        return
    for line in _lines(found):
        say(line, to=OUT, whole=True)


async def _look(address: str) -> Census:
    store = open_store(address)
    await store.open()
    try:
        return await store.census()
    finally:
        await store.aclose()


def _lines(found: Census) -> list[str]:
    asked = f"{found.pending} pending, {found.asking} about to be asked, {found.unowned} without a worker"
    lines = [f"{counted(len(found.workers), 'worker')}: {asked}, {found.ended} ended and not fetched"]
    if found.closed:
        lines.append(f"the provider refuses requests: none leaves for {found.closed:.0f} s")
    for worker in found.workers:
        told = [counted(worker.logins, "login"), *_rate(worker)]
        if worker.late:
            told.append(f"polls late by {worker.late:.1f} s")
        if worker.taken_over:
            told.append(f"{worker.taken_over} taken over")
        lines.append(f"  {worker.name}: {', '.join(told)}, heard {worker.heard:.1f} s ago")
    return lines


def _rate(worker: Seen) -> list[str]:
    """Its share, and what is left of it since the provider has refused requests."""
    if worker.allowed is None or (worker.share is not None and worker.allowed >= worker.share):
        return [] if worker.share is None else [f"{worker.share:.4g} requests/s"]
    share = "" if worker.share is None else f" of {worker.share:.4g}"
    return [f"{worker.allowed:.4g}{share} requests/s allowed"]
