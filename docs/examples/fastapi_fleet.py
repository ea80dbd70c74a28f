r"""Replicas of a desk, on FastAPI: a login begins on one, is followed on any, and outlives each of them.

    IDURA_CIBA_ISSUER=... IDURA_CIBA_CLIENT_ID=... IDURA_CIBA_KEY_FILE=... \
    FLEET_STORE=postgresql://... FLEET_SECRET=... uvicorn fastapi_fleet:app

    POST   /logins              {"id": "4711", "eid": "se", "number": "..."}; 201 with the words to read aloud, or 409
                                with the id of the login for which this person is being asked already
    GET    /logins/4711         202 while they are asked; then how it ended, and whoever comes first gets the name
    GET    /logins/4711/events  server-sent events, one for each change
    DELETE /logins/4711         stops asking
    GET    /ready, /alive       whether people can be asked now; whether this process works at all

FLEET_SECRET is 64 hexadecimal digits, the same on each replica: `openssl rand -hex 32`. On SIGTERM the open streams end
at once, and the other replicas go on with what this one asks. Browsers connect again by themselves, to one of them.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from types import FrameType
from typing import Literal

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel

from idura_ciba import AlreadyPending, CibaClient, CibaError, EidRequest, NorwegianBankID, SwedishBankID
from idura_ciba.errors import StoreError
from idura_ciba.fleet import Fleet

#: Every other error means that nobody was asked, or that nothing can be stopped.
STATUSES = {"login_unknown": 404, "store_away": 503}


class Asked(BaseModel):
    """Whom to ask, and what their login is called on every replica."""

    id: str
    eid: Literal["se", "no"]
    number: str


class Desk:
    """What the requests share.

    Attributes:
        ciba: The client.
        fleet: This replica.
        stopping: Set when the server is told to stop.
        problems: Why people could not be asked now; good enough until `ready_until`.
    """

    def __init__(self, ciba: CibaClient, fleet: Fleet) -> None:
        self.ciba = ciba
        self.fleet = fleet
        self.stopping = asyncio.Event()
        self.problems: list[str] = []
        self.ready_until = 0.0


@contextmanager
def ending_streams(stopping: asyncio.Event) -> Iterator[None]:
    """Set the event at SIGTERM and SIGINT, before uvicorn's own handler, which waits for the open streams."""
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
    """Be one of the replicas, and leave what is pending to the others in the end."""
    ciba = CibaClient.from_env(resume_secret=bytes.fromhex(os.environ["FLEET_SECRET"]))
    async with Fleet(ciba, os.environ["FLEET_STORE"]) as fleet:
        app.state.desk = Desk(ciba, fleet)
        with ending_streams(app.state.desk.stopping):
            yield


app = FastAPI(lifespan=lifespan)


def desk() -> Desk:
    """The one desk of this process."""
    found: Desk = app.state.desk
    return found


@app.exception_handler(CibaError)
async def answer_error(_: Request, error: CibaError) -> JSONResponse:
    """Say what went wrong, and which login goes on."""
    if isinstance(error, AlreadyPending):
        return JSONResponse({"failed": error.code, "id": error.login_id, "until": error.until}, status_code=409)
    return JSONResponse({"failed": error.code, "what": str(error)}, status_code=STATUSES.get(error.code, 409))


def ask(asked: Asked) -> EidRequest:
    """Make the request of one of the eIDs that this desk offers."""
    if asked.eid == "no":
        return NorwegianBankID(asked.number)
    return SwedishBankID(asked.number, call_initiator="user", message="You are talking to Acme")


@app.post("/logins", status_code=201)
async def start(asked: Asked) -> JSONResponse:
    """Ask somebody, whichever replica this is."""
    login = await desk().fleet.start(ask(asked), id=asked.id)
    return JSONResponse({"id": login.id, "words": login.spoken_words}, status_code=201)


@app.get("/logins/{login_id}")
async def show(login_id: str) -> JSONResponse:
    """Tell where a login stands, without waiting; its outcome is delivered once, to whoever asks first."""
    login = await desk().fleet.get(login_id)
    if not login.state.is_final:
        return JSONResponse({"state": login.state.value}, status_code=202)
    outcome = await login.outcome()
    return JSONResponse(
        {"state": outcome.state.value, "name": outcome.claims.get("name"), "delivered": outcome.delivered}
    )


@app.get("/logins/{login_id}/events")
async def events(login_id: str, language: str = "en") -> StreamingResponse:
    """Follow a login, until it ends or this replica does."""
    login = await desk().fleet.get(login_id)

    async def stream() -> AsyncIterator[str]:
        with suppress(StoreError):  # then the browser comes back
            async for update in login.updates(until=desk().stopping):
                said = json.dumps({"text": update.phase.text(language), "until": update.expires_at})
                yield f"event: {update.phase.value}\ndata: {said}\n\n"

    return StreamingResponse(stream(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


@app.delete("/logins/{login_id}")
async def cancel(login_id: str) -> JSONResponse:
    """Stop asking, whichever replica does; the prompt stays on the phone."""
    login = await desk().fleet.get(login_id)
    return JSONResponse({"stopped": await login.cancel()})


@app.get("/ready")
async def ready() -> JSONResponse:
    """Whether to send people here: the provider is looked up each minute, the store each time."""
    known = desk()
    if time.monotonic() >= known.ready_until:
        findings = await known.ciba.check()
        known.problems = [finding.text for finding in findings if finding.level == "problem"]
        known.ready_until = time.monotonic() + 60
    await known.fleet.snapshot()  # raises when the store is away
    return JSONResponse({"problems": known.problems}, status_code=503 if known.problems else 200)


@app.get("/alive")
async def alive() -> JSONResponse:
    """Nothing of provider and store: a restart mends neither."""
    return JSONResponse({})
