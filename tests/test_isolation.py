"""Tests of the whole client inside an application that is busy, blocked or broken: nothing of that costs a login."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from idura_ciba import (
    Abandoned,
    CibaClient,
    ClientSecretPost,
    FairScheduler,
    PrivateKeyJwt,
    State,
    StateError,
    Transaction,
)
from idura_ciba.credentials.signing_pool import SigningPool
from idura_ciba.http.backchannel import Backchannel
from idura_ciba.simulator import MemoryTransport, Script, SimulatedIdura
from idura_ciba.testing import virtual_clock
from tests.fakes import private_key, swede, swedish_number

MakeClient = Callable[..., CibaClient]


def rsa_auth() -> PrivateKeyJwt:
    """A client whose signatures take a while."""
    pem = private_key("RSA").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return PrivateKeyJwt("urn:my:app", pem)


async def test_a_full_default_executor_delays_no_poll_and_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """RSA signatures are made on threads of our own."""
    loop = asyncio.get_running_loop()
    real: Callable[..., asyncio.Future[Any]] = loop.run_in_executor

    def full(executor: Executor | None, *call: Any) -> asyncio.Future[Any]:
        return loop.create_future() if executor is None else real(executor, *call)

    monkeypatch.setattr(loop, "run_in_executor", full)
    auth = rsa_auth()
    idura = SimulatedIdura(seed=1)
    idura.register_client("urn:my:app", jwks=auth.public_jwks())
    idura.script(swedish_number(1), Script.approve(after=8))
    transport = MemoryTransport(idura, clock=virtual_clock())
    async with CibaClient(idura.issuer, auth, transport=transport, clock=virtual_clock()) as ciba:
        outcome = await (await ciba.start(swede(1))).outcome()
    assert outcome.authentication is not None
    assert loop.time() == 9.0


# --- another thread, another loop -------------------------------------------------------------------------------------


def in_thread(call: Callable[[], object]) -> BaseException | None:
    """What a call raises in another thread."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - looked at by the test
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(20)
    return raised[0] if raised else None


def elsewhere(call: Callable[[], Coroutine[Any, Any, object]]) -> Callable[[], object]:
    """A call that runs a coroutine in an event loop of its own."""
    return lambda: asyncio.run(call())


async def first_update(transaction: Transaction) -> object:
    """The first step of watching."""
    return await anext(transaction.updates())


CALLS: dict[str, Callable[[CibaClient, Transaction], Callable[[], object]]] = {
    "abandon": lambda _, transaction: transaction.abandon,
    "abandon in a loop": lambda _, transaction: elsewhere(lambda: asyncio.to_thread(transaction.abandon)),
    "outcome": lambda _, transaction: elsewhere(transaction.outcome),
    "updates": lambda _, transaction: elsewhere(lambda: first_update(transaction)),
    "start": lambda ciba, _: elsewhere(lambda: ciba.start(swede(2))),
    "resume": lambda ciba, transaction: elsewhere(lambda: ciba.resume(str(transaction.resume_token))),
    "close": lambda ciba, _: elsewhere(ciba.close),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
async def test_a_call_from_elsewhere_changes_nothing(
    simulated_idura: SimulatedIdura,
    make_ciba_client: MakeClient,
    call: Callable[[CibaClient, Transaction], Callable[[], object]],
) -> None:
    """A button of a GUI, a web server's thread pool: the error says so, and the login goes on."""
    simulated_idura.script(swedish_number(1), Script.approve(after=8))
    async with make_ciba_client() as ciba:
        transaction = await ciba.start(swede(1))
        awaiting = asyncio.create_task(transaction.outcome())
        await asyncio.sleep(0)
        error = in_thread(call(ciba, transaction))
        assert isinstance(error, StateError)
        assert error.code == "other_loop"
        assert transaction.state is State.PENDING
        assert ciba.pending == (transaction,)
        assert (await awaiting).state is State.APPROVED


async def test_what_is_over_can_be_looked_at_from_elsewhere(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Nothing can be changed any more: abandoning does nothing, and the outcome is there."""
    simulated_idura.script(swedish_number(1), Script.approve(after=1))
    async with make_ciba_client() as ciba:
        transaction = await ciba.start(swede(1))
        await transaction
        assert in_thread(transaction.abandon) is None
        assert in_thread(elsewhere(transaction.outcome)) is None
        assert in_thread(lambda: (transaction.id, transaction.state, transaction.prompt_until)) is None


async def test_a_thread_can_gather_metrics(simulated_idura: SimulatedIdura, make_ciba_client: MakeClient) -> None:
    """A snapshot moves nothing."""
    scheduler = FairScheduler(rate=1)
    for nth in range(5):
        simulated_idura.script(swedish_number(nth), Script.never())
    async with make_ciba_client(scheduler=scheduler) as ciba:
        for nth in range(5):
            await ciba.start(swede(nth))
        before = list(scheduler._engine._heap)
        assert in_thread(scheduler.snapshot) is None
        assert scheduler._engine._heap == before


# --- credentials that hang --------------------------------------------------------------------------------------------


class ThreadedSecret(ClientSecretPost):
    """Credentials that are made on threads, as by an HSM."""

    @property
    def signing_threads(self) -> int:
        """One."""
        return 1


@pytest.mark.parametrize("limit", [None, 20])
async def test_a_signature_that_never_comes_costs_its_poll_and_the_end_comes_in_time(
    simulated_idura: SimulatedIdura, monkeypatch: pytest.MonkeyPatch, limit: float | None
) -> None:
    """Nothing was sent, so nothing is in doubt; and P5 holds whatever is under way."""
    loop = asyncio.get_running_loop()
    simulated_idura.script(swedish_number(1), Script.approve(after=4))
    transport = MemoryTransport(simulated_idura, clock=virtual_clock())
    auth = ThreadedSecret("urn:my:application:identifier:0001", "known to the simulator")
    ciba = CibaClient(simulated_idura.issuer, auth, transport=transport, clock=virtual_clock())
    async with ciba:
        transaction = await ciba.start(swede(1), timeout=limit)
        monkeypatch.setattr(SigningPool, "call", lambda *_: loop.create_future())
        outcome = await transaction.outcome()
    end = 120 if limit is None else limit
    assert outcome.state in {State.EXPIRED, State.ABANDONED, State.INDETERMINATE}
    assert loop.time() <= end + 35
    assert simulated_idura.ledger.orders[0].polls == 0


@pytest.mark.parametrize("slow", ["signing", "connecting"])
async def test_no_phone_rings_after_the_callers_timeout(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, monkeypatch: pytest.MonkeyPatch, slow: str
) -> None:
    """However long it took to get that far: the time is looked at just before the first byte."""
    loop = asyncio.get_running_loop()
    async with make_ciba_client() as ciba:
        backchannel = ciba._starter.context.backchannel
        name, real = ("_prove", backchannel._prove) if slow == "signing" else ("send", backchannel.transport.send)

        async def late(*arguments: Any) -> Any:
            if slow == "signing" or arguments[0].method == "POST":
                await asyncio.sleep(6)
            return await real(*arguments)

        owner = Backchannel if slow == "signing" else type(backchannel.transport)
        monkeypatch.setattr(owner, name, lambda _, *arguments: late(*arguments))
        with pytest.raises(Abandoned) as caught:
            await ciba.start(swede(1), timeout=5)
        assert caught.value.code == "caller_timeout"
        assert "not rung" in caught.value.phone
    assert loop.time() >= 5
    assert simulated_idura.ledger.orders == []
