"""Tests of the simulated provider that outlives a batch: a real kill, and the same command again."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from idura_ciba import UsageError
from idura_ciba.cli import rehearsal
from idura_ciba.cli.rehearsal import find_or_start, serve
from tests.fakes import swedish_number

SETTINGS = {"interval": 1, "expires_in": 30, "modules": None}


#: People who answer soon: what they do depends on who they are.
QUICK = (0, 8, 11, 17)


async def started(folder: Path, *arguments: str) -> asyncio.subprocess.Process:
    """The command, in a trial."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "idura_ciba.cli", "batch", "people.csv", "--out", "r.jsonl", "--simulate"),
        *("--eid", "se", "--call-initiator", "RP", "--message", "Hello", *arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if not name.startswith("IDURA_CIBA_")},
        cwd=folder,
    )


def names(folder: Path) -> set[str]:
    """What is in a folder."""
    return {path.name for path in folder.iterdir()}


def size(path: Path) -> int:
    """Bytes."""
    return path.stat().st_size


def mode(path: Path) -> int:
    """Who may read it."""
    return path.stat().st_mode & 0o777


@pytest.mark.slow
@pytest.mark.sockets
async def test_a_trial_that_is_killed_goes_on(tmp_path: Path) -> None:
    """As a real one would: each person has one result, and the provider knew them all along."""
    rows = [f"k{nth},{swedish_number(nth)}" for nth in QUICK]
    (tmp_path / "people.csv").write_text("\n".join(["key,ssn", *rows, ""]), "utf-8")
    process = await started(tmp_path)
    place, journal = tmp_path / "r.jsonl.journal-simulated", tmp_path / "r.jsonl.journal-marks"
    # The marks have a word for each login that is followed.
    while not journal.exists() or size(journal) < 4 * len(QUICK):  # noqa: ASYNC110 - no event tells of it
        await asyncio.sleep(0.05)
    process.kill()
    await process.wait()
    assert mode(place) == 0o600
    process = await started(tmp_path)
    _, told = await process.communicate()
    assert process.returncode in {0, 7}, told
    lines = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text("utf-8").splitlines()]
    states = {line["key"]: line["state"] for line in lines}
    assert len(lines) == len(states) == len(QUICK)
    # A poll may have been out.
    assert set(states.values()) <= {"approved", "denied", "indeterminate"}
    assert {"approved", "denied"} & set(states.values())
    if "indeterminate" not in states.values():
        assert names(tmp_path) == {"people.csv", "r.jsonl"}
    # The provider ends with its file.
    place.unlink(missing_ok=True)


@pytest.mark.sockets
async def test_it_ends_when_nobody_needs_it_and_comes_back_as_it_was(tmp_path: Path) -> None:
    """With the same port and the same secret, because the journal belongs to them."""
    place = tmp_path / "place"
    for _ in range(2):
        serving = asyncio.create_task(serve(place, SETTINGS, idle=1.0))
        while not place.exists():  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.01)
        first = json.loads(place.read_text("utf-8"))
        assert await find_or_start(place, SETTINGS) == (f"http://127.0.0.1:{first['port']}", first["secret"])
        await serving
        assert json.loads(place.read_text("utf-8")) == first
    serving = asyncio.create_task(serve(place, SETTINGS))
    await asyncio.sleep(0.3)
    place.unlink()
    await asyncio.wait_for(serving, 5)


async def test_one_that_does_not_start_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the file that stands in its way."""
    monkeypatch.setattr(subprocess, "Popen", lambda *_arguments, **_options: None)
    monkeypatch.setattr(rehearsal, "START", 0.01)
    with pytest.raises(UsageError) as caught:
        await find_or_start(tmp_path / "place", SETTINGS)
    assert caught.value.code == "simulate"
