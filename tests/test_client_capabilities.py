"""Tests of whole clients whose settings do not fit what their provider says, before anybody is asked."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from joserfc.jwk import RSAKey

from idura_ciba import CibaClient, Endpoints, PrivateKeyJwt, SignedRequests, StateError
from idura_ciba.batch import verify_many
from idura_ciba.errors import DOCUMENTATION
from idura_ciba.http.provider import COOL_DOWN
from idura_ciba.simulator import MemoryTransport, Script, SimulatedIdura
from idura_ciba.testing import virtual_clock
from tests.logins import OTHER_SWEDE, SWEDE, swedish

BANK, CLIENT = "https://bank.example", "urn:my:app"
KEY = RSAKey.generate_key(2048)
JWKS = {"keys": [KEY.as_dict(private=False)]}
DELIVERY = "backchannel_token_delivery_modes_supported"
METHODS = "token_endpoint_auth_methods_supported"


def bank(metadata: dict[str, Any], issuer: str = BANK, **options: Any) -> tuple[SimulatedIdura, CibaClient]:
    """A provider whose document says this, and a client with a key."""
    idura = SimulatedIdura(issuer, metadata=metadata)
    idura.register_client(CLIENT, jwks=JWKS)
    idura.script(SWEDE, Script.approve(after=5))
    clock = virtual_clock()
    auth = PrivateKeyJwt(CLIENT, KEY)
    return idura, CibaClient(issuer, auth, transport=MemoryTransport(idura, clock=clock), clock=clock, **options)


@pytest.mark.parametrize(
    ("metadata", "options", "code"),
    [
        ({DELIVERY: ["ping"]}, {}, "delivery_unsupported"),
        ({"id_token_signing_alg_values_supported": ["PS256"]}, {}, "id_token_algorithms_unsupported"),
        ({METHODS: ["client_secret_basic"]}, {}, "client_auth_unsupported"),
        ({"token_endpoint_auth_signing_alg_values_supported": ["PS256"]}, {}, "client_auth_alg_unsupported"),
        (
            {"backchannel_authentication_request_signing_alg_values_supported": ["ES256"]},
            {"sign_requests": SignedRequests(alg="PS256")},
            "request_alg_unsupported",
        ),
    ],
)
async def test_what_cannot_work_is_told_before_anybody_is_asked(
    metadata: dict[str, Any], options: dict[str, Any], code: str
) -> None:
    """By `start`, each time anew, and by `check`; nothing but the document is asked for."""
    idura, client = bank(metadata, **options)
    async with client as ciba:
        for _ in range(2):  # the second time, too: the person is not held
            with pytest.raises(StateError) as caught:
                await ciba.start(swedish())
            assert caught.value.code == code
        assert idura.ledger.totals.requests == 1
        problems = [found.text for found in await ciba.check() if found.level == "problem"]
    assert len(problems) == 1
    assert problems[0].startswith("settings: ")
    assert problems[0].endswith(f"[{code}] See {DOCUMENTATION}errors/#{code}")
    assert idura.ledger.orders == []


async def test_a_document_that_was_set_right_is_noticed() -> None:
    """Within half a minute, and not after a day."""
    idura, client = bank({DELIVERY: ["ping"]})
    async with client as ciba:
        with pytest.raises(StateError):
            await ciba.start(swedish())
        idura._metadata = {}
        await asyncio.sleep(COOL_DOWN)
        with pytest.raises(StateError):
            await ciba.start(swedish())
        await asyncio.sleep(1)
        assert (await ciba.authenticate(swedish())).claims["ssn"] == SWEDE


async def test_a_login_under_way_is_not_ended_by_a_document() -> None:
    """It was begun when it could work; polls and resuming go on."""
    idura, client = bank({})
    async with client as ciba:
        token = str((await ciba.start(swedish())).resume_token)
        await ciba.close()
    idura._metadata = {DELIVERY: ["push"]}
    clock = virtual_clock()
    auth = PrivateKeyJwt(CLIENT, KEY)
    async with CibaClient(BANK, auth, transport=MemoryTransport(idura, clock=clock), clock=clock) as ciba:
        assert (await (await ciba.resume(token))).claims["ssn"] == SWEDE


async def test_a_document_that_is_wrong_need_not_be_read() -> None:
    """As the error says: whoever names all endpoints is asked nothing more."""
    named = Endpoints(
        backchannel_authentication_endpoint=f"{BANK}/ciba/bc-authorize",
        token_endpoint=f"{BANK}/oauth2/token",
        jwks_uri=f"{BANK}/.well-known/jwks",
    )
    _, client = bank({DELIVERY: ["ping"], METHODS: ["none"]}, endpoints=named)
    async with client as ciba:
        assert (await ciba.authenticate(swedish())).claims["ssn"] == SWEDE


async def test_at_idura_a_doubt_about_authentication_is_a_warning() -> None:
    """People are asked, because nobody here knows what Idura's document says of it."""
    _, client = bank({METHODS: ["client_secret_basic"]}, issuer="https://acme.idura.broker")
    async with client as ciba:
        assert (await ciba.authenticate(swedish())).claims["ssn"] == SWEDE
        (warning,) = [found for found in await ciba.check() if found.level != "ok"]
    assert warning.level == "warning"
    assert "client_auth_unsupported" in warning.text


async def test_acr_values_are_a_warning_of_the_check() -> None:
    """And of nothing else."""
    _, client = bank({"acr_values_supported": ["urn:other"]})
    async with client as ciba:
        assert {found.level for found in await ciba.check()} == {"ok"}
        (warning,) = [found for found in await ciba.check(acr_values=["urn:other", "urn:mine"]) if found.level != "ok"]
        assert (await ciba.authenticate(swedish())).claims["ssn"] == SWEDE
    assert warning.level == "warning"
    assert "urn:mine" in warning.text


async def test_a_batch_ends_at_once_and_asks_nobody() -> None:
    """No row is failed for it: it is about all of them."""
    idura, client = bank({DELIVERY: ["ping"]})
    people = [(str(nth), swedish(number)) for nth, number in enumerate((SWEDE, OTHER_SWEDE))]
    async with client as ciba:
        with pytest.raises(StateError, match="delivery_unsupported"):
            assert not [result async for result in verify_many(ciba, people, clock=virtual_clock())]
    assert idura.ledger.orders == []
