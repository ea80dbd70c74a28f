"""The clients that `load.py` measures, each in a process of its own; prints what was measured as one line of JSON.

    python benchmarks/load_clients.py poll library none http://127.0.0.1:4711 20000

CPU is that of the whole process, threads included; memory is what the process holds beyond what it held just before.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import math
import os
import resource
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit
from urllib.request import urlopen

import aiohttp
from attrs import define, field, frozen
from soak import request_for

from idura_ciba import CibaClient, ClientSecretPost, FairScheduler, PrivateKeyJwt, State, Transaction
from idura_ciba.credentials.client_auth import ClientAuth
from idura_ciba.http.transport import AiohttpTransport
from idura_ciba.observe import Observer, log_events
from idura_ciba.polling.strategy import PollView
from idura_ciba.protocol.answers import Tokens
from idura_ciba.protocol.http import HttpRequest, HttpResponse
from idura_ciba.redaction import Redacted
from idura_ciba.simulator.tokens import SigningKeys
from idura_ciba.trust.expectation import Expectation

CLIENT_ID, SECRET = "urn:benchmark", "a-secret-at-which-the-provider-does-not-look"
FIRST_NUMBER = 209999000000
#: Polls under way at once.
CONNECTIONS = 64
#: Seconds after which CPU is read again while polls go on: hundreds of polls, and some collections of garbage.
SPELL = 0.5
CIBA = "urn:openid:params:grant-type:ciba"
#: `benchmarks/load.py` makes these, and takes them away.
KEY_FILE = os.environ.get("IDURA_CIBA_LOAD_KEY", "")


def cpu() -> float:
    """Seconds of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def pages() -> int:
    """Pages that this process holds."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])


def rss() -> int:
    """Bytes that this process holds."""
    gc.collect()
    return pages() * os.sysconf("SC_PAGE_SIZE")


def credentials(signing: str) -> ClientAuth:
    """How this client proves itself."""
    if signing == "none":
        return ClientSecretPost(CLIENT_ID, SECRET)
    return PrivateKeyJwt.from_file(CLIENT_ID, KEY_FILE, alg=signing)


def tell(**measured: object) -> None:
    """Print it."""
    print(json.dumps(measured), flush=True)


def percentile(values: list[float], share: float) -> float:
    """The value that this share does not exceed."""
    return sorted(values)[min(len(values) - 1, math.ceil(share * len(values)) - 1)] if values else math.nan


@asynccontextmanager
async def lag(lags: list[float], every: float = 0.005) -> AsyncIterator[None]:
    """Notes by how many seconds the loop comes late to a timer."""

    async def watch() -> None:
        while True:
            due = loop.time() + every
            await asyncio.sleep(every)
            lags.append(loop.time() - due)

    loop = asyncio.get_running_loop()
    watching = loop.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()


# --- one poll ---------------------------------------------------------------------------------------------------------


async def spells(over: Callable[[], int], count: int) -> dict[str, list[float]]:
    """CPU and time of a poll in each spell, until so many are over."""
    taken: dict[str, list[float]] = {"cpu": [], "wall": []}
    first = before = over()
    since, at = cpu(), time.monotonic()
    while before - first < count:
        await asyncio.sleep(SPELL)
        polls, used, now = over(), cpu(), time.monotonic()
        # On a quick machine all have been polled, and nobody is due before the interval is over.
        if polls > before:
            taken["cpu"].append((used - since) / (polls - before))
            taken["wall"].append((now - at) / (polls - before))
        before, since, at = polls, used, now
    return taken


async def poll_library(signing: str, issuer: str, count: int) -> None:
    """This library."""
    await poll_with(credentials(signing), issuer, count)


async def poll_session(signing: str, issuer: str, count: int, *, persistent: bool = False) -> None:
    """This library, over a session that is lent: the one of `poll_aiohttp`."""
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        transport = AiohttpTransport(session=session, persistent=persistent)
        await poll_with(credentials(signing), issuer, count, transport=transport)


async def poll_logged(signing: str, issuer: str, count: int) -> None:
    """This library with the observer that it has if nobody says otherwise."""
    await poll_with(credentials(signing), issuer, count, observers=[log_events])


async def poll_silent(signing: str, issuer: str, count: int) -> None:
    """This library with telemetry, and no SDK that records it."""
    from idura_ciba.otel import Telemetry  # noqa: PLC0415 - the others are measured without OpenTelemetry

    await poll_with(credentials(signing), issuer, count, observers=[log_events, Telemetry()])


async def poll_traced(signing: str, issuer: str, count: int, *, polls: Literal["events", "spans"]) -> None:
    """This library with telemetry that is recorded; `polls` as for `Telemetry`."""
    from load_telemetry import recording  # noqa: PLC0415 - as above

    await poll_with(credentials(signing), issuer, count, observers=[log_events, recording(polls)])


async def poll_with(
    auth: ClientAuth,
    issuer: str,
    count: int,
    *,
    transport: AiohttpTransport | None = None,
    observers: Sequence[Observer] = (),
    **also: float,
) -> None:
    """So many transactions that polls never run out, with `CONNECTIONS` of them under way at once."""
    loop, pending = asyncio.get_running_loop(), 4000
    # All are due from here on; nothing of what their beginning costs is counted.
    begin = loop.time() + (16.0 if auth.signing_threads else 8.0)
    scheduler = FairScheduler(max_in_flight=CONNECTIONS)
    async with CibaClient(
        issuer,
        auth,
        transport=transport,
        strategy=lambda view: max(view.now, begin),
        scheduler=scheduler,
        observers=observers,
        grace_poll=False,
    ) as ciba:
        await in_groups(range(pending), lambda nth: ciba.start(request_for(str(FIRST_NUMBER + nth))))
        await asyncio.sleep(begin - loop.time() + 0.5)
        tell(**await spells(lambda: scheduler.snapshot().served, count), **also)
        await ciba.close(patience=1)


async def in_groups(numbers: range, start: Callable[[int], Awaitable[object]]) -> None:
    """All of them, some at a time."""
    waiting = iter(numbers)

    async def work() -> None:
        for nth in waiting:
            await start(nth)

    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))


async def form_of(auth: ClientAuth, issuer: str, endpoint: str, auth_req_id: str) -> bytes:
    """The bytes that this library sends, made without it but for the signature, which has a thread where it is slow."""
    prove = partial(auth.credentials, issuer=issuer, endpoint=endpoint, now=time.time(), jti=os.urandom(16).hex())
    slow = auth.signing_threads
    proof = await asyncio.get_running_loop().run_in_executor(None, prove) if slow else prove()
    return urlencode({"grant_type": CIBA, "auth_req_id": auth_req_id, **proof.parameters}).encode()


HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "Content-Type": "application/x-www-form-urlencoded",
    "Prefer": "return-trace-id",
}


async def orders(issuer: str, count: int) -> list[str]:
    """Some orders to poll for."""
    made = []
    async with aiohttp.ClientSession() as session:
        for nth in range(count):
            form = {"login_hint": f"sub:ssn:{FIRST_NUMBER + nth}", "client_id": CLIENT_ID}
            async with session.post(f"{issuer}/ciba/bc-authorize", data=form) as response:
                made.append((await response.json())["auth_req_id"])
    return made


@asynccontextmanager
async def meanwhile(works: Iterable[Coroutine[None, None, None]]) -> AsyncIterator[None]:
    """All of these go on, and are stopped at the end."""
    tasks = [asyncio.create_task(work) for work in works]
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert all(task.cancelled() for task in tasks)


async def poll_aiohttp(signing: str, issuer: str, count: int) -> None:
    """The loop that a good engineer writes: one session, one POST for each poll, the JSON read."""
    endpoint, auth = f"{issuer}/oauth2/token", credentials(signing)
    ids = await orders(issuer, CONNECTIONS)
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        over = 0

        async def work(auth_req_id: str) -> None:
            nonlocal over
            while True:
                body = await form_of(auth, issuer, endpoint, auth_req_id)
                async with session.post(endpoint, data=body, headers=HEADERS, allow_redirects=False) as response:
                    assert json.loads(await response.read())["error"] == "authorization_pending"
                over += 1

        async with meanwhile(work(each) for each in ids):
            tell(**await spells(lambda: over, count))


async def poll_streams(signing: str, issuer: str, count: int) -> None:
    """The same over bare streams: the least that Python's own loop can do."""
    endpoint, auth = f"{issuer}/oauth2/token", credentials(signing)
    ids = await orders(issuer, CONNECTIONS)
    parts = urlsplit(issuer)
    head = "".join(f"{name}: {value}\r\n" for name, value in {"Host": parts.netloc, **HEADERS}.items())
    over = 0

    async def work(auth_req_id: str) -> None:
        nonlocal over
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        while True:
            body = await form_of(auth, issuer, endpoint, auth_req_id)
            writer.write(f"POST /oauth2/token HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            at = answer.index(b"Content-Length:")
            length = int(answer[at + 15 : answer.index(b"\r\n", at)])
            assert json.loads(await reader.readexactly(length))["error"] == "authorization_pending"
            over += 1

    async with meanwhile(work(each) for each in ids):
        tell(**await spells(lambda: over, count))


# --- whole logins -----------------------------------------------------------------------------------------------------


@define
class Punctual:
    """As soon as it is allowed, and notes how late each poll has left. For `load.py` alone: it remembers logins."""

    lates: list[float] = field(factory=list)
    _planned: dict[float, float] = field(factory=dict)

    def next_poll(self, view: PollView) -> float:
        """At the floor."""
        planned = self._planned.get(view.acknowledged_at)
        if planned is not None and view.last is not None:
            self.lates.append(view.last.sent_at - planned)
        self._planned[view.acknowledged_at] = view.not_before
        return view.not_before


async def logins_library(signing: str, issuer: str, count: int) -> None:
    """All at once, each from its request to its verified ID token."""
    strategy, lags, peak = Punctual(), list[float](), 0
    done = asyncio.Event()

    async def watch() -> None:
        nonlocal peak
        while not done.is_set():
            await asyncio.sleep(0.25)
            peak = max(peak, pages())

    requests = [request_for(str(FIRST_NUMBER + nth)) for nth in range(count)]
    async with CibaClient(
        issuer, credentials(signing), strategy=strategy, observers=(), id_token_algorithms=("ES256",)
    ) as ciba:
        idle, since, at = rss(), cpu(), time.monotonic()
        watching = asyncio.get_running_loop().create_task(watch())
        async with lag(lags):
            logins = await asyncio.gather(*(ciba.authenticate(each) for each in requests), return_exceptions=True)
        used, wall = cpu() - since, time.monotonic() - at
        done.set()
        await watching
    good = sum(not isinstance(login, BaseException) and login.person_confirmed for login in logins)
    tell(
        completed=good,
        cpu=used,
        wall=wall,
        rss=peak * os.sysconf("SC_PAGE_SIZE") - idle,
        lag_p99=percentile(lags, 0.99),
        lag_max=max(lags),
        late_p99=percentile(strategy.lates, 0.99),
    )


def logins_requests_oauth2client(issuer: str, count: int) -> None:
    """The same with requests_oauth2client: a thread for each, as its jobs sleep."""
    from jwskate import JwkSet  # noqa: PLC0415 - comes with it
    from requests_oauth2client import BackChannelAuthenticationPollingJob, OAuth2Client  # noqa: PLC0415 - only here

    client = OAuth2Client(
        token_endpoint=f"{issuer}/oauth2/token",
        # Its discovery does not know this one.
        backchannel_authentication_endpoint=f"{issuer}/ciba/bc-authorize",
        jwks_uri=f"{issuer}/.well-known/jwks",
        auth=(CLIENT_ID, SECRET),
        id_token_signed_response_alg="ES256",  # noqa: S106 - no password
        testing=True,
    )
    with urlopen(f"{issuer}/.well-known/jwks") as response:  # noqa: S310 - this machine's
        keys = JwkSet(json.load(response))
    good, peak, idle = [], 0, rss()

    def log_in(nth: int) -> None:
        number = str(FIRST_NUMBER + nth)
        order = client.backchannel_authentication_request(
            login_hint=f"sub:ssn:{number}", acr_values="urn:grn:authn:se:bankid", binding_message="Hello"
        )
        job = BackChannelAuthenticationPollingJob(client, order)
        while (token := job()) is None:
            pass
        if token.id_token.verify_signature(keys, alg="ES256") and token.id_token.ssn == number:
            good.append(nth)

    since, at = cpu(), time.monotonic()
    threads = [threading.Thread(target=log_in, args=(nth,)) for nth in range(count)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(0.25)
        peak = max(peak, pages())
    tell(
        completed=len(good),
        cpu=cpu() - since,
        wall=time.monotonic() - at,
        rss=peak * os.sysconf("SC_PAGE_SIZE") - idle,
    )


# --- pending ----------------------------------------------------------------------------------------------------------


def idle_share() -> tuple[float, float]:
    """Ticks that the machine's cores have been idle, and all ticks."""
    ticks = [int(part) for part in Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)


async def pending_library(signing: str, issuer: str, count: int) -> None:
    """So many people who do not answer, and a poll of one of them every few milliseconds, however many there are."""
    rate, seconds = 400.0, 15.0
    loop = asyncio.get_running_loop()
    numbers = itertools.count()
    begin = loop.time() + 5.0 + count / 600
    period = count / rate
    lates = list[float]()

    def when(view: PollView) -> float:
        if view.last is None:
            # One after the other, from the same instant on.
            return max(view.not_before, begin + next(numbers) / rate)
        return view.now + period

    scheduler = FairScheduler()
    async with CibaClient(
        issuer, credentials(signing), strategy=when, scheduler=scheduler, observers=(), grace_poll=False
    ) as ciba:
        await ciba.start(request_for(str(FIRST_NUMBER - 1)))  # the first one pays for discovery and imports
        before, used, at = rss(), cpu(), loop.time()
        kept: list[Transaction] = []

        async def start(nth: int) -> None:
            kept.append(await ciba.start(request_for(str(FIRST_NUMBER + nth))))

        await in_groups(range(count), start)
        started, each = cpu() - used, (rss() - before) / count
        start_wall = loop.time() - at
        used, at = cpu(), loop.time()
        await asyncio.sleep(min(5.0, max(0.0, begin - loop.time() - 0.5)))
        idle = (cpu() - used) / (loop.time() - at)
        await asyncio.sleep(max(0.0, begin - loop.time()))
        ticks = idle_share()
        polls = await spells(lambda: scheduler.snapshot().served, int(rate * seconds))
        after = idle_share()
        for nth, transaction in enumerate(kept[: int(rate * seconds)], 1):
            history = transaction._driver._history  # noqa: SLF001 - no strategy is told of the first poll before the second
            if history.last is not None and history.polls == 1:
                lates.append(history.last.sent_at - begin - nth / rate)
        began = time.monotonic()
        left = await ciba.close()
        closed = time.monotonic() - began
    tell(
        each=each, start_cpu=started / count, start_wall=start_wall, idle_cpu=idle, cpu=polls["cpu"],
        late_p99=percentile(lates, 0.99), close=closed, tokens=len(left) - 1, pending=count,
        machine_idle=(after[0] - ticks[0]) / (after[1] - ticks[1]),
    )  # fmt: skip


# --- signing and verifying --------------------------------------------------------------------------------------------


class InTheLoop(PrivateKeyJwt):
    """Signs where it is asked."""

    @property
    def signing_threads(self) -> int:
        """None."""
        return 0


@frozen
class Gate:
    """Carries requests while it is open."""

    transport: AiohttpTransport
    open: asyncio.Event = field(factory=asyncio.Event)

    def __attrs_post_init__(self) -> None:
        self.open.set()

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Once it is open."""
        await self.open.wait()
        return await self.transport.send(request)

    async def aclose(self) -> None:
        """Lent."""


async def signing_library(signing: str, issuer: str, turns: int) -> None:
    """How long one signature holds the loop up; then the time of a poll with the pool and in one thread, by turns."""
    pooled, alone = (kind.from_file(CLIENT_ID, KEY_FILE, alg=signing) for kind in (PrivateKeyJwt, InTheLoop))
    lags: list[float] = []
    # What one signature holds up, and not what a loop that has too much to do holds up: one poll at a time.
    scheduler = FairScheduler(max_in_flight=1)
    async with CibaClient(issuer, pooled, strategy=Punctual(), scheduler=scheduler, observers=()) as ciba:
        await asyncio.gather(*(ciba.start(request_for(str(FIRST_NUMBER + 9000 + nth))) for nth in range(20)))
        gc.disable()
        async with lag(lags, every=0.0005):
            await asyncio.sleep(4)
        gc.enable()

    # Both in one process and within the same second, because what the machine gives changes from one to the next.
    loop, pending = asyncio.get_running_loop(), 1500
    begin = loop.time() + 14.0
    taken: dict[str, list[float]] = {"pool": [], "alone": []}
    schedulers: dict[str, FairScheduler] = {}

    async def start(ciba: CibaClient, number: int) -> None:
        await ciba.start(request_for(str(number)))

    async with AsyncExitStack() as clients:
        gates = [Gate(await clients.enter_async_context(AiohttpTransport())) for _ in taken]
        for name, auth, gate in zip(taken, (pooled, alone), gates, strict=True):
            scheduler = FairScheduler(max_in_flight=CONNECTIONS)
            ciba = await clients.enter_async_context(
                CibaClient(
                    issuer,
                    auth,
                    strategy=lambda view: max(view.now, begin),
                    scheduler=scheduler,
                    transport=gate,
                    observers=(),
                    grace_poll=False,
                )
            )
            first = FIRST_NUMBER + len(schedulers) * pending
            await in_groups(range(first, first + pending), partial(start, ciba))
            schedulers[name] = scheduler
            gate.open.clear()
        await asyncio.sleep(begin - loop.time())
        for nth in range(turns):
            name = ("pool", "alone")[nth % 2]
            gates[nth % 2].open.set()
            await asyncio.sleep(0.3 * SPELL)  # what the other one had under way is over, and so is what waited here
            over, at = schedulers[name].snapshot().served, time.monotonic()
            await asyncio.sleep(SPELL)
            taken[name].append((time.monotonic() - at) / (schedulers[name].snapshot().served - over))
            gates[nth % 2].open.clear()
        for gate in gates:
            gate.open.set()
    tell(**taken, lag_max=max(lags))


async def verify_library(signing: str, _issuer: str, count: int) -> None:
    """ID tokens of the simulator, one after the other."""
    signer, tokens = SigningKeys(signing), []
    now, issuer = time.time(), "https://acme.idura.broker"
    for nth in range(count):
        claims = {
            "iss": issuer, "aud": CLIENT_ID, "sub": f"{{{nth}}}", "iat": int(now), "exp": int(now) + 1200,
            "authenticationtype": "urn:grn:authn:se:bankid", "ssn": str(FIRST_NUMBER + nth),
        }  # fmt: skip
        tokens.append(signer.sign(claims))
    keys = json.dumps(signer.jwks(now)).encode()

    class Keys:
        async def send(self, request: HttpRequest) -> HttpResponse:
            at = asyncio.get_running_loop().time()
            body = keys if request.url.endswith("jwks") else json.dumps({"issuer": issuer}).encode()
            return HttpResponse(200, {}, body, at, at)

        async def aclose(self) -> None:
            pass

    async with CibaClient(
        issuer, ClientSecretPost(CLIENT_ID, SECRET), transport=Keys(), id_token_algorithms=(signing,)
    ) as ciba:
        verifier, tags = ciba._starter.context.verifier, ciba._starter.tags  # noqa: SLF001 - the same that a login uses
        wanted = [
            Expectation.of(request_for(str(FIRST_NUMBER + nth)), tags=tags, issued_from=now) for nth in range(count)
        ]
        answers = [Tokens(Redacted(token), None, "Bearer", 120.0, {}) for token in tokens]
        await verifier.verify(answers.pop(), expected=wanted.pop(), auth_req_id="0")
        since, at = cpu(), time.monotonic()
        for nth, (answer, expected) in enumerate(zip(answers, wanted, strict=True)):
            login = await verifier.verify(answer, expected=expected, auth_req_id=f"{nth}")
            assert login.person_confirmed
        tell(cpu=(cpu() - since) / len(answers), wall=(time.monotonic() - at) / len(answers))


# --- giving up --------------------------------------------------------------------------------------------------------


async def cancel_library(signing: str, issuer: str, count: int) -> None:
    """Those who await transactions cancelled, the transactions abandoned; and callers that do both, cancelled."""
    async with CibaClient(issuer, credentials(signing), observers=()) as ciba:
        await in_groups(range(count), lambda nth: ciba.start(request_for(str(FIRST_NUMBER + nth))))
        transactions = ciba.pending
        waiting = [asyncio.create_task(transaction.outcome()) for transaction in transactions]
        await asyncio.sleep(0.1)
        cancelled = await cancel_all(waiting)
        left = count - len(ciba.pending)
        began = time.monotonic()
        for transaction in transactions:
            transaction.abandon()
        abandoned = time.monotonic() - began
        left += len(ciba.pending) + sum(transaction.state is not State.ABANDONED for transaction in transactions)
        numbers = range(count, 2 * count)
        calls = [asyncio.create_task(ciba.authenticate(request_for(str(FIRST_NUMBER + nth)))) for nth in numbers]
        while len(ciba.pending) < count:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.1)
        authenticated = await cancel_all(calls)
        left += len(ciba.pending)
        left += ciba.queue.waiting + ciba.queue.in_flight
    await asyncio.sleep(0)
    left += len(asyncio.all_tasks()) - 1
    tell(await_=cancelled, abandon=abandoned, authenticate=authenticated, left=left, threads=threading.active_count())


async def cancel_all(tasks: list[asyncio.Task[Any]]) -> float:
    """Seconds until all are gone."""
    began = time.monotonic()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert all(task.cancelled() for task in tasks)
    return time.monotonic() - began


CLIENTS = {
    ("poll", "library"): poll_library,
    ("poll", "session"): poll_session,
    ("poll", "persistent"): partial(poll_session, persistent=True),
    ("poll", "logged"): poll_logged,
    ("poll", "telemetry"): poll_silent,
    ("poll", "events"): partial(poll_traced, polls="events"),
    ("poll", "spans"): partial(poll_traced, polls="spans"),
    ("poll", "aiohttp"): poll_aiohttp,
    ("poll", "streams"): poll_streams,
    ("logins", "library"): logins_library,
    ("pending", "library"): pending_library,
    ("cancel", "library"): cancel_library,
    ("signing", "library"): signing_library,
    ("verify", "library"): verify_library,
}


def main() -> None:
    """Run one."""
    what, who, signing, issuer, count = sys.argv[1:]
    if who == "requests_oauth2client":
        logins_requests_oauth2client(issuer, int(count))
        return
    asyncio.run(CLIENTS[what, who](signing, issuer, int(count)))


if __name__ == "__main__":
    main()
