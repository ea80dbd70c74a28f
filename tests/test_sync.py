"""Tests of the client for programs without an event loop; what it does is tested with the client inside."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import idura_ciba
from idura_ciba import ClientSecretBasic, Denied, StateError, UsageError
from idura_ciba.aio.clock import Clock
from idura_ciba.aio.portal import Portal
from idura_ciba.protocol.machine import State
from idura_ciba.simulator import MemoryTransport, Rules, Script, SimulatedIdura
from idura_ciba.sync import CibaClient, Transaction
from idura_ciba.testing import virtual_clock
from tests.fakes import swede, swedish_number
from tests.scaled import ScaledLoop

Make = Callable[..., CibaClient]


@pytest.fixture(name="make")
def _make(simulated_idura: SimulatedIdura, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Makes clients whose loop is fast."""
    monkeypatch.setattr("idura_ciba.sync.Portal", lambda name: Portal(name, ScaledLoop))
    simulated_idura.register_client("urn:a", secret="hush")
    made: list[CibaClient] = []

    def make(**options: object) -> CibaClient:
        clock = virtual_clock()
        transport = MemoryTransport(simulated_idura, clock=clock)
        client = CibaClient(
            simulated_idura.issuer, ClientSecretBasic("urn:a", "hush"), transport=transport, clock=clock, **options
        )
        made.append(client)
        return client

    yield make
    for client in made:
        client._portal.stop()
    assert "idura-ciba" not in {thread.name for thread in threading.enumerate()}


def test_it_has_what_the_client_inside_has() -> None:
    """By the same names, with the same arguments; but for what only an event loop can do."""
    for sync, inside, without in (
        (CibaClient, idura_ciba.CibaClient, {"derive_key"}),
        (Transaction, idura_ciba.Transaction, {"on_doubt"}),
    ):
        names = {name for name in vars(inside) if not name.startswith("_")} - without
        assert names <= vars(sync).keys()
        for name in names:
            method = vars(inside)[name]
            if inspect.isfunction(method):
                theirs, ours = (set(inspect.signature(vars(kind)[name]).parameters) for kind in (inside, sync))
                assert theirs - ours <= {"before_sending", "until"}, name


def test_what_comes_after_a_login_waits_too(simulated_idura: SimulatedIdura, make: Make) -> None:
    """The methods of a login are for programs with an event loop; here the client has them."""
    simulated_idura._rules = Rules(userinfo="signed", refresh_tokens="rotated")
    simulated_idura.script(swedish_number(1), Script.approve(after=1))
    with make() as ciba:
        login = ciba.authenticate(swede(1))
        fresh = ciba.refresh(login)
        assert ciba.userinfo(fresh, require_signature=True)["sub"] == login.subject
        with pytest.raises(StateError) as caught:
            ciba.refresh(login)
    assert caught.value.code == "refreshed"


def test_a_login_step_by_step(simulated_idura: SimulatedIdura, make: Make) -> None:
    """Start, progress, result; and what a caller may look at meanwhile."""
    simulated_idura.script(swedish_number(1), Script.approve(after=30, opened_after=10, acknowledged_after=20))
    with make() as ciba:
        login = ciba.start(swede(1), reference="call-4711")
        assert (login.reference, login.state, login.spoken_words) == ("call-4711", State.PENDING, None)
        assert login.members == {}
        assert login.resume_token
        assert login.prompt_until
        assert [each.id for each in ciba.pending] == [login.id]
        assert ciba.snapshot()["pending"] == 1
        assert {finding.level for finding in ciba.check()} == {"ok"}
        phases = [update.phase.value for update in login.updates()]
        assert phases[-1] == "approved"
        assert login.result().person_confirmed
        assert login.outcome().reference == "call-4711"
        assert login.trace_id
        assert login.resume_token is None
        assert repr(login) == f"<Transaction {login.id} approved>"


def test_many_threads_ask_many_people(simulated_idura: SimulatedIdura, make: Make) -> None:
    """As the workers of a web server do, each in its own call."""
    for nth in range(30):
        simulated_idura.script(swedish_number(nth), Script.deny(after=9) if nth % 3 else Script.approve(after=9))

    def log_in(nth: int) -> bool:
        if nth % 3 == 0:
            return ciba.authenticate(swede(nth), reference=f"call {nth}").person_confirmed
        with pytest.raises(Denied) as caught:
            ciba.authenticate(swede(nth), reference=f"call {nth}")
        return caught.value.reference != f"call {nth}"

    with make() as ciba, ThreadPoolExecutor(10) as pool:
        assert list(pool.map(log_in, range(30))) == [nth % 3 == 0 for nth in range(30)]


def test_a_login_that_is_given_up_can_be_gone_on_with(simulated_idura: SimulatedIdura, make: Make) -> None:
    """Here, and by another client after closing."""
    simulated_idura.script(swedish_number(1), Script.approve(after=60))
    ciba = make()
    login = ciba.start(swede(1))
    with pytest.raises(TimeoutError):
        login.outcome(timeout=0.01)
    login.abandon()
    assert login.outcome().state is State.ABANDONED
    again = ciba.rejoin(swede(1))
    (left,) = ciba.close()
    assert again.outcome().state is State.HANDED_OVER
    assert left.token == again.resume_token
    with pytest.raises(StateError):
        ciba.start(swede(2))
    with make() as other:
        assert other.resume(left.token).result().person_confirmed


def test_a_client_comes_from_the_environment() -> None:
    """As the one inside; nothing is sent, and no thread begins."""
    variables = {
        "IDURA_CIBA_ISSUER": "https://acme.idura.broker",
        "IDURA_CIBA_CLIENT_ID": "urn:me",
        "IDURA_CIBA_CLIENT_SECRET": "hush",
    }
    ciba = CibaClient.from_env(variables, clock=Clock())
    assert repr(ciba) == "<CibaClient https://acme.idura.broker as urn:me, 0 pending>"
    assert ciba.pending == ()
    assert ciba.close() == []
    with pytest.raises(UsageError):
        CibaClient.from_env({**variables, "IDURA_CIBA_DECRYPTION_KEY_FILE": "nowhere.pem"})
