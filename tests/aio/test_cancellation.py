"""Cancelled at every step: each operation of a client is cancelled once after each turn of the loop that it takes.

Whatever it was doing then, the cancellation arrives at once, the client goes on working, no phone rings twice, no
answer is lost, and once the client is closed nothing is left.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import pytest
from attrs import define, field

from idura_ciba import AlreadyPending, CibaClient, ClientSecretPost, State, SwedishBankID, Transaction
from idura_ciba.aio.cancellation import is_cancelled
from idura_ciba.simulator import Arrival, Fault, MemoryTransport, Script, SimulatedIdura
from idura_ciba.testing import VirtualLoop, virtual_clock

pytestmark = pytest.mark.unmeasured

CLIENT_ID, SECRET = "urn:my:app", "known to the simulator"
SWEDE, OTHER_SWEDE, THIRD_SWEDE = "209801011231", "209602294564", "209712310011"
#: Each way; with it every exchange has several turns of the loop at which it can be cut.
LATENCY = 0.2
#: More turns than any operation here takes.
ENOUGH = 1000

T = TypeVar("T")


class SteppedLoop(VirtualLoop):
    """A virtual loop that cancels one task after so many turns."""

    victim: asyncio.Task[Any] | None = None
    turns = 0
    cancelled_at: float | None = None

    def cancel_after(self, turns: int, victim: asyncio.Task[Any]) -> None:
        """Cancel `victim` when the loop has turned so often, and note when that was."""
        self.victim, self.turns = victim, turns
        self._count()

    def _run_once(self) -> None:
        super()._run_once()  # type: ignore[misc]
        self.turns -= 1
        self._count()

    def _count(self) -> None:
        if self.victim is not None and self.turns <= 0:
            if self.victim.cancel():
                self.cancelled_at = self.time()
            self.victim = None


class SlowSigner(ClientSecretPost):
    """Proves itself in a thread, as RSA keys do: two more turns for each request."""

    @property
    def signing_threads(self) -> int:
        """As said."""
        return 2


@define
class Stage:
    """One provider, one client and those that follow it."""

    idura: SimulatedIdura = field(factory=lambda: SimulatedIdura(seed=1, signing_alg="ES256"))
    clients: list[CibaClient] = field(factory=list)
    started: list[Transaction] = field(factory=list)
    token: str | None = None

    def open(self) -> CibaClient:
        """A new client, knowing nothing."""
        self.idura.register_client(CLIENT_ID, secret=SECRET)
        clock = virtual_clock()
        client = CibaClient(
            self.idura.issuer,
            SlowSigner(CLIENT_ID, SECRET),
            transport=MemoryTransport(self.idura, latency=LATENCY, clock=clock),
            id_token_algorithms=("ES256",),
            clock=clock,
        )
        self.clients.append(client)
        return client

    @property
    def client(self) -> CibaClient:
        """The present one."""
        return self.clients[-1]

    async def start(self, number: str = SWEDE) -> Transaction:
        """Ask somebody."""
        transaction = await self.client.start(swedish(number))
        self.started.append(transaction)
        return transaction

    def orders(self, number: str) -> int:
        """How often somebody's phone was to ring."""
        return sum(record.person == number for record in self.idura.ledger.orders)


def swedish(number: str) -> SwedishBankID:
    """A request for a Swede."""
    return SwedishBankID(number, call_initiator="RP", message="Hello from the tests")


def slow(endpoint: str, seconds: float) -> Callable[[Arrival], Fault | None]:
    """A rule: this endpoint takes its time."""
    return lambda arrival: Fault.delay(seconds) if arrival.endpoint == endpoint else None


# --- whose cancellation it is -----------------------------------------------------------------------------------------


async def test_who_was_not_cancelled_is_not_told_so() -> None:
    """A task that was stopped while somebody waited, and foreign code that raises it, cancel nobody."""
    stopped = asyncio.create_task(asyncio.sleep(9))
    asyncio.get_running_loop().call_later(1, stopped.cancel)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.shield(stopped)
    assert not is_cancelled()


async def test_who_was_cancelled_is_told_so() -> None:
    """Also when what was waited for is stopped in the same moment."""
    told: list[bool] = []
    stopped = asyncio.create_task(asyncio.sleep(9))

    async def wait() -> None:
        try:
            await asyncio.shield(stopped)
        finally:
            told.append(is_cancelled())

    for stop in (False, True):
        waiter = asyncio.create_task(wait())
        await asyncio.sleep(1)
        waiter.cancel()
        if stop:
            stopped.cancel()
        await asyncio.wait([waiter])
        assert waiter.cancelled()
    assert told == [True, True]


def test_outside_of_a_task_nobody_is_cancelled() -> None:
    """As in a callback of the loop."""
    loop = VirtualLoop()
    told: list[bool] = []
    loop.call_soon(lambda: told.append(is_cancelled()))
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    assert told == [False]


# --- what is cancelled: each prepares in peace and returns what is then cut -------------------------------------------

Operation = Callable[[Stage], Awaitable[Coroutine[Any, Any, object]]]


async def start(stage: Stage) -> Coroutine[Any, Any, object]:
    """Discovery and the request itself."""
    stage.open()
    return stage.start()


async def authenticate(stage: Stage) -> Coroutine[Any, Any, object]:
    """A whole login: request, polls, keys."""
    return stage.open().authenticate(swedish(SWEDE))


async def wait_while_verifying(stage: Stage) -> Coroutine[Any, Any, object]:
    """Waiting for a login whose tokens are here and whose keys are being fetched."""
    stage.idura.faults.append(slow("jwks", 9))
    stage.open()
    transaction = await stage.start()
    await asyncio.sleep(8)
    assert stage.idura.ledger.orders[0].delivered == 1
    assert not transaction.state.is_final
    return transaction.outcome()


async def close_while_verifying(stage: Stage) -> Coroutine[Any, Any, object]:
    """Closing while keys are being fetched, and not soon enough there."""
    (await wait_while_verifying(stage)).close()
    return stage.client.close(patience=1)


async def resume(stage: Stage) -> Coroutine[Any, Any, object]:
    """Discovery and taking up a transaction of a client that was closed."""
    stage.open()
    await stage.start()
    (left,) = await stage.client.close()
    stage.token = left.token
    return stage.open().resume(stage.token)


async def close_patiently(stage: Stage) -> Coroutine[Any, Any, object]:
    """Closing while a poll and a start are under way, whose answers come in time."""
    return await _close(stage, patience=60)


async def close_impatiently(stage: Stage) -> Coroutine[Any, Any, object]:
    """Closing while a poll and a start are under way, whose answers do not come in time."""
    return await _close(stage, patience=0.05)


async def _close(stage: Stage, *, patience: float) -> Coroutine[Any, Any, object]:
    stage.idura.faults += [slow("token", 3), slow("bc-authorize", 1)]
    stage.open()
    await stage.start()
    await asyncio.sleep(2.5)
    starting = asyncio.create_task(stage.start(OTHER_SWEDE))
    starting.add_done_callback(lambda task: task.cancelled() or task.exception())
    await asyncio.sleep(1)
    return stage.client.close(patience=patience)


async def updates(stage: Stage) -> Coroutine[Any, Any, object]:
    """Watching a login from its first state to its last."""
    stage.open()
    transaction = await stage.start()

    async def watch() -> None:
        async for _ in transaction.updates():
            pass

    return watch()


# --- the sweep --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "at_least"),
    [
        (start, 10),
        (authenticate, 30),
        (wait_while_verifying, 3),
        (close_while_verifying, 3),
        (resume, 3),
        (close_patiently, 5),
        (close_impatiently, 5),
        (updates, 20),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_an_operation_can_be_cancelled_at_every_step(operation: Operation, at_least: int) -> None:
    """From before its first step to after its last; `at_least` shows that there were places to cut."""
    for turns in range(ENOUGH):
        with asyncio.Runner(loop_factory=SteppedLoop) as runner:
            if not runner.run(cut(operation, turns)):
                break
    gc.collect()  # an exception that nobody retrieved would complain now, and warnings are errors
    assert at_least < turns < ENOUGH - 1


async def cut(operation: Operation, turns: int) -> bool:
    """Cancel an operation after so many turns and check all that must hold; False if it had ended before."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SteppedLoop)
    stage = Stage()
    for number in (SWEDE, OTHER_SWEDE, THIRD_SWEDE):
        stage.idura.script(number, Script.approve(after=5))
    victim = asyncio.create_task(await operation(stage))
    loop.cancel_after(turns, victim)
    await asyncio.wait([victim])
    reached = loop.cancelled_at is not None
    if reached:
        assert victim.cancelled(), "the cancellation was swallowed"
        assert loop.time() == loop.cancelled_at, "the cancellation came late"
    if stage.client._closed:
        # By a close that was cut. What it has cancelled may still be on its way out, which takes no time.
        now = loop.time()
        if leaving := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(leaving)
        assert loop.time() == now
        check_nothing_is_left(stage)
    else:
        await check_the_client_goes_on(stage)
    await close_and_resume(stage)
    check_nothing_is_left(stage)
    assert stage.orders(SWEDE) <= 1
    assert stage.idura.ledger.totals.collisions == 0
    return reached


async def check_the_client_goes_on(stage: Stage) -> None:
    """The next call works: for somebody else at once, for the same person as far as their phone allows."""
    await stage.start(THIRD_SWEDE)
    assert stage.orders(SWEDE) <= 1
    if any(record.told for record in stage.idura.ledger.orders if record.person == SWEDE):
        return
    try:
        if stage.token:
            stage.started.append(await stage.client.resume(stage.token))
        else:
            await stage.start(SWEDE)
    except AlreadyPending as error:
        # Whoever was cancelled gets at the transaction again by asking anew.
        found = error.transaction
        assert isinstance(found, Transaction)
        stage.started.append(found)
    assert stage.orders(SWEDE) == 1


async def close_and_resume(stage: Stage) -> None:
    """Each transaction is over, or its token leads to the login; to doubt only if the tokens were lost on their way."""
    stage.started += stage.client.pending
    await stage.client.close()
    stage.open()
    orders = stage.idura.ledger.orders
    lost = {order.auth_req_id for order in orders if order.tokens_issued_at is not None and not order.delivered}
    for auth_req_id, transaction in {
        transaction._driver.auth_req_id: transaction for transaction in stage.started
    }.items():
        assert transaction.state.is_final
        token = transaction.resume_token
        assert (token is None) == (transaction.state is State.APPROVED)
        if token is not None:
            resumed = await stage.client.resume(token)
            stage.started.append(resumed)
            outcome = await resumed.outcome()
            assert outcome.state is (State.INDETERMINATE if auth_req_id in lost else State.APPROVED)
    await stage.client.close()


def check_nothing_is_left(stage: Stage) -> None:
    """No task, timer, scheduler entry or callback on a future."""
    loop = asyncio.get_running_loop()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert not [timer for timer in loop._scheduled if not timer.cancelled()]  # type: ignore[attr-defined]
    for client in stage.clients:
        assert (client.queue.waiting, client.queue.in_flight, client._starter.context.tasks) == (0, 0, set())
        assert client.pending == ()
    for transaction in stage.started:
        assert transaction.state.is_final
        watchers = transaction._driver._watchers
        assert watchers is None or not watchers._awaiting
        assert watchers is None or watchers._watching is None or not watchers._watching._callbacks
