"""Tests of the key cache: how often it asks, what it keeps when nobody answers, and which keys it takes."""

from __future__ import annotations

import asyncio
import gc
import itertools
import warnings
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from idura_ciba.errors import CibaError, RemoteProtocolError, StateError, TransportError
from idura_ciba.http.provider import DOCUMENT_HEADERS, MAX_DOCUMENT, Endpoints, Provider
from idura_ciba.protocol.http import HttpResponse
from idura_ciba.testing import run_virtual, virtual_clock
from idura_ciba.trust.jwks import COOL_DOWN, FETCHES, MAX_AGE, JwksCache
from tests.fakes import Answer, FakeTransport, b64, json_bytes, number, outage, private_key, public_jwk

ISSUER = "https://acme.idura.broker"
URL = f"{ISSUER}/keys"
KEY = public_jwk(private_key("P-256"))


def key_set(*kids: str | None) -> dict[str, Any]:
    """A key set with these names."""
    return {"keys": [{**KEY, **({} if kid is None else {"kid": kid})} for kid in kids]}


def make(*answers: Answer, latency: float = 0.0) -> tuple[JwksCache, FakeTransport]:
    """A cache of an issuer that answers so, one after the other."""
    transport = FakeTransport(latency=latency).on(URL, *answers)
    provider = Provider(
        ISSUER,
        transport=transport,
        endpoints=Endpoints(
            backchannel_authentication_endpoint=f"{ISSUER}/start", token_endpoint=f"{ISSUER}/token", jwks_uri=URL
        ),
    )
    return JwksCache(provider, transport=transport, clock=virtual_clock()), transport


def now() -> float:
    """The running loop's time."""
    return asyncio.get_running_loop().time()


async def kids(cache: JwksCache, kid: str | None) -> list[str | None]:
    """The names of the keys that were found."""
    return [key.kid for key in await cache.find(kid)]


# --- how often it asks ------------------------------------------------------------------------------------------------


async def test_two_hundred_logins_share_one_fetch() -> None:
    """At first use everybody waits for the same answer, and afterwards nobody waits."""
    cache, transport = make(key_set("a"), latency=0.5)
    found = await asyncio.gather(*(kids(cache, "a") for _ in range(200)))
    assert found == [["a"]] * 200
    assert now() == 0.5
    assert await kids(cache, "a") == ["a"]
    assert now() == 0.5
    (request,) = transport.requests
    assert (request.method, request.url, request.headers, request.body) == ("GET", URL, DOCUMENT_HEADERS, b"")
    assert request.max_body == MAX_DOCUMENT == 256 * 1024


async def test_a_new_key_is_found_at_once() -> None:
    """Rotation costs the first login one fetch and no waiting."""
    cache, transport = make(key_set("old"), key_set("old", "new"))
    assert await kids(cache, "old") == ["old"]
    await asyncio.sleep(60)
    assert await kids(cache, "new") == ["new"]
    assert now() == 60
    assert await kids(cache, "old") == ["old"]
    assert len(transport.requests) == 2


async def test_a_new_key_right_after_a_fetch_waits_for_the_pause_to_end() -> None:
    """A token that is issued only once is held until the keys may be fetched again, not refused."""
    cache, transport = make(key_set("old"), key_set("new"))
    await cache.find("old")
    await asyncio.sleep(1)
    assert await asyncio.gather(*(kids(cache, "new") for _ in range(200))) == [["new"]] * 200
    assert now() == COOL_DOWN
    assert transport.sent_at == [0, COOL_DOWN]


async def test_an_answer_that_was_on_its_way_is_too_old_for_a_new_question() -> None:
    """Who asks while a fetch is under way gets another one, if the answer has no such key: it may be from before."""
    cache, transport = make(key_set("old"), key_set("new"), latency=2)
    first = asyncio.create_task(kids(cache, "old"))
    await asyncio.sleep(1)
    assert await kids(cache, "new") == ["new"]
    assert await first == ["old"]
    assert transport.sent_at == [0, 2 + COOL_DOWN]


async def test_a_name_that_nobody_has_is_not_found() -> None:
    """After some fetches made for the question the answer is empty, and no error."""
    cache, transport = make(key_set("a"))
    assert await kids(cache, "b") == []
    assert transport.sent_at == [nth * COOL_DOWN for nth in range(FETCHES)]
    await asyncio.sleep(COOL_DOWN)
    assert await kids(cache, "b") == []
    assert len(transport.requests) == 2 * FETCHES


@pytest.mark.parametrize("old", range(1, FETCHES))
async def test_a_key_that_old_copies_of_the_set_lack_is_found(old: int) -> None:
    """A cache before the key set may hand out the one from before the rotation for some seconds."""
    cache, transport = make(*[key_set("old")] * old, key_set("old", "new"))
    assert await kids(cache, "new") == ["new"]
    assert len(transport.requests) == old + 1


async def test_keys_that_were_fetched_beforehand_cost_no_time() -> None:
    """A login has them fetched when it begins; once is enough for all of them."""
    cache, transport = make(key_set("a"), latency=5)
    for _ in range(100):
        cache.warm()
    await asyncio.sleep(5)
    assert await kids(cache, "a") == ["a"]
    cache.warm()
    assert now() == 5
    assert len(transport.requests) == 1


async def test_fetching_beforehand_raises_nothing() -> None:
    """Whoever needs the keys hears of it."""
    cache, _ = make(404)
    cache.warm()
    await asyncio.sleep(60)
    with pytest.raises(RemoteProtocolError):
        await cache.find("a")


@pytest.mark.parametrize(
    "answer",
    [key_set("a"), {"keys": []}, 404, 500, b"<html>", outage],
    ids=["keys", "none", "404", "500", "html", "down"],
)
async def test_a_flood_of_names_causes_one_fetch_per_pause(answer: Answer) -> None:
    """However many tokens name keys that do not exist, and whatever the issuer answers, it is asked politely."""
    cache, transport = make(key_set("a"), answer)
    await cache.find("a")

    async def forged(nth: int) -> None:
        await asyncio.sleep(nth / 25)
        with suppress(TransportError, RemoteProtocolError):
            assert await kids(cache, f"forged-{nth}") == []
        # Meanwhile the others are served without waiting.
        before = now()
        assert not isinstance(answer, dict) or not answer["keys"] or await kids(cache, "a") == ["a"]
        assert now() == before

    await asyncio.gather(*(forged(nth) for nth in range(1000)))
    # Within one fetch, only what brought no key is tried again.
    pauses = [later - earlier for earlier, later in itertools.pairwise(transport.sent_at)]
    fetches = 1 + sum(pause >= COOL_DOWN for pause in pauses)
    tries = 1 if answer == key_set("a") else 6
    assert len(transport.sent_at) == 1 + (fetches - 1) * tries
    assert 40 / (COOL_DOWN + 8) < fetches <= 40 / COOL_DOWN + 1 + FETCHES


# --- when nobody answers ----------------------------------------------------------------------------------------------


async def test_a_set_is_fetched_anew_when_it_is_old() -> None:
    """A key that the issuer withdrew is not accepted for ever."""
    cache, transport = make(key_set("a"), key_set("b"))
    await cache.find("a")
    await asyncio.sleep(MAX_AGE)
    assert await kids(cache, "a") == ["a"]
    assert len(transport.requests) == 1
    await asyncio.sleep(1)
    cache.warm()  # a login begins
    await asyncio.sleep(1)
    assert await kids(cache, "b") == ["b"]
    assert transport.sent_at == [0, MAX_AGE + 1]
    assert await kids(cache, "a") == []


async def test_a_key_endpoint_that_hangs_costs_nobody_anything() -> None:
    """Known keys are tried first, and refreshed beside that."""
    cache, transport = make(key_set("a"))
    await cache.find("a")
    transport.latency = 60
    await asyncio.sleep(MAX_AGE + 1)
    before = now()
    assert await asyncio.gather(*(kids(cache, "a") for _ in range(100))) == [["a"]] * 100
    assert now() == before
    assert len(transport.requests) == 2
    await cache.aclose()


@pytest.mark.parametrize(
    "answer", [outage, 404, 503, b"<html>", {"keys": 1}], ids=["down", "404", "503", "html", "junk"]
)
async def test_an_old_set_serves_on_while_the_issuer_cannot_be_asked(answer: Answer) -> None:
    """The keys that the issuer did publish are good until it publishes others, and hardly any login waits."""
    cache, transport = make(key_set("a"), answer)
    await cache.find("a")
    await asyncio.sleep(MAX_AGE + 1)

    async def wait(nth: int) -> float:
        await asyncio.sleep(nth / 10)
        before = now()
        assert await kids(cache, "a") == ["a"]
        return now() - before

    waits = await asyncio.gather(*(wait(nth) for nth in range(1000)))
    assert max(waits) <= 8
    assert sum(waits) / len(waits) < 3
    transport.on(URL, key_set("b"))
    await asyncio.sleep(COOL_DOWN)
    assert await kids(cache, "b") == ["b"]
    assert await kids(cache, "a") == []


NO_KEYS: dict[str, Answer] = {
    "down": outage,
    **{str(status): status for status in (204, 302, 403, 404, 429, 500, 502, 503)},
    "html": b"<html>",
    "empty": {"keys": []},
    "for encryption": {"keys": [{**KEY, "use": "enc"}]},
}


@pytest.mark.parametrize("answer", NO_KEYS.values(), ids=NO_KEYS)
async def test_an_outage_of_seconds_costs_no_login(answer: Answer) -> None:
    """A token waits while the keys cannot be had, whether nobody answers, or a gateway does, or there are none."""
    cache, transport = make(*[answer] * 5, key_set("a"))
    assert await kids(cache, "a") == ["a"]
    assert len(transport.requests) == 6
    assert now() == 7.75


@pytest.mark.parametrize("answer", NO_KEYS.values(), ids=NO_KEYS)
async def test_no_keys_never_take_the_place_of_known_ones(answer: Answer) -> None:
    """What an issuer has published serves on when all that it answers afterwards holds no key."""
    cache, transport = make(key_set("a"), answer)
    await cache.find("a")
    await asyncio.sleep(MAX_AGE + 1)
    with suppress(TransportError, RemoteProtocolError):
        await cache.find("b")
    assert len(transport.requests) > 1
    assert await kids(cache, "a") == ["a"]


async def test_a_key_that_will_not_do_is_looked_for_anew_under_its_own_name() -> None:
    """An issuer that reuses a name, or gives none, has rotated too: the new key is found with one more fetch."""
    other = public_jwk(private_key("P-256", 1))
    for kid in ("a", None):
        name = {} if kid is None else {"kid": kid}
        cache, transport = make({"keys": [{**KEY, **name}]}, {"keys": [{**other, **name}]})
        assert len(await cache.find(kid, lambda key: key.key.as_dict()["x"] == KEY["x"])) == 1
        await asyncio.sleep(1)
        (found,) = await cache.find(kid, lambda key: key.key.as_dict()["x"] == other["x"])
        assert found.key.as_dict()["x"] == other["x"]
        assert transport.sent_at[1] - transport.sent_at[0] == COOL_DOWN
        await asyncio.sleep(1)
        assert await cache.find(kid, lambda _: False) == []
        assert len(transport.requests) == 3


async def test_without_any_keys_an_outage_is_an_error() -> None:
    """After eight seconds the login fails with the error of the last try, and the next one may begin anew."""
    cache, transport = make(outage)
    with pytest.raises(TransportError):
        await cache.find("a")
    assert now() == 7.75
    transport.on(URL, key_set("a"))
    assert await kids(cache, "a") == ["a"]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (404, "bad_document"),
        (503, "bad_document"),
        (204, "bad_document"),
        (b"<html>", "bad_document"),
        (b"[]", "bad_document"),
        (b'{"keys":[],"keys":[]}', "bad_document"),
        ({}, "bad_jwks"),
        ({"keys": {}}, "bad_jwks"),
        ({"keys": [KEY] * 101}, "bad_jwks"),
    ],
)
async def test_a_set_that_cannot_be_read_is_the_issuers_fault(answer: Answer, code: str) -> None:
    """Junk is an error of its own where no keys were known before."""
    cache, _ = make(answer)
    with pytest.raises(RemoteProtocolError) as caught:
        await cache.find("a")
    assert caught.value.code == code


async def test_everybody_gets_an_error_of_their_own() -> None:
    """What one transaction writes on an error, such as its resume token, does not turn up in another's."""
    cache, _ = make(outage)
    errors = await asyncio.gather(*(cache.find("a") for _ in range(10)), return_exceptions=True)
    assert len({id(error) for error in errors}) == 10
    first, second, *_ = errors
    assert isinstance(first, CibaError)
    assert isinstance(second, CibaError)
    first.trace_id = "mine"
    assert second.trace_id is None
    assert str(second) == str(outage())
    assert second.__context__ is None


async def test_who_stops_waiting_does_not_stop_the_others() -> None:
    """A cancelled login leaves the fetch to those who still wait."""
    cache, transport = make(key_set("a"), latency=1)
    waiting = [asyncio.create_task(kids(cache, "a")) for _ in range(3)]
    await asyncio.sleep(0.5)
    waiting[0].cancel()
    assert await asyncio.gather(*waiting[1:]) == [["a"], ["a"]]
    assert waiting[0].cancelled()
    assert len(transport.requests) == 1


async def test_closing_stops_a_fetch_under_way() -> None:
    """Whoever waits gets an error, nothing goes on in the background, and closing again does nothing."""
    cache, transport = make(key_set("a"), latency=60)
    waiting = asyncio.create_task(cache.find("a"))
    await asyncio.sleep(1)
    await cache.aclose()
    with pytest.raises(StateError):
        await waiting
    assert now() == 1
    assert asyncio.all_tasks() == {asyncio.current_task()}
    await cache.aclose()
    assert len(transport.requests) == 1


async def test_a_fetch_that_nobody_waits_for_any_more_fails_silently() -> None:
    """The event loop does not complain of an exception that nobody retrieved."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    cache, _ = make(404, latency=1)
    waiting = asyncio.create_task(cache.find("a"))
    await asyncio.sleep(0.5)
    waiting.cancel()
    await asyncio.sleep(5)
    del cache, waiting
    gc.collect()
    assert complaints == []


# --- which keys it takes ----------------------------------------------------------------------------------------------

RSA = public_jwk(private_key("RSA"))
OKP = public_jwk(private_key("Ed25519"))
#: On no curve: one less in y.
OFF_CURVE = {**KEY, "y": KEY["x"]}

REFUSED: dict[str, Any] = {
    "encryption": {**RSA, "use": "enc"},
    "use as a list": {**RSA, "use": ["sig"]},
    "operations without verify": {**RSA, "key_ops": ["sign", "encrypt"]},
    "operations as text": {**RSA, "key_ops": "verify"},
    "symmetric": {"kty": "oct", "k": b64(b"k" * 32)},
    "unknown kind": {"kty": "AKP", "pub": "AA"},
    "no kind": {name: value for name, value in RSA.items() if name != "kty"},
    "kind as a list": {**RSA, "kty": ["RSA"]},
    "kind in lower case": {**RSA, "kty": "rsa"},
    "kid as a number": {**RSA, "kid": 1},
    "alg as a list": {**RSA, "alg": ["RS256"]},
    "curve as a list": {**KEY, "crv": ["P-256"]},
    "curve as an object": {**OKP, "crv": {}},
    "no curve": {name: value for name, value in KEY.items() if name != "crv"},
    "another curve's name": {**KEY, "crv": "P-384"},
    "Bitcoin's curve": public_jwk(private_key("secp256k1")),
    "key agreement": {**OKP, "crv": "X25519"},
    "point off the curve": OFF_CURVE,
    "point at zero": {**KEY, "x": b64(bytes(32)), "y": b64(bytes(32))},
    "no y": {name: value for name, value in KEY.items() if name != "y"},
    "x as a number": {**KEY, "x": 1},
    "x not base64": {**OKP, "x": "\u00e9"},
    "x too short": {**OKP, "x": "AA"},
    "no modulus": {"kty": "RSA", "e": "AQAB"},
    "modulus as a list": {**RSA, "n": ["AQAB"]},
    "empty modulus": {**RSA, "n": ""},
    "exponent of one": {**RSA, "e": "AQ"},
    "even exponent": {**RSA, "e": "Ag"},
    "RSA with 1024 bits": public_jwk(private_key("RSA-1024")),
    "RSA with 2047 bits": {**RSA, "n": number(2**2046 + 1)},
    "no object": "RS256",
    "null": None,
    "a list": [],
}


@pytest.mark.parametrize("strict", [True, False], ids=["warnings are errors", "warnings are silent"])
@pytest.mark.parametrize("name", REFUSED)
async def test_a_bad_key_is_skipped_and_spoils_nothing(name: str, *, strict: bool) -> None:
    """The key beside it is found, and the bad one is not, whatever the dependencies say of it."""
    member = {"kid": "bad", **REFUSED[name]} if isinstance(REFUSED[name], dict) else REFUSED[name]
    cache, _ = make({"keys": [member, {**KEY, "kid": "good"}, member]})
    with warnings.catch_warnings():
        warnings.simplefilter("error" if strict else "ignore")
        assert await kids(cache, None) == ["good"]


@pytest.mark.parametrize(
    "members",
    [
        {"use": None, "key_ops": None, "alg": None, "x5c": None},
        {"use": "", "key_ops": [], "alg": ""},
        {"key_ops": {}, "alg": [], "crv": []},
    ],
    ids=repr,
)
async def test_members_that_say_nothing_cost_no_key(members: dict[str, Any]) -> None:
    """As if they were absent: a key for whatever it is good for."""
    cache, _ = make({"keys": [{**RSA, "kid": "k", **members}]})
    (key,) = await cache.find("k")
    assert (key.kty, key.crv, key.alg) == ("RSA", None, None)


async def test_a_key_with_a_twin_member_spoils_nothing() -> None:
    """Two readers would see two keys; the good one beside it is found, also behind a byte order mark."""
    good = json_bytes({**KEY, "kid": "good"}).decode()
    body = f'\ufeff{{"keys": [{{"kid": "bad", {good[1:-1]}}}, {good}]}}'.encode()
    cache, _ = make(lambda _: HttpResponse(200, {}, body, 0, 0))
    assert await kids(cache, None) == ["good"]


@pytest.mark.parametrize("kind", ["RSA", "P-256", "P-384", "P-521", "Ed25519", "Ed448"])
async def test_each_kind_of_key_is_taken(kind: str) -> None:
    """What is public is kept as it was published, what is private by mistake is dropped."""
    jwk = public_jwk(
        private_key(kind), kid="k", use="sig", key_ops=["verify"], alg="X", d="AQAB", x5c=["MIIB"], crit=[1]
    )
    cache, _ = make({"keys": [jwk]})
    (key,) = await cache.find("k")
    assert (key.kid, key.kty, key.crv, key.alg) == ("k", jwk["kty"], jwk.get("crv"), "X")
    assert not key.key.is_private
    assert key.key.as_dict() == {name: jwk[name] for name in ("kty", "n", "e", "crv", "x", "y") if name in jwk}
    assert repr(key) == f"VerificationKey(kid='k', kty={key.kty!r}, crv={key.crv!r}, alg='X')"


@pytest.mark.parametrize(
    ("published", "asked", "found"),
    [
        (["a", "b"], "a", ["a"]),
        (["a", "a", "b"], "a", ["a", "a"]),
        (["a", "b"], None, ["a", "b"]),
        ([None], "a", [None]),
        (["a", None], "a", ["a", None]),
        (["a", None], None, ["a", None]),
        (["a"], "A", []),
        (["a"], "", []),
        ([""], "", [None]),
        ([""], "a", [None]),
    ],
)
async def test_a_name_finds_all_keys_that_may_be_meant(
    published: list[str | None], asked: str | None, found: list[str | None]
) -> None:
    """All keys of that name, and those without one; all keys where no name is given."""
    cache, _ = make(key_set(*published))
    assert await kids(cache, asked) == found


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
MEMBERS = st.sampled_from(["kty", "crv", "n", "e", "x", "y", "d", "k", "use", "key_ops", "alg", "kid", "oth"])


@pytest.mark.unmeasured
@settings(max_examples=200)
@given(st.sampled_from([RSA, KEY, OKP]), st.dictionaries(MEMBERS, JSON, min_size=1, max_size=4), JSON)
def test_junk_in_a_key_set_breaks_nothing(key: dict[str, Any], changes: dict[str, Any], other: object) -> None:
    """Whatever a key is made of, the good one beside it is found."""

    async def main() -> None:
        cache, _ = make({"keys": [{**key, **changes}, other, {**KEY, "kid": "good"}]})
        assert "good" in await kids(cache, "good")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run_virtual(main())


@pytest.mark.unmeasured
@given(st.binary(max_size=100) | JSON.map(json_bytes))
def test_junk_instead_of_a_key_set_is_refused(body: bytes) -> None:
    """Any bytes are either a key set or the issuer's fault."""

    async def main() -> None:
        cache, _ = make(lambda _: HttpResponse(200, {}, body, 0, 0))
        with suppress(RemoteProtocolError):
            await cache.find("a")

    run_virtual(main())
