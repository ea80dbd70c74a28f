"""A desk for a call centre, on aiohttp.web: start a login, follow it live, and lose none when the server is deployed.

    IDURA_CIBA_ISSUER=... IDURA_CIBA_CLIENT_ID=... IDURA_CIBA_KEY_FILE=... python aiohttp_desk.py

    POST /logins              {"call": "4711", "eid": "se", "number": "..."}; answers with the words to read aloud
    GET  /logins/4711/events  server-sent events, one for each change
    GET  /ready               whether people can be asked now

On SIGTERM the open streams end at once, and what is pending is written to a file that the next process resumes. The
file holds secrets: put it where only this service can read it, or use your own store.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path

from aiohttp import web

from idura_ciba import CibaClient, CibaError, EidRequest, Handover, NorwegianBankID, SwedishBankID, Transaction


class Readiness:
    """What was found to be wrong, and until when that is good enough."""

    problems: Sequence[str] = ()
    until = 0.0


CIBA = web.AppKey("ciba", CibaClient)
READINESS = web.AppKey("readiness", Readiness)
LOGINS = web.AppKey("logins", dict[str, Transaction])
STOPPING = web.AppKey("stopping", asyncio.Event)


async def start(request: web.Request) -> web.Response:
    """Ask somebody."""
    asked = await request.json()
    try:
        login = await request.app[CIBA].start(ask(asked["eid"], asked["number"]), reference=asked["call"])
    except CibaError as error:
        return web.json_response({"failed": error.code, "what": str(error)}, status=409)
    request.app[LOGINS][asked["call"]] = login
    return web.json_response({"call": login.reference, "words": login.spoken_words}, status=201)


def ask(eid: str, number: str) -> EidRequest:
    """Make the request of one of the eIDs that this desk offers."""
    if eid == "no":
        return NorwegianBankID(number)
    return SwedishBankID(number, call_initiator="user", message="You are talking to Acme")


async def events(request: web.Request) -> web.StreamResponse:
    """Follow a login, until it ends or the server does."""
    login = request.app[LOGINS].get(request.match_info["call"])
    if login is None:
        raise web.HTTPNotFound
    stream = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    await stream.prepare(request)
    language = request.query.get("language", "en")
    async for update in login.updates(until=request.app[STOPPING]):
        said = json.dumps({"text": update.phase.text(language), "until": update.expires_at})
        await stream.write(f"event: {update.phase.value}\ndata: {said}\n\n".encode())
    return stream


async def ready(request: web.Request) -> web.Response:
    """Tell a load balancer whether to send calls here; looked up each minute, however often it asks."""
    known = request.app[READINESS]
    if time.monotonic() >= known.until:
        findings = await request.app[CIBA].check()
        known.problems = [finding.text for finding in findings if finding.level == "problem"]
        known.until = time.monotonic() + 60
    return web.json_response({"problems": known.problems}, status=503 if known.problems else 200)


def store(path: Path, left: Sequence[Handover]) -> None:
    """Keep what is pending for the next process."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump({login.reference: login.token for login in left}, file)


def take(path: Path) -> dict[str, str]:
    """What the last process has left: resume tokens by call. Two processes must not go on with one login."""
    if not path.exists():
        return {}
    left: dict[str, str] = json.loads(path.read_text())
    path.unlink()
    return left


async def serve_people(app: web.Application, *, path: Path) -> AsyncIterator[None]:
    """Open the client, resume what the last process has left, and hand over in the end."""
    async with CibaClient.from_env(on_close=partial(store, path)) as ciba:
        app[CIBA] = ciba
        for call, token in take(path).items():
            app[LOGINS][call] = await ciba.resume(token)
        yield


async def end_streams(app: web.Application) -> None:
    """Let the open streams end: aiohttp waits for them before it closes anything."""
    app[STOPPING].set()


def make_app(path: Path) -> web.Application:
    """Put the desk together."""
    app = web.Application()
    app[LOGINS], app[STOPPING], app[READINESS] = {}, asyncio.Event(), Readiness()
    app.add_routes([web.post("/logins", start), web.get("/logins/{call}/events", events), web.get("/ready", ready)])
    app.cleanup_ctx.append(partial(serve_people, path=path))
    app.on_shutdown.append(end_streams)
    return app


if __name__ == "__main__":
    web.run_app(make_app(Path("pending.json")), host="127.0.0.1", port=int(os.environ.get("PORT", "8080")))
