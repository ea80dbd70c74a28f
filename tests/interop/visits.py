"""What the tests of this folder share: a provider that runs, and what came of the logins there."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from attrs import frozen

from idura_ciba import Authentication, EidRequest, IdTokenRejected, ProviderError

#: A folder whose `node_modules` were installed from the `package-lock.json` beside this file.
NODE_MODULES = "IDURA_CIBA_INTEROP_NODE_MODULES"
#: Seconds for the provider to start, and to stop.
PATIENCE = 30.0


@frozen
class RealProvider:
    """A provider that runs.

    Attributes:
        issuer: Its identifier.
        mtls: The origin of its second address, for client certificates; None: it has none.
    """

    issuer: str
    mtls: str | None = None


@contextmanager
def running(
    configuration: str, folder: Path, *files: Path, environ: Mapping[str, str] | None = None
) -> Iterator[RealProvider]:
    """Run `provider.mjs`, which also stops with a session that dies.

    Args:
        configuration: One of those in that file.
        folder: Where its log goes.
        files: A server's certificate and key, and that of the clients' authority, for a configuration with TLS.
        environ: Further environment variables.
    """
    modules, node = os.environ.get(NODE_MODULES), shutil.which("node")
    if modules is None or node is None:
        pytest.fail(f"needs Node.js, and {NODE_MODULES} set; run `nox -s interop`", pytrace=False)
    program = Path(__file__).with_name("provider.mjs")
    log = folder / "stderr.txt"
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            [node, program, modules, configuration, *files],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env={**os.environ, **(environ or {})},
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        watchdog = threading.Timer(PATIENCE, process.kill)
        watchdog.start()
        ready = process.stdout.readline()
        watchdog.cancel()
        if not ready:
            pytest.fail(f"the provider did not start:\n{log.read_text()}", pytrace=False)
        yield RealProvider(**json.loads(ready))
        process.stdin.close()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
    assert process.returncode == 0, f"the provider crashed:\n{log.read_text()}"


@contextmanager
def trusting(authority: Path) -> Iterator[None]:
    """A machine that trusts an authority of its own, as if `SSL_CERT_FILE` had named it when this process began."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(authority))
        # aiohttp has read it when it was imported.
        patch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", ssl.create_default_context())
        yield


# --- logins -----------------------------------------------------------------------------------------------------------


@frozen
class Login:
    """What came of one case: an `Authentication`, several, or an error; and after how many seconds."""

    result: object
    seconds: float


@frozen
class Findings:
    """Everything that the tests look at.

    Attributes:
        logins: What came of each case, by its label.
        keys: The key ids that the provider published at first.
        clients: What the witness counted, by client id.
        people: The provider's answers, by person.
        server_errors: How often the provider itself broke.
    """

    logins: Mapping[str, Login]
    keys: frozenset[str]
    clients: Mapping[str, Mapping[str, Any]]
    people: Mapping[str, Sequence[str]]
    server_errors: int

    def outcome(self, label: str) -> Any:
        """What a case returned, or else raise what it raised."""
        result = self.logins[label].result
        if isinstance(result, Exception):
            raise result
        return result

    def answers(self, label: str) -> list[str]:
        """What the provider answered about the people of a case."""
        return [answer for person, given in self.people.items() if person.endswith(f"@{label}") for answer in given]

    def violations(self, *but: str) -> dict[tuple[str, str], int]:
        """What the witness saw that a careful client never does, by client and rule; of all clients but those."""
        return {
            (client_id, name): number
            for client_id, counts in self.clients.items()
            if client_id not in but
            for name, number in counts["violations"].items()
            if number > 0
        }


async def visit(http: aiohttp.ClientSession, cases: Mapping[str, Coroutine[Any, Any, object]]) -> Findings:
    """Run all cases at once, as in a real service and because the provider's intervals are real seconds."""
    keys = await call(http, "GET", "/jwks")
    async with asyncio.TaskGroup() as group:
        logins = {label: group.create_task(timed(case)) for label, case in cases.items()}
    seen = await call(http, "GET", "/__counters")
    return Findings(
        {label: login.result() for label, login in logins.items()},
        frozenset(key["kid"] for key in keys["keys"]),
        **seen,
    )


def ask(person: str, **options: Any) -> EidRequest:
    """Ask by the person's name; this provider's ID tokens repeat it in the claim `person`."""
    return EidRequest(login_hint=person, identity={("person",): person}, identity_guaranteed=True, **options)


async def timed(case: Coroutine[Any, Any, object]) -> Login:
    """Run a case and take its errors for results, any other exception included: a test says which it wants."""
    began_at = time.monotonic()
    try:
        result = await case
    except Exception as error:  # noqa: BLE001 - a case that breaks must not hide the others
        result = error
    return Login(result, time.monotonic() - began_at)


async def call(http: aiohttp.ClientSession, method: str, path: str, content: object = None) -> Any:
    """Talk to the provider without the client under test."""
    async with http.request(method, path, json=content, headers={"Accept": "application/json"}) as answer:
        return await answer.json()


def describe(result: object) -> str:
    """A word or two for a result."""
    match result:
        case tuple():
            return ", ".join(map(describe, result))
        case Authentication():
            return "approved"
        case ProviderError():
            return f"{type(result).__name__} {result.error}"
        case IdTokenRejected():
            return f"{type(result).__name__} {result.code}"
        case Mapping():
            return "claims"
        case _:
            return type(result).__name__


def table_of_logins(found: Findings) -> list[list[object]]:
    """What came of each case, and what the provider answered on the way."""
    table: list[list[object]] = [["case", "result", "seconds", "the provider's answers"]]
    for label, login in found.logins.items():
        if not label.startswith("crowd-"):
            table.append([label, describe(login.result), f"{login.seconds:.1f}", ", ".join(found.answers(label))])
    crowd = [describe(login.result) for label, login in found.logins.items() if label.startswith("crowd-")]
    if crowd:
        table.append(["crowd", ", ".join(f"{crowd.count(what)} {what}" for what in sorted(set(crowd))), "", ""])
    return table


def header_of(login: Authentication) -> dict[str, Any]:
    """The header of the ID token."""
    encoded = login.id_token.split(".")[0]
    header: dict[str, Any] = json.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    return header
