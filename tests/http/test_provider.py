"""Tests of discovery: where requests go, and above all where they do not."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from yarl import URL

from idura_ciba.errors import CibaError, RemoteProtocolError, StateError, TransportError, UsageError
from idura_ciba.http.provider import (
    COOL_DOWN,
    DOCUMENT_HEADERS,
    IDURA_PATHS,
    MAX_AGE,
    MAX_DOCUMENT,
    Endpoints,
    Found,
    Provider,
    _origin,
    is_idura,
)
from tests.fakes import Answer, FakeTransport, outage

ISSUER = "https://acme.idura.broker"
DISCOVERY = f"{ISSUER}/.well-known/openid-configuration"
#: The three endpoints as a caller names them.
NAMED: dict[str, Any] = {
    "backchannel_authentication_endpoint": f"{ISSUER}/start",
    "token_endpoint": f"{ISSUER}/token",
    "jwks_uri": f"{ISSUER}/keys",
}


def discovered(issuer: str = ISSUER, **members: object) -> dict[str, Any]:
    """A discovery document."""
    return {"issuer": issuer, "response_types_supported": ["code"], **members}


def make(
    *answers: Answer, issuer: str = ISSUER, latency: float = 0.0, **options: Any
) -> tuple[Provider, FakeTransport]:
    """A provider whose discovery document is answered so."""
    url = f"{issuer.removesuffix('/')}/.well-known/openid-configuration"
    transport = FakeTransport(latency=latency).on(url, *answers)
    return Provider(issuer, transport=transport, endpoints=Endpoints(**options)), transport


async def problem(provider: Provider) -> CibaError:
    """What is wrong with its endpoints."""
    with pytest.raises(CibaError) as caught:
        await provider.endpoints()
    return caught.value


# --- where ------------------------------------------------------------------------------------------------------------


async def test_where_discovery_is_silent_idura_s_paths_count() -> None:
    """A document that knows nothing of CIBA, as Idura's, leads to the paths of Idura's guides."""
    provider, transport = make(discovered())
    assert await provider.endpoints() == Found(
        issuer=ISSUER,
        backchannel_authentication_endpoint=f"{ISSUER}/ciba/bc-authorize",
        token_endpoint=f"{ISSUER}/oauth2/token",
        jwks_uri=f"{ISSUER}/.well-known/jwks",
    )
    (request,) = transport.requests
    assert (request.method, request.url, request.headers, request.body) == ("GET", DISCOVERY, DOCUMENT_HEADERS, b"")
    assert request.max_body == MAX_DOCUMENT


@pytest.mark.parametrize("junk", [None, "", 1, [], {}, True])
async def test_an_endpoint_that_is_no_text_counts_as_silence(junk: object) -> None:
    """A member of the wrong type is not needed, and Idura's path takes its place."""
    provider, _ = make(discovered(token_endpoint=junk))
    assert (await provider.endpoints()).token_endpoint == f"{ISSUER}/oauth2/token"


async def test_what_discovery_names_wins_over_idura_s_paths() -> None:
    """Other providers have other paths, and may have a query in them (RFC 6749 section 3.2)."""
    named = {name: f"{ISSUER}:443/other/{name}?p=1" for name in IDURA_PATHS}
    provider, _ = make(discovered(**named))
    assert await provider.endpoints() == Found(ISSUER, **named)


async def test_what_the_caller_names_wins_over_discovery() -> None:
    """One endpoint can be set right without the others."""
    provider, _ = make(discovered(**NAMED), token_endpoint="https://elsewhere.example/token")
    assert await provider.endpoints() == Found(ISSUER, **{**NAMED, "token_endpoint": "https://elsewhere.example/token"})


async def test_with_all_endpoints_named_nothing_is_asked() -> None:
    """Where the caller knows everything there is no discovery."""
    provider, transport = make(**NAMED)
    assert await provider.endpoints() == Found(ISSUER, **NAMED)
    assert transport.requests == []


async def test_a_trailing_slash_belongs_to_the_issuer_only() -> None:
    """It is compared letter by letter and never doubled in an address."""
    issuer = f"{ISSUER}/"
    provider, transport = make(discovered(issuer), issuer=issuer)
    assert (await provider.endpoints()).issuer == issuer
    assert (await provider.endpoints()).token_endpoint == f"{ISSUER}/oauth2/token"
    assert transport.requests[0].url == DISCOVERY


async def test_an_issuer_may_have_a_path() -> None:
    """As with several tenants on one host."""
    provider, transport = make(discovered(f"{ISSUER}/tenant"), issuer=f"{ISSUER}/tenant")
    assert (await provider.endpoints()).jwks_uri == f"{ISSUER}/tenant/.well-known/jwks"
    assert transport.requests[0].url == f"{ISSUER}/tenant/.well-known/openid-configuration"


# --- and where not ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "named",
    [
        f"{ISSUER}/",
        ISSUER.upper(),
        "https://ACME.idura.broker",
        "https://other.idura.broker",
        f"{ISSUER}:443",
        "https://acme.idura.broke\u0440",
        "",
        None,
        [ISSUER],
        1,
    ],
)
async def test_a_document_must_name_the_issuer_letter_by_letter(named: object) -> None:
    """Another issuer's document, or one that spells it otherwise, is refused (Discovery 1.0 section 4.3)."""
    provider, _ = make({"issuer": named, **NAMED})
    error = await problem(provider)
    assert isinstance(error, RemoteProtocolError)
    assert error.code == "issuer_mismatch"


FOREIGN = [
    "https://evil.example/token",
    "https://acme.idura.broker.evil.example/token",
    "https://evil.example/acme.idura.broker",
    "https://acme.idura.broker@evil.example/token",
    "https://user:password@acme.idura.broker/token",
    "https://@acme.idura.broker/token",
    "https://evil.example#@acme.idura.broker/token",
    "https://evil.example?@acme.idura.broker/token",
    "https://evil.example\\@acme.idura.broker/token",
    "https://acme.idura.broker\\@evil.example/token",
    "https://acme.idura.broker\\.evil.example/token",
    "https://acme.idura.broker%2eevil.example/token",
    "https://acme.idura.broker:8443/token",
    "https://acme.idura.broker:0/token",
    "https://acme.idura.broker:99999/token",
    "https://acme.idura.broker:x/token",
    "https://acme.idura.broker./token",
    "https://ac\nme.idura.broker/token",
    "https://acme.idura.broker/token\n",
    " https://acme.idura.broker/token",
    "https://acme.idura.broker/to ken",
    "https://acme.idura.broker/tok\u00e9n",
    "https://acme.idura.broke\u0440/token",
    "https://acme.idura.broker/token#fragment",
    "https://acme.idura.broker/token#",
    "https:///token",
    "https:acme.idura.broker/token",
    "https://[acme.idura.broker/token",
    "https://[::1]/token",
    "http://acme.idura.broker/token",
    "http://acme.idura.broker:443/token",
    "http://localhost/token",
    "ftp://acme.idura.broker/token",
    "//acme.idura.broker/token",
    "/oauth2/token",
    "token",
    "javascript:alert(1)",
    "file:///etc/passwd",
]


@pytest.mark.parametrize("name", IDURA_PATHS)
async def test_a_document_cannot_send_credentials_elsewhere(name: str) -> None:
    """An endpoint of another origin, however it is dressed up, is refused for each of the three."""
    for url in FOREIGN:
        provider, transport = make(discovered(**{name: url}))
        error = await problem(provider)
        assert isinstance(error, RemoteProtocolError), url
        assert error.code == "foreign_endpoint", url
        assert name in str(error)
        assert "evil" not in str(error)
        assert {request.url for request in transport.requests} == {DISCOVERY}


@pytest.mark.parametrize(
    ("trusted", "url", "fits"),
    [
        ("https://keys.example.com", "https://keys.example.com/jwks", True),
        ("https://keys.example.com/", "https://keys.example.com:443/jwks", True),
        ("https://keys.example.com:8443", "https://KEYS.example.com:8443/jwks", True),
        ("https://keys.example.com:8443", "https://keys.example.com/jwks", False),
        ("https://keys.example.com", "https://keys.example.com.evil.example/jwks", False),
        ("https://example.com", "https://keys.example.com/jwks", False),
        ("https://localhost", "http://localhost/jwks", False),
    ],
)
async def test_only_an_origin_that_is_trusted_by_name_is_another_one(trusted: str, url: str, *, fits: bool) -> None:
    """Scheme, host and port must be those that were named; paths do not matter."""
    provider, _ = make(discovered(jwks_uri=url), trusted_origins=[trusted])
    if fits:
        assert (await provider.endpoints()).jwks_uri == url
    else:
        assert (await problem(provider)).code == "foreign_endpoint"


async def test_naming_one_endpoint_trusts_no_other_on_its_host() -> None:
    """A key set kept elsewhere does not let the document send tokens there."""
    elsewhere = "https://cdn.example"
    provider, _ = make(discovered(token_endpoint=f"{elsewhere}/token"), jwks_uri=f"{elsewhere}/jwks")
    assert (await problem(provider)).code == "foreign_endpoint"


LOOPBACK = [
    "http://localhost",
    "http://localhost:8080",
    "http://LOCALHOST:8080",
    "http://127.0.0.1:8080",
    "http://127.255.255.254",
    "http://[::1]:8080",
]
INSECURE = [
    "http://acme.idura.broker",
    "http://localhost.evil.example",
    "http://localhost.",
    "http://127.0.0.1.evil.example",
    "http://127.1",
    "http://2130706433",
    "http://0.0.0.0",
    "http://128.0.0.1",
    "http://10.0.0.1",
    "http://192.0.2.1",
    "http://[::]",
    "http://[::2]",
    "http://[fe80::1]",
    "ws://localhost",
    "",
    "acme.idura.broker",
    "https://",
    "https://acme.idura.broker?x=1",
    "https://acme.idura.broker?",
    "https://acme.idura.broker#x",
    "https://user@acme.idura.broker",
    "https://acme idura.broker",
    "https://acme.idura.broker\n",
    None,
    7,
    b"https://acme.idura.broker",
]


@pytest.mark.parametrize("issuer", LOOPBACK)
async def test_plain_http_is_good_enough_for_this_machine(issuer: str) -> None:
    """The simulator and a developer's own server need no certificate."""
    provider, _ = make(discovered(issuer), issuer=issuer)
    assert (await provider.endpoints()).token_endpoint == f"{issuer}/oauth2/token"


@pytest.mark.parametrize("issuer", INSECURE)
def test_plain_http_and_worse_is_refused_for_any_other(issuer: Any) -> None:
    """An address over which credentials could be read, or that is none, is refused before anything is sent."""
    with pytest.raises(UsageError) as caught:
        Provider(issuer, transport=FakeTransport())
    assert caught.value.code == "insecure_url"


@pytest.mark.parametrize("name", [*IDURA_PATHS, "trusted_origins"])
@pytest.mark.parametrize("url", ["http://acme.idura.broker", "acme.idura.broker", "/path"])
def test_what_the_caller_names_must_be_safe_too(name: str, url: str) -> None:
    """Naming an address trusts its host and not the wire."""
    options: dict[str, Any] = {name: [url] if name == "trusted_origins" else url}
    with pytest.raises(UsageError) as caught:
        make(**options)
    assert caught.value.code == "insecure_url"


@example("https://acme.idura.broker%A")
@example("https://acme.idura.broker%2Eevil.example")
@given(
    st.one_of(
        st.sampled_from(FOREIGN),
        st.tuples(
            st.sampled_from(["https://acme.idura.broker", "https://", "https://evil.example"]), st.text(max_size=20)
        ).map("".join),
        st.text("htps:/\\@#?.[]%\n\t:0189acme~ -evil", max_size=40).map("https:".__add__),
    )
)
def test_who_connects_sees_the_host_that_was_checked(url: str) -> None:
    """The library that opens connections reads the same origin as we, whatever the address looks like."""
    if (origin := _origin(url)) is not None:
        # An address that cannot be read there is never connected to.
        with suppress(ValueError):
            seen = URL(url)
            assert f"{seen.scheme}://{seen.host}:{seen.port}" == origin


# --- how often --------------------------------------------------------------------------------------------------------


async def test_a_hundred_logins_share_one_discovery() -> None:
    """It is asked for once, on first use, and then remembered."""
    provider, transport = make(discovered(), latency=1)
    found = await asyncio.gather(*(provider.endpoints() for _ in range(100)))
    assert len({id(endpoints) for endpoints in found}) == 1
    assert await provider.endpoints() is found[0]
    assert len(transport.requests) == 1


@pytest.mark.parametrize("answer", [outage, 503])
async def test_discovery_is_tried_again(answer: Answer) -> None:
    """A document may be read as often as need be: an outage of seconds is not noticed."""
    provider, transport = make(*[answer] * 5, discovered())
    assert (await provider.endpoints()).issuer == ISSUER
    assert transport.sent_at == [0, 0.25, 0.75, 1.75, 3.75, 7.75]


async def test_a_failed_discovery_is_not_remembered() -> None:
    """Everybody who waited gets the error, each one an own, and who comes later another try."""
    provider, transport = make(*[outage] * 6, discovered())
    errors = await asyncio.gather(*(provider.endpoints() for _ in range(3)), return_exceptions=True)
    assert [type(error) for error in errors] == [TransportError] * 3
    assert len({id(error) for error in errors}) == 3
    assert len(transport.requests) == 6
    assert (await provider.endpoints()).issuer == ISSUER


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (404, "bad_document"),
        (403, "bad_document"),
        (301, "bad_document"),
        ({"issuer": "https://other.example"}, "issuer_mismatch"),
        ({}, "issuer_mismatch"),
    ],
)
async def test_an_answer_that_will_not_change_is_the_provider_s_fault_at_once(answer: Answer, code: str) -> None:
    """Nothing comes of asking again within seconds."""
    provider, transport = make(answer)
    error = await problem(provider)
    assert isinstance(error, RemoteProtocolError)
    assert error.code == code
    assert len(transport.requests) == 1


@pytest.mark.parametrize("page", [204, b"<html>", b"[]", b"", b'{"issuer":"a","issuer":"b"}', b'{"issuer":', b"\xff"])
async def test_a_page_with_a_good_status_counts_as_no_answer(page: Answer) -> None:
    """It comes from what stands before the provider while that is away: nobody was asked, so there is time for more."""
    provider, transport = make(page, page, discovered())
    assert (await provider.endpoints()).issuer == ISSUER
    assert len(transport.requests) == 3
    provider, transport = make(page)
    began_at = asyncio.get_running_loop().time()
    error = await problem(provider)
    assert isinstance(error, RemoteProtocolError)
    assert error.code == "bad_document"
    assert len(transport.requests) > 3
    assert asyncio.get_running_loop().time() - began_at < 11


async def test_closing_stops_a_discovery_under_way() -> None:
    """Nothing goes on in the background."""
    provider, _ = make(discovered(), latency=60)
    waiting = asyncio.create_task(provider.endpoints())
    await asyncio.sleep(1)
    await provider.aclose()
    with pytest.raises(StateError):
        await waiting
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("origins", [None, "https://x.example", [None], 7])
def test_trusted_origins_are_a_list_of_texts(origins: Any) -> None:
    """One text is not several: each of its letters would be an origin."""
    with pytest.raises(UsageError) as caught:
        Endpoints(trusted_origins=origins)
    assert caught.value.code == "trusted_origins"


# --- when endpoints move ----------------------------------------------------------------------------------------------


def moved(to: str) -> dict[str, Any]:
    """A document that names another token endpoint."""
    return discovered(token_endpoint=f"{ISSUER}/{to}")


async def test_the_document_is_read_again_once_a_day() -> None:
    """Beside whatever goes on: nobody waits for it, and a document that cannot be had changes nothing."""
    provider, transport = make(moved("a"), outage, moved("b"), latency=1)
    await provider.endpoints()
    await asyncio.sleep(MAX_AGE - 1)
    assert (await provider.endpoints()).token_endpoint == f"{ISSUER}/a"
    assert len(transport.requests) == 1
    await asyncio.sleep(1)
    before = asyncio.get_running_loop().time()
    assert (await provider.endpoints()).token_endpoint == f"{ISSUER}/a"
    assert asyncio.get_running_loop().time() == before
    await asyncio.sleep(10)
    assert (await provider.endpoints()).token_endpoint == f"{ISSUER}/b"


async def test_evidence_that_an_endpoint_has_moved_is_looked_into_now_and_then() -> None:
    """Each request of an outage is evidence, and one reading is enough for all of them."""
    provider, transport = make(moved("a"), moved("b"))
    await provider.endpoints()
    provider.doubt()  # it has just been read
    await asyncio.sleep(COOL_DOWN)
    for _ in range(100):
        provider.doubt()
    await asyncio.sleep(0.1)
    assert (await provider.endpoints()).token_endpoint == f"{ISSUER}/b"
    assert transport.sent_at == [0, COOL_DOWN]


@pytest.mark.parametrize(
    "answer", [{"issuer": "https://other.example"}, 404, b"<html>", outage], ids=["other", "404", "html", "down"]
)
async def test_a_document_that_cannot_be_used_moves_nothing(answer: Answer) -> None:
    """Nor does one that names an endpoint elsewhere: credentials go where they went before."""
    provider, _ = make(moved("a"), answer)
    await provider.endpoints()
    await asyncio.sleep(COOL_DOWN)
    provider.doubt()
    await asyncio.sleep(60)
    assert (await provider.endpoints()).token_endpoint == f"{ISSUER}/a"
    elsewhere, _ = make(moved("a"), discovered(token_endpoint="https://elsewhere.example/token"))
    await elsewhere.endpoints()
    await asyncio.sleep(COOL_DOWN)
    elsewhere.doubt()
    await asyncio.sleep(60)
    assert (await elsewhere.endpoints()).token_endpoint == f"{ISSUER}/a"


async def test_endpoints_that_the_caller_named_are_not_looked_for() -> None:
    """There is nothing to read."""
    named = {name: f"{ISSUER}/{name}" for name in IDURA_PATHS}
    provider, transport = make(500, **named)
    await provider.endpoints()
    await asyncio.sleep(MAX_AGE)
    provider.doubt()
    await provider.endpoints()
    await asyncio.sleep(1)
    assert transport.requests == []
    await provider.aclose()


# --- for client certificates ------------------------------------------------------------------------------------------


async def test_a_client_with_a_certificate_goes_where_certificates_are_asked_for() -> None:
    """RFC 8705 section 5. Others do not, and the keys are where they were."""
    aliases = {"token_endpoint": f"{ISSUER}/mtls/token", "jwks_uri": f"{ISSUER}/mtls/keys", "other": 7}
    provider, transport = make(discovered(mtls_endpoint_aliases=aliases))
    plain, found = await provider.endpoints(), await provider.endpoints(mtls=True)
    assert plain.token_endpoint == f"{ISSUER}/oauth2/token"
    assert found.token_endpoint == f"{ISSUER}/mtls/token"
    assert found.backchannel_authentication_endpoint == f"{ISSUER}/ciba/bc-authorize"
    assert found.jwks_uri == f"{ISSUER}/.well-known/jwks"
    assert await provider.endpoints(mtls=True) is found
    assert len(transport.requests) == 1


@pytest.mark.parametrize("junk", [None, "", 1, [], {}, {"token_endpoint": 1}, {"token_endpoint": " "}])
async def test_aliases_that_say_nothing_count_as_silence(junk: object) -> None:
    """As for any other member."""
    provider, _ = make(discovered(mtls_endpoint_aliases=junk))
    assert await provider.endpoints(mtls=True) == await provider.endpoints()


async def test_an_endpoint_that_the_caller_names_has_no_alias() -> None:
    """The caller knows better than the document."""
    aliases = {name: f"{ISSUER}/mtls/{name}" for name in IDURA_PATHS}
    provider, _ = make(discovered(mtls_endpoint_aliases=aliases), token_endpoint=NAMED["token_endpoint"])
    found = await provider.endpoints(mtls=True)
    assert found.token_endpoint == NAMED["token_endpoint"]
    assert found.backchannel_authentication_endpoint == aliases["backchannel_authentication_endpoint"]


async def test_an_alias_of_userinfo_is_judged_only_when_it_is_asked_for() -> None:
    """A foreign one costs no login; the caller's own endpoint has none."""
    alias = f"{ISSUER}/mtls/userinfo"
    document = discovered(userinfo_endpoint=f"{ISSUER}/userinfo", mtls_endpoint_aliases={"userinfo_endpoint": alias})
    provider, _ = make(document)
    assert await provider.userinfo_endpoint() == f"{ISSUER}/userinfo"
    assert await provider.userinfo_endpoint(mtls=True) == alias
    provider, _ = make(document, userinfo_endpoint=f"{ISSUER}/mine")
    assert await provider.userinfo_endpoint(mtls=True) == f"{ISSUER}/mine"
    foreign = {"userinfo_endpoint": "https://mtls.example/userinfo"}
    provider, _ = make(discovered(userinfo_endpoint=f"{ISSUER}/userinfo", mtls_endpoint_aliases=foreign))
    assert await provider.endpoints(mtls=True)
    with pytest.raises(RemoteProtocolError, match="userinfo_endpoint for client certificates"):
        await provider.userinfo_endpoint(mtls=True)
    provider, _ = make(discovered(userinfo_endpoint=f"{ISSUER}/userinfo"))
    assert await provider.userinfo_endpoint(mtls=True) == f"{ISSUER}/userinfo"


@pytest.mark.parametrize("url", ["https://mtls.acme.idura.broker/token", "http://acme.idura.broker/token", "/token"])
async def test_an_alias_is_trusted_no_more_than_an_endpoint(url: str) -> None:
    """Only those who would go there are told, and only a named origin is trusted."""
    document = discovered(mtls_endpoint_aliases={"token_endpoint": url})
    provider, _ = make(document)
    assert (await provider.endpoints()).token_endpoint == f"{ISSUER}/oauth2/token"
    with pytest.raises(RemoteProtocolError, match="token_endpoint for client certificates") as caught:
        await provider.endpoints(mtls=True)
    assert caught.value.code == "foreign_endpoint"
    trusting, _ = make(document, trusted_origins=("https://mtls.acme.idura.broker",))
    if url.startswith("https"):
        assert (await trusting.endpoints(mtls=True)).token_endpoint == url
    else:
        with pytest.raises(RemoteProtocolError):
            await trusting.endpoints(mtls=True)


@pytest.mark.parametrize(
    ("issuer", "is_one"),
    [
        ("https://acme.idura.broker", True),
        ("https://ACME.Idura.Broker", True),
        ("https://acme.criipto.id", True),
        ("https://acme.criipto.io:443/tenant", True),
        ("https://idura.broker", True),
        ("https://login.acme.example", False),  # it may be a domain of a customer's own, and nobody can tell
        ("https://evilidura.broker", False),
        ("https://acme.idura.broker.evil.example", False),
        ("https://evil.example/acme.idura.broker", False),
        ("https://acme.idura.broker@evil.example", False),
        ("http://127.0.0.1:8700", False),
    ],
)
def test_a_tenant_of_idura_is_known_by_its_host(issuer: str, is_one: bool) -> None:
    """By the whole of its domain, and by nothing else in the address."""
    assert is_idura(issuer) is is_one


# --- Idura's paths ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", IDURA_PATHS)
async def test_nothing_goes_to_a_guessed_path_at_somebody_elses_server(name: str) -> None:
    """An endpoint that their document omits is missing, and the error says what to pass."""
    bank = "https://bank.example"
    named = {other: f"{bank}/{other}" for other in IDURA_PATHS if other != name}
    error = await problem(make(discovered(bank, **named), issuer=bank)[0])
    assert (type(error), error.code) == (RemoteProtocolError, "endpoint_missing")
    assert name in str(error)
    given = {name: f"{bank}/given"}
    assert (await make(discovered(bank, **named), issuer=bank, **given)[0].endpoints()) == Found(bank, **named, **given)


@pytest.mark.parametrize(
    ("issuer", "options"),
    [
        ("https://acme.criipto.id", {}),
        ("http://127.0.0.1:8700", {}),
        ("http://localhost:8700", {}),
        ("https://login.acme.example", {"idura_paths": True}),
    ],
)
async def test_idura_s_paths_are_for_idura_this_machine_and_those_who_say_so(
    issuer: str, options: dict[str, Any]
) -> None:
    """A domain of a customer's own cannot be told from any other."""
    provider, _ = make(discovered(issuer), issuer=issuer, **options)
    assert (await provider.endpoints()).token_endpoint == f"{issuer}/oauth2/token"


@pytest.mark.parametrize("said", [False, "yes", 1])
async def test_only_true_allows_a_guess_and_only_none_leaves_it_to_the_name(said: Any) -> None:
    """Whoever says no at Idura is obeyed, too."""
    assert (await problem(make(discovered(), idura_paths=said)[0])).code == "endpoint_missing"


# --- userinfo ---------------------------------------------------------------------------------------------------------


async def test_the_userinfo_endpoint_is_the_discovered_one_and_never_guessed() -> None:
    """Where there is none, the error says what can be done, and logins go on."""
    provider, _ = make(discovered(userinfo_endpoint=f"{ISSUER}/userinfo"))
    assert await provider.userinfo_endpoint() == f"{ISSUER}/userinfo"
    for junk in (None, "", 7, ["x"]):
        provider, _ = make(discovered(userinfo_endpoint=junk))
        assert await provider.endpoints()
        with pytest.raises(RemoteProtocolError) as caught:
            await provider.userinfo_endpoint()
        assert caught.value.code == "no_userinfo"


async def test_the_userinfo_endpoint_is_trusted_as_the_others_are() -> None:
    """By its origin, or by the caller's word; a foreign one costs no login."""
    foreign = "https://keys.example.com/userinfo"
    provider, _ = make(discovered(userinfo_endpoint=foreign))
    assert await provider.endpoints()
    with pytest.raises(RemoteProtocolError) as caught:
        await provider.userinfo_endpoint()
    assert caught.value.code == "foreign_endpoint"
    provider, _ = make(discovered(userinfo_endpoint=foreign), trusted_origins=["https://keys.example.com"])
    assert await provider.userinfo_endpoint() == foreign
    provider, _ = make(discovered(userinfo_endpoint=f"{ISSUER}/userinfo"), userinfo_endpoint=foreign)
    assert await provider.userinfo_endpoint() == foreign
    provider, transport = make(outage, **NAMED, userinfo_endpoint=foreign)
    assert await provider.userinfo_endpoint() == foreign
    assert transport.requests == []
    with pytest.raises(UsageError) as insecure:
        make(discovered(), userinfo_endpoint="http://keys.example.com/userinfo")
    assert insecure.value.code == "insecure_url"
