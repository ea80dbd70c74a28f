"""The hunt: what identifies a person or opens a door is planted, and looked for wherever it could show itself.

The transport is tapped, so that everything that really went over the wire and must stay secret is known: hints,
messages, assertions, secrets, `auth_req_id`, tokens, word pairs. Then logins succeed and fail in every way there is,
and each repr, log record with its extra fields, exception with its chain, formatted traceback with the variables of its
frames, event, span, metric and asyncio debug text is searched.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import parse_qs

import aiohttp
import attrs
import pytest
from joserfc.jwk import ECKey

from idura_ciba import (
    AiohttpTransport,
    CibaClient,
    CibaError,
    ClientSecretBasic,
    ClientSecretJwt,
    ClientSecretPost,
    DPoP,
    EidRequest,
    FrejaID,
    NorwegianBankID,
    Outcome,
    PrivateKeyJwt,
    State,
    SwedishBankID,
    UsageError,
)
from idura_ciba.batch import Journal, verify_many
from idura_ciba.credentials.client_auth import ClientAuth
from idura_ciba.fleet import Fleet
from idura_ciba.fleet.sqlite import SqliteStore
from idura_ciba.observe import FleetEvent, log_events
from idura_ciba.ping import PingReceiver
from idura_ciba.protocol.http import HttpRequest, HttpResponse
from idura_ciba.simulator import Arrival, Fault, MemoryTransport, Rules, Script, SimulatedIdura, SimulatorServer
from idura_ciba.simulator.messages import SimReply
from idura_ciba.testing import virtual_clock
from tests.fakes import unb64
from tests.fleet.replicas import LEASE, Line
from tests.otel.recorded import Recorded

pytestmark = pytest.mark.unmeasured

SWEDE, OTHER_SWEDE, NORWEGIAN = "209801011231", "209602294564", "01023990128"
CLIENT_ID = "urn:my:app"
SECRET = "canary-secret-0123456789-0123456789"
RESUME = b"canary-resume-secret-0123456789-"
MESSAGE = "canary message for the phone"
EMAIL = "canary@example.com"
#: Shorter values occur by chance.
MIN_LENGTH = 6


#: Parameters of the two requests whose values must not show themselves.
HIDDEN_PARAMETERS = {
    "login_hint", "binding_message", "client_assertion", "client_secret", "client_notification_token", "auth_req_id",
    "request",
}  # fmt: skip


class Tap:
    """A transport that remembers every secret it carries."""

    def __init__(self, idura: SimulatedIdura) -> None:
        self._inner = MemoryTransport(idura, clock=virtual_clock())
        self.canaries: dict[str, str] = {}

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Carry and listen."""
        for name, values in parse_qs(request.body.decode()).items():
            if name in HIDDEN_PARAMETERS:
                self._plant(name, values[0])
            if name == "request":  # and what is in it, but for who asks whom
                signed = json.loads(unb64(values[0].split(".")[1]))
                for member in HIDDEN_PARAMETERS & signed.keys():
                    self._plant(member, signed[member])
        self._plant("authorization", request.headers.get("Authorization", ""))
        self._plant("proof", request.headers.get("DPoP", ""))
        response = await self._inner.send(request)
        try:
            members = json.loads(response.body)
        except ValueError:
            members = {}
        for name in ("auth_req_id", "bindingMessage", "id_token", "access_token"):
            self._plant(name, str(members.get(name) or ""))
        return response

    def _plant(self, name: str, value: str) -> None:
        if len(value) >= MIN_LENGTH:
            self.canaries[value] = name

    async def aclose(self) -> None:
        """Nothing to release."""


def everything_said_by(error: BaseException) -> Iterator[str]:
    """An exception in every form in which it can land in a log, with all that hangs on it."""
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        current = todo.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        yield str(current)
        yield repr(current)
        yield repr(current.args)
        yield repr(vars(current))
        # Also a context that a traceback would not print: error trackers walk it all the same.
        todo += [current.__cause__, current.__context__]
    whole = traceback.TracebackException.from_exception(error, capture_locals=True)
    # The test's own frames hold its own variables; everything below them is ours.
    for part in whole.stack:
        if "idura_ciba" in part.filename and "/tests/" not in part.filename:
            yield repr(part.locals)
    yield "".join(traceback.format_exception(error))


PEOPLE: dict[str, tuple[EidRequest, Script]] = {
    "approved": (SwedishBankID(SWEDE, call_initiator="RP", message=MESSAGE), Script.approve(after=4)),
    "denied": (SwedishBankID(SWEDE, call_initiator="RP", message=MESSAGE), Script.deny(after=4)),
    "expired": (SwedishBankID(SWEDE, call_initiator="RP", message=MESSAGE), Script.never()),
    "another person": (
        SwedishBankID(SWEDE, call_initiator="RP", message=MESSAGE),
        Script.approve(after=4, answered_by=OTHER_SWEDE),
    ),
    "words": (NorwegianBankID(NORWEGIAN), Script.wrong_words(after=4)),
    "number withheld": (
        NorwegianBankID(NORWEGIAN, require_person=True),
        Script.approve(after=4, shares_number=False),
    ),
    "e-mail": (FrejaID(email=EMAIL), Script.approve(after=4)),
}
FAULTS: dict[str, Fault | None] = {
    "no fault": None,
    "lost": Fault.lose_answer(),
    "garbage": Fault.change(lambda reply: attrs.evolve(reply, body=reply.body[:-3])),
    "echo": Fault.change(lambda reply: attrs.evolve(reply, status=400, body=b'{"error":"' + reply.body[:300] + b'"}')),
    "refused": Fault.answer(401, body=b'{"error":"invalid_client","error_description":"no"}'),
    "words": Fault.change(lambda reply: _in_words(reply, "authorization_pending")),
    "last words": Fault.change(lambda reply: _in_words(reply, "access_denied")),
    "words for a code": Fault.change(lambda reply: _in_words(reply, f"no {SWEDE} {NORWEGIAN} {EMAIL}")),
    "redirect": Fault.answer(302, {"Location": "https://elsewhere.example"}),
}
KEY, PROOF_KEY = ECKey.generate_key("P-256"), ECKey.generate_key("P-256")


def _in_words(reply: SimReply, error: str) -> SimReply:
    """A provider that repeats in its own words whom it was asked for."""
    body = json.dumps({"error": error, "error_description": f"not yet: {SWEDE}, {NORWEGIAN}, {EMAIL}, {MESSAGE}"})
    return attrs.evolve(reply, status=400, headers={**reply.headers, "Trace-Id": SWEDE}, body=body.encode())


class ThreadedSecret(ClientSecretPost):
    """Credentials that are made on threads, as RSA signatures are."""

    @property
    def signing_threads(self) -> int:
        """One."""
        return 1


def auth(kind: str) -> ClientAuth:
    """One way to prove who the client is."""
    return {
        "post": lambda: ClientSecretPost(CLIENT_ID, SECRET),
        "basic": lambda: ClientSecretBasic(CLIENT_ID, SECRET),
        "secret_jwt": lambda: ClientSecretJwt(CLIENT_ID, SECRET),
        "private_key_jwt": lambda: PrivateKeyJwt(CLIENT_ID, KEY),
        "signed_requests": lambda: PrivateKeyJwt(CLIENT_ID, KEY),
        "dpop": lambda: DPoP(PrivateKeyJwt(CLIENT_ID, KEY), key=PROOF_KEY),
        "signed_dpop": lambda: DPoP(PrivateKeyJwt(CLIENT_ID, KEY), key=PROOF_KEY),
    }[kind]()


@pytest.mark.parametrize(
    "kind", ["post", "basic", "secret_jwt", "private_key_jwt", "signed_requests", "dpop", "signed_dpop"]
)
@pytest.mark.parametrize("where", ["bc-authorize", "token", "jwks"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_nothing_secret_shows_itself(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, kind: str, where: str, fault: str
) -> None:
    """Whatever goes wrong, and also when nothing does."""
    caplog.set_level(logging.DEBUG)
    # Of these stacks only names and lines are kept, no variables; deep ones are half of the time that this takes.
    monkeypatch.setattr("asyncio.constants.DEBUG_STACK_DEPTH", 1)
    asyncio.get_running_loop().set_debug(True)
    said: list[str] = []
    recorded = Recorded(polls="spans" if where == "token" else "events")
    canaries: dict[str, str] = {SWEDE: "number", NORWEGIAN: "number", EMAIL: "e-mail", MESSAGE: "message"}
    canaries |= {SECRET: "secret", str(KEY.as_dict(private=True)["d"]): "private key"}
    canaries |= {str(PROOF_KEY.as_dict(private=True)["d"]): "private key of proofs"}
    for request, script in PEOPLE.values():
        signs, binds = kind.startswith("signed"), kind.endswith("dpop")
        idura = SimulatedIdura(seed=2, rules=Rules(dpop=binds, dpop_nonces=60))
        has_secret = kind in {"post", "basic", "secret_jwt"}
        idura.register_client(CLIENT_ID, secret=SECRET) if has_secret else idura.register_client(
            CLIENT_ID, jwks={"keys": [KEY.as_dict(private=False)]}, request_alg="ES256" if signs else None
        )
        for person in (SWEDE, NORWEGIAN, EMAIL):
            idura.script(person, script)
        if FAULTS[fault] is not None:
            idura.faults.append(_rule(where, FAULTS[fault]))
        tap = Tap(idura)
        events: list[object] = []
        client_auth = auth(kind)
        clock, pings = virtual_clock(), PingReceiver()
        with warnings.catch_warnings(record=True) as complaints:
            async with CibaClient(
                idura.issuer,
                client_auth,
                transport=tap,
                clock=clock,
                sign_requests=signs,
                observers=(events.append, log_events, recorded.telemetry),
                pings=pings,
            ) as ciba:
                said += [repr(pings), repr(pings.desk), repr(ciba), repr(client_auth), repr(request), str(request)]
                await _log_in(ciba, request, said)
        said += map(repr, events)
        said += [str(complaint.message) for complaint in complaints]
        canaries |= tap.canaries
        said += idura.ledger.lines()
    gc.collect()
    assert len(recorded.named("ciba login")) >= len(PEOPLE), "telemetry saw nothing"
    said += recorded.said()
    said += [record.getMessage() + repr(record.__dict__) for record in caplog.records]
    assert {"login_hint", "message", "request"} & set(canaries.values()), "nothing was planted"
    if fault == "no fault":
        planted = {"auth_req_id", "client_notification_token", "id_token", "access_token", "bindingMessage"}
        assert planted <= set(canaries.values())
    for text in said:
        for canary, name in canaries.items():
            assert canary not in text, f"{name} shows itself in {text[:300]!r}"


def _rule(where: str, fault: Fault | None) -> Callable[[Arrival], Fault | None]:
    return lambda arrival: fault if arrival.endpoint == where else None


async def _log_in(ciba: CibaClient, request: EidRequest, said: list[str]) -> None:
    try:
        transaction = await ciba.start(request, reference="call-4711")
        said += [repr(transaction), repr(transaction.resume_token), repr(transaction.spoken_words)]
        said += [repr(task) for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        try:
            await ciba.start(request)
        except CibaError as error:
            said += everything_said_by(error)
        try:
            await ciba.resume(str(transaction.resume_token)[:-5])
        except CibaError as error:
            said += everything_said_by(error)
        said += [repr(update) async for update in transaction.updates()]
        outcome: Outcome = await transaction.outcome()
        said += [repr(outcome), repr(outcome.authentication), repr(outcome.error)]
        login = await transaction
        said += [repr(login), repr(login.tokens), repr(login.tokens.members), str(login.tokens.members)]
    except CibaError as error:
        said += everything_said_by(error)


async def test_replicas_say_nothing_of_people(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever takes over, is fenced, declared dead or cannot go on: events, logs, spans, reprs, and the snapshot."""
    caplog.set_level(logging.DEBUG)
    idura, recorded = SimulatedIdura(seed=2), Recorded()
    idura.register_client(CLIENT_ID, secret=SECRET)
    idura.script(SWEDE, Script.approve(after=50))
    idura.script(NORWEGIAN, Script.approve(after=50))
    tap, events, said = Tap(idura), list[object](), list[str]()
    store = SqliteStore(clock=virtual_clock())
    await store.open()

    async def replica(line: Line) -> Fleet:
        observers = (events.append, log_events, recorded.telemetry)
        ciba = CibaClient(
            *(idura.issuer, auth("post")),
            transport=tap,
            clock=virtual_clock(),
            observers=observers,
            resume_secret=RESUME,
        )
        return await Fleet(ciba, line, lease=LEASE, clock=virtual_clock()).__aenter__()

    lines = [Line(store), Line(store)]
    one, two = [await replica(line) for line in lines]
    await asyncio.sleep(2 * LEASE)
    logins = [await one.start(PEOPLE[who][0], reference="call-4711") for who in ("approved", "words")]
    await store.hold("intent", b"tag", one._worker.name, seconds=600)
    lines[0].cut()
    await asyncio.sleep(4 * LEASE)
    lines[0].mend()
    await asyncio.sleep(LEASE)
    said += [repr(each) for each in (one, two, *logins)]
    outcomes = [await (await two.get(login.id)).outcome() for login in logins]
    said += [*map(repr, outcomes), json.dumps(await two.snapshot())]
    for fleet in (one, two):
        await fleet.close()
    await store.aclose()
    kinds = {event.kind for event in events if isinstance(event, FleetEvent)}
    assert kinds == {"joined", "buried", "taken_over", "ended", "fenced", "declared_dead"}
    said += [*map(repr, events), *recorded.said()]
    said += [record.getMessage() + repr(record.__dict__) for record in caplog.records]
    canaries = {SWEDE: "number", NORWEGIAN: "number", MESSAGE: "message", SECRET: "secret", **tap.canaries}
    assert {"auth_req_id", "id_token", "bindingMessage"} <= set(canaries.values())
    for text in said:
        for canary, name in canaries.items():
            assert canary not in text, f"{name} shows itself in {text[:300]!r}"


#: Of a long text, the debug logs of asyncio show the beginning; and this is how a token begins.
SHOWN, JWT = 11, "eyJ"


@pytest.mark.sockets
@pytest.mark.parametrize(("kind", "lent"), [("threads", False), ("secret_jwt", True)])
async def test_the_debug_logs_of_asyncio_are_silent_about_people(
    caplog: pytest.LogCaptureFixture, tmp_path: Path, kind: str, *, lent: bool
) -> None:
    """With each callback slow enough to be shown: handles with their arguments, tasks, futures and what they hold."""
    caplog.set_level(logging.DEBUG)
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0
    idura = SimulatedIdura(seed=2, interval=1, people=lambda _: Script.approve())
    client_auth = auth(kind) if kind != "threads" else ThreadedSecret(CLIENT_ID, SECRET)
    idura.register_client(CLIENT_ID, secret=SECRET)
    idura.script(OTHER_SWEDE, Script.deny())
    canaries = [SWEDE, OTHER_SWEDE, NORWEGIAN, MESSAGE, SECRET, JWT]
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(SimulatorServer(idura))
        session = await stack.enter_async_context(aiohttp.ClientSession()) if lent else None
        transport = await stack.enter_async_context(AiohttpTransport(session=session))
        ciba = await stack.enter_async_context(CibaClient(server.issuer, client_auth, transport=transport))
        journal = await stack.enter_async_context(Journal(tmp_path / "journal", ciba))
        swedes = {"a": SWEDE, "b": OTHER_SWEDE}
        people = [(key, SwedishBankID(ssn, call_initiator="RP", message=MESSAGE)) for key, ssn in swedes.items()]
        states = {result.key: result.state async for result in verify_many(ciba, people, journal=journal)}
        assert states == {"a": State.APPROVED, "b": State.DENIED}
        transaction = await ciba.start(NorwegianBankID(NORWEGIAN))
        canaries += [str(transaction.spoken_words), str(transaction.resume_token), transaction._driver.auth_req_id]
        transaction.abandon()
        login = await ciba.authenticate(people[0][1])
        canaries += [login.subject, login.claims["name"], str(login.tokens.access_token)]
        impatient = asyncio.create_task(ciba.authenticate(people[1][1], even_if_pending=True))
        await asyncio.sleep(0)
        impatient.cancel()
        await asyncio.wait({impatient})
    said = [record.getMessage() + repr(record.__dict__) for record in caplog.records if record.name == "asyncio"]
    assert len(said) > 100, "nothing was said"
    for text in said:
        for canary in canaries:
            assert canary[:SHOWN] not in text, f"{canary!r} shows itself in {text[:600]!r}"


@pytest.mark.parametrize("wrong", [SWEDE[:-1] + "2", SWEDE + "\n9", SWEDE + "0", "canary-canary"])
def test_a_wrong_number_is_not_quoted(wrong: str) -> None:
    """A mistyped number is still somebody's."""
    for make in (
        lambda: SwedishBankID(wrong, call_initiator="RP", message=MESSAGE),
        lambda: NorwegianBankID(wrong),
        lambda: FrejaID(wrong),
    ):
        with pytest.raises(UsageError) as caught:
            make()
        said = [str(caught.value), repr(caught.value), repr(caught.value.args), repr(caught.value.__context__)]
        assert not [text for text in said if wrong in text or SWEDE in text]


def test_the_hunt_finds_what_is_there() -> None:
    """The same search turns up a number in a context, in a local variable and in an attribute."""

    def leak_in_context() -> None:
        try:
            int(f"{SWEDE}x")
        except ValueError:
            raise UsageError("no number here") from None

    with pytest.raises(UsageError) as caught:
        leak_in_context()
    assert [text for text in everything_said_by(caught.value) if SWEDE in text]
    error = UsageError("no number here")
    error.advice = SWEDE
    assert [text for text in everything_said_by(error) if SWEDE in text]
