"""A machine that does what users, networks and programs do, in any order, on one virtual clock.

People answer, faults come and go, awaiters come and go, clients close and others resume, keys rotate. After each step
the provider's ledger, the wire and the logs are held against what the client promises.

`IDURA_CIBA_EXAMPLES` sets the number of examples, for nightly runs.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import os
from collections import Counter
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any
from urllib.parse import parse_qs

import pytest
from attrs import define
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from idura_ciba import (
    Abandoned,
    AlreadyPending,
    CibaClient,
    ClientSecretPost,
    Indeterminate,
    Outcome,
    ProviderError,
    RemoteProtocolError,
    ResumeError,
    State,
    StateError,
    SwedishBankID,
    Transaction,
    TransportError,
)
from idura_ciba.observe import PollEvent, TransactionEvent, log_events
from idura_ciba.protocol.http import HttpRequest, HttpResponse
from idura_ciba.simulator import Arrival, Fault, MemoryTransport, OrderRecord, Script, SimulatedIdura
from idura_ciba.testing import VIRTUAL_EPOCH, VirtualLoop, virtual_clock

pytestmark = pytest.mark.unmeasured

CLIENT_ID, SECRET = "urn:my:app", "canary-secret-0123456789"
MESSAGE = "canary message"
PEOPLE = ("209801011231", "209602294564")
INTERVAL = 2
#: Shorter than Idura's two minutes, so that ends come often.
EXPIRES_IN = 60
#: Longer than anything can last: an order, a held answer, the pause before keys are fetched again.
FOR_EVER = 300
#: Seconds each way.
MAX_LATENCY = 1.5
#: Where floats stop telling instants apart.
GRAIN = 0.001

scripts = st.one_of(
    st.builds(Script.approve, st.sampled_from([0, 1, 2.5, 7, 30, 58, 59.9])),
    st.builds(Script.approve, st.floats(0, 20)),
    st.builds(Script.deny, st.sampled_from([0, 3, 20, 59])),
    st.just(Script.never()),
)
faults = st.one_of(
    st.sampled_from([Fault.lose_request(), Fault.lose_answer(), Fault.refuse_connection()]),
    st.builds(Fault.delay, st.sampled_from([0.5, 1.9, 2, 5, 30, 34.9, 36, 40])),
    st.builds(Fault.answer, st.sampled_from([429, 503]), st.sampled_from([{}, {"Retry-After": "4"}])),
)
endpoints = st.sampled_from(["token", "token", "token", "bc-authorize", "jwks", "discovery"])


@define
class Id:
    """One `auth_req_id` as the wire shows it. Instants are those of the loop.

    Attributes:
        end: When its `expires_in` has passed since the acknowledgement arrived.
        earliest_end: The same since the request left; the provider's own end is between the two.
        in_flight: Polls under way.
        after_end: Polls that left after the end.
        overlapped: Whether two polls ever were.
        lost: Polls that may have arrived and brought no answer.
        heard_at: When the provider last said that nobody has answered yet.
        missed_at: When the last poll left that brought no such word.
    """

    end: float
    earliest_end: float
    in_flight: int = 0
    after_end: int = 0
    overlapped: bool = False
    lost: int = 0
    heard_at: float = -math.inf
    missed_at: float = -math.inf


class Wire:
    """The network of the machine: carries, counts polls and remembers every secret."""

    def __init__(self, idura: SimulatedIdura, latency: float) -> None:
        self._inner = MemoryTransport(idura, latency=latency, clock=virtual_clock())
        self.ids: dict[str, Id] = {}
        self.canaries: set[str] = {*PEOPLE, SECRET, MESSAGE}

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Carry one request."""
        name = parse_qs(request.body.decode()).get("auth_req_id")
        if name is None:
            response = await self._inner.send(request)
            if request.url.endswith("/bc-authorize"):
                self._note_order(response)
            return response
        poll = self.ids[name[0]]
        poll.in_flight += 1
        poll.overlapped |= poll.in_flight > 1
        left_at = asyncio.get_running_loop().time()
        poll.after_end += left_at > poll.end
        missed_at, poll.missed_at = poll.missed_at, left_at
        try:
            response = await self._inner.send(request)
        except BaseException as error:
            poll.lost += getattr(error, "maybe_sent", True)
            raise
        finally:
            poll.in_flight -= 1
        if response.status == 200:
            members = json.loads(response.body)
            self.canaries |= {members["id_token"], members["access_token"]}
        elif b"authorization_pending" in response.body:
            poll.heard_at, poll.missed_at = response.received_at, missed_at
        return response

    def _note_order(self, response: HttpResponse) -> None:
        if response.status == 200:
            members = json.loads(response.body)
            self.canaries.add(members["auth_req_id"])
            ends = (instant + members["expires_in"] for instant in (response.received_at, response.sent_at))
            self.ids[members["auth_req_id"]] = Id(*ends)

    async def aclose(self) -> None:
        """Nothing to release."""


class Lines(logging.Handler):
    """What was logged since the last look, as text."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line."""
        self.lines.append(self.format(record))


class Logins(RuleBasedStateMachine):
    """The rules are what the world does; the invariants are the promises."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(loop_factory=VirtualLoop)
        self.loop = self.runner.get_loop()
        self.idura = SimulatedIdura(seed=1, signing_alg="ES256", expires_in=EXPIRES_IN, interval=INTERVAL)
        self.idura.register_client(CLIENT_ID, secret=SECRET)
        self.idura.faults.append(self.fault_for)
        #: What goes wrong where, and how often yet.
        self.network: dict[str, tuple[Fault, int]] = {}
        self.keys_were_out = False
        self.transactions: list[Transaction] = []
        self.resumed: set[Transaction] = set()
        self.tokens: list[str] = []
        self.awaiters: list[tuple[Transaction, asyncio.Task[Outcome]]] = []
        self.calls: set[asyncio.Task[None]] = set()
        #: Those that may end because nobody wants them any more.
        self.given_up: set[Transaction] = set()
        self.ends: Counter[str] = Counter()
        self.rng = Random(1)
        self.logged = Lines()
        for name in ("idura_ciba", "asyncio"):
            logger = logging.getLogger(name)
            logger.addHandler(self.logged)
            logger.setLevel(logging.DEBUG)

    @initialize(latency=st.sampled_from([0.0, 0.05, 0.4, MAX_LATENCY]), script=scripts)
    def begin(self, latency: float, script: Script) -> None:
        """The network of this example, the first client on it and its first login."""
        self.wire = Wire(self.idura, latency)
        self.open()
        self.start(PEOPLE[0], script, None)

    def open(self) -> None:
        """A new client that knows nothing of those before it."""
        self.known_from = len(self.idura.ledger.orders)
        self.client = CibaClient(
            self.idura.issuer,
            ClientSecretPost(CLIENT_ID, SECRET),
            transport=self.wire,
            clock=virtual_clock(),
            rng=self.rng,
            id_token_algorithms=("ES256",),
            observers=(log_events, self.observe),
        )

    def observe(self, event: TransactionEvent | PollEvent) -> None:
        """Count ends; nothing may follow them."""
        if isinstance(event, TransactionEvent):
            self.ends[event.transaction] += 1 if event.state.is_final or self.ends[event.transaction] else 0

    def fault_for(self, arrival: Arrival) -> Fault | None:
        """What the network does to this request now."""
        fault, times = self.network.pop(arrival.endpoint, (None, 0))
        if fault is None:
            return None
        if times > 1:
            self.network[arrival.endpoint] = fault, times - 1
        self.keys_were_out |= arrival.endpoint in {"jwks", "discovery"}
        return fault

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run until `work` is done; everything else goes on meanwhile."""
        return self.loop.run_until_complete(work)

    def call(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Begin something that takes as long as it takes."""
        task = self.loop.create_task(work())
        self.calls.add(task)
        self.run(asyncio.sleep(0))

    def order_of(self, transaction: Transaction) -> OrderRecord:
        """The provider's side of a transaction."""
        return next(r for r in self.idura.ledger.orders if r.auth_req_id == transaction._driver.auth_req_id)

    # --- what the world does --------------------------------------------------------------------------------------

    @rule(person=st.sampled_from(PEOPLE), script=scripts, timeout=st.sampled_from([None, None, None, 10.0, 55.0]))
    def start(self, person: str, script: Script, timeout: float | None) -> None:
        """Ask somebody, unless a client before this one has: that much a program must know by itself."""
        now = self.now()
        if any(r.person == person and now < r.expires_at for r in self.idura.ledger.orders[: self.known_from]):
            return
        self.idura.script(person, script)
        client = self.client

        async def begin() -> None:
            try:
                request = SwedishBankID(person, call_initiator="RP", message=MESSAGE)
                transaction = await client.start(request, timeout=timeout)
            except (AlreadyPending, ProviderError, Indeterminate, TransportError, RemoteProtocolError):
                return
            except StateError:
                assert client._closed
                return
            except Abandoned:
                # Discovery took longer than its caller would wait; otherwise the timeout ends a transaction.
                assert timeout is not None
                return
            self.adopt(transaction, client)
            if timeout is not None:
                self.given_up.add(transaction)

        self.call(begin)

    def adopt(self, transaction: Transaction, client: CibaClient) -> None:
        """Remember a transaction; one that came while its client was closing ends with it."""
        self.transactions.append(transaction)
        if client._closed:
            self.given_up.add(transaction)

    @rule(seconds=st.one_of(st.sampled_from([0.1, 1, 2, 5, 10, 35, 60]), st.floats(0, 40)))
    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.run(asyncio.sleep(seconds))

    @precondition(lambda self: self.client.pending)
    @rule()
    def wait_for_a_poll(self) -> None:
        """Let time pass until a poll is under way, if one soon is: what comes next comes in the middle of it."""

        async def until_it_leaves() -> None:
            for _ in range(10 * INTERVAL):
                if any(poll.in_flight for poll in self.wire.ids.values()):
                    return
                await asyncio.sleep(0.15)

        self.run(until_it_leaves())

    @rule(endpoint=endpoints, fault=faults, times=st.sampled_from([1, 2, 3, 1000]))
    def break_network(self, endpoint: str, fault: Fault, times: int) -> None:
        """This happens to the next requests there."""
        self.network[endpoint] = fault, times

    @precondition(lambda self: self.network)
    @rule()
    def mend_network(self) -> None:
        """Everything arrives again."""
        self.network.clear()

    @precondition(lambda self: self.transactions)
    @rule(data=st.data())
    def watch(self, data: st.DataObject) -> None:
        """Somebody waits for an outcome."""
        transaction = data.draw(st.sampled_from(self.transactions))
        self.awaiters.append((transaction, self.loop.create_task(transaction.outcome())))
        self.run(asyncio.sleep(0))

    @precondition(lambda self: self.awaiters)
    @rule(data=st.data())
    def stop_watching(self, data: st.DataObject) -> None:
        """And goes away."""
        pair = data.draw(st.sampled_from(self.awaiters))
        self.awaiters.remove(pair)
        pair[1].cancel()
        self.run(asyncio.wait([pair[1]]))

    @precondition(lambda self: self.client.pending)
    @rule(data=st.data())
    def abandon(self, data: st.DataObject) -> None:
        """Stop asking, and keep the token."""
        transaction = data.draw(st.sampled_from(self.client.pending))
        self.given_up.add(transaction)

        async def stop() -> None:
            transaction.abandon()

        self.run(stop())
        # An answer that was here already came first.
        if transaction.state is State.ABANDONED:
            self.keep(transaction.resume_token)

    @precondition(lambda self: self.tokens)
    @rule(data=st.data())
    def resume(self, data: st.DataObject) -> None:
        """Go on with what was abandoned or closed."""
        token = data.draw(st.sampled_from(self.tokens))
        self.tokens.remove(token)
        client = self.client

        async def go_on() -> None:
            try:
                transaction = await client.resume(token)
            except ResumeError as error:
                if error.code != "resume_expired":
                    raise
            except (TransportError, RemoteProtocolError, AlreadyPending):
                self.tokens.append(token)
            except StateError:
                assert client._closed
                self.tokens.append(token)
            else:
                self.resumed.add(transaction)
                self.adopt(transaction, client)

        self.call(go_on)

    @precondition(lambda self: self.client.pending or self.client._starter.context.tasks)
    @rule(patience=st.sampled_from([0.0, 0.3, 5.0]))
    def change_client(self, patience: float) -> None:
        """Close the client and begin with another."""
        self.finish(patience)
        self.open()

    @precondition(lambda self: self.client.pending)
    @rule()
    def rotate_keys(self) -> None:
        """The provider signs with another key; the old one stays published while its tokens may be under way."""
        self.idura.rotate_keys(self.now(), overlap=FOR_EVER)

    # --- what must hold -------------------------------------------------------------------------------------------

    def now(self) -> float:
        """The provider's clock."""
        return VIRTUAL_EPOCH + self.loop.time()

    @invariant()
    def the_ledger_is_content(self) -> None:
        """One ring, one poll at a time, not too fast, not too late."""
        assert self.idura.ledger.totals.collisions == 0
        assert self.idura.ledger.totals.unknown_ids == 0
        for poll in self.wire.ids.values():
            assert not poll.overlapped
            assert poll.after_end <= 1, "more than one grace poll"
        interrupted = self.interrupted()
        for record in self.idura.ledger.orders:
            assert record.overlapping == 0
            assert record.min_spacing is None or record.min_spacing >= INTERVAL - GRAIN, "under the floor"
            assert record.slow_downs == 0
            assert record.polls_after_final == 0 or record.auth_req_id in interrupted

    @invariant()
    def each_end_is_true(self) -> None:
        """Every transaction that has ended ended once, and as the provider knows."""
        for name, ends in self.ends.items():
            assert ends <= 1, f"{name} ended twice"
        for transaction in self.transactions:
            if transaction.state.is_final:
                self.check_end(transaction)
        for transaction, awaiter in self.awaiters:
            if awaiter.done():
                assert awaiter.result().state is transaction.state

    def check_end(self, transaction: Transaction) -> None:
        """Hold one end against the ledger."""
        outcome = transaction._driver._ended and transaction._driver._ended.outcome
        assert outcome is not None
        record, state = self.order_of(transaction), transaction.state
        assert outcome.state is state
        match state:
            case State.APPROVED:
                assert outcome.authentication is not None
                assert outcome.authentication.claims["ssn"] == record.person
                assert (record.outcome, record.delivered) == ("approved", 1)
            case State.DENIED:
                assert record.outcome == "denied"
            case State.EXPIRED:
                assert record.tokens_issued_at is None
                assert record.outcome in {"open", "expired"}
                # The person has not answered, or too late for anybody to hear; whoever says so was heard near the end.
                poll = self.wire.ids[record.auth_req_id]
                near = poll.earliest_end - 2 * INTERVAL - 2 * MAX_LATENCY
                assert poll.heard_at >= near, "nobody was heard near the end"
            case State.INDETERMINATE if outcome.error is not None and outcome.error.code == "unheard":
                assert record.tokens_issued_at is None
                poll = self.wire.ids[record.auth_req_id]
                # Whoever resumes late has not heard what was heard before.
                silent = poll.heard_at < poll.end - 2 * INTERVAL or transaction in self.resumed
                assert silent or poll.missed_at > poll.heard_at - GRAIN, "the provider was heard near the end"
            case State.INDETERMINATE:
                assert self.wire.ids[record.auth_req_id].lost or record.auth_req_id in self.interrupted()
            case State.FAILED:
                # The tokens came and the keys could not be had.
                assert isinstance(outcome.error, TransportError | RemoteProtocolError)
                assert self.keys_were_out
                assert record.outcome == "approved"
            case _:
                assert state in {State.ABANDONED, State.HANDED_OVER}
                assert transaction in self.given_up

    @invariant()
    def no_line_tells_a_secret(self) -> None:
        """Whatever was logged since the last step."""
        for line in self.logged.lines:
            assert not [canary for canary in self.wire.canaries if canary in line], line
            assert line.startswith("idura_ciba "), line
        self.logged.lines.clear()

    # --- ends -----------------------------------------------------------------------------------------------------

    def interrupted(self) -> set[str]:
        """Ids of which an answer under way was given up on the caller's word."""
        return {
            t._driver.auth_req_id
            for t in self.transactions
            if t.state in {State.ABANDONED, State.HANDED_OVER} and t._driver._answer_out
        }

    def keep(self, token: str | None) -> None:
        """A token that can be resumed later; itself a secret."""
        assert token is not None
        self.wire.canaries.add(str(token))
        self.tokens.append(token)

    def finish(self, patience: float) -> None:
        """Close the client; nothing of it may be left."""

        async def close() -> None:
            # Not before: what was due at this instant may have brought one more.
            self.given_up.update(self.client.pending)
            for left in await self.client.close(patience=patience):
                self.keep(left.token)
            # Calls that the end has cut short notice it now.
            if self.calls:
                await asyncio.wait(self.calls)

        self.run(close())
        for task in self.calls:
            task.result()
        self.calls.clear()
        for transaction in self.transactions:
            assert transaction.state.is_final
        waiting = [awaiter for _, awaiter in self.awaiters if not awaiter.done()]
        if waiting:
            self.run(asyncio.wait(waiting, timeout=0))
        assert not asyncio.all_tasks(self.loop)
        assert not [timer for timer in self.loop._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]

    def teardown(self) -> None:
        """Let everything end by itself, then close."""
        try:
            if hasattr(self, "wire"):
                self.run(asyncio.sleep(FOR_EVER))
                assert self.client.pending == (), "a transaction that never ends"
                assert all(call.done() for call in self.calls), "a call that never ends"
                self.finish(patience=0)
                self.each_end_is_true()
                self.the_ledger_is_content()
                assert all(self.ends[transaction.id] == 1 for transaction in self.transactions)
                self.runner.close()
                self.no_line_tells_a_secret()
        finally:
            self.runner.close()
            for name in ("idura_ciba", "asyncio"):
                logger = logging.getLogger(name)
                logger.removeHandler(self.logged)
                logger.setLevel(logging.NOTSET)


TestLogins = Logins.TestCase
TestLogins.settings = settings(
    max_examples=int(os.environ.get("IDURA_CIBA_EXAMPLES", "300")),
    stateful_step_count=40,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
