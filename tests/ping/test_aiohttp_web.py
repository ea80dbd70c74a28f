"""Tests of pings in aiohttp.web, over real HTTP."""

from __future__ import annotations

from random import Random
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from idura_ciba.ping import PingCounts, PingReceiver, aiohttp_handler
from idura_ciba.ping.receiver import MAX_BODY, attached

pytestmark = pytest.mark.sockets


@web.middleware
async def reads_first(request: web.Request, handler: Any) -> Any:
    """Look at each body, as programs that log requests do."""
    await request.read()
    return await handler(request)


@pytest.mark.parametrize("middlewares", [(), (reads_first,)], ids=["alone", "behind-a-middleware"])
async def test_it_serves_pings(middlewares: Any) -> None:
    """With every answer that there is."""
    receiver = PingReceiver()
    nonce, token = attached(receiver, b"k" * 32).issue(Random(1))
    woken: list[None] = []
    receiver.desk.expect(nonce, "an id", lambda: woken.append(None))
    app = web.Application(middlewares=middlewares)
    app.router.add_route("*", "/ping", aiohttp_handler(receiver))
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = "http://{}:{}/ping".format(*runner.addresses[0])
        bearer = {"Authorization": f"Bearer {token}"}
        async with aiohttp.ClientSession() as session:
            for method, headers, body, status in (
                ("POST", bearer, b'{"auth_req_id": "an id"}', 204),
                ("POST", bearer, b"{}", 400),
                ("POST", {}, b'{"auth_req_id": "an id"}', 401),
                ("GET", bearer, None, 405),
                ("POST", bearer, b" " * 3 * MAX_BODY, 413),
            ):
                async with session.request(method, url, headers=headers, data=body) as answer:
                    assert (answer.status, await answer.read()) == (status, b"")
    finally:
        await runner.cleanup()
    assert woken == [None]
    assert receiver.counts == PingCounts(accepted=1, malformed=2, forged=1)
