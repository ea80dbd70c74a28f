"""Does a login ever get another's answer? Thousands of logins over sockets while exchanges go wrong.

    python benchmarks/crossed_answers.py --logins 20000

A share of all exchanges is reset (half of them after the provider did its work), answered after the client's patience
has ended, cancelled in the middle, or answered twice, the second time while the connection lies idle. Every other
login is of an eID that keeps the number to itself, so that nothing in a token could give away that it is another's.
The program prints what is demanded beside what was reached, and exits with 1 where the two differ.

A second answer that leaves the provider while the next request is on its way cannot be told from that one's answer by
anybody. The provider's side keeps it back where it has seen that request; the few that are left are counted apart.

The client's side says in a header what is to go wrong, the provider's side does it and repeats the exchange's number
in its answer: so a crossed answer shows even where the library would refuse it.

All logins are run over each of the ways that `--over` names: the `pool` of our own; a `session` that is lent, whose
connections are closed after each exchange; and one whose connections are `persistent`, because the caller wants it so.
There, what arrives in the last turn of the event loop before a request leaves cannot be seen, and only a number in the
token tells whose it is: of 20,000 logins, 406 answered twice, one had another's answer. Its token held no number.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import random
import selectors
import socket
import struct
import sys
import time
from collections import Counter
from contextlib import suppress
from multiprocessing.connection import Connection

import aiohttp
from attrs import define, evolve, field

from idura_ciba import CibaClient, CibaError, ClientSecretBasic, EidRequest, State
from idura_ciba.errors import TransportError
from idura_ciba.http.transport import KEEP_ALIVE, AiohttpTransport
from idura_ciba.protocol.http import HttpRequest, HttpResponse
from idura_ciba.simulator import Script, SimRequest, SimulatedIdura
from idura_ciba.simulator.people import invent_person

CLIENT_ID, SECRET, SEED = "urn:benchmark", "known to the simulator", 1
#: Counted up from no such day, so that they belong to nobody.
SWEDISH, NORWEGIAN = 209999000000, 99999000000
KINDS = ("reset before", "reset after", "timed out", "cancelled", "answered twice")
#: Seconds that the client waits for an answer, and that the provider holds one back which is to come too late: also if
#: the client waits a second longer because its event loop was blocked.
PATIENCE, TOO_LATE = 1.5, 3.0
#: Seconds within which an exchange is cancelled, and after which it would have been answered.
CANCELLED_WITHIN, CANCELLED_LATE = 0.3, 0.5
#: Seconds until a second answer: none, one or two of these.
SECOND_AFTER = 0.02
#: Logins under way at once.
AT_ONCE = 500
#: Who carries the requests.
WAYS = ("pool", "session", "persistent")


def script_of(nth: int) -> Script:
    """What the nth person does: most approve, some say no."""
    after = 0.1 + nth % 13 / 10
    return Script.deny(after=after) if nth % 7 == 0 else Script.approve(after=after)


def person_of(nth: int) -> tuple[str, str]:
    """The eID and the number of the nth person."""
    return ("no", f"{NORWEGIAN + nth}") if nth % 2 else ("se", str(SWEDISH + nth))


# --- the provider's side, in a process of its own ---------------------------------------------------------------------


@define
class Front:
    """Speaks HTTP for the simulated provider, and misbehaves as each request asks it to."""

    idura: SimulatedIdura
    seen: Counter[str] = field(factory=Counter)
    #: Exchanges that came over a connection after something unexpected, and when that had been sent.
    after: list[tuple[int, float]] = field(factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, and count what comes over it after something unexpected."""
        spoiled_at: float | None = None
        upcoming = asyncio.create_task(read_request(reader))
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                request = await upcoming
                if spoiled_at is not None:
                    self.after.append((int(request.headers["benchmark"].split()[0]), spoiled_at))
                upcoming = asyncio.create_task(read_request(reader))
                if await self._answer(request, upcoming, writer):
                    spoiled_at = time.monotonic()
                if request.headers.get("connection") == "close":
                    break
        upcoming.cancel()
        writer.close()

    async def _answer(
        self, request: SimRequest, upcoming: asyncio.Task[SimRequest], writer: asyncio.StreamWriter
    ) -> bool:
        """Answer one request; returns whether the client has to see something unexpected."""
        number, _, kind = request.headers["benchmark"].partition(" ")
        self.seen["exchanges"] += 1
        self.seen[kind] += 1
        if kind == "reset before":
            break_off(writer)
            return False
        with self.idura.exchange(request) as exchange:
            reply = exchange.process(time.time())
        assert reply is not None
        if kind == "reset after":
            break_off(writer)
            return False
        lines = [f"HTTP/1.1 {reply.status} X", f"Content-Length: {len(reply.body)}", f"Benchmark: {number}"]
        lines += [f"{name}: {value}" for name, value in reply.headers.items()]
        lines += ["Connection: close"] * (request.headers.get("connection") == "close")
        data = "\r\n".join([*lines, "", ""]).encode() + reply.body
        if kind in {"timed out", "cancelled"}:
            # Told in time that nobody waits any more, a server would not answer; this one does.
            await asyncio.sleep(TOO_LATE if kind == "timed out" else CANCELLED_LATE)
        writer.write(data)
        if kind == "answered twice":
            await asyncio.wait({upcoming}, timeout=SECOND_AFTER * (int(number) % 3))
            if upcoming.done() or has_unread(writer):
                self.seen["kept back"] += 1
                return False
            writer.write(data)
        await writer.drain()
        return bool(kind)


async def read_request(reader: asyncio.StreamReader) -> SimRequest:
    """Read one request."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *fields = head.strip().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in fields)}
    return SimRequest(method, path, headers, await reader.readexactly(int(headers.get("content-length", "0"))))


def has_unread(writer: asyncio.StreamWriter) -> bool:
    """Whether the next request has arrived already."""
    with selectors.PollSelector() as selector:
        selector.register(writer.get_extra_info("socket"), selectors.EVENT_READ)
        return bool(selector.select(0))


def break_off(writer: asyncio.StreamWriter) -> None:
    """Reset the connection."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def provide(pipe: Connection, logins: int) -> None:
    """Serve until told to stop; sends the issuer first and what was seen last."""

    async def run() -> None:
        idura = SimulatedIdura(seed=SEED, signing_alg="ES256", interval=1, expires_in=30)
        idura.register_client(CLIENT_ID, secret=SECRET)
        for nth in range(logins):
            idura.script(person_of(nth)[1], script_of(nth))
        front = Front(idura)
        listener = await asyncio.start_server(front.serve, "127.0.0.1", 0, backlog=1024)
        idura.issuer = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        pipe.send(idura.issuer)
        await asyncio.to_thread(pipe.recv)
        pipe.send((front.seen, front.after))

    with suppress(KeyboardInterrupt):
        asyncio.run(run())


# --- the client's side ------------------------------------------------------------------------------------------------


@define
class Shaky:
    """A transport that has some of its exchanges go wrong, and notices whose answers it gets."""

    inner: AiohttpTransport
    share: float
    dice: random.Random = field(factory=lambda: random.Random(SEED))
    sent: int = 0
    sent_at: dict[int, float] = field(factory=dict)
    crossed: set[int] = field(factory=set)

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Send, by the dice with a fault."""
        self.sent += 1
        number, kind = self.sent, self.dice.choice(KINDS) if self.dice.random() < self.share else ""
        marked = evolve(request, headers={**request.headers, "Benchmark": f"{number} {kind}"}, timeout=PATIENCE)
        sending = asyncio.create_task(self.inner.send(marked))
        if kind == "cancelled":
            await asyncio.wait({sending}, timeout=self.dice.uniform(0, CANCELLED_WITHIN))
            sending.cancel()
        try:
            response = await sending
        except asyncio.CancelledError:
            raise TransportError("cancelled by the benchmark") from None
        except TransportError as error:
            self.sent_at[number] = error.sent_at or 0.0
            raise
        self.sent_at[number] = response.sent_at
        if response.headers.get("benchmark") != str(number):
            self.crossed.add(number)
        return response

    async def aclose(self) -> None:
        """Nothing: what is lent is closed by its owner."""


def request_of(nth: int) -> EidRequest:
    """How the nth person is asked."""
    eid, number = person_of(nth)
    return EidRequest(
        login_hint=f"sub:ssn:{number}",
        acr_values=f"urn:grn:authn:{eid}:bankid",
        binding_message="Hello" if eid == "se" else None,
        authorization_details=(
            {"type": "phoneAuth", "callInitiator": "RP"} if eid == "se" else {"type": "customerServiceCall.v1"},
        ),
        identity={("ssn" if eid == "se" else "socialno",): number},
        identity_guaranteed=eid == "se",
    )


async def log_in(ciba: CibaClient, nth: int, counts: Counter[str]) -> None:
    """One login, held against what this person does and is."""
    eid, number = person_of(nth)
    try:
        transaction = await ciba.start(request_of(nth))
    except CibaError:
        counts["not started"] += 1
        return
    outcome = await transaction.outcome()
    counts[outcome.state.value] += 1
    decision = script_of(nth).decision
    if outcome.authentication is not None:
        whose = f"{{{invent_person(SEED, eid, number).guid}}}"
        named = outcome.authentication.claims.get("ssn", number)
        counts["another's number"] += named != number
        counts["another's"] += outcome.authentication.subject != whose or decision != "approved"
    elif outcome.state is State.DENIED:
        counts["another's"] += decision != "denied"


def session_for(over: str) -> aiohttp.ClientSession | None:
    """What is lent."""
    if over == "pool":
        return None
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())


async def run(issuer: str, logins: int, share: float, over: str) -> tuple[Counter[str], Shaky]:
    """All logins, `AT_ONCE` at a time."""
    counts: Counter[str] = Counter()
    places = asyncio.Semaphore(AT_ONCE)
    lent = session_for(over)

    async def take_place(ciba: CibaClient, nth: int) -> None:
        try:
            await log_in(ciba, nth, counts)
        finally:
            places.release()

    async with AiohttpTransport(session=lent, persistent=over == "persistent") as inner:
        shaky = Shaky(inner, share)
        auth = ClientSecretBasic(CLIENT_ID, SECRET)
        async with (
            CibaClient(issuer, auth, transport=shaky, id_token_algorithms=("ES256",), observers=()) as ciba,
            asyncio.TaskGroup() as group,
        ):
            for nth in range(logins):
                await places.acquire()
                group.create_task(take_place(ciba, nth))
    if lent is not None:
        await lent.close()
    return counts, shaky


def attempt(over: str, logins: int, share: float) -> bool:
    """All logins over one way; returns whether what was demanded was reached."""
    processes = multiprocessing.get_context("spawn")
    pipe, other_end = processes.Pipe()
    provider = processes.Process(target=provide, args=(other_end, logins), daemon=True)
    provider.start()
    began = time.monotonic()
    counts, shaky = asyncio.run(run(pipe.recv(), logins, share, over))
    pipe.send("stop")
    seen, after = pipe.recv()
    provider.join()
    another, named = counts.pop("another's", 0), counts.pop("another's number", 0)
    print(f"\n{over}: {logins} logins in {time.monotonic() - began:.0f} s: {dict(counts)}")
    wrong = {kind: seen[kind] for kind in KINDS}
    print(f"{seen['exchanges']} exchanges reached the provider, of which {sum(wrong.values())} went wrong: {wrong}")
    # Both processes read the machine's one monotonic clock.
    used_again = {number for number, spoiled_at in after if shaky.sent_at.get(number, 0.0) > spoiled_at}
    under_way = {number for number, _ in after} - used_again
    print(f"{len(under_way)} second answers met a request under way; {seen['kept back']} were kept back for one")
    none = "-" if over == "persistent" else 0
    rows = [
        ("logins that ended", logins, counts.total()),
        ("logins with another's number", 0, named),
        ("logins with another's answer", none, another),
        ("connections used after something unexpected", none, len(used_again)),
        ("exchanges with another's answer", none, len(shaky.crossed - under_way)),
        ("  the same, met under way", 0 if over == "session" else "-", len(shaky.crossed & under_way)),
    ]
    print(f"{'':<46}{'demanded':>10}{'reached':>10}")
    for name, demanded, reached in rows:
        verdict = "" if demanded in {reached, "-"} else "   WRONG"
        print(f"{name:<46}{demanded:>10}{reached:>10}{verdict}", flush=True)
    return all(demanded in {reached, "-"} for _, demanded, reached in rows)


def main() -> int:
    """Run, print, judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--logins", type=int, default=20_000, help="over each way")
    parser.add_argument("--share", type=float, default=0.05, help="of the exchanges that go wrong")
    parser.add_argument("--over", choices=WAYS, nargs="+", default=WAYS, help="who carries them")
    options = parser.parse_args()
    reached = [attempt(over, options.logins, options.share) for over in options.over]
    return int(not all(reached))


if __name__ == "__main__":
    sys.exit(main())
