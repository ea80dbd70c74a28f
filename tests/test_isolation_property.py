"""A property of the whole client inside an application that is busy and blocked, at any moments.

Under the real transport lies a network that goes on while the event loop is blocked, as sockets do: what was written
has arrived, and what is answered lies there until somebody reads. The default executor is full for ever, lookups do not
answer for a while, and signatures are slow.
"""

from __future__ import annotations

import asyncio
import math
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

import aiohttp
import pytest
from attrs import define, field, frozen
from hypothesis import given, note, settings
from hypothesis import strategies as st

from idura_ciba import CibaClient, CibaError, ClientSecretPost, Outcome, State
from idura_ciba.aio.patience import GRACE
from idura_ciba.http.backchannel import ANSWER_TIMEOUT
from idura_ciba.http.exchange import Exchange
from idura_ciba.http.resolver import LOOK_UPS, OwnResolver
from idura_ciba.http.transport import AiohttpTransport
from idura_ciba.protocol.http import HttpResponse
from idura_ciba.simulator import OrderRecord, Rules, Script, SimulatedIdura
from idura_ciba.simulator.messages import SimReply, SimRequest
from idura_ciba.testing import VIRTUAL_EPOCH, VirtualLoop, virtual_clock
from tests.fakes import swede, swedish_number

pytestmark = pytest.mark.unmeasured

ISSUER = "https://idura.example"
CLIENT_ID, SECRET = "urn:my:app", "known to the simulator"
INTERVAL, EXPIRES_IN = 2, 30
#: Seconds for which the loop is blocked at the longest: longer than an order lives, and than an answer is waited for.
LONGEST_BLOCK = 40.0
#: Seconds of one lookup, of the way to the provider and back, of one signature, and for which a poll is held.
LOOK_UP, WAY, LONGEST_SIGNATURE, LONGEST_HOLD = 0.02, 0.05, 8.0, 20.0
#: Turns of the event loop from the socket to whoever reads the body.
TURNS = 4
#: SECURITY.md, P5: tokens wait for their keys.
FOR_KEYS = 100.0
#: Longer than anything here can last.
FOR_EVER = 1000.0


@frozen
class Person:
    """Who is asked when, for how long the caller waits, and what the person does."""

    begins: float
    timeout: float | None
    script: Script


@frozen
class Trouble:
    """What the application does to the event loop, and the system to the library.

    Attributes:
        blocked_at: Seconds for which the loop is blocked, by the instant.
        blocked_after: The same by the number of a step of some request: asked to sign, connected, written.
        until_a_timer: Whether the loop goes on just when one of its timers has become due, the next one after that.
        silences: When lookups begin to be without an answer, and for how long.
        signatures: Seconds that signatures take, in turn.
        holds: Seconds for which the provider holds polls, in turn; infinite where it never gets one.
    """

    blocked_at: Mapping[float, float]
    blocked_after: Mapping[int, float]
    until_a_timer: bool
    silences: Sequence[tuple[float, float]]
    signatures: Sequence[float]
    holds: Sequence[float]

    @property
    def is_slight(self) -> bool:
        """Whether the system is as fast as ever."""
        return not self.silences and max(self.signatures) < INTERVAL and max(self.holds) < math.inf


class ThreadedSecret(ClientSecretPost):
    """Credentials that are made on a thread, as RSA signatures are."""

    @property
    def signing_threads(self) -> int:
        """One."""
        return 1


class BusyLoop(VirtualLoop):
    """The event loop of somebody else's application."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__()
        self.trouble = trouble
        #: From when to when it was blocked.
        self.blocked: list[tuple[float, float]] = []
        self._steps = self._signatures = 0
        for at, seconds in trouble.blocked_at.items():
            self.call_at(at, self.block, seconds)

    def block(self, seconds: float) -> None:
        """Come to a halt, as by `time.sleep`."""
        began, end = self._virtual.now, self._virtual.now + seconds
        if self.trouble.until_a_timer:
            due = [timer.when() for timer in self._virtual.timers if not timer.cancelled()]
            end = min((at for at in due if end <= at <= began + LONGEST_BLOCK), default=end) + WAY / 10
        self._virtual.now = end
        self.blocked.append((began, end))

    def step(self) -> None:
        """Something was done for a request; perhaps the application now blocks the loop."""
        self._steps += 1
        if seconds := self.trouble.blocked_after.get(self._steps):
            self.block(seconds)

    def run_in_executor(self, executor: Executor | None, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        """Nothing in the default executor, lookups as far as they are answered, signatures slowly."""
        future: asyncio.Future[Any] = self.create_future()
        if executor is None or (executor is LOOK_UPS and self._is_silent()):
            return future
        self._signatures += 1
        delay = self.trouble.signatures[self._signatures % len(self.trouble.signatures)]
        if executor is LOOK_UPS:
            func, args, delay = self._look_up, (), LOOK_UP

        def run() -> None:
            if not future.cancelled():
                future.set_result(func(*args))

        self.call_later(delay, run)
        self.call_soon(self.step)
        return future

    def _is_silent(self) -> bool:
        return any(begin <= self.time() < begin + length for begin, length in self.trouble.silences)

    @staticmethod
    def _look_up() -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 443))]


@define(eq=False)
class Wire:
    """A carrier, with the provider at its other end."""

    idura: SimulatedIdura
    loop: BusyLoop
    _resolver: OwnResolver = field(factory=OwnResolver, init=False)
    _polls: int = field(default=0, init=False)

    async def carry(self, exchange: Exchange) -> HttpResponse:
        """Look up, connect, write, read."""
        try:
            async with asyncio.timeout(exchange.connect_timeout):
                await self._resolver.resolve("idura.example", 443)
        except TimeoutError:
            raise aiohttp.ConnectionTimeoutError from None
        self.loop.step()
        sent_at = exchange.leave()
        request = exchange.request
        path = request.url.removeprefix(ISSUER)
        with self.idura.exchange(SimRequest(request.method, path, request.headers, request.body)) as there:
            reply: asyncio.Future[SimReply | None] = self.loop.create_future()

            def answer() -> None:
                if not reply.done():
                    reply.set_result(there.process(VIRTUAL_EPOCH + sent_at + held))

            held = 0.0 if there.order is None else self._hold(there.order.record, VIRTUAL_EPOCH + sent_at)
            if held < math.inf:
                self.loop.call_at(sent_at + held + WAY, answer)
            self.loop.step()
            message = await reply
            assert message is not None
            for _ in range(TURNS):
                await asyncio.sleep(0)
            there.delivered()
            headers = {name.lower(): value for name, value in message.headers.items()}
            return HttpResponse(message.status, headers, message.body, sent_at, self.loop.time())

    def _hold(self, order: OrderRecord, now: float) -> float:
        """Seconds for which a poll is held: until there is news at the longest."""
        self._polls += 1
        news_at = order.expires_at if order.decided_at is None else order.decided_at
        hold = self.loop.trouble.holds[self._polls % len(self.loop.trouble.holds)]
        return hold if hold == math.inf else min(hold, max(0.0, news_at - now))

    async def aclose(self) -> None:
        """Nothing to release."""


@frozen
class Login:
    """How one login went, and when it was over; without an outcome it never began."""

    person: Person
    called_at: float
    over_at: float
    outcome: Outcome | None
    resumed: Outcome | None = None


blocks = st.sampled_from([0.3, 1.0, 5.0, 9.9, 12.0, 34.0, 36.0, LONGEST_BLOCK]) | st.floats(0.3, LONGEST_BLOCK)
instants = st.floats(0, 80)
people = st.builds(
    Person,
    begins=st.sampled_from([0.0, 0.0, 3.0, 20.0]),
    timeout=st.none() | st.none() | st.floats(0.1, 40),
    script=st.one_of(
        st.builds(Script.approve, st.floats(0, EXPIRES_IN - 3 * INTERVAL)),
        st.builds(Script.approve, st.sampled_from([0, 4, 20])),
        st.builds(Script.deny, st.floats(0, EXPIRES_IN)),
        st.just(Script.never()),
    ),
)
troubles = st.builds(
    Trouble,
    blocked_at=st.dictionaries(instants, blocks, max_size=3),
    blocked_after=st.dictionaries(st.integers(1, 40), blocks, max_size=3),
    until_a_timer=st.booleans(),
    silences=st.just([]) | st.lists(st.tuples(instants, st.floats(0, 60)), max_size=2),
    signatures=st.just([0.0]) | st.lists(st.floats(0, LONGEST_SIGNATURE), min_size=1, max_size=5),
    holds=st.just([0.0])
    | st.lists(st.sampled_from([0.0, 0.0, 1.0, 4.0, LONGEST_HOLD, math.inf]), min_size=1, max_size=7),
)


@settings(max_examples=int(os.environ.get("IDURA_CIBA_EXAMPLES", "200")))
@given(who=st.lists(people, min_size=1, max_size=4), trouble=troubles)
def test_an_application_that_blocks_and_hangs_costs_no_login(who: list[Person], trouble: Trouble) -> None:
    """What was approved is approved or indeterminate, each ends in time, and no phone rings too late."""
    idura, loop = provider(who), BusyLoop(trouble)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        logins = runner.run(everybody(idura, loop, who))
    orders = {order.person: order for order in idura.ledger.orders}
    assert len(orders) == len(idura.ledger.orders), "somebody was asked twice"
    for nth, login in enumerate(logins):
        order = orders.get(swedish_number(nth))
        note(f"{login}\n  {order}\n  blocked {loop.blocked}")
        rang_in_time(login, order)
        ended_in_time(login, order, loop.blocked)
        ended_rightly(login, order, calm=not loop.blocked and trouble.is_slight)


#: The steps at which the requests of one login are written, one after the other.
WRITTEN = {"discovery": 3, "the order": 7, "the keys": 10, "a poll": 14}


@pytest.mark.parametrize("step", WRITTEN.values(), ids=WRITTEN)
@pytest.mark.parametrize("seconds", [12.0, 34.9, 36.0, LONGEST_BLOCK])
def test_what_lies_in_the_socket_when_the_loop_goes_on_is_read(step: int, seconds: float) -> None:
    """However long after its timeout: a debugger that halts right after a request costs no login."""
    who = [Person(0.0, None, Script.approve(2))]
    idura = provider(who, expires_in=120)
    loop = BusyLoop(Trouble({}, {step: seconds}, until_a_timer=False, silences=[], signatures=[0.0], holds=[0.0]))
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        (login,) = runner.run(everybody(idura, loop, who))
    assert login.outcome is not None
    assert login.outcome.state is State.APPROVED
    assert len(loop.blocked) == len(idura.ledger.orders) == 1


def provider(who: list[Person], *, expires_in: int = EXPIRES_IN) -> SimulatedIdura:
    """One that does as these people do."""
    idura = SimulatedIdura(ISSUER, rules=Rules(throttle="off"), interval=INTERVAL, expires_in=expires_in)
    idura.register_client(CLIENT_ID, secret=SECRET)
    for nth, person in enumerate(who):
        idura.script(swedish_number(nth), person.script)
    return idura


async def everybody(idura: SimulatedIdura, loop: BusyLoop, who: list[Person]) -> list[Login]:
    """Log all of them in at one client."""
    transport = AiohttpTransport()
    transport._carrier = Wire(idura, loop)
    auth = ThreadedSecret(CLIENT_ID, SECRET)
    async with CibaClient(ISSUER, auth, transport=transport, clock=virtual_clock()) as ciba:
        return await asyncio.gather(*(log_in(ciba, nth, person) for nth, person in enumerate(who)))


async def log_in(ciba: CibaClient, nth: int, person: Person) -> Login:
    """One login from its call to its outcome, taken up again if the keys could not be had."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(person.begins)
    called_at = loop.time()
    outcome = resumed = None
    try:
        transaction = await ciba.start(swede(nth), timeout=person.timeout)
        outcome = await transaction.outcome()
    except CibaError as error:
        note(f"{nth} did not begin: {error!r}")
    over_at = loop.time()
    if outcome is not None and outcome.state is State.FAILED and outcome.error and outcome.error.resume_token:
        await asyncio.sleep(FOR_EVER)  # by then, names are looked up again
        resumed = await (await ciba.resume(outcome.error.resume_token)).outcome()
    return Login(person, called_at, over_at, outcome, resumed)


def rang_in_time(login: Login, order: OrderRecord | None) -> None:
    """No phone rings after the caller's timeout."""
    if order is not None and login.person.timeout is not None:
        assert order.started_at - VIRTUAL_EPOCH < login.called_at + login.person.timeout


def ended_in_time(login: Login, order: OrderRecord | None, blocked: Sequence[tuple[float, float]]) -> None:
    """SECURITY.md, P5, from the latest end there can be; after each block, reading may take a moment."""
    ends = [] if order is None else [order.expires_at - VIRTUAL_EPOCH + WAY]
    if login.person.timeout is not None:
        ends.append(login.called_at + login.person.timeout)
    lost = [end - begin + GRACE for begin, end in blocked if begin <= login.over_at]
    if ends:
        keys = FOR_KEYS if order is not None and order.tokens_issued_at is not None else 0.0
        assert login.over_at <= min(ends) + ANSWER_TIMEOUT + keys + sum(lost) + 0.1


def ended_rightly(login: Login, order: OrderRecord | None, *, calm: bool) -> None:
    """As the provider has it, or with the truth that nobody knows."""
    if login.outcome is None or order is None:
        assert not calm or login.person.timeout is not None
        return
    state = (login.resumed or login.outcome).state
    limited = {State.ABANDONED} if login.person.timeout is not None else set()
    if order.tokens_issued_at is not None:
        # Whatever came in time was read, however late.
        assert state is State.APPROVED
    elif order.decision == "approved":
        assert not calm or limited
        assert state in {State.INDETERMINATE, *limited}
    elif order.decision == "denied":
        assert state in {State.DENIED, State.EXPIRED, State.INDETERMINATE, *limited}
    else:
        assert state in {State.EXPIRED, State.INDETERMINATE, *limited}
