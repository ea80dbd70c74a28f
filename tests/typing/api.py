"""How users write it. Checked by mypy, never run: a signature that changes shows here first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aiohttp
from aiohttp import web
from tenacity import wait_exponential

from idura_ciba import (
    AiohttpTransport,
    Authentication,
    Backoff,
    CibaClient,
    CibaError,
    ClientAuth,
    ClientSecretBasic,
    DecryptionKeys,
    EidRequest,
    FinalPoll,
    Fixed,
    FrejaID,
    NorwegianBankID,
    Outcome,
    PollView,
    PrivateKeyJwt,
    Proportional,
    SignedRequests,
    State,
    Strategy,
    SwedishBankID,
    Transaction,
    Update,
    WhenPinged,
)
from idura_ciba.eids import EIDS, Eid, Eids, Option
from idura_ciba.observe import AnyEvent, FleetEvent, RequestEvent
from idura_ciba.ping import Ping, PingReceiver, aiohttp_handler


class Nordic(EidRequest):
    """An eID of one's own."""

    def __init__(self, number: str) -> None:
        super().__init__(login_hint=number, acr_values="urn:example:eid", identity={("number",): number})


MITID = Eid(
    name="mitid",
    label="Danish MitID",
    fields={"login_hint": "cpr:{ssn}", "acr_values": "urn:example:mitid", "identity": {("cpr",): "{ssn}"}},
    options=(Option(name="reference", help="a number", required=True),),
    somebody="9999999999",
)
DECLARED_WITH_A_CLASS = Eid(name="nordic", label="Nordic", request=Nordic)


def by_name(name: str, number: str) -> EidRequest:
    """An eID that somebody chooses."""
    eids: Eids = EIDS.plus(MITID, DECLARED_WITH_A_CLASS)
    return eids.find(name).ask(number, message="Hello", require_person=True)


class Twice:
    """A strategy of one's own."""

    def next_poll(self, view: PollView) -> float | None:
        """Every second chance."""
        return view.heard_at + 2 * view.interval


def every_ten_seconds(view: PollView) -> float:
    """A function is a strategy too."""
    return view.heard_at + 10


def listen(event: AnyEvent) -> None:
    """An observer."""
    if not isinstance(event, FleetEvent | RequestEvent):
        name: str = event.transaction
        assert name


async def service(ssn: str) -> Authentication:
    """One login."""
    auth: ClientAuth = PrivateKeyJwt.from_file("urn:my:app", "key.pem")
    async with CibaClient("https://acme.idura.broker", auth) as ciba:
        return await ciba.authenticate(SwedishBankID(ssn, call_initiator="user", message="Hello"), timeout=60)


async def encrypting_bank(auth: ClientAuth, login: Authentication) -> Authentication:
    """A provider that encrypts and names an API of its own, and what comes after a login."""
    keys = DecryptionKeys("PEM", {"kty": "EC"}, alg=["ECDH-ES"], enc=["A256GCM"])
    CibaClient("https://bank.example", auth, decryption_keys=keys, trusted_audiences=["https://api.bank.example"])
    told: Mapping[str, Any] = await login.userinfo(require_signature=True)
    assert told["sub"] == login.subject
    return await login.refresh()


async def desk(ciba: CibaClient) -> State:
    """Progress, and giving up."""
    transaction: Transaction = await ciba.start(NorwegianBankID("01023990128"))
    words: str | None = transaction.spoken_words
    further: Mapping[str, Any] = transaction.members
    assert not further
    assert words
    async for update in transaction.updates():
        shown: Update = update
        if shown.polls > 10:
            transaction.abandon()
    outcome: Outcome = await transaction.outcome()
    error: CibaError | None = outcome.error
    assert error is None
    return outcome.state


async def pass_on(ping: Ping) -> None:
    """To the replica that has the login."""
    assert PingReceiver().take(ping)


async def options(session: aiohttp.ClientSession) -> None:
    """Everything that plugs in."""
    strategies: list[Strategy] = [Fixed(), Proportional(), Twice(), FinalPoll(every_ten_seconds)]
    strategies += [WhenPinged(), WhenPinged(Fixed(20)), WhenPinged(fallback=every_ten_seconds)]
    pings = PingReceiver(on_unknown=pass_on)
    web.Application().router.add_post("/ping", aiohttp_handler(pings))
    async with CibaClient(
        "https://acme.idura.broker",
        ClientSecretBasic("urn:my:app", "secret"),
        strategy=FinalPoll(Backoff(wait_exponential(max=30))),
        sign_requests=SignedRequests("a key", alg="PS256"),
        transport=AiohttpTransport(session=session),
        observers=[listen],
        pings=pings,
    ) as ciba:
        assert pings.counts.accepted + pings.receive("POST", ["Bearer x"], b"{}")
        await ciba.resume("a token")
        await ciba.start(FrejaID(email="someone@example.com"), even_if_pending=True)
        await ciba.start(Nordic("1"))
        assert strategies
