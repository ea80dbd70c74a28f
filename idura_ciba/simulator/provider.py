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
from typing import cast

from idura_ciba.simulator.clients import ClientRegistry
from idura_ciba.simulator.discovery import GRANT_TYPE, document
from idura_ciba.simulator.eid import SimulatedEid, Wish, by_acr, read_wish
from idura_ciba.simulator.eids import EIDS
from idura_ciba.simulator.exchange import Exchange
from idura_ciba.simulator.faults import Arrival, Endpoint, Fault, FaultRule
from idura_ciba.simulator.grants import Grant
from idura_ciba.simulator.ledger import Ledger, OrderRecord
from idura_ciba.simulator.messages import JSON, Refusal, SimReply, SimRequest, error_body, json_bytes
from idura_ciba.simulator.orders import Order, Rules, Verdict
from idura_ciba.simulator.people import dice, invent_uuid
from idura_ciba.simulator.phones import Phones
from idura_ciba.simulator.pings import PingRule, Pings, SimPing
from idura_ciba.simulator.proofs import Proofs
from idura_ciba.simulator.request_object import EncryptionKey, RequestObjects
from idura_ciba.simulator.scenario import Crowd, Population, Script
from idura_ciba.simulator.token_service import TokenService
from idura_ciba.simulator.tokens import EncryptionAlg, PrivateKey, SigningAlg, SigningKeys, claims_of, thumbprint

__all__ = ["DEFAULT_ISSUER", "SimulatedIdura"]

DEFAULT_ISSUER = "https://simulator.idura.broker"

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
        encryption_key: A private key that signed requests may be encrypted for; its public half is in the JWKS.
        metadata: Members of the discovery document, instead of or beside its own; None leaves one out.

    Raises:
        UsageError: Two eIDs share a name or an acr value.

    Attributes:
        issuer: May be set while nothing is in flight; the server sets it once it knows its port.
        mtls_address: Where clients that present a certificate go, if that is elsewhere; the server sets it.
        ledger: What really happened.
        faults: Rules for faults; see `FaultRule`.
        phones: What is on people's phones, for those who play them by hand.
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
        encryption_key: EncryptionKey | None = None,
        metadata: Mapping[str, object] | None = None,
    ) -> None:
        self.issuer: str = issuer
        self.mtls_address: str | None = None
        self.ledger: Ledger = Ledger()
        self.faults: list[FaultRule] = []
        self.ping_rule: PingRule | None = None
        self._pings = Pings()
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
        self._proofs = Proofs(self.ledger.proofs, nonces=rules.dpop_nonces, tolerance=rules.clock_tolerance, seed=seed)
        self._requests = RequestObjects(tolerance=rules.clock_tolerance, encryption_key=encryption_key)
        self._metadata = dict(metadata or {})
        self._service = TokenService(self._keys, lambda: self._rules, seed)
        self._scripts: dict[str, tuple[Script, ...]] = {}
        self._orders: dict[str, Order] = {}
        self._latest: dict[tuple[str, str], Order] = {}
        self.phones: Phones = Phones(self._latest, self._clients.name_of, seed)
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
        certificate: bytes | None = None,
        subject: str | None = None,
        name: str | None = None,
        request_alg: str | None = None,
        request_jwks: Mapping[str, object] | None = None,
        request_encrypted: bool = False,
        notification_endpoint: str | None = None,
    ) -> None:
        """Register a client with exactly one credential.

        Args:
            client_id: Its id.
            jwks: A JWK set, for `private_key_jwt`.
            secret: For `client_secret_basic`, `client_secret_post` and `client_secret_jwt`.
            certificate: In DER, for `self_signed_tls_client_auth`.
            subject: As RFC 4514 writes it, for `tls_client_auth`.
            name: What people are told of who asks; None: `client_id`.
            request_alg: Its `backchannel_authentication_request_signing_alg`: each authentication request must be
                signed by this algorithm. None: none may be.
            request_jwks: The JWK set for that; None: `jwks`.
            request_encrypted: Whether they must be encrypted for the `encryption_key`, too.
            notification_endpoint: Where the client wants pings; None: it polls, and gets none.
        """
        self._clients.register(client_id, jwks=jwks, secret=secret, certificate=certificate, subject=subject, name=name)
        self._requests.register(client_id, request_alg, request_jwks or jwks, encrypted=request_encrypted)
        self._pings.register(client_id, notification_endpoint)

    def listen_for_pings(self, listener: Callable[[SimPing], None]) -> None:
        """Call `listener` with each ping as soon as it is known when it leaves, in place of the listener before."""
        self._pings.listen(listener)

    def encrypt_for(
        self,
        client_id: str,
        key: Mapping[str, object] | None,
        algorithms: EncryptionAlg = ("RSA-OAEP-256", "A128CBC-HS256"),
    ) -> None:
        """Encrypt a client's ID tokens from now on.

        Args:
            client_id: The client.
            key: Its public key, as a JWK; None: no longer.
            algorithms: `alg` and `enc`.
        """
        self._service.encrypt_for(client_id, key, algorithms)

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
            if exchange.endpoint == "other" or (exchange.endpoint == "userinfo" and self._rules.userinfo == "none"):
                return self._reply(request, now, 404, error_body("not_found", "no such path"))
            if request.method != exchange.method:
                allow = {"Allow": exchange.method}
                return self._reply(request, now, 405, error_body("method_not_allowed", "wrong method"), allow)
            if exchange.method == "GET":
                return self._reply(request, now, 200, *self._read(exchange, now))
            if exchange.refusal is not None:
                raise exchange.refusal
            client_id = self._identify(exchange, now)
            if exchange.endpoint == "token":
                status, body = self._poll(exchange, client_id, now)
            else:
                form = self._requests.open(exchange.form, client_id, issuer=self.issuer, now=now)
                status, body = 200, self._order(form, client_id, exchange.confirmation.get("jkt"), now)
            return self._reply(request, now, status, body, self._fields(now))
        except Refusal as refusal:
            if exchange.endpoint == "bc-authorize":
                self.ledger.totals.refused += 1
            body = error_body(refusal.error, refusal.description)
            return self._reply(request, now, refusal.status, body, {**self._fields(now), **refusal.headers})

    def _fields(self, now: float) -> Mapping[str, str]:
        """The header fields of all answers to forms."""
        return {**_NO_STORE, **self._proofs.headers(now)} if self._rules.dpop else _NO_STORE

    def _identify(self, exchange: Exchange, now: float) -> str:
        """Return which client it is, and note the keys that it proves (RFC 8705 section 3, RFC 9449 section 5)."""
        request = exchange.request
        audiences = self._rules.accepted_audiences or (self.issuer,)
        client_id = self._clients.authenticate(
            request.headers, exchange.form, audiences=audiences, now=now, certificate=request.certificate
        )
        self._confirm(exchange, now)
        if self._rules.dpop and exchange.endpoint == "token" and "jkt" not in exchange.confirmation:
            self.ledger.proofs["missing"] += 1
            raise Refusal("invalid_dpop_proof", "tokens are issued for a proof of DPoP only")
        return client_id

    def _confirm(self, exchange: Exchange, now: float, *, access_token: str | None = None) -> None:
        """Note the keys that the client proves with this request, as `cnf` names them."""
        request = exchange.request
        if request.certificate is not None:
            exchange.confirmation["x5t#S256"] = thumbprint(request.certificate)
        if self._rules.dpop:
            path = request.path.partition("?")[0]
            addresses = (self.issuer, self.mtls_address or self.issuer)
            urls = [address + path for address in addresses]
            if jkt := self._proofs.check(request, urls, now, access_token=access_token):
                exchange.confirmation["jkt"] = jkt

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

    def _jwks(self, now: float) -> dict[str, object]:
        published = self._keys.jwks(now)
        return {**published, "keys": [*cast("list[object]", published["keys"]), *self._requests.published()]}

    def _discovery(self) -> dict[str, object]:
        return document(
            self.issuer,
            self._rules,
            mtls_address=self.mtls_address,
            eids=self._eids,
            acr_values=self._by_acr,
            id_token_alg=self._keys.alg,
            request_algs=self._requests.algs,
            changes=self._metadata,
        )

    def _order(self, form: Mapping[str, str], client_id: str, jkt: str | None, now: float) -> bytes:
        """Put a prompt on somebody's phone (CIBA Core section 7); `jkt` is the key that the client has proved."""
        wish = read_wish(form, self._by_acr)
        token = self._pings.token_of(client_id, form)
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
        order.jkt = jkt
        if token is not None:
            order.when_decided(lambda: self._pings.plan(token, record, self.ping_rule))
        answer = {"auth_req_id": record.auth_req_id, "expires_in": expires_in, "interval": int(order.interval)}
        if (words := order.words) is not None:
            answer["bindingMessage"] = words
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
        if grant_type == "refresh_token" and self._rules.refresh_tokens != "none":
            token = exchange.form.get("refresh_token", "")
            return 200, self._service.refresh(token, client_id, exchange.confirmation, self.issuer, now)
        if grant_type != GRANT_TYPE:
            raise Refusal("unsupported_grant_type" if grant_type else "invalid_request", "grant_type must be CIBA's")
        if "auth_req_id" not in exchange.form:
            raise Refusal("invalid_request", "auth_req_id is missing")
        order = exchange.order
        if order is None or order.record.client_id != client_id:
            self.ledger.totals.unknown_ids += 1
            raise Refusal("invalid_grant", "no such auth_req_id")
        if order.jkt not in {None, exchange.confirmation.get("jkt")}:
            self.ledger.proofs["other key"] += 1
            raise Refusal("invalid_dpop_proof", "the order was placed with another key")
        verdict = exchange.verdict = order.poll(now, self._rules)
        if verdict == "pending":
            return 400, error_body("authorization_pending", order.pending_text(now))
        if verdict == "approved":
            return 200, self._tokens(order, exchange.confirmation, now)
        error, description = _ERRORS[verdict]
        return 400, error_body(error, description)

    def _tokens(self, order: Order, confirmation: Mapping[str, str], now: float) -> bytes:
        record, wish, script = order.record, order.wish, order.script
        record.tokens_issued_at = now
        made_up = dice(order.dice_key, "tokens")
        claims = claims_of(
            wish,
            order.holder(self._seed),
            issuer=self.issuer,
            client_id=record.client_id,
            session=invent_uuid(made_up),
            shares_number=wish.eid.shares_number if script.shares_number is None else script.shares_number,
            decided_at=record.started_at + script.after,
            now=now,
        )
        claims.update(script.claims)
        kept = {name: value for name, value in claims.items() if value is not ...}
        grant = Grant(record.client_id, kept, confirmation)
        return self._service.issue(grant, invent_uuid(made_up), self.issuer, now)

    def _read(self, exchange: Exchange, now: float) -> tuple[bytes, Mapping[str, str]]:
        """What a `GET` gets, and its further header fields."""
        if exchange.endpoint == "discovery":
            return json_bytes(self._discovery()), {}
        if exchange.endpoint == "jwks":
            return json_bytes(self._jwks(now)), {}
        authorization = exchange.request.headers.get("authorization", "")
        try:
            self._confirm(exchange, now, access_token=authorization.partition(" ")[2])
        except Refusal as refusal:
            # RFC 9449 section 7.1: at a resource it is a challenge.
            challenge = {"WWW-Authenticate": f'DPoP error="{refusal.error}"'}
            raise Refusal(refusal.error, refusal.description, status=401, headers=challenge) from None
        body, fields = self._service.userinfo(authorization, exchange.confirmation, self.issuer, now)
        return body, {**self._fields(now), **fields}

    def _person_of(self, exchange: Exchange) -> str | None:
        """The person of an authentication request or a poll, or None."""
        if exchange.order is not None:
            return exchange.order.record.person
        if exchange.endpoint == "bc-authorize":
            with suppress(Refusal):
                return read_wish(self._requests.peek(exchange.form), self._by_acr).person
        return None


def _setting(value: int | Mapping[str, int] | None, eid: SimulatedEid) -> int | None:
    """The value for one eID of a setting that may be one number for all."""
    return value.get(eid.name) if isinstance(value, Mapping) else value
