"""What a provider may say wrongly to a client whose tokens are bound, and what must come of it.

`tests/test_client_bound_lies.py` tries all of it through the whole client, in memory and on virtual time, and
`benchmarks/faults_and_forgeries.py` prints it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Literal

from attrs import field, frozen

from idura_ciba import Authentication, CertificateBound, CibaClient, CibaError, ClientSecretPost, DPoP
from idura_ciba.simulator import Fault, MemoryTransport, Rules, Script, SimReply, SimulatedIdura
from idura_ciba.simulator.catalogue import edit, on
from idura_ciba.simulator.faults import Endpoint, FaultRule
from idura_ciba.testing import virtual_clock
from tests.certificates import issue
from tests.fakes import b64, json_bytes
from tests.logins import OTHER_SWEDE, SWEDE, swedish
from tests.test_faults import CLIENT_ID, SECRET, flaws, ids

PAIR = issue("client", nth=2)
BINDINGS: Mapping[str, Callable[[], DPoP | CertificateBound]] = {
    "DPoP": lambda: DPoP(ClientSecretPost(CLIENT_ID, SECRET)),
    "certificate": lambda: CertificateBound(ClientSecretPost(CLIENT_ID, SECRET), PAIR.certificate, PAIR.key),
}
MEMBERS = {"DPoP": "jkt", "certificate": "x5t#S256"}
#: A thumbprint of SHA-256 that is nobody's.
NOBODYS = b64(bytes(32))
#: What a member of `cnf` may be instead of this client's.
OTHERS: Mapping[str, object] = {
    "another": NOBODYS,
    "null": None,
    "empty": "",
    "a number": 1,
    "a list": [NOBODYS],
    "an object": {},
    "true": True,
}

#: Where a login can meet a demand for a nonce.
ENDS: tuple[Endpoint, ...] = ("bc-authorize", "token")
When = Literal["login", "refresh", "userinfo"]


@frozen
class Known:
    """What whoever lies may know.

    Attributes:
        confirmation: What tokens would say that is right.
        id_token: That of somebody else's login.
    """

    confirmation: Mapping[str, str]
    id_token: str


#: What goes wrong, made of what is known then.
Faults = Callable[[Known], list[FaultRule]]


@frozen
class Lie:
    """One of them.

    Attributes:
        binding: What tokens are to be bound to.
        when: Which step of a client meets it.
        demanded: `approved`, or the code of the error.
        faults: What is wrong with answers.
        claims: What the ID token says besides.
        nonces: For how long a nonce of the provider's is the present one; 0: it has none.
    """

    binding: str
    when: When
    demanded: str
    faults: Faults = field(default=lambda _: [])
    claims: Mapping[str, object] = field(factory=dict)
    nonces: float = 0.0


@frozen
class Tried:
    """What came of one, and whatever is against the rules."""

    outcome: str
    complaints: tuple[str, ...]


def at(endpoint: Endpoint, fault: Fault, *, nth: int | None = None) -> Faults:
    """One fault at one endpoint."""
    return lambda _: [on(endpoint, fault, nth=nth)]


def answers(**members: object) -> Faults:
    """Token answers with other members."""
    return at("token", edit(**members))


def jwt(claims: object) -> str:
    """An access token that is a JWT; nobody looks at its signature."""
    return f"{b64(b'{}')}.{b64(json_bytes(claims))}.{b64(b'signature')}"


def demand(nonce: str | None, status: int = 400) -> Fault:
    """The error that demands a nonce, with this one."""
    return Fault.answer(status, {} if nonce is None else {"DPoP-Nonce": nonce}, b'{"error": "use_dpop_nonce"}')


def with_nonce(nonce: str) -> Fault:
    """Answers that bring this nonce for the next proof."""
    return Fault.change(lambda reply: SimReply(reply.status, {**reply.headers, "DPoP-Nonce": nonce}, reply.body))


def lies() -> Iterator[tuple[str, Lie]]:
    """All of them by name."""
    for binding in BINDINGS:
        yield from ((f"{binding}, {name}", lie) for name, lie in of_keys(binding))
    yield from ((f"DPoP, {name}", lie) for name, lie in of_types())
    yield from ((f"DPoP, {name}", lie) for name, lie in of_nonces())
    yield from ((f"after a login, {name}", lie) for name, lie in afterwards())


def of_keys(binding: str) -> Iterator[tuple[str, Lie]]:
    """Whose key a token is bound to."""
    member = MEMBERS[binding]
    for name, value in OTHERS.items():
        cnf = {"cnf": {member: value}}
        for when in ("login", "refresh"):
            lie = Lie(binding, when, "token_other_key", answers(access_token=jwt(cnf)))
            yield f"{when}: the access token's {member} is {name}", lie
        yield f"login: the ID token's {member} is {name}", Lie(binding, "login", "token_other_key", claims=cnf)

    def spoilt(change: Callable[[str], str]) -> Faults:
        return lambda known: answers(access_token=jwt({"cnf": {member: change(known.confirmation[member])}}))(known)

    for name, change in {
        "in capitals": str.upper,
        "padded": lambda ours: f"{ours}=",
        "shortened": lambda ours: ours[:-1],
        "followed by a space": lambda ours: f"{ours} ",
    }.items():
        yield (
            f"login: the access token's {member} is ours, {name}",
            Lie(binding, "login", "token_other_key", spoilt(change)),
        )
    yield f"login: the access token's {member} is ours", Lie(binding, "login", "approved", spoilt(str))
    for name, token in {
        "is opaque": "opaque",
        "is no JSON": "a.b.c",
        "has no cnf": jwt({}),
        "has a cnf that is text": jwt({"cnf": "odd"}),
        "has five parts": "a.b.c.d.e",
    }.items():
        yield f"login: the access token {name}", Lie(binding, "login", "approved", answers(access_token=token))


def of_types() -> Iterator[tuple[str, Lie]]:
    """Whether a token is bound at all: a provider that takes DPoP away is noticed."""
    for when in ("login", "refresh"):
        for kind in ("Bearer", "bearer", "mac", "DPoP2", " DPoP", "", ...):
            name = "missing" if kind is ... else repr(kind)
            yield f"{when}: the type is {name}", Lie("DPoP", when, "token_unbound", answers(token_type=kind))
        yield f"{when}: the type is 'dpop'", Lie("DPoP", when, "approved", answers(token_type="dpop"))


def of_nonces() -> Iterator[tuple[str, Lie]]:
    """Which nonces are demanded."""
    yield "a nonce is demanded", Lie("DPoP", "login", "approved", nonces=1000.0)
    yield "nonces rotate each second", Lie("DPoP", "login", "approved", nonces=1.0)
    for name, nonce in {
        "without one": None,
        "that is empty": "",
        "with a space": "a b",
        "with a quote": 'a"b',
        "with a letter that is not ASCII": "\u00e5",
        "with a line of its own": "a\r\nX-Injected: 1",
        "of 10,000 letters": "a" * 10_000,
        "that is as it should be": "good",
    }.items():
        asked = demand(nonce)
        for endpoint in ENDS:
            yield (
                f"a nonce is demanded for ever by {endpoint}, {name}",
                Lie("DPoP", "login", "provider_error", at(endpoint, asked)),
            )
        yield f"a nonce is demanded once by token, {name}", Lie("DPoP", "login", "approved", at("token", asked, nth=1))
        if nonce is not None:
            brought = at("token", with_nonce(nonce))
            yield f"each answer brings a nonce, {name}", Lie("DPoP", "login", "approved", brought)


def afterwards() -> Iterator[tuple[str, Lie]]:
    """Whom the answers are about."""

    def refused(what: str, faults: Faults) -> tuple[str, Lie]:
        return f"userinfo: {what}", Lie("DPoP", "userinfo", "userinfo_refused", faults)

    for name, sub in {"another": "another", "missing": ..., "null": None, "empty": "", "a list": ["x"]}.items():
        yield refused(f"sub is {name}", at("userinfo", edit(sub=sub)))
    signed = {"Content-Type": "application/jwt"}
    yield refused("it is a list", at("userinfo", Fault.answer(200, {"Content-Type": "application/json"}, b"[]")))
    yield refused(
        "JSON that says that it is signed",
        at("userinfo", Fault.change(lambda reply: SimReply(200, signed, reply.body))),
    )
    yield refused(
        "the ID token of somebody else",
        lambda known: at("userinfo", Fault.answer(200, signed, known.id_token.encode()))(known),
    )
    yield (
        "refresh: the ID token of somebody else",
        Lie("DPoP", "refresh", "id_token_other_login", lambda known: answers(id_token=known.id_token)(known)),
    )
    yield "refresh: no tokens at all", Lie("DPoP", "refresh", "bad_answer", answers(access_token=...))


LIES: Mapping[str, Lie] = dict(lies())


async def try_out(lie: Lie) -> Tried:
    """One login that meets it, or what comes after one; nobody is asked twice, and no proof is used twice."""
    rules = Rules(dpop=lie.binding == "DPoP", dpop_nonces=lie.nonces, userinfo="plain", refresh_tokens="kept")
    idura = SimulatedIdura(seed=1, interval=3, rules=rules, signing_alg="ES256")
    idura.register_client(CLIENT_ID, secret=SECRET)
    idura.script(SWEDE, Script.approve(after=3.5, claims=dict(lie.claims)))
    idura.script(OTHER_SWEDE, Script.approve(after=1))
    clock, auth = virtual_clock(), BINDINGS[lie.binding]()
    async with CibaClient(
        idura.issuer,
        auth,
        clock=clock,
        transport=MemoryTransport(idura, clock=clock),
        rng=Random(1),
        id_token_algorithms=("ES256",),
        observers=(),
    ) as ciba:
        login, id_token = None, ""
        if lie.when != "login":
            id_token = str((await ciba.authenticate(swedish(OTHER_SWEDE))).id_token)
            login = await ciba.authenticate(swedish())
        idura.faults.extend(lie.faults(Known(auth.confirmation, id_token)))
        error: CibaError | None = None
        try:
            await step(ciba, lie.when, login)
        except CibaError as caught:
            error = caught
    secrets = (SWEDE, SECRET, NOBODYS, *ids(idura))
    complaints = [*flaws(error, begun=False, secrets=secrets)]
    orders = [record for record in idura.ledger.orders if record.client_id == CLIENT_ID]
    if len(orders) > (1 if lie.when == "login" else 2):
        complaints.append("a second order was sent")
    if any(order.slow_downs or order.overlapping for order in orders):
        complaints.append("the polls were not polite")
    if idura.ledger.proofs["replayed"]:
        complaints.append("a proof was used twice")
    return Tried("approved" if error is None else error.code, tuple(complaints))


async def step(ciba: CibaClient, when: When, login: Authentication | None) -> None:
    """What meets the lie."""
    if login is None:
        await ciba.authenticate(swedish())
    elif when == "refresh":
        await login.refresh()
    else:
        await login.userinfo()
