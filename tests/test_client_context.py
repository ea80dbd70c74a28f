"""Tests of the caller's context: whatever happens for a login sees the context variables of whoever began it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import get_current_span

from idura_ciba import CibaClient, EidRequest, FairScheduler, HazardAware, IndexScheduler, PollView, Transaction
from idura_ciba.batch import verify_many
from idura_ciba.observe import AnyEvent, PollEvent, log_events
from idura_ciba.protocol.http import HttpRequest, HttpResponse
from idura_ciba.simulator import Fault, MemoryTransport, Script, SimulatedIdura
from idura_ciba.testing import virtual_clock
from tests.fakes import swede, swedish_number
from tests.logins import MakeClient, polls

#: As a service sets it for each call that comes in.
call: ContextVar[str] = ContextVar("call")
SCHEDULERS = [FairScheduler, IndexScheduler]
ENDS = [Script.approve(after=9), Script.deny(after=5), Script.never(), Script.approve(after=20), Script.never()]


@contextmanager
def calling(name: str) -> Iterator[None]:
    """Within it, this call is the current one."""
    token = call.set(name)
    try:
        yield
    finally:
        call.reset(token)


#: Discovery and keys are for all logins: they belong to no transaction and are told in nobody's name.
DOCUMENTS: frozenset[tuple[str | None, str]] = frozenset({(None, "nobody")})


def current() -> str:
    """The current call."""
    return call.get("nobody")


class Witness(logging.Handler):
    """An observer, a strategy and a log handler: notes in whose name it is called, and for which transaction."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.told: set[tuple[str | None, str]] = set()
        self.logged: set[tuple[str | None, str]] = set()
        self.asked: dict[str, set[str]] = {"next_poll": set(), "due": set(), "finished": set()}
        self._strategy = HazardAware()

    def __call__(self, event: AnyEvent) -> None:
        """Observe."""
        self.told.add((event.transaction, current()))

    def emit(self, record: logging.LogRecord) -> None:
        """As structlog's `merge_contextvars` does: the record is credited to the current call."""
        self.logged.add((record.__dict__["ciba_transaction"], current()))

    def next_poll(self, view: PollView) -> float:
        """Decide as `HazardAware` does."""
        self.asked["next_poll"].add(current())
        return self._strategy.next_poll(view)

    def index(self, view: PollView, at: float) -> float:
        """The same."""
        return self._strategy.index(view, at)

    def due(self, view: PollView, price: float) -> float:
        """The same."""
        self.asked["due"].add(current())
        return self._strategy.due(view, price)

    def finished(self, record: object) -> None:
        """Learn nothing."""
        del record
        self.asked["finished"].add(current())


@pytest.fixture(name="witness")
def _witness(caplog: pytest.LogCaptureFixture) -> Iterator[Witness]:
    """One that also hears the log."""
    witness, logger = Witness(), logging.getLogger("idura_ciba")
    caplog.set_level(logging.DEBUG, "idura_ciba")
    logger.addHandler(witness)
    yield witness
    logger.removeHandler(witness)


@pytest.mark.parametrize("kind", SCHEDULERS)
async def test_no_login_is_credited_to_the_caller_of_another(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, witness: Witness, kind: type[FairScheduler]
) -> None:
    """One poll at a time, so that each one's end serves the next: observers, log records and strategies."""
    logins: dict[str, Transaction] = {}
    doubts: set[tuple[str, str]] = set()
    simulated_idura.faults.append(polls(Fault.lose_answer(), 2))
    scheduler = kind(rate=0.6, max_in_flight=1)
    async with make_ciba_client(scheduler=scheduler, strategy=witness, observers=[log_events, witness]) as ciba:
        for nth, script in enumerate(ENDS):
            simulated_idura.script(swedish_number(nth), script)
            name = f"call {nth}"
            with calling(name):
                login = logins[name] = await ciba.start(swede(nth))
            login.on_doubt = lambda _, name=name: doubts.add((name, current()))
        await asyncio.gather(*(login.outcome() for login in logins.values()))
    credited: set[tuple[str | None, str]] = {(login.id, name) for name, login in logins.items()}
    assert witness.told == witness.logged == credited | DOCUMENTS
    assert doubts == {(name, name) for name in logins}
    assert witness.asked["next_poll"] == witness.asked["finished"] == set(logins)
    assert witness.asked["due"] == (set(logins) if kind is IndexScheduler else set())


@pytest.mark.parametrize("end", ["abandon", "close", "observer"])
async def test_an_end_is_credited_to_whoever_began(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, witness: Witness, end: str
) -> None:
    """Also if somebody else brings it about, or an observer of the same login that runs in that context already."""
    del simulated_idura
    logins: list[Transaction] = []

    def impatient(event: AnyEvent) -> None:
        if isinstance(event, PollEvent):
            for login in logins:
                login.abandon()

    observers = [witness, impatient] if end == "observer" else [witness]
    ciba = make_ciba_client(observers=observers)
    for nth in range(2):
        with calling(f"call {nth}"):
            logins.append(await ciba.start(swede(nth)))
    with calling("somebody else's call"):
        if end == "abandon":
            for login in logins:
                login.abandon()
        elif end == "observer":
            await asyncio.gather(*(login.outcome() for login in logins))
        await ciba.close()
    assert all(login.state.is_final for login in logins)
    assert witness.told - DOCUMENTS == {(login.id, f"call {nth}") for nth, login in enumerate(logins)}


async def test_a_resumed_login_is_credited_to_whoever_resumed_it(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, witness: Witness
) -> None:
    """The call that began it is over, perhaps in another process."""
    simulated_idura.script(swedish_number(0), Script.approve(after=20))
    former = make_ciba_client()
    with calling("before"):
        await former.start(swede(0))
    (left,) = await former.close()
    token = left.token
    async with make_ciba_client(observers=[witness]) as ciba:
        with calling("after"):
            login = await ciba.resume(token)
        assert (await login.outcome()).authentication is not None
    assert witness.told == {(login.id, "after")} | DOCUMENTS


async def test_what_is_done_for_all_is_done_in_nobodys_name(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Discovery and keys; requests and polls are the caller's."""
    sent: set[tuple[str, str]] = set()

    class Noting(MemoryTransport):
        async def send(self, request: HttpRequest) -> HttpResponse:
            sent.add((request.url.rpartition("/")[2], current()))
            return await super().send(request)

    simulated_idura.script(swedish_number(0), Script.approve(after=8))
    transport = Noting(simulated_idura, clock=virtual_clock())
    async with make_ciba_client(transport=transport) as ciba:
        with calling("call 0"):
            await ciba.authenticate(swede(0))
    assert sent == {
        ("openid-configuration", "nobody"),
        ("jwks", "nobody"),
        ("bc-authorize", "call 0"),
        ("token", "call 0"),
    }


async def test_a_change_within_one_call_is_not_seen_by_the_next(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """An observer that sets a variable and forgets to reset it changes nothing for anybody, itself included."""
    del simulated_idura
    seen: list[str] = []

    def careless(event: AnyEvent) -> None:
        if isinstance(event, PollEvent):
            seen.append(current())
            call.set("left behind")

    async with make_ciba_client(observers=[careless]) as ciba:
        with calling("call 0"):
            login = await ciba.start(swede(0))
        await login.outcome()
    assert len(seen) > 2
    assert set(seen) == {"call 0"}
    assert current() == "nobody"


async def test_each_row_of_a_batch_is_credited_to_itself(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, witness: Witness
) -> None:
    """The context as of when its row was read; without anything of that kind, that of whoever runs the batch."""
    accepted: dict[str, str] = {}
    named: set[tuple[str | None, str]] = set()

    async def people() -> AsyncIterator[tuple[str, EidRequest]]:
        for nth, script in enumerate(ENDS):
            simulated_idura.script(swedish_number(nth), script)
            call.set(f"row {nth}")
            yield f"row {nth}", swede(nth)

    def note(key: str, transaction: Transaction) -> None:
        accepted[key] = current()
        named.add((transaction.id, key))

    async with make_ciba_client(observers=[log_events, witness], strategy=witness) as ciba:
        results = [result async for result in verify_many(ciba, people(), accepted=note)]
    assert len(results) == len(ENDS)
    assert accepted == {key: key for key in accepted}
    assert witness.told == witness.logged == named | DOCUMENTS
    assert witness.asked["next_poll"] == set(accepted)


async def test_the_current_span_of_opentelemetry_is_the_callers(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """So that a span or a log record that an observer makes belongs to the trace of the right call."""
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("tests")
    del simulated_idura
    spans: dict[str, set[str]] = {}

    def observe(event: AnyEvent) -> None:
        if event.transaction is not None:
            spans.setdefault(event.transaction, set()).add(str(getattr(get_current_span(), "name", None)))

    async def serve_call(ciba: CibaClient, nth: int) -> str:
        with tracer.start_as_current_span(f"call {nth}"):
            login = await ciba.start(swede(nth))
        await login.outcome()  # the request of the service is over long before the login
        return login.id

    async with make_ciba_client(observers=[observe], scheduler=FairScheduler(max_in_flight=1)) as ciba:
        ids = await asyncio.gather(*(serve_call(ciba, nth) for nth in range(3)))
    assert spans == {name: {f"call {nth}"} for nth, name in enumerate(ids)}
