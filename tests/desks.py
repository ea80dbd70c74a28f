"""The desks of docs/examples, each as a process of its own, and a browser's view of them."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest
from attrs import define, field

from tests.pages import DOCS

EXAMPLES = DOCS / "examples"
CLIENT_ID, CLIENT_SECRET = "urn:desk", "a secret of the tests"


def needs(*names: str) -> None:
    """Skip a test whose library is not there; `nox -s examples` brings all of them, and says that they must be."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            missing = f"{name} is not installed; the dependency group `examples` brings it"
            if "IDURA_CIBA_EXAMPLE_LIBRARIES" in os.environ:
                pytest.fail(missing)
            pytest.skip(missing)


def needs_of(program: str) -> None:
    """Skip a test of a program whose libraries are not there."""
    if program.startswith("fastapi"):
        needs("fastapi", "uvicorn")


@define
class Desk:
    """A desk as a process, and where it is; processes that still run are killed in the end.

    Attributes:
        issuer: The provider that it asks.
        folder: Where it runs.
        port: Where it listens.
        variables: What else it is told.
        started: Its processes, one after the other.
    """

    issuer: str
    folder: Path
    port: int
    variables: dict[str, str] = field(factory=dict)
    started: list[asyncio.subprocess.Process] = field(factory=list)

    async def __aenter__(self) -> Self:
        """Not started yet."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Kill what still runs."""
        for process in self.started:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def run(self, *arguments: str, **options: Any) -> asyncio.subprocess.Process:
        """Run Python with its environment, in its folder."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, cwd=self.folder, env=self.environment, **options
        )
        self.started.append(process)
        return process

    async def start(self, program: str) -> asyncio.subprocess.Process:
        """Start one of the desks, and wait until it is ready."""
        serve = ["-m", "uvicorn", "--app-dir", str(EXAMPLES), "--port", str(self.port), f"{program}:app"]
        command = serve if program.startswith("fastapi") else [str(EXAMPLES / f"{program}.py")]
        process = await self.run(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
        async with aiohttp.ClientSession() as session:
            while True:
                assert process.returncode is None, await process.communicate()
                try:
                    async with session.get(f"{self.url}/ready") as answer:
                        assert answer.status == 200, await answer.text()
                        return process
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(0.05)

    @property
    def environment(self) -> dict[str, str]:
        """What it is told."""
        return {
            **os.environ,
            "IDURA_CIBA_ISSUER": self.issuer,
            "IDURA_CIBA_CLIENT_ID": CLIENT_ID,
            "IDURA_CIBA_CLIENT_SECRET": CLIENT_SECRET,
            "PORT": str(self.port),
            **self.variables,
        }

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"


async def next_event(stream: aiohttp.ClientResponse) -> tuple[str, dict[str, object]]:
    """The next server-sent event."""
    name = (await stream.content.readline()).decode().removeprefix("event: ").strip()
    data = (await stream.content.readline()).decode().removeprefix("data: ")
    await stream.content.readline()
    return name, json.loads(data)
