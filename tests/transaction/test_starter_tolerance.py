"""Once a phone rings, whatever others can read of the provider's acknowledgement is read, and the login goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve

from idura_ciba import EidRequest, FrejaID, NorwegianBankID
from idura_ciba.simulator import Arrival, Fault, Script, SimulatedIdura
from idura_ciba.simulator.catalogue import edit, on
from idura_ciba.testing import VIRTUAL_EPOCH
from tests.logins import NORWEGIAN, SWEDE, MakeClient, swedish

#: Lifetime and interval as they come, and as they are meant. The simulator's own are 120 s and 3 s.
ODD: dict[str, tuple[dict[str, Any], float]] = {
    "texts in white space": ({"expires_in": " 90\r\n", "interval": "\t4 "}, 90.0),
    "fractions": ({"expires_in": 89.99, "interval": 3.75}, 89.0),
    "fractions as text": ({"expires_in": "61.5", "interval": "3.0"}, 61.0),
    "exponents": ({"expires_in": "9e1", "interval": 0.3e1}, 90.0),
    "a sign": ({"expires_in": "+100", "interval": "+3"}, 100.0),
    "nothing said": ({"expires_in": None, "interval": None}, 180.0),
    "nothing there": ({"expires_in": ..., "interval": ...}, 180.0),
    "words": ({"expires_in": "three minutes", "interval": "often"}, 180.0),
    "lists": ({"expires_in": [120], "interval": {"seconds": 3}}, 180.0),
    "less than nothing": ({"expires_in": -1, "interval": -3}, 180.0),
    "for ever": ({"expires_in": 10**9, "interval": 10**9}, 180.0),
    "as long as the login lives": ({"expires_in": 100, "interval": 100}, 100.0),
    "null members all over": (
        {"error": None, "error_description": None, "bindingMessage": None, "request_id": None, "expires_in": 60},
        60.0,
    ),
    "a code that is none": ({"error": "none", "expires_in": 75}, 75.0),
}


@pytest.mark.parametrize(("members", "lifetime"), ODD.values(), ids=ODD)
async def test_an_odd_acknowledgement_costs_no_login(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, members: dict[str, Any], lifetime: float
) -> None:
    """What is missing, or cannot be meant, is as the eID has it; the polls stay polite."""
    simulated_idura.script(SWEDE, Script.approve(after=30))
    simulated_idura.faults.append(on("bc-authorize", edit(**members)))
    async with make_ciba_client() as ciba:
        transaction = await ciba.start(swedish())
        assert transaction.prompt_until == VIRTUAL_EPOCH + lifetime
        assert (await transaction).person_confirmed
    assert simulated_idura.ledger.summary()["slow_downs"] == 0


@pytest.mark.parametrize(
    ("request_", "lifetime"),
    [
        (swedish(), 180.0),
        (NorwegianBankID(NORWEGIAN), 900.0),
        (FrejaID(SWEDE), 120.0),
        (EidRequest(login_hint="x", prompt_lifetime=42.0), 42.0),
        (EidRequest(login_hint="x", prompt_lifetime=42.0, requested_expiry=300), 300.0),
        (EidRequest(login_hint="x"), 900.0),
    ],
)
async def test_without_a_lifetime_each_eid_has_its_own(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, request_: EidRequest, lifetime: float
) -> None:
    """Or what was asked for, where that is longer."""
    simulated_idura.faults.append(
        lambda arrival: (
            Fault.answer(200, {}, json.dumps({"auth_req_id": "4711"}).encode())
            if arrival.endpoint == "bc-authorize"
            else None
        )
    )
    async with make_ciba_client() as ciba:
        assert (await ciba.start(request_)).prompt_until == VIRTUAL_EPOCH + lifetime


def _typed(text: str) -> Callable[[Any], Any]:
    return lambda reply: evolve(reply, headers={**reply.headers, "Content-Type": text})


#: How answers are written, to every request but those for documents.
WRITTEN: dict[str, Callable[[Any], Any]] = {
    "with a mark": lambda reply: evolve(reply, body=b"\xef\xbb\xbf" + reply.body),
    "in UTF-16 without a word of it": lambda reply: evolve(reply, body=reply.body.decode().encode("utf-16")),
    "in Latin-1": lambda reply: evolve(reply, body=reply.body.decode().encode("latin-1")),
    "in ASCII, said to be Shift JIS": _typed("application/json; charset=Shift_JIS"),
    "as JavaScript": _typed("text/javascript;charset=UTF-8"),
    "as a form": _typed("application/x-www-form-urlencoded"),
    "as nothing": _typed(""),
    "with everything twice": lambda reply: evolve(reply, body=b"{" + reply.body[1:-1] + b"," + reply.body[1:]),
    "with numbers that are none": lambda reply: evolve(reply, body=b'{"load":NaN,"ttl":1e999,' + reply.body[1:]),
    "with half a letter": lambda reply: evolve(reply, body=rb'{"note":"\udc00",' + reply.body[1:]),
    "with white space around": lambda reply: evolve(reply, body=b"\r\n\t " + reply.body + b"\n\n"),
}


@pytest.mark.parametrize("change", WRITTEN.values(), ids=WRITTEN)
async def test_no_way_of_writing_answers_costs_a_login(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, change: Callable[[Any], Any]
) -> None:
    """From the acknowledgement to the tokens; the words that are to be spoken come through as they were meant."""

    def spoken(reply: Any) -> Any:
        members = {**json.loads(reply.body), "bindingMessage": "Blå Ærfugl"}
        return change(evolve(reply, body=json.dumps(members, ensure_ascii=False).encode()))

    def rewritten(arrival: Arrival) -> Fault | None:
        changes = {"bc-authorize": spoken, "token": change}
        return Fault.change(changes[arrival.endpoint]) if arrival.endpoint in changes else None

    simulated_idura.script(NORWEGIAN, Script.approve(after=8))
    simulated_idura.faults.append(rewritten)
    async with make_ciba_client() as ciba:
        transaction = await ciba.start(NorwegianBankID(NORWEGIAN))
        assert transaction.spoken_words == "Blå Ærfugl"
        assert (await transaction).claims["iss"] == simulated_idura.issuer


async def test_a_long_name_is_kept_in_a_resume_token(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient
) -> None:
    """However long an `auth_req_id` is, and whatever it is made of, the login can be gone on with."""
    name = "å \"'\\\n" * 5_000
    body = json.dumps({"auth_req_id": name, "expires_in": 120}, ensure_ascii=False).encode()
    asked: list[str] = []
    simulated_idura.faults.append(lambda a: Fault.answer(200, {}, body) if a.endpoint == "bc-authorize" else None)
    simulated_idura.faults.append(lambda a: asked.append(a.endpoint))
    async with make_ciba_client() as first:
        token = (await first.start(swedish())).resume_token
        assert token is not None
        await first.close()
    async with make_ciba_client() as second:
        transaction = await second.resume(token)
        assert transaction._driver.auth_req_id == name
        outcome = await transaction.outcome()
    assert "token" in asked
    # The simulator never gave that name.
    assert outcome.error is not None
    assert "invalid_grant" in outcome.error.what


async def test_what_else_the_provider_says_is_there_for_the_caller(
    simulated_idura: SimulatedIdura, make_ciba_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing of it is shown, logged or told to observers, and no resume token takes it along."""
    caplog.set_level("DEBUG")
    simulated_idura.script(SWEDE, Script.approve(after=8))
    said = {"qr": "canary-1", "hints": [{"app": "canary-2"}], "level": 3}
    simulated_idura.faults.append(on("bc-authorize", edit(**said)))
    told: list[object] = []
    async with make_ciba_client(observers=[told.append]) as ciba:
        transaction = await ciba.start(swedish())
        members, token = transaction.members, str(transaction.resume_token)
        assert members == said
        with pytest.raises(TypeError):
            members["qr"] = "another"  # type: ignore[index]
        await transaction
        assert transaction.members == said
    shown = f"{members} {transaction!r} {transaction._driver!r} {told} {caplog.text} {token}"
    assert "3" in shown
    assert "canary" not in shown
    async with make_ciba_client() as other:
        assert (await other.resume(token)).members == {}


async def test_a_provider_that_says_nothing_else_costs_nothing(make_ciba_client: MakeClient) -> None:
    """All logins share one mapping, however many there are; what has a place of its own is not there twice."""
    async with make_ciba_client() as ciba:
        first, second = await ciba.start(swedish()), await ciba.start(NorwegianBankID(NORWEGIAN))
        assert second.spoken_words
        assert dict(first.members) == {}
        assert first.members is second.members
