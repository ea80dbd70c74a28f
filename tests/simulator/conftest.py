"""A hand that writes requests for the simulator: bytes as a client would send them, and nothing of the client."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from itertools import count
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from attrs import define, field
from joserfc import jwt
from joserfc.jwk import ECKey, Key

from idura_ciba.simulator import EIDS, SimReply, SimRequest, SimulatedIdura, Wish
from idura_ciba.simulator.eid import by_acr, read_wish
from idura_ciba.simulator.messages import Refusal
from idura_ciba.simulator.people import invent_person
from idura_ciba.simulator.tokens import claims_of

#: 2026-01-01T00:00:00Z.
NOW = 1_767_225_600.0
CLIENT = "urn:my:application:identifier:0001"
SECRET = "a b+c/d=e:f%"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

#: What the three eIDs want, written out once; tests change single parameters.
ASKS = {
    "se": (
        "scope=openid&login_hint=sub%3Assn%3A209801011231&acr_values=urn%3Agrn%3Aauthn%3Ase%3Abankid"
        "&binding_message=Agent%20Anna"
        "&authorization_details=%5B%7B%22type%22%3A%22phoneAuth%22%2C%22callInitiator%22%3A%22RP%22%7D%5D"
    ),
    "no": (
        "scope=openid&login_hint=sub%3Assn%3A01023990128&acr_values=urn%3Agrn%3Aauthn%3Ano%3Abankid"
        "&authorization_details=%5B%7B%22type%22%3A%22customerServiceCall.v1%22%7D%5D"
    ),
    "freja": "scope=openid&login_hint=sub%3Assn%3A209712310011&acr_values=urn%3Agrn%3Aauthn%3Ase%3Afrejaid",
}


@define
class Wire:
    """Sends requests of one client to one provider and reads the answers."""

    idura: SimulatedIdura
    now: float = NOW
    credentials: dict[str, str] = field(factory=lambda: {"client_id": CLIENT, "client_secret": SECRET})

    def post(self, path: str, body: str, *, at: float | None = None, **headers: str) -> SimReply:
        """Send a form as it stands."""
        fields = {"Content-Type": "application/x-www-form-urlencoded", **headers}
        if at is not None:
            self.now = NOW + at
        return self.idura.handle(SimRequest("POST", path, fields, body.encode()), now=self.now)

    def get(self, path: str) -> Any:
        """Fetch a document."""
        return json.loads(self.idura.handle(SimRequest("GET", path), now=self.now).body)

    def body(self, eid: str = "se", **changes: str | None) -> str:
        """An authentication request with some parameters changed, or left out."""
        parts = [part for part in ASKS[eid].split("&") if part.partition("=")[0] not in changes]
        parts += [f"{name}={quote(value, safe='')}" for name, value in changes.items() if value is not None]
        return "&".join([*parts, urlencode(self.credentials)])

    def start(self, eid: str = "se", *, at: float | None = None, **changes: str | None) -> SimReply:
        """Send an authentication request."""
        return self.post("/ciba/bc-authorize", self.body(eid, **changes), at=at)

    def begin(self, eid: str = "se", *, at: float | None = None, **changes: str | None) -> str:
        """Send one that is accepted, and keep the id."""
        reply = self.start(eid, at=at, **changes)
        assert reply.status == 200, reply.body
        return str(json.loads(reply.body)["auth_req_id"])

    def poll_body(self, auth_req_id: str) -> str:
        """A poll."""
        grant = "grant_type=urn%3Aopenid%3Aparams%3Agrant-type%3Aciba"
        return f"{grant}&auth_req_id={auth_req_id}&{urlencode(self.credentials)}"

    def poll(self, auth_req_id: str, *, at: float | None = None, **headers: str) -> dict[str, Any]:
        """Poll and read the JSON."""
        reply = self.post("/oauth2/token", self.poll_body(auth_req_id), at=at, **headers)
        answer: dict[str, Any] = json.loads(reply.body)
        assert (reply.status == 200) == ("error" not in answer)
        return answer

    def login(self, eid: str = "se", **changes: str | None) -> dict[str, Any]:
        """Log somebody in who approves within a minute, and read the claims of the ID token unverified."""
        answer = self.poll(self.begin(eid, **changes), at=self.now - NOW + 60)
        return read_claims(answer["id_token"])


def read_claims(token: str) -> dict[str, Any]:
    """The claims of a JWT, unverified."""
    part = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims


@pytest.fixture(scope="session")
def signing_key() -> ECKey:
    """One key for all providers of the tests that do not care."""
    return ECKey.generate_key("P-256")


@pytest.fixture
def make(signing_key: ECKey) -> Callable[..., Wire]:
    """Make a provider with one client, and a hand that writes to it."""

    def make_wire(**options: Any) -> Wire:
        defaults: dict[str, Any] = {"seed": 1, "signing_alg": "ES256", "signing_key": signing_key}
        idura = SimulatedIdura(**{**defaults, **options})
        idura.register_client(CLIENT, secret=SECRET)
        return Wire(idura)

    return make_wire


@pytest.fixture
def wire(make: Callable[..., Wire]) -> Wire:
    """A provider as it comes, one client, and a hand that writes to it."""
    return make()


@pytest.fixture
def assertion() -> Callable[..., dict[str, str]]:
    """Sign client assertions: the parameters that carry one, with claims and header changed at will."""
    serial = count()

    def sign(key: Key, alg: str, /, *, header: dict[str, Any] | None = None, **changes: Any) -> dict[str, str]:
        claims = {
            "iss": CLIENT,
            "sub": CLIENT,
            "aud": "https://simulator.idura.broker",
            "jti": f"jti-{next(serial)}",
            "iat": int(NOW),
            "exp": int(NOW) + 300,
            **changes,
        }
        claims = {name: value for name, value in claims.items() if value is not ...}
        token = jwt.encode({"alg": alg, **(header or {})}, claims, key, [alg])
        return {"client_assertion_type": ASSERTION_TYPE, "client_assertion": token}

    return sign


@pytest.fixture
def read() -> Callable[[dict[str, str]], Wish]:
    """Read an authentication request as the tenant does."""
    return lambda form: read_wish(form, by_acr(EIDS))


@pytest.fixture
def refusal(read: Callable[[dict[str, str]], Wish]) -> Callable[..., str]:
    """Tell the code with which a request with some changes is refused."""

    def refuse(base: dict[str, str], **changes: str | None) -> str:
        form = {name: value for name, value in {**base, **changes}.items() if value is not None}
        with pytest.raises(Refusal) as refused:
            read(form)
        return refused.value.error

    return refuse


@pytest.fixture
def claims() -> Callable[..., dict[str, Any]]:
    """Tell the claims of a login that was decided half a second before the token."""

    def tell(wish: Wish, *, shares_number: bool = True) -> dict[str, Any]:
        now = 1_716_374_501.9
        return claims_of(
            wish,
            invent_person(1, wish.eid.name, wish.person),
            issuer="https://simulator.idura.broker",
            client_id="urn:ciba",
            session="b65f11b6-eba7-4882-900a-5f2d93a38dba",
            shares_number=shares_number,
            decided_at=now - 0.539,
            now=now,
        )

    return tell
