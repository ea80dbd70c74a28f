"""What a caller of `CibaClient` can rely on: logins, one ring for each person, and options."""

from __future__ import annotations

import asyncio
import json
import pickle
from typing import Any

import pytest

from idura_ciba import (
    Abandoned,
    AlreadyPending,
    CibaClient,
    CibaError,
    ClientSecretPost,
    Denied,
    EidRequest,
    Expired,
    FairScheduler,
    FrejaID,
    NorwegianBankID,
    ProviderError,
    State,
    StateError,
    UsageError,
)
from idura_ciba.simulator import MemoryTransport, Script, SimulatedIdura
from idura_ciba.testing import run_virtual, virtual_clock
from tests.logins import NORWEGIAN, OTHER_SWEDE, SWEDE, MakeClient, swedish


async def test_a_login_names_the_person_who_was_asked(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """The ten lines of the README: asked, approved, verified."""
    simulated_idura.script(SWEDE, Script.approve(after=8))
    async with make_ciba_client() as ciba:
        login = await ciba.authenticate(swedish())
    assert login.claims["ssn"] == SWEDE
    assert login.person_confirmed
    assert login.acr == "urn:grn:authn:se:bankid"
    assert login.trace_id
    assert simulated_idura.ledger.summary()["delivered"] == 1


@pytest.mark.parametrize(
    ("script", "error", "state"),
    [
        (Script.deny(after=4), Denied, State.DENIED),
        (Script.wrong_words(after=4), Denied, State.DENIED),
        (Script.never(), Expired, State.EXPIRED),
    ],
)
async def test_no_login_raises_and_is_a_value_too(
    simulated_idura: SimulatedIdura,
    make_ciba_client: MakeClient,
    script: Script,
    error: type[CibaError],
    state: State,
) -> None:
    """`await tx` raises for each awaiter an error of its own; `outcome()` returns the same as a value."""
    simulated_idura.script(SWEDE, script)
    async with make_ciba_client() as ciba:
        transaction = await ciba.start(swedish())

        async def wait() -> None:
            await transaction

        first, second = await asyncio.gather(wait(), wait(), return_exceptions=True)
        outcome = await transaction.outcome()
    assert isinstance(first, error)
    assert first is not second
    assert outcome.state is transaction.state is state
    assert outcome.authentication is None
    assert transaction.resume_token is None
    assert first.trace_id == transaction.trace_id


@pytest.mark.parametrize(
    "request_",
    [swedish(), NorwegianBankID(NORWEGIAN), FrejaID(SWEDE), FrejaID(email="someone@example.com")],
    ids=["se", "no", "freja by number", "freja by e-mail"],
)
async def test_every_eid_logs_in(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, request_: EidRequest
) -> None:
    """Each eID's request is accepted by a provider that checks it, and its token by us."""
    for person in (SWEDE, NORWEGIAN, "someone@example.com"):
        simulated_idura.script(person, Script.approve(after=5))
    async with make_ciba_client() as ciba:
        transaction = await ciba.start(request_)
        assert bool(transaction.spoken_words) == isinstance(request_, NorwegianBankID)
        login = await transaction
    assert login.acr is not None
    assert login.acr.startswith(request_.acr_values or "?")


@pytest.mark.parametrize(("shares", "confirmed"), [(True, True), (False, False)])
async def test_person_confirmed_says_whether_the_token_had_the_number(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, *, shares: bool, confirmed: bool
) -> None:
    """A Norwegian token without the number logs in and says so."""
    simulated_idura.script(NORWEGIAN, Script.approve(after=5, shares_number=shares))
    async with make_ciba_client() as ciba:
        login = await ciba.authenticate(NorwegianBankID(NORWEGIAN))
    assert login.person_confirmed is confirmed


@pytest.mark.parametrize(
    ("request_", "script", "code"),
    [
        (swedish(), Script.approve(after=5, answered_by=OTHER_SWEDE), "id_token_person"),
        (
            NorwegianBankID(NORWEGIAN, require_person=True),
            Script.approve(after=5, shares_number=False),
            "id_token_person_missing",
        ),
        (
            swedish(),
            Script.approve(after=5, claims={"authenticationtype": "urn:grn:authn:no:bankid"}),
            "id_token_level",
        ),
    ],
    ids=["another person", "number withheld and required", "another eID"],
)
async def test_a_token_that_proves_something_else_is_no_login(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, request_: EidRequest, script: Script, code: str
) -> None:
    """The phone approved, and still nobody is logged in; a program can tell why."""
    simulated_idura.script(SWEDE, script)
    simulated_idura.script(NORWEGIAN, script)
    async with make_ciba_client() as ciba:
        outcome = await (await ciba.start(request_)).outcome()
    assert outcome.state is State.FAILED
    assert outcome.error is not None
    assert outcome.error.code == code


@pytest.mark.parametrize(("trusted", "is_login"), [(["https://api.example"], True), (["https://other.example"], False)])
async def test_a_token_may_be_for_others_that_the_caller_names(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, trusted: list[str], *, is_login: bool
) -> None:
    """By their whole names."""
    async with make_ciba_client(trusted_audiences=trusted) as ciba:
        mine = ciba._auth.client_id
        both = {"aud": [mine, "https://api.example"], "azp": mine}
        simulated_idura.script(SWEDE, Script.approve(after=5, claims=both))
        outcome = await (await ciba.start(swedish())).outcome()
    assert (outcome.state is State.APPROVED) is is_login
    assert getattr(outcome.error, "code", None) == (None if is_login else "id_token_audience")


def test_audiences_are_a_list(make_ciba_client: MakeClient) -> None:
    """A bare text would be read letter by letter."""
    with pytest.raises(UsageError) as caught:
        make_ciba_client(trusted_audiences="https://api.example")
    assert caught.value.code == "trusted_audiences"


# --- one ring ---------------------------------------------------------------------------------------------------------


async def test_a_second_start_for_one_person_is_refused_with_the_first(make_ciba_client: MakeClient) -> None:
    """The error holds the live transaction and leads back to it; pickled, it holds none."""
    async with make_ciba_client() as ciba:
        first = await ciba.start(swedish())
        with pytest.raises(AlreadyPending) as caught:
            await ciba.start(swedish())
        assert caught.value.transaction is first
        assert caught.value.resume_token == first.resume_token
        assert pickle.loads(pickle.dumps(caught.value)).transaction is None  # noqa: S301 - our own
        other = await ciba.start(swedish(OTHER_SWEDE))
        assert ciba.pending == (first, other)


async def test_a_second_start_at_the_same_time_is_refused_too(make_ciba_client: MakeClient) -> None:
    """Also before the first one has its acknowledgement."""
    async with make_ciba_client() as ciba:
        results = await asyncio.gather(ciba.start(swedish()), ciba.start(swedish()), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["AlreadyPending", "Transaction"]


async def test_a_person_is_free_again_when_the_provider_has_finished(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """After a denial the next start goes through; so does one that the caller insists on."""
    simulated_idura.script(SWEDE, Script.deny(after=1), Script.never())
    async with make_ciba_client() as ciba:
        with pytest.raises(Denied):
            await ciba.authenticate(swedish())
        await ciba.start(swedish())
        with pytest.raises(ProviderError):  # the simulator cancels both, as BankID does
            await ciba.start(swedish(), even_if_pending=True)
    assert simulated_idura.ledger.summary()["collisions"] == 1


async def test_abandoning_keeps_the_person_held_until_the_prompt_is_gone(make_ciba_client: MakeClient) -> None:
    """The prompt stays on the phone, so a new order would still collide."""
    async with make_ciba_client() as ciba:
        transaction = await ciba.start(swedish())
        transaction.abandon()
        transaction.abandon()
        with pytest.raises(Abandoned) as abandoned:
            await transaction
        assert abandoned.value.resume_token is not None
        with pytest.raises(AlreadyPending):
            await ciba.start(swedish())
        await asyncio.sleep(121)
        await ciba.start(swedish())


async def test_a_cancelled_start_does_not_ring_twice(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """The request is out: it goes on in the background and whoever starts again finds its transaction."""
    clock = virtual_clock()
    simulated_idura.script(SWEDE, Script.approve(after=10))
    transport = MemoryTransport(simulated_idura, clock=clock, latency=0.5)
    async with make_ciba_client(transport=transport) as ciba:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.2):  # discovery takes 1 s, the request is on its way
                await ciba.start(swedish())
        with pytest.raises(AlreadyPending) as caught:
            await ciba.start(swedish())
        assert caught.value.transaction is None
        await asyncio.sleep(2)
        with pytest.raises(AlreadyPending) as caught:
            await ciba.start(swedish())
        assert (await caught.value.transaction).claims["ssn"] == SWEDE  # type: ignore[misc]
    assert len(simulated_idura.ledger.orders) == 1


async def test_cancelling_authenticate_abandons(make_ciba_client: MakeClient) -> None:
    """Nobody else can be waiting for it."""
    async with make_ciba_client() as ciba:
        task = asyncio.create_task(ciba.authenticate(swedish()))
        await asyncio.sleep(5)
        (transaction,) = ciba.pending
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert transaction.state is State.ABANDONED
        assert ciba.pending == ()


# --- options ----------------------------------------------------------------------------------------------------------


def test_a_client_belongs_to_one_event_loop(simulated_idura: SimulatedIdura, make_ciba_client: MakeClient) -> None:
    """In another one its connections are dead: it says so before a phone rings, and closing saves what can be saved."""
    ciba = make_ciba_client()
    transaction = run_virtual(ciba.start(swedish()))
    with pytest.raises(StateError) as caught:
        run_virtual(ciba.start(swedish(OTHER_SWEDE)))
    assert caught.value.code == "other_loop"
    with pytest.raises(StateError):
        run_virtual(ciba.resume(str(transaction.resume_token)))
    assert [left.token for left in run_virtual(ciba.close())] == [transaction.resume_token]
    assert run_virtual(ciba.close()) == []
    assert len(simulated_idura.ledger.orders) == 1


@pytest.mark.parametrize("request_", [None, "209801011231", b"x", {}, 7])
async def test_only_a_request_can_be_started(make_ciba_client: MakeClient, request_: Any) -> None:
    """Anything else is refused by name, before anything is sent."""
    async with make_ciba_client() as ciba:
        with pytest.raises(UsageError) as caught:
            await ciba.start(request_)
    assert caught.value.code == "request"


@pytest.mark.parametrize(
    "timeout", [0, -1, 0.0, True, "5", b"5", float("nan"), float("inf"), 10**400, 1e9, ...], ids=repr
)
async def test_a_timeout_is_a_number_of_seconds(make_ciba_client: MakeClient, timeout: Any) -> None:
    """What comes from a configuration may be anything."""
    async with make_ciba_client() as ciba:
        with pytest.raises(UsageError) as caught:
            await ciba.start(swedish(), timeout=timeout)
    assert caught.value.code == "timeout"
    assert caught.value.phone
    assert caught.value.advice


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("resume_secret", ["x" * 32, bytes(31), 7]),
        ("max_token_size", [0, -1, "x", 1.5, True, None]),
        ("leeway", ["x", None, -1, 601, float("nan"), True]),
        ("id_token_algorithms", [None, [], "RS256", ["HS256"], [7], 7]),
        ("observers", [None, print, [None], ["x"]]),
        ("endpoints", ["https://x.example", {"token_endpoint": "https://x.example"}, 7]),
        ("scheduler", [7, "fair", FairScheduler, False]),
    ],
)
def test_an_option_of_the_wrong_kind_is_refused_by_name(
    make_ciba_client: MakeClient, name: str, values: list[Any]
) -> None:
    """A client that was made works; what cannot work says so where it is made."""
    for value in values:
        with pytest.raises(UsageError) as caught:
            make_ciba_client(**{name: value})
        assert caught.value.code == name, value


async def test_keys_for_callers_follow_from_the_credential_and_the_provider(make_ciba_client: MakeClient) -> None:
    """The same in each process, another for each purpose, secret and client."""
    clients = [
        make_ciba_client(),
        make_ciba_client(),
        make_ciba_client(resume_secret=b"s" * 32),
        CibaClient("https://other.idura.broker", ClientSecretPost("a", "b"), resume_secret=b"s" * 32),
        CibaClient("https://other.idura.broker", ClientSecretPost("c", "b"), resume_secret=b"s" * 32),
    ]
    keys = [client.derive_key(b"one") for client in clients]
    assert keys[0] == keys[1]
    assert len({*keys, clients[0].derive_key(b"two")}) == 5
    assert all(len(key) == 32 for key in keys)
    for client in clients:
        await client.close()


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
async def test_a_timeout_must_be_a_positive_number(make_ciba_client: MakeClient, timeout: float) -> None:
    """None means none."""
    async with make_ciba_client() as ciba:
        with pytest.raises(UsageError):
            await ciba.start(swedish(), timeout=timeout)


async def test_a_client_shows_whose_it_is_and_nothing_else(make_ciba_client: MakeClient) -> None:
    """Issuer, client id and a count."""
    async with make_ciba_client() as ciba:
        await ciba.start(swedish())
        assert repr(ciba) == (
            "<CibaClient https://simulator.idura.broker as urn:my:application:identifier:0001, 1 pending>"
        )


async def test_a_transport_that_is_lent_is_not_closed(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Who opens it closes it."""
    closed = []

    class Watched(MemoryTransport):
        async def aclose(self) -> None:
            closed.append(self)

    async with make_ciba_client(transport=Watched(simulated_idura, clock=virtual_clock())) as ciba:
        await ciba.start(swedish())
    assert not closed


# --- what a health page shows -----------------------------------------------------------------------------------------


async def test_a_snapshot_is_plain_data(simulated_idura: SimulatedIdura, make_ciba_client: MakeClient) -> None:
    """That strict JSON can carry, with and without limits, from the beginning to the end; and it names nobody."""
    scheduler = FairScheduler(rate=5)
    del simulated_idura
    for shared in (None, scheduler):
        async with make_ciba_client(scheduler=shared) as ciba:
            before = ciba.snapshot()
            login = await ciba.start(swedish())
            during = ciba.snapshot()
            await login.outcome()
        after = ciba.snapshot()
        texts = [json.dumps(snapshot, allow_nan=False) for snapshot in (before, during, after)]
        assert [(json.loads(text)["pending"], json.loads(text)["closed"]) for text in texts] == [
            (0, False),
            (1, False),
            (0, True),
        ]
        assert json.loads(texts[1])["scheduler"]["rate"] == (5 if shared else None)
        assert json.loads(texts[2])["scheduler"]["served"] >= 1
        assert SWEDE not in "".join(texts)
