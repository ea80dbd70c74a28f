"""Every fault of the simulator's catalogue at every endpoint, and what a login has to make of it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Literal

import pytest
from attrs import evolve, field, frozen

from idura_ciba import CibaClient, CibaError, ClientSecretPost, EidRequest
from idura_ciba.aio.clock import Clock
from idura_ciba.protocol.http import HttpRequest, HttpResponse, Transport
from idura_ciba.simulator import Arrival, Fault, MemoryTransport, Rules, Script, SimulatedIdura, SimulatorServer
from idura_ciba.simulator.catalogue import ANYWHERE, CATALOGUE, on, rotate_keys
from idura_ciba.simulator.faults import Endpoint
from idura_ciba.testing import VIRTUAL_EPOCH, virtual_clock
from tests.servers import WAYS, connecting

pytestmark = pytest.mark.unmeasured

#: Made up by counting, so that they belong to nobody: no such day.
PERSON = "209999990000"
CLIENT_ID, SECRET = "urn:my:app", "known to the simulator"
LIFETIME, INTERVAL = 120, 3
#: The longest that one request is waited for, and the longest that keys are fetched for.
ONE_ANSWER, DOCUMENT = 35, 21

PATHS: Mapping[str, Endpoint] = {
    "/.well-known/openid-configuration": "discovery",
    "/.well-known/jwks": "jwks",
    "/ciba/bc-authorize": "bc-authorize",
    "/oauth2/token": "token",
}

# --- what is to come of it --------------------------------------------------------------------------------------------

#: Which requests meet the fault. Of the polls the first is answered `authorization_pending`, the second has the tokens.
When = Literal["first", "second", "always"]

#: Kinds of fault by what a client can know, each with the outcome that the rules demand: `approved`, or the error's
#: code. For a document that is the first request only, and all; for an order likewise; for a poll the first, the
#: second, and all.
DEMANDED: Mapping[str, Mapping[Endpoint, tuple[str, ...]]] = {
    # Nothing was sent, so everything may be repeated.
    "not sent": {
        "bc-authorize": ("approved", "never_connected"),
        "token": ("approved", "approved", "unheard"),
        "discovery": ("approved", "connection"),
        "jwks": ("approved", "connection"),
    },
    # Whether anything arrived cannot be known; here nothing did.
    "request lost": {
        "bc-authorize": ("start_unknown", "start_unknown"),
        "token": ("approved", "approved", "indeterminate"),
        "discovery": ("approved", "connection"),
        "jwks": ("approved", "connection"),
    },
    # The same to a client, and it did arrive.
    "answer lost": {
        "bc-authorize": ("start_unknown", "start_unknown"),
        "token": ("approved", "indeterminate", "indeterminate"),
        "discovery": ("approved", "connection"),
        "jwks": ("approved", "connection"),
    },
    "no answer": {
        "bc-authorize": ("start_unknown", "start_unknown"),
        "token": ("approved", "indeterminate", "indeterminate"),
        "discovery": ("approved", "timeout"),
        "jwks": ("approved", "timeout"),
    },
    # A provider may hold a poll for half a minute; nobody holds a document.
    "held": {
        "bc-authorize": ("approved", "approved"),
        "token": ("approved", "approved", "approved"),
        "discovery": ("approved", "timeout"),
        "jwks": ("approved", "timeout"),
    },
    "out of order": {
        "bc-authorize": ("start_unknown", "start_unknown"),
        "token": ("approved", "approved", "indeterminate"),
        "discovery": ("approved", "bad_document"),
        "jwks": ("approved", "bad_document"),
    },
    # With a time to come back, or a limit: the order went no further.
    "limited": {
        "bc-authorize": ("busy", "busy"),
        "token": ("approved", "approved", "unheard"),
        "discovery": ("approved", "bad_document"),
        "jwks": ("approved", "bad_document"),
    },
    # Whoever is told to come back after the end is not told anything before it.
    "limited beyond the end": {
        "bc-authorize": ("busy", "busy"),
        "token": ("unheard", "unheard", "unheard"),
        "discovery": ("approved", "bad_document"),
        "jwks": ("approved", "bad_document"),
    },
    "busy": {
        "bc-authorize": ("start_unknown", "start_unknown"),
        "token": ("approved", "approved", "unheard"),
        "discovery": ("approved", "bad_document"),
        "jwks": ("approved", "bad_document"),
    },
    "come back": {
        "bc-authorize": ("start_unknown", "start_unknown"),
        "token": ("approved", "approved", "unheard"),
        "discovery": ("bad_document", "bad_document"),
        "jwks": ("approved", "bad_document"),
    },
    "turned away": {
        "bc-authorize": ("turned_away", "turned_away"),
        "token": ("approved", "approved", "turned_away"),
        "discovery": ("bad_document", "bad_document"),
        "jwks": ("approved", "bad_document"),
    },
    "turned away in words": {
        "bc-authorize": ("provider_error", "provider_error"),
        "token": ("approved", "approved", "provider_error"),
        "discovery": ("bad_document", "bad_document"),
        "jwks": ("approved", "bad_document"),
    },
    "redirected": {
        "bc-authorize": ("redirect", "redirect"),
        "token": ("redirect", "redirect", "redirect"),
        "discovery": ("bad_document", "bad_document"),
        "jwks": ("approved", "bad_document"),
    },
    # A good status, and nothing that can be read: it may have been the tokens.
    "unreadable": {
        "bc-authorize": ("bad_answer", "bad_answer"),
        "token": ("approved", "approved", "indeterminate"),
        "discovery": ("approved", "bad_document"),
        "jwks": ("approved", "bad_document"),
    },
    "hollow": {
        "bc-authorize": ("bad_answer", "bad_answer"),
        "token": ("bad_answer", "bad_answer", "bad_answer"),
        "discovery": ("issuer_mismatch", "issuer_mismatch"),
        "jwks": ("approved", "bad_jwks"),
    },
    # "Still pending" that cannot be read is a bare 400, forgiven once; tokens that cannot be read are lost.
    "spoilt": {
        "bc-authorize": ("bad_answer", "bad_answer"),
        "token": ("approved", "indeterminate", "turned_away"),
        "discovery": ("approved", "bad_document"),
        "jwks": ("approved", "bad_document"),
    },
    # Once a phone rings, whatever others can read is read; on documents trust hangs.
    "oddly written": {
        "bc-authorize": ("approved", "approved"),
        "token": ("approved", "approved", "approved"),
        "discovery": ("approved", "bad_document"),
        "jwks": ("approved", "bad_document"),
    },
    # Tokens come once, so nothing better comes of asking again; what comes of the first poll is an error page.
    "oversized": {
        "bc-authorize": ("start_unknown", "start_unknown"),
        "token": ("approved", "oversized", "oversized"),
        "discovery": ("approved", "oversized"),
        "jwks": ("approved", "oversized"),
    },
    "compressed": {
        "bc-authorize": ("start_unknown", "start_unknown"),
        "token": ("approved", "compressed", "compressed"),
        "discovery": ("approved", "compressed"),
        "jwks": ("approved", "compressed"),
    },
    "damaged": {
        "bc-authorize": ("start_unknown", "start_unknown"),
        "token": ("approved", "indeterminate", "indeterminate"),
        "discovery": ("approved", "damaged"),
        "jwks": ("approved", "damaged"),
    },
    "harmless": {
        "bc-authorize": ("approved", "approved"),
        "token": ("approved", "approved", "approved"),
        "discovery": ("approved", "approved"),
        "jwks": ("approved", "approved"),
    },
}

KINDS: Mapping[str, tuple[str, ...]] = {
    "not sent": ("connection refused",),
    "request lost": ("closed before the request is read", "reset before the request is read"),
    "answer lost": (
        "closed before the answer",
        "reset before the answer",
        "closed after the headers",
        "reset after the headers",
        "closed in the middle of the body",
        "reset in the middle of the body",
    ),
    "no answer": ("held for ever", "a byte a second"),
    "held": ("held 12 s", "held 29 s"),
    "out of order": ("500", "501", "502", "504", "520", "500 with JSON of its own"),
    "limited": (
        "503, Retry-After in seconds",
        "503, Retry-After as a date",
        "503, Retry-After in the past",
        "503, Retry-After negative",
        "503 with JSON of its own",
        "429",
        "429, Retry-After in seconds",
        "429 with JSON of its own",
    ),
    "limited beyond the end": ("503, Retry-After in a year",),
    "busy": ("503", "503, Retry-After garbage"),
    "come back": ("408", "425"),
    "turned away": (
        "400 with HTML",
        "401 without a body",
        "403 from an edge",
        "404 with HTML",
        "405",
        "407",
        "413",
        "451",
    ),
    "turned away in words": ("403 with JSON of its own", "404 with JSON of its own"),
    "redirected": (
        *(f"{status} to another host" for status in (301, 302, 303, 307, 308)),
        "300 without an address",
        "304",
    ),
    "unreadable": (
        "200 with HTML",
        "200 with HTML that says JSON",
        "200 without a body",
        "204",
        "200 with a list",
        "200 with null",
        "200 with text in JSON",
    ),
    "hollow": ("200 with an empty object",),
    "spoilt": (
        "cut short without a sign",
        "something after the end",
        "twice in one body",
        "nested 10,000 deep",
        "compressed without a word",
    ),
    "oddly written": (
        "in UTF-16",
        "with a byte that is no UTF-8",
        "a duplicate member",
        "NaN",
        "infinity",
        "a number beyond a float",
        "a number of 5,000 digits",
        "half a surrogate pair",
    ),
    "oversized": ("oversized", "a compressed bomb"),
    "compressed": ("compressed with what nobody knows",),
    "damaged": ("compressed and broken off",),
    "harmless": (
        "with a byte order mark",
        "compressed with gzip",
        "compressed with deflate",
        "compressed with deflate, bare",
        "a byte a millisecond",
        "as text/html",
        "as charset utf-7",
        "as a charset that is none",
        "dated 1994",
        "with a date that is none",
        "with a member that nobody knows",
    ),
}

#: For what only one endpoint's answers can have. What no line names is `approved`, by its begin or in whole.
OWN: Mapping[Endpoint, Mapping[str, tuple[str, ...]]] = {
    "bc-authorize": {
        "bad_answer": tuple(f"auth_req_id {what}" for what in ("missing", "null", "a list", "empty")),
        "provider_error": (
            *("refused", "nobody known", "an error with 200", "a code that nobody knows"),
            # Asked for as it was named, and unknown to the provider by that name.
            *(f"auth_req_id {what}" for what in ("a number", "of 3,000 letters", "with ", "not ASCII")),
        ),
        "invalid_client": ("client refused",),
    },
    "token": {
        "bad_answer": tuple(f"id_token {what}" for what in ("missing", "null", "a number", "a list", "empty")),
        "id_token_malformed": ("id_token ",),
        "denied": ("access_denied beside the tokens", "denied by something in front"),
        "expired": ("expired by something in front", "pending for ever", "slowed down"),
        "invalid_client": ("client refused",),
        "provider_error": ("refused", "a code that nobody knows", "unknown id"),
    },
    "discovery": {
        "approved": tuple(
            f"{name} {what}"
            for name in ("backchannel_authentication_endpoint", "token_endpoint", "jwks_uri")
            for what in ("a number", "missing")
        ),
        "delivery_unsupported": ("backchannel_token_delivery_modes_supported of others",),
        "id_token_algorithms_unsupported": ("id_token_signing_alg_values_supported of others",),
        "foreign_endpoint": ("backchannel_authentication_endpoint ", "token_endpoint ", "jwks_uri "),
        "issuer_mismatch": ("another issuer", "no issuer", "issuer a list", "the issuer in capitals"),
    },
    "jwks": {
        "approved": (
            "a broken key besides",
            "a foreign key under the same kid besides",
            "a key without a kid",
        ),
        "bad_jwks": ("keys ", "10,000 keys"),
        "id_token_signature": ("a foreign key under the same kid",),
        "id_token_key": ("no keys", "no objects", "only a foreign", "a "),
    },
}


@frozen
class Row:
    """One fault in one place, and the outcome that is demanded."""

    endpoint: Endpoint
    name: str
    when: When
    demanded: str

    @property
    def fault(self) -> Fault:
        """What happens."""
        return CATALOGUE[self.endpoint][self.name]

    @property
    def nth(self) -> int | None:
        """To which request."""
        return {"first": 1, "second": 2, "always": None}[self.when]

    def __str__(self) -> str:
        """For a table or the name of a test."""
        return f"{self.endpoint}: {self.name}, {self.when}"


def rows() -> Iterator[Row]:
    """The whole catalogue."""
    for kind, names in KINDS.items():
        for endpoint, demanded in DEMANDED[kind].items():
            whens: tuple[When, ...] = ("first", "second", "always") if endpoint == "token" else ("first", "always")
            for name in names:
                yield from (Row(endpoint, name, when, code) for when, code in zip(whens, demanded, strict=True))
    for endpoint, codes in OWN.items():
        for name in CATALOGUE[endpoint].keys() - ANYWHERE.keys():
            code = next((code for code, begins in codes.items() if name.startswith(begins)), "approved")
            yield Row(endpoint, name, "always", code)


ROWS = {str(row): row for row in sorted(rows(), key=str)}

# --- a login ----------------------------------------------------------------------------------------------------------


@frozen(repr=False)
class Wiretap:
    """A transport that notes which requests leave, and that may shorten how long they are waited for."""

    inner: Transport
    issuer: Callable[[], str]
    patience: float = math.inf
    sent: list[Endpoint] = field(factory=list)
    connected: list[Endpoint] = field(factory=list)

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Pass on."""
        endpoint = PATHS[request.url.removeprefix(self.issuer())]
        self.sent.append(endpoint)
        try:
            response = await self.inner.send(evolve(request, timeout=min(request.timeout, self.patience)))
        except Exception as error:
            if getattr(error, "maybe_sent", True):
                self.connected.append(endpoint)
            raise
        self.connected.append(endpoint)
        return response

    async def aclose(self) -> None:
        """Release the other one."""
        await self.inner.aclose()


@frozen
class Login:
    """What came of one: `approved` or a code, the error with it, and whatever is against the rules."""

    outcome: str
    error: CibaError | None
    complaints: tuple[str, ...]
    took: float


def ask(person: str = PERSON) -> EidRequest:
    """A request that any person can be named in."""
    return EidRequest(
        login_hint=f"sub:ssn:{person}",
        acr_values="urn:grn:authn:se:bankid",
        binding_message="Hello from the tests",
        authorization_details=({"type": "phoneAuth", "callInitiator": "RP"},),
        identity={("ssn",): person},
        identity_guaranteed=True,
    )


def connect(issuer: str, transport: Transport) -> CibaClient:
    """A client over sockets; the provider signs with something quicker than RSA."""
    auth = ClientSecretPost(CLIENT_ID, SECRET)
    return CibaClient(issuer, auth, transport=transport, id_token_algorithms=("ES256",), observers=())


async def attempt(
    ciba: CibaClient, request: EidRequest, *, timeout: float | None = None
) -> tuple[str, CibaError | None]:
    """Log in, and name the outcome."""
    try:
        outcome = await (await ciba.start(request, timeout=timeout)).outcome()
    except CibaError as error:
        return error.code, error
    return (outcome.error.code if outcome.error else outcome.state.value), outcome.error


def flaws(error: CibaError | None, *, begun: bool, secrets: tuple[str, ...]) -> Iterator[str]:
    """What an error lacks, and what it must not hold."""
    if error is None:
        return
    for part in ("what", "phone", "advice"):
        if not getattr(error, part):
            yield f"the error says nothing of {part}"
    if begun and not error.trace_id:
        yield "the error has no trace id"
    if any(secret in f"{error} {error!r} {vars(error)!r}" for secret in secrets):
        yield "the error tells secrets"
    if error.__context__ or error.__cause__:
        yield "the error drags another one along"


async def log_in(
    rule: Callable[[Arrival], Fault | None], *, clock: Clock | None = None, timeout: float | None = None
) -> Login:
    """Somebody approves after 3.5 s, between the first poll and the second; `rule` says what goes wrong meanwhile."""
    idura = SimulatedIdura(seed=1, expires_in=LIFETIME, interval=INTERVAL)
    idura.register_client(CLIENT_ID, secret=SECRET)
    idura.script(PERSON, Script.approve(after=3.5))
    idura.faults.append(rule)
    loop = asyncio.get_running_loop()
    tap = Wiretap(MemoryTransport(idura, clock=clock or virtual_clock()), lambda: idura.issuer)
    began_at = loop.time()
    async with CibaClient(
        idura.issuer,
        ClientSecretPost(CLIENT_ID, SECRET),
        transport=tap,
        clock=virtual_clock(),
        rng=Random(1),
        observers=(),
    ) as ciba:
        outcome, error = await attempt(ciba, ask(), timeout=timeout)
        took, sent = loop.time() - began_at, len(tap.sent)
        # Whatever would still be sent is sent by then.
        await asyncio.sleep(10 * LIFETIME)
        later = len(tap.sent) - sent
    complaints = [*flaws(error, begun="token" in tap.sent, secrets=(PERSON, SECRET, *ids(idura)))]
    summary = idura.ledger.summary()
    if tap.connected.count("bc-authorize") > 1 or summary["orders"] > 1:
        complaints.append("a second order was sent")
    if later or summary["polls_after_final"]:
        complaints.append("something was sent after the end")
    if summary["slow_downs"] or summary["overlapping"]:
        complaints.append("the polls were not polite")
    if took > min(timeout or LIFETIME, LIFETIME) + ONE_ANSWER + DOCUMENT:
        complaints.append("it took too long")
    if (outcome == "approved") is not (summary["tokens_issued"] == 1 and error is None):
        complaints.append("the outcome is not what the provider knows")
    return Login(outcome, error, tuple(complaints), took)


def ids(idura: SimulatedIdura) -> Iterator[str]:
    """What opens an order."""
    return (record.auth_req_id for record in idura.ledger.orders if record.auth_req_id)


async def try_out(row: Row) -> Login:
    """A login that meets one row's fault."""
    return await log_in(on(row.endpoint, row.fault, nth=row.nth))


# --- the tests --------------------------------------------------------------------------------------------------------


def test_the_table_knows_the_whole_catalogue() -> None:
    """No fault is left out, none is named twice, and none that stands here is unknown."""
    named = [name for names in KINDS.values() for name in names]
    assert sorted(named) == sorted(ANYWHERE)
    assert KINDS.keys() == DEMANDED.keys()
    assert {(row.endpoint, row.name) for row in ROWS.values()} == {
        (endpoint, name) for endpoint, faults in CATALOGUE.items() for name in faults
    }
    assert len(ROWS) > 700


@pytest.mark.parametrize("name", ROWS)
async def test_a_fault_leads_where_the_rules_say(name: str) -> None:
    """The outcome is the demanded one, one order at most was sent, and nothing after the end."""
    row = ROWS[name]
    login = await try_out(row)
    assert login.outcome == row.demanded
    assert login.complaints == ()


@pytest.mark.parametrize(
    ("off", "outcome"),
    [
        (0, "approved"),
        (59, "approved"),
        (-59, "approved"),
        (90, "id_token_clock"),
        (-90, "id_token_clock"),
        (86400, "id_token_clock"),
    ],
)
async def test_a_clock_that_is_off_by_more_than_the_leeway_proves_nothing(off: float, outcome: str) -> None:
    """The provider's clock is some seconds ahead."""
    login = await log_in(
        lambda _: None, clock=Clock(wall=lambda: VIRTUAL_EPOCH + off + asyncio.get_running_loop().time())
    )
    assert (login.outcome, login.complaints) == (outcome, ())


@pytest.mark.parametrize("name", ANYWHERE)
async def test_the_callers_timeout_holds_whatever_goes_wrong(name: str) -> None:
    """Polls fail in every way; the wait ends in time, and what still lives can be gone on with."""
    fault = ANYWHERE[name]
    login = await log_in(on("token", fault), timeout=20)
    assert login.complaints == ()
    assert login.took <= 20 + ONE_ANSWER
    demanded = ROWS[f"token: {name}, always"].demanded
    # What would have ended with the order, or hears "still pending" so late, ends with the timeout instead.
    by_end = {"indeterminate": "caller_timeout_in_doubt", "unheard": "caller_timeout_unheard"}
    expected = "caller_timeout" if name == "held 29 s" else by_end.get(demanded, demanded)
    assert login.outcome == expected
    # Nor is it over for the provider where something in front of it turned the polls away.
    abandoned = expected.startswith("caller_timeout")
    unspoken = abandoned or demanded in {"turned_away", "redirect"} or name in KINDS["turned away in words"]
    assert (login.error is not None and login.error.resume_token is not None) is unspoken


@pytest.mark.parametrize("overlap", [0.0, 3600.0])
@pytest.mark.parametrize("after", ["bc-authorize", "token", "jwks"])
async def test_keys_that_change_in_the_middle_of_a_login(after: Endpoint, overlap: float) -> None:
    """Its token names a key that the client does not have yet, or one that it has fetched before it was gone."""
    idura = SimulatedIdura(seed=1, expires_in=LIFETIME, interval=INTERVAL)
    idura.register_client(CLIENT_ID, secret=SECRET)
    idura.script(PERSON, Script.approve(after=3.5))
    tap = Wiretap(MemoryTransport(idura, clock=virtual_clock()), lambda: idura.issuer)
    auth = ClientSecretPost(CLIENT_ID, SECRET)
    async with CibaClient(idura.issuer, auth, transport=tap, clock=virtual_clock(), observers=()) as ciba:
        if after != "jwks":
            assert await attempt(ciba, ask()) == ("approved", None)
        idura.faults.append(rotate_keys(idura, after=after, overlap=overlap))
        assert await attempt(ciba, ask()) == ("approved", None)
    assert tap.sent.count("jwks") == (1 if after == "jwks" else 2)


@pytest.mark.parametrize("name", ["closed before the answer", "502", "200 with HTML", "another issuer"])
async def test_resuming_without_a_discovery_document_says_what_to_do(name: str) -> None:
    """The person is still being asked, and the token is still good."""
    idura = SimulatedIdura(seed=1)
    idura.register_client(CLIENT_ID, secret=SECRET)
    idura.script(PERSON, Script.approve(after=60))

    def client() -> CibaClient:
        transport = MemoryTransport(idura, clock=virtual_clock())
        auth = ClientSecretPost(CLIENT_ID, SECRET)
        return CibaClient(idura.issuer, auth, transport=transport, clock=virtual_clock(), observers=())

    first = client()
    await first.start(ask())
    (left,) = await first.close()
    token = left.token
    idura.faults.append(on("discovery", CATALOGUE["discovery"][name]))
    async with client() as second:
        with pytest.raises(CibaError) as caught:
            await second.resume(token)
        assert not list(flaws(caught.value, begun=False, secrets=(PERSON, SECRET, token, *ids(idura))))
        assert "resume" in caught.value.advice or "issuer" in caught.value.advice
        idura.faults.clear()
        assert (await (await second.resume(token)).outcome()).error is None


async def test_a_fault_is_for_one_person_and_leaves_the_others_alone() -> None:
    """Faults can be told apart by person, also for orders."""
    idura = SimulatedIdura(seed=1)
    idura.register_client(CLIENT_ID, secret=SECRET)
    people = [str(int(PERSON) + number) for number in range(3)]
    for person in people:
        idura.script(person, Script.approve(after=3.5))
    idura.faults.append(on("bc-authorize", Fault.lose_answer(), person=people[0]))
    idura.faults.append(on("token", Fault.lose_answer(), person=people[1], nth=2))
    transport = MemoryTransport(idura, clock=virtual_clock())
    auth = ClientSecretPost(CLIENT_ID, SECRET)
    async with CibaClient(idura.issuer, auth, transport=transport, clock=virtual_clock(), observers=()) as ciba:
        logins = await asyncio.gather(*(attempt(ciba, ask(person)) for person in people))
    assert [outcome for outcome, _ in logins] == ["start_unknown", "indeterminate", "approved"]


# --- the same over sockets --------------------------------------------------------------------------------------------

#: Seconds that an answer is waited for, and an order lives.
QUICK, SHORT = 1.5, 12
#: Seconds between polls, and until a person decides: a second after the first poll and before the second, because all
#: of them poll at once and the machine may have other things to do.
INTERVAL, DECIDED = 2, 3.0

#: What depends on the connection, or on how HTTP is read. A server that listens cannot refuse a connection; other
#: tests look for a port on which nobody does.
OVER_SOCKETS = (
    *KINDS["request lost"],
    *KINDS["answer lost"],
    *KINDS["no answer"],
    *("502", "503, Retry-After negative", "403 from an edge", "307 to another host", "304", "204"),
    *("200 with HTML", "200 without a body", "cut short without a sign", "twice in one body", "in UTF-16"),
    *("compressed without a word", "oversized", "a compressed bomb", "compressed with what nobody knows"),
    *("compressed with gzip", "compressed with deflate", "compressed with deflate, bare", "compressed and broken off"),
    *("as text/html", "as charset utf-7", "as a charset that is none"),
)


@pytest.mark.interop  # seconds pass for real
@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
async def test_orders_and_polls_over_sockets_lead_where_the_rules_say(way: str) -> None:
    """Everybody at once, each with one fault, and none disturbs another."""
    idura = SimulatedIdura(
        seed=1, signing_alg="ES256", rules=Rules(throttle="off"), expires_in=SHORT, interval=INTERVAL
    )
    idura.register_client(CLIENT_ID, secret=SECRET)
    rows: list[Row] = [
        row
        for row in ROWS.values()
        if row.endpoint in {"bc-authorize", "token"}
        and row.name in OVER_SOCKETS
        and (row.when == "always" if row.endpoint == "bc-authorize" else row.when != "always")
    ]
    people = [str(int(PERSON) + number) for number in range(len(rows))]
    for person, row in zip(people, rows, strict=True):
        idura.script(person, Script.approve(after=DECIDED))
        idura.faults.append(on(row.endpoint, row.fault, person=person, nth=row.nth))
    async with (
        SimulatorServer(idura) as server,
        connecting(way) as transport,
        connect(server.issuer, tap := Wiretap(transport, lambda: idura.issuer, QUICK)) as ciba,
    ):
        logins = await asyncio.gather(*(attempt(ciba, ask(person)) for person in people))
    assert {str(row): outcome for row, (outcome, _) in zip(rows, logins, strict=True)} == {
        str(row): row.demanded for row in rows
    }
    for (_, error), person, row in zip(logins, people, rows, strict=True):
        assert not list(flaws(error, begun=row.endpoint == "token", secrets=(person, SECRET, *ids(idura))))
    assert tap.sent.count("bc-authorize") == len(people)
    assert max(sum(order.person == person for order in idura.ledger.orders) for person in people) == 1
    assert idura.ledger.summary()["polls_after_final"] == idura.ledger.summary()["overlapping"] == 0


@pytest.mark.interop  # seconds pass for real
@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
async def test_documents_over_sockets_lead_where_the_rules_say(way: str) -> None:
    """A server for each fault, all at once; what comes back after a while is not waited for."""
    names = {*KINDS["answer lost"], "502", "200 with HTML", "compressed with gzip", "as charset utf-7"}

    async def log_in_at_one(row: Row) -> str:
        idura = SimulatedIdura(seed=1, signing_alg="ES256", rules=Rules(throttle="off"), expires_in=SHORT, interval=1)
        idura.register_client(CLIENT_ID, secret=SECRET)
        idura.script(PERSON, Script.approve())
        idura.faults.append(on(row.endpoint, row.fault, nth=row.nth))
        async with (
            SimulatorServer(idura) as server,
            connecting(way) as transport,
            connect(server.issuer, Wiretap(transport, lambda: idura.issuer, QUICK)) as ciba,
        ):
            outcome, _ = await attempt(ciba, ask())
        return outcome

    rows = [
        row
        for row in ROWS.values()
        if row.endpoint in {"discovery", "jwks"} and row.when == "first" and row.name in names
    ]
    outcomes = await asyncio.gather(*map(log_in_at_one, rows))
    assert dict(zip(map(str, rows), outcomes, strict=True)) == {str(row): row.demanded for row in rows}
