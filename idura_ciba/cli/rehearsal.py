"""A simulated provider in a process of its own, so that a batch can be killed and resumed for trial.

    python -m idura_ciba.cli.rehearsal PLACE SETTINGS

It stands in the file PLACE where it is and with which secret it may be used. It ends when the file is removed, or when
nobody has asked it anything for ten minutes; then the file tells the next one to take the same port and secret.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from idura_ciba import ArgumentError
from idura_ciba.cli.files import PRIVATE, replace_file
from idura_ciba.cli.simulated import CLIENT_ID, SEED, known_phones
from idura_ciba.simulator import Arrival, SimulatedIdura, SimulatorServer

__all__ = ["find_or_start", "serve"]

#: Seconds without a request after which nobody is expected any more.
IDLE: Final = 600.0
#: Seconds between two looks, and at most for the start of a process.
LOOK, START = 0.1, 20.0
#: Kept, because they are meant to outlive this process.
_STARTED: list[subprocess.Popen[bytes]] = []


async def find_or_start(place: Path, settings: Mapping[str, Any]) -> tuple[str, str]:
    """Return the issuer and the client secret of the provider at a place; start it if there is none.

    Args:
        place: The file that tells where it is.
        settings: `interval`, `expires_in` and `modules`, for a new one.

    Raises:
        UsageError: It does not start.
    """
    until = time.monotonic() + START
    is_started = False
    while time.monotonic() < until:
        found = _read(place)
        if found and await _listens(found["port"]):
            return f"http://127.0.0.1:{found['port']}", found["secret"]
        if not is_started:
            is_started = True
            arguments = [sys.executable, "-m", __name__, str(place), json.dumps(dict(settings))]
            # A session of its own: what ends the batch must not end the provider.
            process = subprocess.Popen(  # noqa: ASYNC220, S603 - it returns at once, and runs this very module
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            _STARTED.append(process)
        await asyncio.sleep(LOOK)
    raise ArgumentError(
        "The simulated provider does not start", code="simulate", advice=f"Remove {place}, or pass other files"
    )


def _read(place: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(place.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def serve(place: Path, settings: Mapping[str, Any], *, idle: float = IDLE) -> None:
    """Serve until the file is removed, or nobody asks for long.

    Args:
        place: The file that tells where it is.
        settings: As for `find_or_start`.
        idle: Seconds.
    """
    former = _read(place)
    secret = former.get("secret") or secrets.token_urlsafe(32)
    idura = SimulatedIdura(
        eids=known_phones(settings.get("modules")),
        interval=settings["interval"],
        expires_in=settings["expires_in"],
        seed=SEED,
    )
    idura.register_client(CLIENT_ID, secret=secret)
    last = time.monotonic()

    def note(_arrival: Arrival) -> None:
        nonlocal last
        last = time.monotonic()

    idura.faults.append(note)
    async with SimulatorServer(idura, port=former.get("port", 0)) as server:
        port = int(server.issuer.rpartition(":")[2])
        replace_file(place, json.dumps({"port": port, "secret": secret}), mode=PRIVATE)
        while place.exists() and time.monotonic() - last < idle:  # noqa: ASYNC110, ASYNC240 - no event tells of it
            await asyncio.sleep(LOOK)


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), json.loads(sys.argv[2])))
