"""Resume tokens: a pending transaction as text, to be resumed in another process.

A token is one line of JSON with a version and a seal. Instants in it are wall-clock seconds, because a monotonic clock
means nothing in another process. It holds the `auth_req_id`, so it is a secret; it does not hold the national number,
only the tag by which the right person is recognised. The seal is a MAC under a key of the client's credential: a token
that was changed, or made by somebody else, is refused before anything is sent.
"""

from __future__ import annotations

import hmac
import json
import os
from functools import lru_cache
from typing import Any

from attrs import field, frozen
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from idura_ciba.eids.person import TAG_LENGTH
from idura_ciba.eids.phase import Phase, PhaseTable, phase_table
from idura_ciba.errors import ArgumentError, ResumeError
from idura_ciba.protocol.answers import Tokens
from idura_ciba.protocol.strict_json import load_object
from idura_ciba.protocol.timing import Timing
from idura_ciba.redaction import Redacted
from idura_ciba.trust.expectation import Demand, Expectation, shared

__all__ = ["Checkpoint", "Sealer", "already_ended", "checked_secret", "derive_for_callers"]

VERSION = 1
#: A usual token has about 1 kB. The spoken words may be as long as the provider's answer, 64 kB, and JSON escapes
#: triple that: every token that is sealed must be readable.
MAX_LENGTH = 256 * 1024
#: With tokens that could not be verified yet; a token response has at most a few MB.
MAX_LENGTH_WITH_TOKENS = 16 * 1024 * 1024
#: NIST SP 800-38D section 8.2: the usual length for AES-GCM.
_NONCE = 12
#: RFC 2104 section 3: a key shorter than the hash weakens it.
MIN_SECRET = 32
#: Stands before the seal, which is the last member.
_SEAL = ',"seal":"'


@frozen
class Checkpoint:
    """What another process needs of a pending transaction. Instants are seconds since the epoch.

    A caller's own timeout is not in it: whoever resumes sets a new one or none.

    Attributes:
        auth_req_id: Its handle at the provider.
        person: The tag of the person's hint.
        expected: What the ID token must say.
        requested_at: When the request was sent.
        acknowledged_at: When it was acknowledged.
        expires_in: Seconds it lives.
        interval: Seconds between polls, as grown so far.
        not_before: No poll before this.
        heard_at: When the provider last said anything; a clock that says less is behind.
        in_doubt: Whether an answer may have been lost.
        polls: Polls so far.
        spoken_words: To be read to the person.
        tokens: The provider's answer, where it is here and the keys to verify it are not.
        reference: The caller's own.
        phases: What the provider's words mean.
        trace_context: The W3C `traceparent` of the login, where it is traced.
        nonce: That of its notification token, where it is pinged.
    """

    auth_req_id: Redacted
    person: bytes = field(repr=False)
    expected: Expectation = field(repr=False)
    requested_at: float
    acknowledged_at: float
    expires_in: float
    interval: float
    not_before: float
    heard_at: float
    in_doubt: bool
    polls: int
    spoken_words: Redacted | None
    tokens: Tokens | None = field(default=None, repr=False)
    reference: str | None = None
    phases: PhaseTable = ()
    trace_context: str | None = None
    nonce: bytes | None = field(default=None, repr=False)

    def or_later(self, other: Checkpoint) -> Checkpoint:
        """The other one of the same transaction, if somebody has gone on with it since; otherwise this one."""
        if self.tokens is None and (other.polls > self.polls or other.not_before > self.not_before):
            return other
        return self

    def timing(self, *, monotonic: float, wall: float, limit: float | None) -> Timing:
        """Its timing on this process's monotonic clock, given the present instant on both clocks.

        Raises:
            ResumeError: Its time is over.
        """
        # A clock behind the one that wrote the token would delay everything.
        offset = monotonic - max(wall, self.heard_at)
        not_before = self.not_before + offset
        timing = Timing(
            requested_at=self.requested_at + offset,
            acknowledged_at=self.acknowledged_at + offset,
            expires_in=self.expires_in,
            interval=self.interval,
            # The poll whose answer is in doubt may have left a moment ago.
            not_before=max(not_before, monotonic + self.interval) if self.in_doubt else not_before,
            limit=limit,
        )
        if timing.provider_end <= monotonic and self.tokens is None:
            raise ResumeError(
                "the resume token has expired, and so has its prompt",
                code="resume_expired",
                phone="The prompt has disappeared from the phone",
                advice="start again when the person is ready",
            )
        return timing


@frozen
class Sealer:
    """Writes and reads the resume tokens of one client at one provider."""

    issuer: str
    client_id: str
    key: bytes = field(repr=False)

    def seal(self, checkpoint: Checkpoint) -> Redacted:
        """The token for a checkpoint."""
        expected = checkpoint.expected
        elsewhere = TAG_LENGTH * len(expected.demand.identity)
        # Listed by hand, not attrs.asdict: what leaves the process is decided here, member by member.
        members: dict[str, Any] = {
            "auth_req_id": checkpoint.auth_req_id,
            "person": checkpoint.person.hex(),
            "requested_at": checkpoint.requested_at,
            "acknowledged_at": checkpoint.acknowledged_at,
            "expires_in": checkpoint.expires_in,
            "interval": checkpoint.interval,
            "not_before": checkpoint.not_before,
            "heard_at": checkpoint.heard_at,
            "in_doubt": checkpoint.in_doubt,
            "polls": checkpoint.polls,
            "spoken_words": checkpoint.spoken_words,
            "identity": expected.tags[:elsewhere].hex(),
            "identity_elsewhere": expected.tags[elsewhere:].hex(),
            "issued_from": expected.issued_from,
        }
        if checkpoint.reference is not None:
            members["reference"] = checkpoint.reference
        if checkpoint.trace_context is not None:
            members["trace_context"] = checkpoint.trace_context
        if checkpoint.nonce is not None:
            members["nonce"] = checkpoint.nonce.hex()
        if checkpoint.tokens is not None:
            members["tokens"] = self._encrypt(checkpoint.tokens, checkpoint.auth_req_id)
        common = _common(self.issuer, self.client_id, expected.demand, checkpoint.phases)
        text = f"{common},{_encode(members)[1:]}"
        return Redacted(f'{text[:-1]}{_SEAL}{self._seal(text)}"}}')

    def open(self, token: str) -> Checkpoint:
        """The checkpoint in a token.

        Raises:
            ResumeError: Not a token, of another version, provider, client or credential, or changed on the way.
        """
        members = _read(token)
        if members.get("v") != VERSION:
            raise _refused("it is of another version of idura_ciba", "version")
        if members.get("issuer") != self.issuer or members.get("client_id") != self.client_id:
            raise _refused("it belongs to another provider or client", "provider")
        # The seal covers the text itself, not a reading of it.
        text, _, end = token.strip().rpartition(_SEAL)
        if not hmac.compare_digest(end.encode(), f'{self._seal(text + "}")}"}}'.encode()):
            raise _refused("its seal does not fit: it was changed, or sealed under another credential", "seal")
        # Sealed by this code, so its shape is known from here on.
        words = members["spoken_words"]
        identity, elsewhere = (tuple(map(tuple, paths)) for paths in members["paths"])
        demand = Demand(
            acr_values=tuple(members["acr_values"]),
            pin_acr=members["pin_acr"],
            require_acr=members["require_acr"],
            identity=identity,
            identity_guaranteed=members["identity_guaranteed"],
            require_person=members["require_person"],
            identity_elsewhere=elsewhere,
        )
        return Checkpoint(
            auth_req_id=Redacted(members["auth_req_id"]),
            person=bytes.fromhex(members["person"]),
            expected=Expectation(
                shared(demand),
                bytes.fromhex(members["identity"] + members["identity_elsewhere"]),
                members["issued_from"],
            ),
            requested_at=members["requested_at"],
            acknowledged_at=members["acknowledged_at"],
            expires_in=members["expires_in"],
            interval=members["interval"],
            not_before=members["not_before"],
            heard_at=members["heard_at"],
            in_doubt=members["in_doubt"],
            polls=members["polls"],
            spoken_words=None if words is None else Redacted(words),
            tokens=self._decrypt(members["tokens"], members["auth_req_id"]) if "tokens" in members else None,
            reference=members.get("reference"),
            phases=phase_table({word: Phase(phase) for word, phase in members.get("phases", ())}),
            trace_context=members.get("trace_context"),
            nonce=bytes.fromhex(members["nonce"]) if "nonce" in members else None,
        )

    def _encrypt(self, tokens: Tokens, auth_req_id: str) -> str:
        """The ID token names the person, so a seal is not enough for it."""
        nonce = os.urandom(_NONCE)
        plain = _encode([tokens.id_token, tokens.access_token, tokens.token_type, tokens.expires_in, tokens.members])
        return (nonce + self._cipher().encrypt(nonce, plain.encode(), auth_req_id.encode())).hex()

    def _decrypt(self, text: str, auth_req_id: str) -> Tokens:
        sealed = bytes.fromhex(text)
        plain = self._cipher().decrypt(sealed[:_NONCE], sealed[_NONCE:], auth_req_id.encode())
        id_token, access_token, token_type, expires_in, members = json.loads(plain)
        access = None if access_token is None else Redacted(access_token)
        return Tokens(Redacted(id_token), access, token_type, expires_in, members)

    def _cipher(self) -> AESGCM:
        return AESGCM(hmac.digest(self.key, b"tokens", "sha256"))

    def _seal(self, text: str) -> str:
        return hmac.digest(self.key, text.encode(), "sha256").hex()


@lru_cache(maxsize=64)
def _common(issuer: str, client_id: str, demand: Demand, phases: PhaseTable) -> str:
    """The members that all logins of a client through one eID share, without the closing brace.

    Written once: when a client closes, a hundred thousand tokens may be wanted within seconds.
    """
    members = {
        "v": VERSION,
        "issuer": issuer,
        "client_id": client_id,
        "acr_values": demand.acr_values,
        "pin_acr": demand.pin_acr,
        "require_acr": demand.require_acr,
        "identity_guaranteed": demand.identity_guaranteed,
        "require_person": demand.require_person,
        "paths": (demand.identity, demand.identity_elsewhere),
    }
    if phases:
        members["phases"] = phases
    return _encode(members)[:-1]


# Checkpoints have no cycles.
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def _read(token: str) -> dict[str, Any]:
    try:
        if len(token) <= (MAX_LENGTH_WITH_TOKENS if '"tokens":' in token else MAX_LENGTH):
            return load_object(token.encode("ascii"))
    except (ValueError, AttributeError, TypeError):
        pass
    raise _refused("it is not a resume token", "unreadable")


def _refused(why: str, code: str) -> ResumeError:
    return ResumeError(
        f"the resume token cannot be used: {why}",
        code=f"resume_{code}",
        phone="A prompt that was sent stays on the person's phone until it expires",
        advice="resume with the configuration that started it, or start again once the prompt has expired",
    )


def already_ended() -> ResumeError:
    """A token of a transaction that this client has seen the provider end."""
    return ResumeError(
        "the resume token belongs to a login that the provider has already ended",
        code="resume_ended",
        phone="The prompt may stay on the phone until it expires",
        advice="wait until the prompt has expired before you start again",
    )


def checked_secret(secret: bytes | None) -> bytes | None:
    """The caller's own secret for sealing, checked; None if there is none.

    Raises:
        UsageError: It is not bytes, or too short.
    """
    if secret is not None and not (isinstance(secret, bytes) and len(secret) >= MIN_SECRET):
        raise ArgumentError(
            f"resume_secret is not bytes, or shorter than {MIN_SECRET} bytes",
            code="resume_secret",
            advice="make it with secrets.token_bytes(32)",
        )
    return secret


def derive_for_callers(secret: bytes, issuer: str, client_id: str, purpose: bytes) -> bytes:
    """Derive a key for a purpose of the caller's from what seals the tokens of this client at this issuer."""
    owner = json.dumps([issuer, client_id]).encode()
    return hmac.digest(secret, b"\0".join((b"for callers", owner, purpose)), "sha256")
