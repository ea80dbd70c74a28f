"""A simulated Idura, as a pure function of requests and time.

It serves Idura's CIBA endpoints (discovery, JWKS, `/ciba/bc-authorize`, `/oauth2/token`) and is written from the
specifications alone. It has no clock, no socket and no event loop: `MemoryTransport` and `SimulatorServer` bring the
requests and the time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from email.utils import formatdate

from idura_ciba.simulator.clients import KEY_ALGORITHMS, SECRET_ALGORITHMS, ClientRegistry
from idura_ciba.simulator.eid import SimulatedEid, Wish, by_acr, read_wish
from idura_ciba.simulator.eids import EIDS
from idura_ciba.simulator.exchange import Exchange
from idura_ciba.simulator.faults import Arrival, Endpoint, Fault, FaultRule
from idura_ciba.simulator.ledger import Ledger, OrderRecord
from idura_ciba.simulator.messages import JSON, Refusal, SimReply, SimRequest, error_body, json_bytes
from idura_ciba.simulator.orders import Order, Rules, Verdict
from idura_ciba.simulator.people import dice, invent_person, invent_uuid
from idura_ciba.simulator.pings import PingRule, SimPing, read_token
from idura_ciba.simulator.scenario import Crowd, Population, Script
from idura_ciba.simulator.tokens import PrivateKey, SigningAlg, SigningKeys, claims_of

__all__ = ["DEFAULT_ISSUER", "SimulatedIdura"]

DEFAULT_ISSUER = "https://simulator.idura.broker"
GRANT_TYPE = "urn:openid:params:grant-type:ciba"
#: Seconds: the `expires_in` of Idura's sample token answer.
TOKEN_LIFETIME = 120

#: Error code and description of a poll's answer, by verdict.
_ERRORS: dict[Verdict, tuple[str, str]] = {
    "slow_down": ("slow_down", "polling too fast"),
    "denied": ("access_denied", "user declined"),
    "cancelled": ("access_denied", "cancelled"),
    "expired": ("expired_token", "the order has expired"),
    "spent": ("invalid_grant", "the auth_req_id is spent"),
}
_NO_STORE = {"Cache-Control": "no-store"}


class SimulatedIdura:
    """A provider that behaves like Idura Verify and records what its clients do.

    Args:
        issuer: Its issuer identifier, without a trailing slash.
        eids: The tenant's eIDs.
        seed: Everything made up (names, words, ids, behaviour) follows from it.
        rules: How it behaves where real providers differ.
        expires_in: Seconds that an order lives, for all eIDs or by short name (`se`, `no`, `freja`).
        interval: Seconds between polls, likewise.
        people: What people without a script do.
        signing_alg: The algorithm of ID tokens; `ES256` is much cheaper than Idura's `RS256`.
        signing_key: A key for it; None: one that all providers of the process share.

    Raises:
        UsageError: Two eIDs share a name or an acr value.

    Attributes:
        issuer: May be set while nothing is in flight; the server sets it once it knows its port.
        ledger: What really happened.
        faults: Rules for faults; see `FaultRule`.
        ping_rule: What becomes of pings; None: each leaves once, when the person has decided.
    """

    def __init__(
        self,
        issuer: str = DEFAULT_ISSUER,
        *,
        eids: Iterable[SimulatedEid] = EIDS,
        seed: int = 0,
        rules: Rules = Rules(),  # noqa: B008 - frozen
        expires_in: int | Mapping[str, int] | None = None,
        interval: int | Mapping[str, int] | None = None,
        people: Population = Crowd(),  # noqa: B008 - frozen
        signing_alg: SigningAlg = "RS256",
        signing_key: PrivateKey | None = None,
    ) -> None:
        self.issuer: str = issuer
        self.ledger: Ledger = Ledger()
        self.faults: list[FaultRule] = []
        self.ping_rule: PingRule | None = None
        self._endpoints: dict[str, str] = {}
        self._pinged: Callable[[SimPing], None] = lambda _: None
        self._seed = seed
        self._rules = rules
        self._settings = expires_in, interval
        self._eids: tuple[SimulatedEid, ...] = ()
        self._by_acr: Mapping[str, SimulatedEid] = {}
        self._expires_in: dict[str, int] = {}
        self._interval: dict[str, int] = {}
        self.add_eids(*eids)
        self._people = people
        self._keys = SigningKeys(signing_alg, signing_key)
        self._clients = ClientRegistry(self.ledger.totals, tolerance=rules.clock_tolerance)
        self._scripts: dict[str, tuple[Script, ...]] = {}
        self._orders: dict[str, Order] = {}
        self._latest: dict[tuple[str, str], Order] = {}
        self._ordered: Counter[tuple[str, str]] = Counter()
        self._arrivals: Counter[Endpoint] = Counter()
        self._trace_dice = dice(seed, "trace")
        self._date = (0, "")

    def register_client(
        self,
        client_id: str,
        *,
        jwks: Mapping[str, object] | None = None,
        secret: str | None = None,
        notification_endpoint: str | None = None,
    ) -> None:
        """Register a client with its public keys or a secret.

        Args:
            client_id: Its id.
            jwks: A JWK set, for `private_key_jwt`.
            secret: For `client_secret_basic`, `client_secret_post` and `client_secret_jwt`.
            notification_endpoint: Where the client wants pings; None: it polls, and gets none.
        """
        self._clients.register(client_id, jwks=jwks, secret=secret)
        self._endpoints.pop(client_id, None)
        if notification_endpoint is not None:
            self._endpoints[client_id] = notification_endpoint

    def listen_for_pings(self, listener: Callable[[SimPing], None]) -> None:
        """Call `listener` with each ping as soon as it is known when it leaves, in place of the listener before."""
        self._pinged = listener

    def add_eids(self, *eids: SimulatedEid) -> None:
        """Serve further eIDs.

        Raises:
            UsageError: Two eIDs share a name or an acr value.
        """
        everything = (*self._eids, *eids)
        self._by_acr = by_acr(everything)
        self._eids = everything
        expires_in, interval = self._settings
        for eid in eids:
            self._expires_in[eid.name] = _setting(expires_in, eid) or eid.expires_in
            self._interval[eid.name] = _setting(interval, eid) or eid.interval

    def script(self, person: str, *scripts: Script) -> None:
        """Set what a person does: one script per order, the last one for all further orders.

        Args:
            person: The identity number in the hint; with Freja also the e-mail address or phone number.
            scripts: Without any, the person is known and acts like everybody else.
        """
        self._scripts[person] = scripts

    def rotate_keys(self, now: float, *, overlap: float = 86_400.0) -> None:
        """Sign with a new key from now on; the old one stays in the JWKS for `overlap` seconds."""
        self._keys.rotate(now, overlap)

    def handle(self, request: SimRequest, *, now: float) -> SimReply:
        """Answer a request at once.

        Args:
            request: What arrived.
            now: Wall-clock seconds.

        Raises:
            ConnectionResetError: A fault drops the connection.
        """
        with self.exchange(request) as exchange:
            reply = exchange.process(now)
            if reply is None:
                raise ConnectionResetError("a fault dropped the connection")
            exchange.delivered()
            return reply

    def exchange(self, request: SimRequest) -> Exchange:
        """Begin an exchange that takes time; used by `MemoryTransport` and `SimulatorServer`."""
        return Exchange(request, self._orders, self._process)

    def _process(self, exchange: Exchange, now: float) -> SimReply | None:
        """Apply the faults and answer."""
        self._arrivals[exchange.endpoint] += 1
        fault = self._find_fault(exchange, now) if self.faults else None
        if fault is None:
            return self._answer(exchange, now)
        exchange.fault = fault
        reply = self._answer(exchange, now) if fault.reaches_provider else SimReply(200)
        if fault.rewrite is not None:
            exchange.intact = False
            reply = fault.rewrite(reply)
        return None if fault.dropped else reply

    def _find_fault(self, exchange: Exchange, now: float) -> Fault | None:
        nth = self._arrivals[exchange.endpoint]
        order = None if exchange.order is None else exchange.order.record
        arrival = Arrival(exchange.endpoint, nth, exchange.request, order, now, self._person_of(exchange))
        return next((fault for rule in self.faults if (fault := rule(arrival)) is not None), None)

    def _answer(self, exchange: Exchange, now: float) -> SimReply:
        """Return the provider's own answer, without faults."""
        self.ledger.totals.requests += 1
        request = exchange.request
        try:
            if exchange.endpoint == "other":
                return self._reply(request, now, 404, error_body("not_found", "no such path"))
            if request.method != exchange.method:
                allow = {"Allow": exchange.method}
                return self._reply(request, now, 405, error_body("method_not_allowed", "wrong method"), allow)
            if exchange.endpoint == "discovery":
                return self._reply(request, now, 200, json_bytes(self._discovery()))
            if exchange.endpoint == "jwks":
                return self._reply(request, now, 200, json_bytes(self._keys.jwks(now)))
            if exchange.refusal is not None:
                raise exchange.refusal
            audiences = self._rules.accepted_audiences or (self.issuer,)
            client_id = self._clients.authenticate(request.headers, exchange.form, audiences=audiences, now=now)
            if exchange.endpoint == "token":
                status, body = self._poll(exchange, client_id, now)
            else:
                status, body = 200, self._order(exchange.form, client_id, now)
            return self._reply(request, now, status, body, _NO_STORE)
        except Refusal as refusal:
            if exchange.endpoint == "bc-authorize":
                self.ledger.totals.refused += 1
            body = error_body(refusal.error, refusal.description)
            return self._reply(request, now, refusal.status, body, {**_NO_STORE, **refusal.headers})

    def _reply(
        self, request: SimRequest, now: float, status: int, body: bytes, headers: Mapping[str, str] | None = None
    ) -> SimReply:
        second = int(now)
        if self._date[0] != second:
            self._date = second, formatdate(second, usegmt=True)
        fields = {"Content-Type": JSON, "Date": self._date[1], **(headers or {})}
        if "return-trace-id" in request.headers.get("prefer", ""):
            fields["Trace-Id"] = f"{self._trace_dice.getrandbits(128):032x}"
        return SimReply(status, fields, body)

    def _discovery(self) -> dict[str, object]:
        methods = ["private_key_jwt", "client_secret_basic", "client_secret_post", "client_secret_jwt"]
        backchannel: dict[str, object] = {
            "backchannel_authentication_endpoint": f"{self.issuer}/ciba/bc-authorize",
            "backchannel_token_delivery_modes_supported": ["poll", "ping"],
            "backchannel_user_code_parameter_supported": False,
        }
        return {
            "issuer": self.issuer,
            "jwks_uri": f"{self.issuer}/.well-known/jwks",
            "authorization_endpoint": f"{self.issuer}/oauth2/authorize",
            "token_endpoint": f"{self.issuer}/oauth2/token",
            **(backchannel if self._rules.announces_backchannel else {}),
            "scopes_supported": ["openid"],
            "response_types_supported": ["code"],
            "grant_types_supported": [GRANT_TYPE],
            "subject_types_supported": ["public"],
            "acr_values_supported": list(self._by_acr),
            "authorization_details_types_supported": self._details_types(),
            "id_token_signing_alg_values_supported": [self._keys.alg],
            "token_endpoint_auth_methods_supported": methods,
            "token_endpoint_auth_signing_alg_values_supported": [*KEY_ALGORITHMS, *SECRET_ALGORITHMS],
        }

    def _details_types(self) -> list[object]:
        return list(dict.fromkeys(detail["type"] for eid in self._eids for detail in eid.details or ()))

    def _order(self, form: Mapping[str, str], client_id: str, now: float) -> bytes:
        """Put a prompt on somebody's phone (CIBA Core section 7)."""
        wish = read_wish(form, self._by_acr)
        endpoint = self._endpoints.get(client_id)
        token = None if endpoint is None else read_token(form)
        if self._rules.known_people_only and wish.person not in self._scripts:
            raise Refusal("unknown_user_id", "no person is known by this hint")
        expires_in = wish.requested_expiry or self._expires_in[wish.eid.name]
        record = OrderRecord(
            number=len(self.ledger.orders) + 1,
            eid=wish.eid.name,
            client_id=client_id,
            person=wish.person,
            started_at=now,
            expires_at=self._rules.expires_at(now, expires_in),
        )
        self.ledger.orders.append(record)
        key = (wish.eid.name, wish.person)
        self._refuse_second(key, record, now)
        order = self._begin(key, wish, record, now)
        if endpoint is not None and token is not None and record.decided_at is not None:
            ping = SimPing(endpoint, token, record.auth_req_id, record.decided_at)
            for leaving in (ping,) if self.ping_rule is None else self.ping_rule(ping):
                self._pinged(leaving)
        answer = {"auth_req_id": record.auth_req_id, "expires_in": expires_in, "interval": int(order.interval)}
        if wish.eid.words is not None:
            answer["bindingMessage"] = wish.eid.words(dice(order.dice_key, "words"))
        return json_bytes(answer)

    def _refuse_second(self, key: tuple[str, str], record: OrderRecord, now: float) -> None:
        """Cancel both orders if this is a second one for the same person, as BankID and Freja do."""
        first = self._latest.get(key)
        if first is None or not first.is_open(now):
            return
        first.cancel(now)
        record.collided = True
        record.end("cancelled", now)
        self.ledger.totals.collisions += 1
        raise Refusal("access_denied", "another order for this person was open; both are cancelled", status=403)

    def _begin(self, key: tuple[str, str], wish: Wish, record: OrderRecord, now: float) -> Order:
        nth = self._ordered[key]
        self._ordered[key] += 1
        dice_key = f"{self._seed}/{wish.eid.name}/{wish.person}/{nth}"
        made_up = dice(dice_key)
        record.auth_req_id = invent_uuid(made_up)
        scripts = self._scripts.get(wish.person)
        script = scripts[min(nth, len(scripts) - 1)] if scripts else self._people(made_up)
        if now + script.after < record.expires_at:
            record.decision, record.decided_at = script.decision, now + script.after
        spaced_from = now if self._rules.throttle_from_start else None
        order = Order(record, wish, script, self._interval[wish.eid.name], spaced_from, dice_key)
        self._orders[record.auth_req_id] = self._latest[key] = order
        return order

    def _poll(self, exchange: Exchange, client_id: str, now: float) -> tuple[int, bytes]:
        """Answer a poll (CIBA Core sections 10 and 11)."""
        grant_type = exchange.form.get("grant_type")
        if grant_type != GRANT_TYPE:
            raise Refusal("unsupported_grant_type" if grant_type else "invalid_request", "grant_type must be CIBA's")
        if "auth_req_id" not in exchange.form:
            raise Refusal("invalid_request", "auth_req_id is missing")
        order = exchange.order
        if order is None or order.record.client_id != client_id:
            self.ledger.totals.unknown_ids += 1
            raise Refusal("invalid_grant", "no such auth_req_id")
        verdict = exchange.verdict = order.poll(now, self._rules)
        if verdict == "pending":
            return 400, error_body("authorization_pending", order.pending_text(now))
        if verdict == "approved":
            return 200, self._tokens(order, now)
        error, description = _ERRORS[verdict]
        return 400, error_body(error, description)

    def _tokens(self, order: Order, now: float) -> bytes:
        record, wish, script = order.record, order.wish, order.script
        record.tokens_issued_at = now
        made_up = dice(order.dice_key, "tokens")
        number = wish.person if wish.is_number else wish.eid.invent_number(self._seed, wish.person)
        claims = claims_of(
            wish,
            invent_person(self._seed, wish.eid.name, script.answered_by or number),
            issuer=self.issuer,
            client_id=record.client_id,
            session=invent_uuid(made_up),
            shares_number=wish.eid.shares_number if script.shares_number is None else script.shares_number,
            decided_at=record.started_at + script.after,
            now=now,
        )
        claims.update(script.claims)
        expires_in = str(TOKEN_LIFETIME) if self._rules.expires_in_as_text else TOKEN_LIFETIME
        return json_bytes(
            {
                "token_type": "Bearer",
                "expires_in": expires_in,
                "id_token": self._keys.sign({name: value for name, value in claims.items() if value is not ...}),
                "access_token": invent_uuid(made_up),
            }
        )

    def _person_of(self, exchange: Exchange) -> str | None:
        """The person of an authentication request or a poll, or None."""
        if exchange.order is not None:
            return exchange.order.record.person
        if exchange.endpoint == "bc-authorize":
            with suppress(Refusal):
                return read_wish(exchange.form, self._by_acr).person
        return None


def _setting(value: int | Mapping[str, int] | None, eid: SimulatedEid) -> int | None:
    """The value for one eID of a setting that may be one number for all."""
    return value.get(eid.name) if isinstance(value, Mapping) else value
