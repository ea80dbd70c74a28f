"""A desk for a call centre, on FastAPI: start a login, follow it live, and lose none when the server is deployed.

    IDURA_CIBA_ISSUER=... IDURA_CIBA_CLIENT_ID=... IDURA_CIBA_KEY_FILE=... uvicorn fastapi_desk:app

    POST /logins              {"call": "4711", "eid": "se", "number": "..."}; answers with the words to read aloud
    GET  /logins/4711/events  server-sent events, one for each change
    GET  /ready               whether people can be asked now

uvicorn waits for open streams before it ends the application. So the streams have to end when the signal comes, and not
only when uvicorn has waited for them: see `ending_streams`.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import FrameType
from typing import Literal

from fastapi import FastAPI, HTTPException
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel

from idura_ciba import CibaClient, CibaError, EidRequest, Handover, NorwegianBankID, SwedishBankID, Transaction

#: Holds secrets: put it where only this service can read it, or use your own store.
PENDING = Path("pending.json")


class Asked(BaseModel):
    """Whom to ask, and for which call."""

    call: str
    eid: Literal["se", "no"]
    number: str


class Desk:
    """What the requests share.

    Attributes:
        ciba: The client.
        logins: By call.
        stopping: Set when the server is told to stop.
        problems: Why people could not be asked now; good enough until `ready_until`.
    """

    def __init__(self, ciba: CibaClient) -> None:
        self.ciba = ciba
        self.logins: dict[str, Transaction] = {}
        self.stopping = asyncio.Event()
        self.problems: list[str] = []
        self.ready_until = 0.0


def store(left: Sequence[Handover]) -> None:
    """Keep what is pending for the next process."""
    with os.fdopen(os.open(PENDING, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump({login.reference: login.token for login in left}, file)


def take() -> dict[str, str]:
    """What the last process has left: resume tokens by call. Two processes must not go on with one login."""
    if not PENDING.exists():
        return {}
    left: dict[str, str] = json.loads(PENDING.read_text())
    PENDING.unlink()
    return left


@contextmanager
def ending_streams(stopping: asyncio.Event) -> Iterator[None]:
    """Set the event at SIGTERM and SIGINT, before uvicorn's own handler runs."""
    loop = asyncio.get_running_loop()
    former = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def stop(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stopping.set)
        handler = former[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    for number in former:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the client, resume what the last process has left, and hand over in the end."""
    async with CibaClient.from_env(on_close=store) as ciba:
        desk = app.state.desk = Desk(ciba)
        for call, token in take().items():
            desk.logins[call] = await ciba.resume(token)
        with ending_streams(desk.stopping):
            yield


app = FastAPI(lifespan=lifespan)


def desk() -> Desk:
    """The one desk of this process."""
    found: Desk = app.state.desk
    return found


def ask(asked: Asked) -> EidRequest:
    """Make the request of one of the eIDs that this desk offers."""
    if asked.eid == "no":
        return NorwegianBankID(asked.number)
    return SwedishBankID(asked.number, call_initiator="user", message="You are talking to Acme")


@app.post("/logins", status_code=201)
async def start(asked: Asked) -> JSONResponse:
    """Ask somebody."""
    try:
        login = await desk().ciba.start(ask(asked), reference=asked.call)
    except CibaError as error:
        return JSONResponse({"failed": error.code, "what": str(error)}, status_code=409)
    desk().logins[asked.call] = login
    return JSONResponse({"call": login.reference, "words": login.spoken_words}, status_code=201)


@app.get("/logins/{call}/events")
async def events(call: str, language: str = "en") -> StreamingResponse:
    """Follow a login, until it ends or the server does."""
    login = desk().logins.get(call)
    if login is None:
        raise HTTPException(404)

    async def stream() -> AsyncIterator[str]:
        async for update in login.updates(until=desk().stopping):
            said = json.dumps({"text": update.phase.text(language), "until": update.expires_at})
            yield f"event: {update.phase.value}\ndata: {said}\n\n"

    return StreamingResponse(stream(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


@app.get("/ready")
async def ready() -> JSONResponse:
    """Tell a load balancer whether to send calls here; looked up each minute, however often it asks."""
    known = desk()
    if time.monotonic() >= known.ready_until:
        findings = await known.ciba.check()
        known.problems = [finding.text for finding in findings if finding.level == "problem"]
        known.ready_until = time.monotonic() + 60
    return JSONResponse({"problems": known.problems}, status_code=503 if known.problems else 200)
