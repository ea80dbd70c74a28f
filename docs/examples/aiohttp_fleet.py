r"""Replicas of a desk, on aiohttp.web: a login begins on one, is followed on any, and outlives each of them.

    IDURA_CIBA_ISSUER=... IDURA_CIBA_CLIENT_ID=... IDURA_CIBA_KEY_FILE=... \
    FLEET_STORE=postgresql://... FLEET_SECRET=... python aiohttp_fleet.py

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
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

from aiohttp import web
from aiohttp.typedefs import Handler

from idura_ciba import AlreadyPending, CibaClient, CibaError, EidRequest, NorwegianBankID, SwedishBankID
from idura_ciba.errors import StoreError
from idura_ciba.fleet import Fleet

#: Every other error means that nobody was asked, or that nothing can be stopped.
STATUSES = {"login_unknown": 404, "store_away": 503}


class Readiness:
    """What was found to be wrong, and until when that is good enough."""

    problems: Sequence[str] = ()
    until = 0.0


CIBA = web.AppKey("ciba", CibaClient)
FLEET = web.AppKey("fleet", Fleet)
READINESS = web.AppKey("readiness", Readiness)
STOPPING = web.AppKey("stopping", asyncio.Event)


@web.middleware
async def answering_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Say what went wrong, and which login goes on."""
    try:
        return await handler(request)
    except AlreadyPending as error:
        return web.json_response({"failed": error.code, "id": error.login_id, "until": error.until}, status=409)
    except CibaError as error:
        return web.json_response({"failed": error.code, "what": str(error)}, status=STATUSES.get(error.code, 409))


async def start(request: web.Request) -> web.Response:
    """Ask somebody, whichever replica this is."""
    asked = await request.json()
    login = await request.app[FLEET].start(ask(asked["eid"], asked["number"]), id=asked["id"])
    return web.json_response({"id": login.id, "words": login.spoken_words}, status=201)


def ask(eid: str, number: str) -> EidRequest:
    """Make the request of one of the eIDs that this desk offers."""
    if eid == "no":
        return NorwegianBankID(number)
    return SwedishBankID(number, call_initiator="user", message="You are talking to Acme")


async def show(request: web.Request) -> web.Response:
    """Tell where a login stands, without waiting; its outcome is delivered once, to whoever asks first."""
    login = await request.app[FLEET].get(request.match_info["id"])
    if not login.state.is_final:
        return web.json_response({"state": login.state.value}, status=202)
    outcome = await login.outcome()
    name = outcome.claims.get("name")
    return web.json_response({"state": outcome.state.value, "name": name, "delivered": outcome.delivered})


async def events(request: web.Request) -> web.StreamResponse:
    """Follow a login, until it ends or this replica does."""
    login = await request.app[FLEET].get(request.match_info["id"])
    stream = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    await stream.prepare(request)
    language = request.query.get("language", "en")
    with suppress(StoreError):  # then the browser comes back
        async for update in login.updates(until=request.app[STOPPING]):
            said = json.dumps({"text": update.phase.text(language), "until": update.expires_at})
            await stream.write(f"event: {update.phase.value}\ndata: {said}\n\n".encode())
    return stream


async def cancel(request: web.Request) -> web.Response:
    """Stop asking, whichever replica does; the prompt stays on the phone."""
    login = await request.app[FLEET].get(request.match_info["id"])
    return web.json_response({"stopped": await login.cancel()})


async def ready(request: web.Request) -> web.Response:
    """Whether to send people here: the provider is looked up each minute, the store each time."""
    known = request.app[READINESS]
    if time.monotonic() >= known.until:
        findings = await request.app[CIBA].check()
        known.problems = [finding.text for finding in findings if finding.level == "problem"]
        known.until = time.monotonic() + 60
    await request.app[FLEET].snapshot()  # raises when the store is away
    return web.json_response({"problems": known.problems}, status=503 if known.problems else 200)


async def alive(_: web.Request) -> web.Response:
    """Nothing of provider and store: a restart mends neither."""
    return web.json_response({})


async def join(app: web.Application) -> AsyncIterator[None]:
    """Be one of the replicas, and leave what is pending to the others in the end."""
    secret = bytes.fromhex(os.environ["FLEET_SECRET"])
    app[CIBA] = CibaClient.from_env(resume_secret=secret)
    async with Fleet(app[CIBA], os.environ["FLEET_STORE"]) as app[FLEET]:
        yield


async def end_streams(app: web.Application) -> None:
    """Let the open streams end: aiohttp waits for them before it closes anything."""
    app[STOPPING].set()


def make_app() -> web.Application:
    """Put the desk together."""
    app = web.Application(middlewares=[answering_errors])
    app[STOPPING], app[READINESS] = asyncio.Event(), Readiness()
    app.add_routes(
        [
            web.post("/logins", start),
            web.get("/logins/{id}", show),
            web.get("/logins/{id}/events", events),
            web.delete("/logins/{id}", cancel),
            web.get("/ready", ready),
            web.get("/alive", alive),
        ]
    )
    app.cleanup_ctx.append(join)
    app.on_shutdown.append(end_streams)
    return app


if __name__ == "__main__":
    web.run_app(make_app(), host=os.environ.get("HOST", "127.0.0.1"), port=int(os.environ.get("PORT", "8080")))
