"""What a poll and a pending login cost, counted and not timed: a change that makes them dearer is noticed in CI.

`benchmarks/load.py` measures the same in microseconds and bytes of the machine. A bound here that is broken for a good
reason is raised together with the reason.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import tracemalloc
from collections import Counter
from pathlib import Path
from types import FrameType

import pytest

import idura_ciba
from idura_ciba import CibaClient, ClientSecretPost, EidRequest
from idura_ciba.polling.strategy import PollView
from idura_ciba.protocol.http import HttpRequest, HttpResponse

pytestmark = pytest.mark.unmeasured

ISSUER = "https://acme.idura.broker"

PACKAGE = str(Path(idura_ciba.__file__).parent)
#: Logins in each scenario, and polls of each.
LOGINS, POLLS = 200, 5
#: Functions of this package that are called for one poll, from the timer to the next one; 115 when this was written.
#: Five of them are the poll's own timer: whatever hangs must not keep its login from ending. Two find the context of
#: its caller, in whose name it is polled.
CALLS = 122
#: Bytes that a login takes while it pends; 1161 when this was written, on 64-bit machines. Logins that are begun alike
#: share their caller; one with context variables of its own takes 100 more.
BYTES = 1200
#: Objects of this package that a login consists of while it pends; the garbage collector looks at each again and again.
#: One of them is the handle of its caller, which keeps what the scheduler and the client need out of sight.
OBJECTS = 8


class Pending:
    """A provider that accepts everybody and never answers."""

    def __init__(self) -> None:
        self._orders = 0

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Answer at once."""
        at, status = asyncio.get_running_loop().time(), 200
        if request.url.endswith("bc-authorize"):
            self._orders += 1
            members: object = {"auth_req_id": f"order-{self._orders:032}", "expires_in": 3000, "interval": 2}
        elif request.method == "GET":
            members = {"issuer": ISSUER}
        else:
            status, members = 400, {"error": "authorization_pending", "error_description": "OUTSTANDING_TRANSACTION"}
        return HttpResponse(status, {"content-type": "application/json"}, json.dumps(members).encode(), at, at)

    async def aclose(self) -> None:
        """Nothing to release."""


def person(nth: int) -> EidRequest:
    """Somebody who does not exist: no such day."""
    ssn = str(209999000000 + nth)
    return EidRequest(login_hint=f"sub:ssn:{ssn}", acr_values="urn:grn:authn:se:bankid", identity={("ssn",): ssn})


def make_client() -> CibaClient:
    """One that nobody listens to."""

    def when(view: PollView) -> float:
        return view.now + 10 if view.attempt <= POLLS else view.latest_end - 1

    return CibaClient(
        ISSUER, ClientSecretPost("urn:my:app", "secret"), transport=Pending(), strategy=when, observers=()
    )


async def test_a_poll_calls_no_more_functions_than_it_did() -> None:
    """Of this package; libraries count for themselves. The most frequent ones are shown where it does."""
    calls: Counter[str] = Counter()

    def count(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
            calls[f"{Path(frame.f_code.co_filename).stem}.{frame.f_code.co_qualname}"] += 1

    async with make_client() as ciba:
        for nth in range(LOGINS):
            await ciba.start(person(nth))
        sys.setprofile(count)
        try:
            await asyncio.sleep(10 * POLLS + 5)
        finally:
            sys.setprofile(None)
        polls = sum(transaction._driver._history.polls for transaction in ciba.pending)
    assert polls == LOGINS * POLLS
    own = {name: number for name, number in calls.items() if not name.startswith("testing.")}
    often = sorted(((number / polls, name) for name, number in own.items()), reverse=True)
    assert sum(own.values()) / polls <= CALLS, (sum(own.values()) / polls, often[:40])


async def test_a_login_that_pends_is_as_small_as_it_was() -> None:
    """In bytes; the places that take most are shown where it is not."""
    async with make_client() as ciba:
        await ciba.start(person(-1))
        gc.collect()
        tracemalloc.start()
        try:
            began = tracemalloc.take_snapshot()
            for nth in range(LOGINS):
                await ciba.start(person(nth))
            gc.collect()
            ended = tracemalloc.take_snapshot()
        finally:
            tracemalloc.stop()
    grown = [found for found in ended.compare_to(began, "lineno") if not is_foreign(str(found.traceback))]
    places = [(found.size_diff / LOGINS, str(found.traceback)) for found in grown[:40]]
    assert sum(found.size_diff for found in grown) / LOGINS <= BYTES, places


async def test_a_login_that_pends_is_as_few_objects_as_it_was() -> None:
    """Each by its kind."""

    def count() -> Counter[str]:
        gc.collect()
        kinds = (type(each) for each in gc.get_objects())
        return Counter(kind.__name__ for kind in kinds if str(kind.__module__).startswith("idura_ciba."))

    async with make_client() as ciba:
        await ciba.start(person(-1))
        before = count()
        for nth in range(LOGINS):
            await ciba.start(person(nth))
        grown = count() - before
    assert grown.total() / LOGINS <= OBJECTS, grown


def is_foreign(place: str) -> bool:
    """Whether a place is the test's own or the virtual loop's, and not a login's."""
    return any(part in place for part in ("tracemalloc", "test_cost", "testing.py", "asyncio/"))
