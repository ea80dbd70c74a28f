"""Tests of the simulated provider: what it serves, what it refuses, what it remembers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from attrs import evolve
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

from idura_ciba.errors import UsageError
from idura_ciba.simulator import EIDS, Crowd, Rules, Script, SimReply, SimRequest, SimulatedIdura
from idura_ciba.simulator.clients import Signatures
from idura_ciba.simulator.swedish_bankid import SWEDISH_BANKID

if TYPE_CHECKING:
    from conftest import Wire

ANNA, BERIT, FREJ = "209801011231", "01023990128", "209712310011"


def answer(reply: SimReply) -> dict[str, Any]:
    """The JSON of a reply."""
    read: dict[str, Any] = json.loads(reply.body)
    return read


def test_discovery_names_the_endpoints(wire: Wire) -> None:
    """All of them below the issuer, which is told exactly as it is."""
    found = wire.get("/.well-known/openid-configuration")
    issuer = "https://simulator.idura.broker"
    assert found["issuer"] == issuer
    assert found["jwks_uri"] == f"{issuer}/.well-known/jwks"
    assert found["token_endpoint"] == f"{issuer}/oauth2/token"
    assert found["backchannel_authentication_endpoint"] == f"{issuer}/ciba/bc-authorize"
    assert found["backchannel_token_delivery_modes_supported"] == ["poll", "ping"]
    assert found["backchannel_user_code_parameter_supported"] is False
    assert found["id_token_signing_alg_values_supported"] == ["ES256"]
    assert "urn:openid:params:grant-type:ciba" in found["grant_types_supported"]


def test_discovery_may_keep_silent_about_the_backchannel(make: Callable[..., Wire]) -> None:
    """Whether Idura lists it is unknown."""
    found = make(rules=Rules(announces_backchannel=False)).get("/.well-known/openid-configuration")
    assert not [name for name in found if name.startswith("backchannel")]


def test_discovery_takes_a_query(wire: Wire) -> None:
    """Idura's own SDK appends one."""
    assert wire.get("/.well-known/openid-configuration?client_id=urn%3Ax")["issuer"] == wire.idura.issuer


def test_the_issuer_can_be_set_later(wire: Wire) -> None:
    """A server learns its port only when it listens."""
    wire.idura.issuer = "http://127.0.0.1:8080"
    assert wire.get("/.well-known/openid-configuration")["token_endpoint"] == "http://127.0.0.1:8080/oauth2/token"
    assert wire.login()["iss"] == "http://127.0.0.1:8080"


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("POST", "/.well-known/jwks", 405, "GET"),
        ("GET", "/oauth2/token", 405, "POST"),
        ("GET", "/ciba/bc-authorize", 405, "POST"),
        ("GET", "/", 404, None),
        ("POST", "/oauth2/token/", 404, None),
    ],
)
def test_other_paths_and_methods_are_refused(
    method: str, path: str, status: int, allow: str | None, wire: Wire
) -> None:
    """With the status that HTTP has for it."""
    reply = wire.idura.handle(SimRequest(method, path), now=wire.now)
    assert (reply.status, reply.headers.get("Allow")) == (status, allow)


def test_answers_are_not_to_be_stored(wire: Wire) -> None:
    """Neither good ones nor bad ones, and each tells the provider's time."""
    good, bad = wire.start(), wire.start(scope=None)
    assert (good.status, bad.status) == (200, 400)
    for reply in (good, bad):
        assert reply.headers["Cache-Control"] == "no-store"
        assert reply.headers["Content-Type"] == "application/json"
        assert reply.headers["Date"] == "Thu, 01 Jan 2026 00:00:00 GMT"
    wire.now += 1
    assert wire.start("no").headers["Date"] == "Thu, 01 Jan 2026 00:00:01 GMT"


def test_a_trace_id_is_returned_when_asked_for(wire: Wire) -> None:
    """32 hexadecimal digits, another one each time, on errors too."""
    asking = {"Prefer": "respond-async, return-trace-id"}
    replies = [wire.post("/ciba/bc-authorize", wire.body(), **asking), wire.post("/oauth2/token", "x=1", **asking)]
    traces = {reply.headers["Trace-Id"] for reply in replies}
    assert len(traces) == 2
    assert all(re.fullmatch("[0-9a-f]{32}", trace) for trace in traces)
    assert "Trace-Id" not in wire.post("/oauth2/token", "x=1").headers


@pytest.mark.parametrize(("eid", "expires_in"), [("se", 120), ("no", 900), ("freja", 120)])
def test_an_acknowledgement_per_eid(eid: str, expires_in: int, wire: Wire) -> None:
    """Id, lifetime and interval; the Norwegian one has words to read aloud."""
    ack = answer(wire.start(eid))
    words = ack.pop("bindingMessage", "")
    assert UUID(ack.pop("auth_req_id")).version == 4
    assert ack == {"expires_in": expires_in, "interval": 3}
    assert len(words.split(" ")) == (2 if eid == "no" else 1)


def test_lifetime_and_interval_are_settings(make: Callable[..., Wire]) -> None:
    """One number for all eIDs, or one for each."""
    same = make(expires_in=30, interval=5)
    assert [answer(same.start(eid))["expires_in"] for eid in ("se", "no", "freja")] == [30, 30, 30]
    assert answer(same.start("se", login_hint="sub:ssn:209602294564"))["interval"] == 5
    some = make(expires_in={"no": 60}, interval={"se": 2})
    acks = [answer(some.start(eid)) for eid in ("se", "no", "freja")]
    assert [(ack["expires_in"], ack["interval"]) for ack in acks] == [(120, 2), (60, 3), (120, 3)]


def test_a_requested_expiry_is_granted(wire: Wire) -> None:
    """It is told, and it holds."""
    wire.idura.script(ANNA, Script.never())
    ack = answer(wire.start(requested_expiry="45"))
    assert ack["expires_in"] == 45
    assert wire.poll(ack["auth_req_id"], at=44.9)["error"] == "authorization_pending"
    assert wire.poll(ack["auth_req_id"], at=45)["error"] == "expired_token"


def test_swedish_sub_states_go_by(wire: Wire) -> None:
    """In Idura's words, until there are tokens."""
    wire.idura.script(ANNA, Script.approve(20, opened_after=5, acknowledged_after=10))
    auth_req_id = wire.begin()
    told = [wire.poll(auth_req_id, at=at).get("error_description") for at in (3, 6, 12, 20)]
    assert told == [
        "awaiting first user interaction",
        "awaiting user request acknowledgement",
        "awaiting user identification",
        None,
    ]


def test_norwegian_orders_have_one_sub_state(wire: Wire) -> None:
    """Idura says nothing more of them."""
    wire.idura.script(BERIT, Script.approve(20))
    auth_req_id = wire.begin("no")
    told = {wire.poll(auth_req_id, at=at)["error_description"] for at in (3, 10, 15)}
    assert told == {"User has not yet granted authorization"}


def test_wrong_words_are_a_denial(wire: Wire) -> None:
    """`access_denied` with the words that Idura has for it."""
    wire.idura.script(BERIT, Script.wrong_words(5))
    auth_req_id = wire.begin("no")
    assert wire.poll(auth_req_id, at=5) == {"error": "access_denied", "error_description": "user declined"}
    assert wire.idura.ledger.orders[0].outcome == "denied"


def test_nobody_answers(wire: Wire) -> None:
    """The order runs out."""
    wire.idura.script(ANNA, Script.never())
    auth_req_id = wire.begin()
    assert wire.poll(auth_req_id, at=119.9)["error"] == "authorization_pending"
    assert wire.poll(auth_req_id, at=120)["error"] == "expired_token"


def test_an_answer_after_the_end_is_none(wire: Wire) -> None:
    """The books know of no decision, because the prompt was gone."""
    wire.idura.script(ANNA, Script.approve(120))
    assert wire.poll(wire.begin(), at=120)["error"] == "expired_token"
    assert wire.idura.ledger.orders[0].decided_at is None


def test_a_token_answer_is_that_of_idura(wire: Wire) -> None:
    """Type, lifetime as a number, an opaque access token, and an ID token that the published keys verify."""
    wire.idura.script(ANNA, Script.approve(8))
    tokens = wire.poll(wire.begin(), at=10)
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 120)
    assert UUID(tokens["access_token"]).version == 4
    keys = KeySet.import_key_set(wire.get("/.well-known/jwks"))
    claims = jwt.decode(tokens["id_token"], keys, registry=Signatures(["ES256"])).claims
    assert claims["aud"] == "urn:my:application:identifier:0001"
    assert claims["ssn"] == ANNA
    assert claims["authenticationinstant"] == "2026-01-01T00:00:08.000Z"
    assert claims["iat"] == 1_767_225_610


def test_the_lifetime_of_tokens_can_be_a_text(make: Callable[..., Wire]) -> None:
    """As some of Idura's examples have it."""
    wire = make(rules=Rules(expires_in_as_text=True))
    wire.idura.script(ANNA, Script.approve())
    assert wire.poll(wire.begin(), at=3)["expires_in"] == "120"


def test_an_id_is_spent_with_its_tokens(wire: Wire) -> None:
    """Afterwards `invalid_grant`, even beyond expiry, and the books say that the tokens are revoked."""
    wire.idura.script(ANNA, Script.approve())
    auth_req_id = wire.begin()
    assert "id_token" in wire.poll(auth_req_id, at=3)
    record = wire.idura.ledger.orders[0]
    assert (record.outcome, record.tokens_issued_at, record.delivered) == ("approved", wire.now, 1)
    assert not record.tokens_revoked
    assert [wire.poll(auth_req_id, at=at)["error"] for at in (6, 500)] == ["invalid_grant"] * 2
    assert (record.tokens_revoked, record.polls_after_final) == (True, 2)


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256", "EdDSA"])
def test_tokens_are_signed_as_configured(alg: str, make: Callable[..., Wire]) -> None:
    """RS256 is Idura's; the others exist for clients that can do more, and for speed."""
    wire = make(signing_alg=alg, signing_key=None)
    wire.idura.script(ANNA, Script.approve())
    token = wire.poll(wire.begin(), at=3)["id_token"]
    keys = KeySet.import_key_set(wire.get("/.well-known/jwks"))
    assert jwt.decode(token, keys, registry=Signatures([alg])).claims["ssn"] == ANNA


def test_rs256_is_the_default() -> None:
    """A provider as it comes signs like Idura."""
    found = SimulatedIdura().handle(SimRequest("GET", "/.well-known/openid-configuration"), now=0)
    assert answer(found)["id_token_signing_alg_values_supported"] == ["RS256"]


def test_keys_rotate(wire: Wire) -> None:
    """With overlap both keys are published, without only the new one."""
    (first,) = wire.get("/.well-known/jwks")["keys"]
    wire.idura.rotate_keys(wire.now)
    kept, second = wire.get("/.well-known/jwks")["keys"]
    assert kept == first
    wire.idura.rotate_keys(wire.now, overlap=0)
    kept, third = wire.get("/.well-known/jwks")["keys"]
    assert kept == first
    assert third["kid"] != second["kid"]


def test_a_login_is_refused_before_it_began(wire: Wire) -> None:
    """What the reader of requests refuses reaches the wire with its code, and is counted."""
    reply = wire.start(acr_values="urn:grn:authn:dk:mitid")
    assert (reply.status, answer(reply)["error"]) == (400, "invalid_request")
    assert wire.idura.ledger.totals.refused == 1
    assert wire.idura.ledger.orders == []


@pytest.mark.parametrize("later", [False, True])
def test_a_tenant_has_the_eids_that_it_is_given(make: Callable[..., Wire], *, later: bool) -> None:
    """In discovery, in settings by name, and for requests; a second tenant is not touched."""
    plain = evolve(SWEDISH_BANKID, name="plain", acr_values=("urn:example:plain",), details=None, prefix="no:")
    wire = make(expires_in={"plain": 7}) if later else make(eids=[*EIDS, plain], expires_in={"plain": 7})
    if later:
        wire.idura.add_eids(plain)
    found = wire.get("/.well-known/openid-configuration")
    assert found["acr_values_supported"][-1] == "urn:example:plain"
    assert found["authorization_details_types_supported"] == ["phoneAuth", "customerServiceCall.v1"]
    asked = {"acr_values": "urn:example:plain", "login_hint": f"no:{ANNA}", "authorization_details": None}
    assert answer(wire.start(**asked))["expires_in"] == 7
    assert wire.idura.ledger.orders[0].eid == "plain"
    assert answer(make(eids=[plain]).start("no"))["error"] == "invalid_request"
    assert answer(make().start(**asked))["error"] == "invalid_request"


def test_two_eids_of_one_name_make_no_tenant(make: Callable[..., Wire]) -> None:
    """Its settings would be for both. What is refused leaves no trace."""
    with pytest.raises(UsageError):
        SimulatedIdura(eids=[SWEDISH_BANKID, SWEDISH_BANKID])
    wire = make()
    with pytest.raises(UsageError):
        wire.idura.add_eids(evolve(SWEDISH_BANKID, name="other"))
    wire.idura.add_eids(evolve(SWEDISH_BANKID, name="other", acr_values=("urn:example:other",)))
    assert wire.login()["ssn"] == ANNA


def test_a_duplicate_parameter_is_an_invalid_request(wire: Wire) -> None:
    """No parameter may occur twice."""
    reply = wire.post("/ciba/bc-authorize", wire.body() + "&scope=openid")
    assert answer(reply)["error"] == "invalid_request"


def test_only_people_with_a_script_can_be_the_known_ones(make: Callable[..., Wire]) -> None:
    """A switch; a script without steps makes somebody known who acts like anybody else."""
    wire = make(rules=Rules(known_people_only=True), people=Crowd(never=0.0, deny=1.0))
    reply = wire.start()
    assert (reply.status, answer(reply)["error"]) == (400, "unknown_user_id")
    wire.idura.script(ANNA)
    assert wire.poll(wire.begin(), at=110)["error"] == "access_denied"


def test_a_second_order_cancels_both(wire: Wire) -> None:
    """The first is over, the second never began, the third is welcome; the books know the collision."""
    wire.idura.script(ANNA, Script.approve(60))
    first = wire.begin()
    refused = wire.start(at=10)
    assert (refused.status, answer(refused)["error"]) == (403, "access_denied")
    assert wire.poll(first, at=13) == {"error": "access_denied", "error_description": "cancelled"}
    third = wire.begin(at=20)
    assert "id_token" in wire.poll(third, at=80)
    ledger = wire.idura.ledger
    assert [(record.outcome, record.collided) for record in ledger.orders] == [
        ("cancelled", True),
        ("cancelled", True),
        ("approved", False),
    ]
    assert (ledger.totals.collisions, ledger.totals.refused) == (1, 1)


def test_a_collision_needs_the_same_person_and_eid(wire: Wire) -> None:
    """Other people, and the same one through another eID, are nobody's business."""
    wire.idura.script(ANNA, Script.never())
    wire.begin()
    wire.begin(login_hint="sub:ssn:209602294564")
    wire.begin("freja", login_hint=f"sub:ssn:{ANNA}")
    assert wire.idura.ledger.totals.collisions == 0


@pytest.mark.parametrize(
    ("script", "at", "outcome"),
    [(Script.approve(5), 5, "approved"), (Script.deny(5), 5, "denied"), (Script.never(), 120, "expired")],
)
def test_an_order_that_is_over_collides_with_nothing(script: Script, at: float, outcome: str, wire: Wire) -> None:
    """Once the person has answered or the time is over, a new order is welcome and the old answer still to be had."""
    wire.idura.script(ANNA, script)
    first = wire.begin()
    wire.begin(at=at)
    wire.poll(first, at=at)
    assert wire.idura.ledger.orders[0].outcome == outcome
    assert wire.idura.ledger.totals.collisions == 0


def test_scripts_are_for_consecutive_orders(wire: Wire) -> None:
    """The last one holds for all that follow."""
    wire.idura.script(ANNA, Script.deny(), Script.approve())
    told = []
    for at in (0, 10, 20):
        auth_req_id = wire.begin(at=at)
        told.append(wire.poll(auth_req_id, at=at + 3).get("error", "tokens"))
    assert told == ["access_denied", "tokens", "tokens"]


def test_somebody_else_may_hold_the_phone(wire: Wire) -> None:
    """The token is honest about who answered: another person, with another subject."""
    wire.idura.script(ANNA, Script.approve())
    honest = wire.login()
    wire.idura.script(ANNA, Script.approve(answered_by="209602294564"))
    other = wire.login()
    assert other["ssn"] == "209602294564"
    assert other["sub"] != honest["sub"]


def test_claims_can_be_added_changed_and_left_out(wire: Wire) -> None:
    """For clients that must notice."""
    wire.idura.script(ANNA, Script.approve(claims={"nonce": "x", "country": "NO", "ssn": ...}))
    claims = wire.login()
    assert (claims["nonce"], claims["country"]) == ("x", "NO")
    assert "ssn" not in claims


def test_a_norwegian_shares_the_number_on_request_only(wire: Wire) -> None:
    """By default the token has no `socialno`."""
    wire.idura.script(BERIT, Script.approve(), Script.approve(shares_number=True))
    assert "socialno" not in wire.login("no")
    assert wire.login("no")["socialno"] == BERIT


def test_a_swede_and_freja_can_withhold_the_number(wire: Wire) -> None:
    """They share it unless a script says otherwise."""
    wire.idura.script(ANNA, Script.approve(), Script.approve(shares_number=False))
    wire.idura.script(FREJ, Script.approve(), Script.approve(shares_number=False))
    assert wire.login()["ssn"] == ANNA
    assert "ssn" not in wire.login()
    assert wire.login("freja")["details"]["requestedAttributes"]["ssn"] == {"ssn": FREJ, "country": "SE"}
    assert "ssn" not in wire.login("freja")["details"]["requestedAttributes"]


def test_freja_finds_people_by_mail(wire: Wire) -> None:
    """Scripts go by the address; the number is made up and stays the same."""
    wire.idura.script("somebody@simulator.invalid", Script.approve())
    hint = "sub:email:somebody@simulator.invalid"
    one, two = wire.login("freja", login_hint=hint), wire.login("freja", login_hint=hint)
    assert one["details"] == two["details"]
    assert re.fullmatch("2098[0-9]{8}", one["details"]["requestedAttributes"]["ssn"]["ssn"])


def test_a_subject_is_stable(wire: Wire) -> None:
    """The same person, the same pseudonym; another session each time."""
    wire.idura.script(ANNA, Script.approve())
    one, two = wire.login(), wire.login()
    assert one["sub"] == two["sub"]
    assert one["sessionindex"] != two["sessionindex"]


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ("", "invalid_request"),
        ("grant_type=", "invalid_request"),
        ("grant_type=authorization_code&auth_req_id=x", "unsupported_grant_type"),
        ("grant_type=urn%3Aopenid%3Aparams%3Agrant-type%3Aciba", "invalid_request"),
        ("grant_type=urn%3Aopenid%3Aparams%3Agrant-type%3Aciba&auth_req_id=x", "invalid_grant"),
        ("grant_type=x&grant_type=x", "invalid_request"),
    ],
)
def test_a_bad_poll_is_refused(form: str, error: str, wire: Wire) -> None:
    """With the code of CIBA Core section 11."""
    credentials = "client_id=urn%3Amy%3Aapplication%3Aidentifier%3A0001&client_secret=a+b%2Bc%2Fd%3De%3Af%25"
    reply = wire.post("/oauth2/token", f"{form}&{credentials}")
    assert (reply.status, answer(reply)["error"]) == (400, error)
    assert wire.idura.ledger.totals.unknown_ids == (error == "invalid_grant")


def test_an_id_is_for_the_client_that_got_it(wire: Wire) -> None:
    """Another client learns nothing and changes nothing."""
    wire.idura.script(ANNA, Script.approve())
    auth_req_id = wire.begin()
    wire.idura.register_client("urn:thief", secret="t")
    mine, wire.credentials = wire.credentials, {"client_id": "urn:thief", "client_secret": "t"}
    assert wire.poll(auth_req_id, at=3)["error"] == "invalid_grant"
    wire.credentials = mine
    assert "id_token" in wire.poll(auth_req_id, at=3)


@pytest.mark.parametrize("path", ["/ciba/bc-authorize", "/oauth2/token"])
def test_strangers_get_nowhere(path: str, wire: Wire) -> None:
    """Whoever is not registered is refused at both endpoints."""
    reply = wire.post(path, "client_id=urn%3Astranger&client_secret=x")
    assert (reply.status, answer(reply)["error"]) == (401, "invalid_client")
    assert reply.headers["Cache-Control"] == "no-store"
    assert wire.idura.ledger.totals.rejected_clients == 1


def test_the_challenge_reaches_the_wire(wire: Wire) -> None:
    """Who used the header is told the scheme."""
    reply = wire.post("/oauth2/token", "x=1", Authorization="Basic !!!")
    assert (reply.status, "WWW-Authenticate" in reply.headers) == (401, True)


def test_an_assertion_is_taken_once_over_both_endpoints(wire: Wire, assertion: Callable[..., dict[str, str]]) -> None:
    """The one that began an order cannot poll it."""
    key = RSAKey.generate_key(2048)
    wire.idura.register_client("urn:my:application:identifier:0001", jwks={"keys": [key.as_dict(private=False)]})
    wire.credentials = assertion(key, "RS256")
    auth_req_id = wire.begin()
    assert wire.poll(auth_req_id, at=3)["error"] == "invalid_client"
    wire.credentials = assertion(key, "RS256")
    assert wire.poll(auth_req_id, at=3)["error"] == "authorization_pending"
    assert wire.idura.ledger.totals.replayed_jti == 1


def test_a_refused_request_burns_its_assertion(wire: Wire, assertion: Callable[..., dict[str, str]]) -> None:
    """A client that repeats itself must sign again."""
    key = ECKey.generate_key("P-256")
    wire.idura.register_client("urn:my:application:identifier:0001", jwks={"keys": [key.as_dict(private=False)]})
    wire.credentials = assertion(key, "ES256")
    assert answer(wire.start(scope=None))["error"] == "invalid_request"
    assert answer(wire.start())["error"] == "invalid_client"


def test_other_audiences_can_be_allowed(make: Callable[..., Wire], assertion: Callable[..., dict[str, str]]) -> None:
    """Some providers want the address of the endpoint; then the issuer is none of them."""
    endpoint = "https://simulator.idura.broker/oauth2/token"
    wire = make(rules=Rules(accepted_audiences=frozenset({endpoint})))
    key = ECKey.generate_key("P-256")
    wire.idura.register_client("urn:my:application:identifier:0001", jwks={"keys": [key.as_dict(private=False)]})
    wire.credentials = assertion(key, "ES256", aud=endpoint)
    assert wire.start().status == 200
    wire.credentials = assertion(key, "ES256")
    assert answer(wire.start())["error"] == "invalid_client"


@pytest.mark.parametrize(
    ("rules", "first"),
    [
        (Rules(), "slow_down"),
        (Rules(throttle_from_start=False), "authorization_pending"),
        (Rules(throttle="off"), "authorization_pending"),
    ],
    ids=["strict", "from the first poll", "off"],
)
def test_the_impatient_are_slowed_down(rules: Rules, first: str, make: Callable[..., Wire]) -> None:
    """Strict providers do not like an early first poll."""
    wire = make(rules=rules)
    assert wire.poll(wire.begin(), at=1)["error"] == first


def _crowd(wire: Wire, numbers: list[int]) -> dict[int, tuple[str, object]]:
    """Order from many people and note the words and what each will do."""
    seen = {}
    for number in numbers:
        ack = answer(wire.start("no", login_hint=f"sub:ssn:{number:011}"))
        record = wire.idura.ledger.orders[-1]
        after = None if record.decided_at is None else round(record.decided_at - record.started_at, 6)
        seen[number] = (ack["bindingMessage"], (record.decision, after))
        wire.now += 0.25
    return seen


def test_everything_follows_from_the_seed_and_nothing_from_the_order_of_arrival(make: Callable[..., Wire]) -> None:
    """People keep their words and ways whoever else was asked before; another seed makes other people."""
    numbers = list(range(200))
    one = _crowd(make(seed=7), numbers)
    assert _crowd(make(seed=7), numbers[::-1]) == one
    assert _crowd(make(seed=8), numbers) != one
    assert len({words for words, _ in one.values()}) > 100
    assert {"approved", "denied", None} == {fate[0] for _, fate in one.values()}  # type: ignore[index]


def test_two_runs_with_one_seed_have_the_same_lines(make: Callable[..., Wire]) -> None:
    """And ids, words and tokens besides."""
    runs = []
    for _ in range(2):
        wire = make(seed=3)
        ids = [wire.begin(login_hint=f"sub:ssn:{number:012}", at=number / 10) for number in range(30)]
        for auth_req_id, at in zip(ids * 6, range(10, 190), strict=True):
            wire.poll(auth_req_id, at=at)
        runs.append((ids, wire.idura.ledger.lines()))
    assert runs[0] == runs[1]
    assert len(runs[0][1]) == 31


def test_the_same_person_acts_anew_with_each_order(make: Callable[..., Wire]) -> None:
    """Nobody takes the same time twice."""
    wire = make(people=Crowd(never=0.0))
    times = []
    for at in (0, 1000, 2000):
        wire.begin(at=at)
        times.append((wire.idura.ledger.orders[-1].decided_at or 0) - wire.now)
    assert all(one != two for one, two in pairwise(times))


def test_any_function_of_the_dice_can_be_a_crowd(make: Callable[..., Wire]) -> None:
    """People without a script follow it."""
    wire = make(people=lambda dice: Script.approve(dice.uniform(5, 6)))
    wire.begin()
    assert 5 <= (wire.idura.ledger.orders[0].decided_at or 0) - wire.now <= 6


def test_nothing_shown_of_the_provider_is_secret(wire: Wire) -> None:
    """After a login, neither the books nor the lines hold number or id."""
    wire.idura.script(ANNA, Script.approve())
    auth_req_id = wire.begin()
    wire.poll(auth_req_id, at=3)
    order = wire.idura._orders[auth_req_id]
    shown = f"{wire.idura!r} {wire.idura.ledger!r} {wire.idura.ledger.orders} {wire.idura.ledger.lines()} {order!r}"
    assert ANNA not in shown
    assert auth_req_id not in shown
