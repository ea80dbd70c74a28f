"""Logins whose tokens are bound to a key of the client, from the provider's side: what it demands, and what it saw."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from idura_ciba import (
    CibaClient,
    ClientSecretPost,
    DPoP,
    EidRequest,
    FairScheduler,
    IdTokenRejected,
    ProviderError,
    StateError,
)
from idura_ciba.protocol.http import HttpRequest
from idura_ciba.simulator import Fault, MemoryTransport, Rules, Script, SimulatedIdura
from idura_ciba.simulator.catalogue import edit, on
from idura_ciba.testing import virtual_clock
from tests.fakes import b64, json_bytes, private_key, unb64
from tests.logins import OTHER_SWEDE, SWEDE, swedish

CLIENT_ID, SECRET = "urn:my:app", "known to the simulator"
AUTH = ClientSecretPost(CLIENT_ID, SECRET)


def provider(*, nonces: float = 0.0, dpop: bool = True) -> SimulatedIdura:
    """One that binds tokens."""
    idura = SimulatedIdura(seed=1, rules=Rules(dpop=dpop, dpop_nonces=nonces))
    idura.register_client(CLIENT_ID, secret=SECRET)
    return idura


def connect(idura: SimulatedIdura, auth: DPoP | None = None, **options: Any) -> CibaClient:
    """A client of it."""
    clock = virtual_clock()
    options = {"transport": MemoryTransport(idura, clock=clock)} | options
    return CibaClient(idura.issuer, auth or DPoP(AUTH), clock=clock, **options)


def anybody(ssn: str) -> EidRequest:
    """A request for somebody who does not exist: no such day."""
    return EidRequest(
        login_hint=f"sub:ssn:{ssn}",
        acr_values="urn:grn:authn:se:bankid",
        binding_message="Hello",
        identity={("ssn",): ssn},
        authorization_details=({"type": "phoneAuth", "callInitiator": "RP"},),
    )


def claims(token: str) -> dict[str, Any]:
    """What a JWT says."""
    found = json.loads(unb64(token.split(".")[1]))
    assert isinstance(found, dict)
    return found


def of_another_key() -> str:
    """An access token that names it."""
    return f"{b64(b'{}')}.{b64(json_bytes({'cnf': {'jkt': 'another'}}))}.{b64(b'x')}"


@pytest.mark.parametrize("nonces", [0.0, 10.0])
async def test_the_tokens_of_a_login_are_bound_to_the_clients_key(nonces: float) -> None:
    """Without nonces, and with nonces that rotate three times meanwhile: one demand, and nothing lost to it."""
    idura, auth = provider(nonces=nonces), DPoP(AUTH)
    idura.script(SWEDE, Script.approve(after=40))
    async with connect(idura, auth) as ciba:
        login = await ciba.authenticate(swedish())
    assert login.tokens.token_type == "DPoP"
    assert claims(str(login.tokens.access_token))["cnf"] == {"jkt": auth.thumbprint}
    order, seen = idura.ledger.orders[0], idura.ledger.proofs
    assert seen == {"accepted": 1 + order.polls} | ({"nonce demanded": 1} if nonces else {})
    assert (len(idura.ledger.orders), order.slow_downs, order.overlapping) == (1, 0, 0)


async def test_many_logins_at_once_lose_none_to_a_nonce_that_rotates_quickly() -> None:
    """Each poll brings the next nonce, whoever's it is; no phone rings twice and no poll comes too soon."""
    idura = provider(nonces=2.0)
    people = [str(209999000000 + nth) for nth in range(30)]
    for nth, person in enumerate(people):
        idura.script(person, Script.approve(after=5 + nth))
    async with connect(idura) as ciba:
        logins = await asyncio.gather(*(ciba.authenticate(anybody(person)) for person in people))
    assert [login.claims["ssn"] for login in logins] == people
    summary = idura.ledger.summary()
    assert (summary["orders"], summary["slow_downs"], summary["overlapping"]) == (30, 0, 0)
    assert idura.ledger.proofs["replayed"] == idura.ledger.proofs["refused"] == 0


async def test_what_leaves_once_more_counts_towards_the_rate() -> None:
    """One a second was agreed: the next request waits for the two that left at once."""
    idura = provider(nonces=1000.0)
    times: list[float] = []

    class Timed(MemoryTransport):
        async def send(self, request: HttpRequest) -> Any:  # type: ignore[override]  # as a client passes it
            if request.method == "POST":
                times.append(asyncio.get_running_loop().time())
            return await super().send(request)

    clock = virtual_clock()
    async with connect(idura, transport=Timed(idura, clock=clock), scheduler=FairScheduler(rate=1)) as ciba:
        await asyncio.gather(ciba.start(swedish()), ciba.start(swedish(OTHER_SWEDE)))
    assert times == [0.0, 0.0, 2.0]


async def test_a_replica_goes_on_with_the_same_key() -> None:
    """It is derived from the credential. The provider gives the login to no other key."""
    idura = provider()
    idura.script(SWEDE, Script.approve(after=8))
    async with connect(idura) as first:
        token = (await first.start(swedish())).resume_token
        assert token is not None
        [left] = await first.close()
    stranger = connect(idura, DPoP(AUTH, key=private_key("P-256", 7)), resume_secret=None)  # type: ignore[arg-type]
    async with stranger:
        with pytest.raises(ProviderError) as caught:
            await (await stranger.resume(left))
    assert caught.value.error == "invalid_dpop_proof"
    assert idura.ledger.proofs["other key"] == 2
    async with connect(idura) as second:
        login = await (await second.resume(token))
    assert login.claims["ssn"] == SWEDE


async def test_tokens_of_another_key_are_refused() -> None:
    """A provider that confuses two clients, or hands out what another was given."""
    idura = provider()
    idura.script(SWEDE, Script.approve(after=4))
    idura.faults.append(on("token", edit(access_token=of_another_key())))
    async with connect(idura) as ciba:
        with pytest.raises(IdTokenRejected) as caught:
            await ciba.authenticate(swedish())
    assert caught.value.code == "token_other_key"
    assert "bound to another key" in caught.value.what


async def test_an_id_token_of_another_key_is_refused() -> None:
    """Likewise."""
    idura = provider()
    idura.script(SWEDE, Script.approve(after=4, claims={"cnf": {"jkt": "another"}}))
    async with connect(idura) as ciba:
        with pytest.raises(IdTokenRejected) as caught:
            await ciba.authenticate(swedish())
    assert caught.value.code == "token_other_key"


async def test_a_provider_that_does_not_bind_is_noticed() -> None:
    """It ignores the proofs and issues bearer tokens: whoever asked for more must know."""
    idura = provider(dpop=False)
    idura.script(SWEDE, Script.approve(after=4))
    async with connect(idura) as ciba:
        with pytest.raises(IdTokenRejected) as caught:
            await ciba.authenticate(swedish())
    assert caught.value.code == "token_unbound"


async def test_a_client_without_dpop_is_told_before_a_phone_could_be_answered() -> None:
    """The provider puts the prompt on the phone and refuses the polls: the second refusal ends the login."""
    idura = provider()
    clock = virtual_clock()
    async with CibaClient(idura.issuer, AUTH, clock=clock, transport=MemoryTransport(idura, clock=clock)) as ciba:
        with pytest.raises(ProviderError) as caught:
            await ciba.authenticate(swedish())
    assert caught.value.error == "invalid_dpop_proof"
    assert idura.ledger.proofs["missing"] == 2


async def test_a_poll_without_a_nonce_that_pleases_is_no_end_of_the_login() -> None:
    """Twice refused, the poll says nothing of the login; the next one does."""
    idura = provider(nonces=1000.0)
    idura.script(SWEDE, Script.approve(after=10))
    demand = Fault.answer(400, {"DPoP-Nonce": "gone"}, b'{"error": "use_dpop_nonce"}')
    idura.faults += [on("token", demand, nth=1), on("token", demand, nth=1)]
    async with connect(idura) as ciba:
        login = await ciba.authenticate(swedish())
    assert login.claims["ssn"] == SWEDE


# --- after the login --------------------------------------------------------------------------------------------------


def afterwards(*, nonces: float = 0.0, dpop: bool = True, rotates: bool = True) -> SimulatedIdura:
    """A provider that tells more of a person, and refreshes tokens."""
    refresh: Any = "rotated" if rotates else "kept"
    rules = Rules(dpop=dpop, dpop_nonces=nonces, userinfo="signed", refresh_tokens=refresh)
    idura = SimulatedIdura(seed=1, rules=rules)
    idura.register_client(CLIENT_ID, secret=SECRET)
    idura.script(SWEDE, Script.approve(after=4))
    return idura


@pytest.mark.parametrize("nonces", [0.0, 10.0])
@pytest.mark.parametrize("rotates", [False, True])
async def test_what_comes_after_a_login_proves_the_key_too(nonces: float, rotates: bool) -> None:
    """Userinfo with a proof that names the token, and refreshed tokens that are bound again; nonces cost no answer."""
    idura, auth = afterwards(nonces=nonces, rotates=rotates), DPoP(AUTH)
    async with connect(idura, auth) as ciba:
        login = await ciba.authenticate(swedish())
        for _ in range(3):
            await asyncio.sleep(25)  # the nonce that is known here is over
            assert (await login.userinfo(require_signature=True))["sub"] == login.subject
            await asyncio.sleep(25)
            fresh = await login.refresh()
            assert fresh.tokens.token_type == "DPoP"
            assert claims(str(fresh.tokens.access_token))["cnf"] == {"jkt": auth.thumbprint}
            assert fresh.tokens.access_token != login.tokens.access_token
            login = fresh
    seen = idura.ledger.proofs
    assert seen["accepted"] == 1 + idura.ledger.orders[0].polls + 6
    assert (seen["refused"], seen["replayed"], seen["nonce demanded"]) == (0, 0, 7 if nonces else 0)


async def test_a_proof_is_made_anew_where_userinfo_is_asked_for_again() -> None:
    """A provider that is away for a moment may have seen the first one."""
    idura = afterwards()
    idura.faults.append(on("userinfo", Fault.answer(503), nth=1))
    proofs: list[str] = []

    class Noted(MemoryTransport):
        async def send(self, request: HttpRequest) -> Any:  # type: ignore[override]  # as a client passes it
            if request.url.endswith("/userinfo"):
                proofs.append(request.headers["DPoP"])
            return await super().send(request)

    clock = virtual_clock()
    async with connect(idura, transport=Noted(idura, clock=clock)) as ciba:
        assert await (await ciba.authenticate(swedish())).userinfo()
    first, second = map(claims, proofs)
    assert first["ath"] == second["ath"]
    assert first["jti"] != second["jti"]
    assert (first["htm"], first["htu"]) == ("GET", f"{idura.issuer}/oauth2/userinfo")


@pytest.mark.parametrize(
    ("members", "code"),
    [({"token_type": "Bearer"}, "token_unbound"), ({"access_token": of_another_key()}, "token_other_key")],
)
async def test_refreshed_tokens_that_are_not_bound_to_the_key_are_refused(members: dict[str, str], code: str) -> None:
    """As the first ones are, and the login stays as it is."""
    idura = afterwards(rotates=False)
    async with connect(idura) as ciba:
        login = await ciba.authenticate(swedish())
        idura.faults.append(on("token", edit(**members)))
        with pytest.raises(IdTokenRejected) as caught:
            await login.refresh()
        assert (caught.value.code, caught.value.phone) == (
            code,
            "The phone has not rung, and the login stays as it is",
        )
        idura.faults.clear()
        assert (await login.refresh()).subject == login.subject


async def test_a_bound_token_does_not_leave_without_a_proof() -> None:
    """A client that has no DPoP was given one all the same."""
    idura = afterwards(dpop=False)
    idura.faults.append(on("token", edit(token_type="DPoP")))
    clock = virtual_clock()
    async with CibaClient(idura.issuer, AUTH, clock=clock, transport=MemoryTransport(idura, clock=clock)) as ciba:
        login = await ciba.authenticate(swedish())
        asked = idura.ledger.totals.requests
        with pytest.raises(StateError) as caught:
            await login.userinfo()
    assert caught.value.code == "no_access_token"
    assert idura.ledger.totals.requests == asked
