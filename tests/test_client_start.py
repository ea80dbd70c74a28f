"""Tests of the client: starts that are refused, lost, cancelled or never leave."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from idura_ciba import (
    Abandoned,
    AlreadyPending,
    CibaClient,
    CibaError,
    ClientRejected,
    ClientSecretPost,
    EidRequest,
    FairScheduler,
    FrejaID,
    Indeterminate,
    NorwegianBankID,
    ProviderError,
    RemoteProtocolError,
    TransportError,
    UsageError,
)
from idura_ciba.aio.clock import Clock
from idura_ciba.credentials.client_auth import Credentials
from idura_ciba.errors import LocalProtocolError
from idura_ciba.protocol.http import HttpRequest, HttpResponse
from idura_ciba.simulator import Fault, MemoryTransport, Script, SimulatedIdura
from idura_ciba.simulator.catalogue import edit
from idura_ciba.testing import virtual_clock
from tests.logins import NORWEGIAN, OTHER_SWEDE, SWEDE, MakeClient, on, swedish

# --- refused, unreachable, lost ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "error", "code", "held"),
    [
        (Fault.answer(400, body=b'{"error": "unknown_user_id"}'), ProviderError, "provider_error", False),
        (Fault.answer(401, body=b'{"error": "invalid_client"}'), ClientRejected, "invalid_client", False),
        (Fault.answer(403), ProviderError, "turned_away", False),
        (Fault.answer(429), ProviderError, "busy", False),
        (Fault.answer(503, {"Retry-After": "3"}), ProviderError, "busy", False),
        (Fault.answer(503), Indeterminate, "start_unknown", True),
        (Fault.answer(502, body=b"<html>"), Indeterminate, "start_unknown", True),
        (Fault.lose_answer(), Indeterminate, "start_unknown", True),
        (Fault.lose_request(), Indeterminate, "start_unknown", True),
        (Fault.delay(40), Indeterminate, "start_unknown", True),
        (Fault.answer(200, body=b"{}"), RemoteProtocolError, "bad_answer", True),
        (Fault.answer(200, body=b"<html>"), RemoteProtocolError, "bad_answer", True),
        (Fault.answer(302, {"Location": "https://elsewhere.example"}), RemoteProtocolError, "redirect", True),
        (Fault.refuse_connection(), TransportError, "never_connected", False),
    ],
)
async def test_a_start_that_fails_says_whether_the_phone_may_ring(
    simulated_idura: SimulatedIdura,
    make_ciba_client: MakeClient,
    fault: Fault,
    error: type[CibaError],
    code: str,
    *,
    held: bool,
) -> None:
    """Each failure has its own error; the request is never repeated; and the person is held where it may have rung."""
    simulated_idura.faults.append(on("bc-authorize", fault))
    async with make_ciba_client() as ciba:
        with pytest.raises(error) as caught:
            await ciba.start(swedish())
        assert type(caught.value) is error
        assert caught.value.code == code
        assert "phone" in str(caught.value).lower() or "prompt" in str(caught.value).lower()
        simulated_idura.faults.clear()
        if held:
            with pytest.raises(AlreadyPending):
                await ciba.start(swedish())
            await asyncio.sleep(swedish().prompt_lifetime - 1)
            with pytest.raises(AlreadyPending):
                await ciba.start(swedish())
            await asyncio.sleep(1)
        await ciba.start(swedish())


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (swedish(), swedish("20980101\u20131231")),
        (NorwegianBankID(NORWEGIAN), NorwegianBankID(f'="{NORWEGIAN[:6]} {NORWEGIAN[6:]}"')),
        (FrejaID("131052-308T", country="FI"), FrejaID("131052-308t\n", country="FI")),
        (FrejaID(phone="+46701740605"), FrejaID(phone="0046 (0)70-174 06 05")),
        (FrejaID(email="kim@example.com"), FrejaID(email="\u200bkim@Example.com")),
    ],
    ids=["Swedish", "Norwegian", "Finnish", "phone", "address"],
)
async def test_another_spelling_is_no_other_person(
    make_ciba_client: MakeClient, first: EidRequest, second: EidRequest
) -> None:
    """A second order would cancel the first, however the number was written."""
    async with make_ciba_client() as ciba:
        await ciba.start(first)
        with pytest.raises(AlreadyPending):
            await ciba.start(second)


async def test_a_start_that_never_connected_is_tried_again(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Nothing left this machine, so trying again rings nobody twice."""
    simulated_idura.faults.append(on("bc-authorize", Fault.refuse_connection(), nth=1))
    simulated_idura.script(SWEDE, Script.approve(after=1))
    async with make_ciba_client() as ciba:
        assert (await ciba.authenticate(swedish())).person_confirmed
    assert len(simulated_idura.ledger.orders) == 1


@pytest.mark.parametrize("fault", [Fault.answer(200, body=b'{"issuer": "https://other"}'), Fault.answer(500)])
async def test_an_unusable_discovery_document_stops_before_anything_is_sent(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, fault: Fault
) -> None:
    """Nobody is held either."""
    simulated_idura.faults.append(on("discovery", fault))
    async with make_ciba_client() as ciba:
        for _ in range(2):
            with pytest.raises(RemoteProtocolError):
                await ciba.start(swedish())
    assert not simulated_idura.ledger.orders


@pytest.mark.parametrize(
    ("begun", "expected", "error", "rings"),
    [
        # by the path of the request at which the transport breaks: discovery, and the order itself
        (True, "transport_failed", TransportError, False),
        (False, "start_unknown", Indeterminate, True),
    ],
    ids=["before", "after"],
)
async def test_a_transport_that_breaks_is_an_error_of_ours(
    simulated_idura: SimulatedIdura,
    make_ciba_client: MakeClient,
    *,
    begun: bool,
    expected: str,
    error: type[CibaError],
    rings: bool,
) -> None:
    """No third-party exception crosses the package's edge, and who may have been asked is not asked again."""
    inner = MemoryTransport(simulated_idura, clock=virtual_clock())

    class Broken:
        async def send(self, request: HttpRequest) -> HttpResponse:
            if begun or request.url.endswith("bc-authorize"):
                raise KeyError(SWEDE)
            return await inner.send(request)

        async def aclose(self) -> None: ...

    async with make_ciba_client(transport=Broken()) as ciba:
        with pytest.raises(error) as caught:
            await ciba.start(swedish())
        assert caught.value.code == expected
        assert SWEDE not in str(caught.value)
        assert ("has not rung" in caught.value.phone) is not rings
        with pytest.raises(AlreadyPending if rings else error):
            await ciba.start(swedish())


@pytest.mark.parametrize("cancels", [False, True])
async def test_credentials_that_break_ring_nobody(simulated_idura: SimulatedIdura, *, cancels: bool) -> None:
    """What breaks before the request leaves says so, and the person is free again."""

    class Broken(ClientSecretPost):
        def credentials(self, **_: object) -> Credentials:
            raise asyncio.CancelledError if cancels else KeyError(SWEDE)

    clock = virtual_clock()
    transport = MemoryTransport(simulated_idura, clock=clock)
    auth = Broken("urn:my:application:identifier:0001", "known to the simulator")
    async with CibaClient(simulated_idura.issuer, auth, transport=transport, clock=clock) as ciba:
        for _ in range(2):
            with pytest.raises(LocalProtocolError) as caught:
                await ciba.start(swedish())
            assert caught.value.code == "internal"
            assert "has not rung" in caught.value.phone
            assert SWEDE not in str(caught.value)
    assert not simulated_idura.ledger.orders


async def test_what_breaks_after_the_acknowledgement_holds_the_person(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """The phone rings, so nobody is asked again before the prompt is gone, and nobody is held for ever."""

    class HalfAClock(Clock):
        @property
        def suspended(self) -> Callable[[], float]:  # type: ignore[override]
            raise AttributeError(SWEDE)

    clock = HalfAClock.__new__(HalfAClock)
    object.__setattr__(clock, "wall", virtual_clock().wall)
    async with make_ciba_client(clock=clock) as ciba:
        with pytest.raises(LocalProtocolError) as caught:
            await ciba.start(swedish())
        assert caught.value.code == "internal"
        assert "may stay" in caught.value.phone
        assert SWEDE not in str(caught.value)
        with pytest.raises(AlreadyPending):
            await ciba.start(swedish())
        await asyncio.sleep(swedish().prompt_lifetime)
        with pytest.raises(LocalProtocolError):
            await ciba.start(swedish())
    assert len(simulated_idura.ledger.orders) == 2


async def test_a_second_prompt_on_purpose_does_not_free_the_first(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Refused or over, it says nothing of the prompt that was there before."""
    simulated_idura.faults.append(on("bc-authorize", Fault.answer(400, body=b'{"error":"unknown_user_id"}'), nth=2))
    async with make_ciba_client() as ciba:
        first = await ciba.start(swedish())
        with pytest.raises(ProviderError):
            await ciba.start(swedish(), even_if_pending=True)
        with pytest.raises(AlreadyPending) as caught:
            await ciba.start(swedish())
        assert caught.value.transaction is first


async def test_no_phone_rings_for_a_login_whose_timeout_has_passed(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """Whether discovery took too long or no connection could be made; and the person is free."""
    simulated_idura.faults.append(on("discovery", Fault.delay(5)))
    async with make_ciba_client() as ciba:
        with pytest.raises(Abandoned) as caught:
            await ciba.authenticate(swedish(), timeout=1)
        assert caught.value.code == "caller_timeout"
        assert "has not rung" in caught.value.phone
        assert caught.value.resume_token is None
        simulated_idura.faults.append(on("bc-authorize", Fault.refuse_connection(), nth=1))
        with pytest.raises(Abandoned):
            await ciba.authenticate(swedish(), timeout=0.2)
        assert not simulated_idura.ledger.orders
        await ciba.start(swedish())


async def test_one_handle_for_two_people_is_nobody_s(
    make_ciba_client: MakeClient, simulated_idura: SimulatedIdura
) -> None:
    """Whoever polled first would get whatever comes, so the second login does not begin, and may ring."""
    async with make_ciba_client() as ciba:
        first = await ciba.start(NorwegianBankID(NORWEGIAN))
        simulated_idura.faults.append(on("bc-authorize", edit(auth_req_id=str(first._driver.auth_req_id))))
        with pytest.raises(RemoteProtocolError) as caught:
            await ciba.start(swedish())
        assert caught.value.code == "bad_answer"
        assert ciba.pending == (first,)
        with pytest.raises(AlreadyPending):
            await ciba.start(swedish())


# --- before the request leaves ----------------------------------------------------------------------------------------


async def test_what_must_be_noted_before_the_phone_rings_is(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """The note is made when the request has its place, and before it leaves."""
    noted: list[tuple[float, int]] = []

    async def note() -> None:
        await asyncio.sleep(0.25)
        noted.append((asyncio.get_running_loop().time(), len(simulated_idura.ledger.orders)))

    async with make_ciba_client(scheduler=FairScheduler(rate=1)) as ciba:
        await ciba.start(swedish(), before_sending=note)
        await ciba.start(swedish(OTHER_SWEDE), before_sending=note)
    assert noted[0] == (0.25, 0)
    assert noted[1][0] >= 1.25
    assert noted[1][1] == 1


@pytest.mark.parametrize("error", [UsageError("full", code="full"), ValueError("a number: 4711")])
async def test_a_note_that_cannot_be_made_stops_the_request(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, error: Exception
) -> None:
    """No phone rings, the person is free again, and only errors of ours are passed on."""

    async def note() -> None:
        raise error

    async with make_ciba_client() as ciba:
        with pytest.raises(CibaError) as caught:
            await ciba.start(swedish(), before_sending=note)
        assert caught.value.code == ("full" if isinstance(error, UsageError) else "internal")
        assert "4711" not in str(caught.value)
        assert simulated_idura.ledger.orders == []
        await ciba.start(swedish())
    assert len(simulated_idura.ledger.orders) == 1
