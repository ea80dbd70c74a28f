"""Faults by name, and rules that make them happen.

    idura.faults.append(on("token", CATALOGUE["token"]["503"], person="209801011231", nth=2))

The faults in `ANYWHERE` fit any request; each endpoint's part of the `CATALOGUE` adds those that only its own answers
can have. A wrong clock is not a fault: give the transport or server another clock.
"""

from __future__ import annotations

import functools
import gzip
import json
import math
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from joserfc.jwk import RSAKey

from idura_ciba.simulator.faults import Arrival, Endpoint, Fault, FaultRule
from idura_ciba.simulator.messages import JSON, SimReply, json_bytes
from idura_ciba.simulator.provider import SimulatedIdura

__all__ = ["ANYWHERE", "CATALOGUE", "edit", "on", "rotate_keys"]

_ELSEWHERE = "https://elsewhere.example"
_HTML = b"<!doctype html><title>Sorry</title><p>Something went wrong."
_HTML_TYPE = {"Content-Type": "text/html; charset=utf-8"}
_JSON_TYPE = {"Content-Type": JSON}
#: Bytes: more than any reasonable size limit of a client.
_HUGE = 4 * 1024 * 1024


def on(endpoint: Endpoint, fault: Fault, *, person: str | None = None, nth: int | None = None) -> FaultRule:
    """Return a rule for one fault at one endpoint.

    Args:
        endpoint: Where the fault happens.
        fault: What happens.
        person: Only to orders and polls for this person; None: for everybody. Documents are for nobody.
        nth: Only to the nth of the requests that match the rest, counted by this rule; None: to all of them.
    """
    seen = 0

    def rule(arrival: Arrival) -> Fault | None:
        nonlocal seen
        if arrival.endpoint != endpoint or person not in {None, arrival.person}:
            return None
        seen += 1
        return fault if nth in {None, seen} else None

    return rule


def rotate_keys(idura: SimulatedIdura, *, after: Endpoint, overlap: float = 0.0) -> FaultRule:
    """Return a rule that rotates the keys on the first request to an endpoint, and leaves requests alone.

    Args:
        idura: The provider whose keys are rotated.
        after: The endpoint.
        overlap: Seconds for which the old key stays published.
    """
    done = False

    def rule(arrival: Arrival) -> None:
        nonlocal done
        if arrival.endpoint == after and not done:
            done = True
            idura.rotate_keys(arrival.now, overlap=overlap)

    return rule


def edit(**members: object) -> Fault:
    """Return a fault that replaces or adds members of a 200 answer's JSON; a member with the value `...` is removed.

    Other answers are left alone.
    """

    def rewrite(reply: SimReply) -> SimReply:
        if reply.status != 200:  # noqa: PLR2004 - only success is edited
            return reply
        answer = {**json.loads(reply.body), **members}
        kept = {name: value for name, value in answer.items() if value is not ...}
        return SimReply(reply.status, reply.headers, json_bytes(kept))

    return Fault.change(rewrite)


def _body(change: Callable[[bytes], bytes], **headers: str) -> Fault:
    """A fault that changes the body, and adds header fields."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return Fault.change(lambda reply: SimReply(reply.status, {**reply.headers, **fields}, change(reply.body)))


def _smuggle(member: bytes) -> Fault:
    """A fault that inserts a member at the beginning of the JSON object."""
    return _body(lambda body: b"{" + member + b"," + body[1:])


@functools.cache
def _bomb() -> bytes:
    return gzip.compress(bytes(16 * _HUGE))


def _error(status: int, error: str, **headers: str) -> Fault:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return Fault.answer(status, {**_JSON_TYPE, **fields}, json_bytes({"error": error}))


def _later(status: int, retry_after: str) -> Fault:
    return Fault.answer(status, {"Retry-After": retry_after})


#: What can happen to any request.
ANYWHERE: Mapping[str, Fault] = {
    # connections
    "connection refused": Fault.refuse_connection(),
    "closed before the request is read": Fault.lose_request(),
    "reset before the request is read": Fault.lose_request(reset=True),
    "closed before the answer": Fault.lose_answer(),
    "reset before the answer": Fault.lose_answer(reset=True),
    "closed after the headers": Fault.cut_answer(0),
    "reset after the headers": Fault.cut_answer(0, reset=True),
    "closed in the middle of the body": Fault.cut_answer(20),
    "reset in the middle of the body": Fault.cut_answer(20, reset=True),
    # time
    "held 12 s": Fault.delay(12),
    "held 29 s": Fault.delay(29),
    "held for ever": Fault.delay(math.inf),
    "a byte a millisecond": Fault.trickle(0.001),
    "a byte a second": Fault.trickle(1),
    # a gateway in front of the provider fails
    "500": Fault.answer(500, _HTML_TYPE, _HTML),
    "501": Fault.answer(501),
    "502": Fault.answer(502, _HTML_TYPE, _HTML),
    "504": Fault.answer(504),
    "520": Fault.answer(520),
    "500 with JSON of its own": _error(500, "internal_error"),
    # retry later
    "503": Fault.answer(503, _HTML_TYPE, _HTML),
    "503, Retry-After in seconds": _later(503, "7"),
    "503, Retry-After as a date": _later(503, "Thu, 01 Jan 2026 00:00:20 GMT"),
    "503, Retry-After in the past": _later(503, "Sun, 06 Nov 1994 08:49:37 GMT"),
    "503, Retry-After negative": _later(503, "-1"),
    "503, Retry-After in a year": _later(503, "31536000"),
    "503, Retry-After garbage": _later(503, "soon; maybe=1"),
    "503 with JSON of its own": _error(503, "overloaded", Retry_After="7"),
    "429": Fault.answer(429),
    "429, Retry-After in seconds": _later(429, "7"),
    "429 with JSON of its own": _error(429, "too_many_requests"),
    "408": Fault.answer(408),
    "425": Fault.answer(425),
    # refused by an edge
    "400 with HTML": Fault.answer(400, _HTML_TYPE, _HTML),
    "401 without a body": Fault.answer(401, {"WWW-Authenticate": "Negotiate"}),
    "403 from an edge": Fault.answer(403, _HTML_TYPE, _HTML),
    "403 with JSON of its own": _error(403, "forbidden"),
    "404 with JSON of its own": _error(404, "not_found"),
    "404 with HTML": Fault.answer(404, _HTML_TYPE, _HTML),
    "405": Fault.answer(405, {"Allow": "GET"}),
    "407": Fault.answer(407, {"Proxy-Authenticate": "Basic"}),
    "413": Fault.answer(413),
    "451": Fault.answer(451),
    # redirected
    **{
        f"{status} to another host": Fault.answer(status, {"Location": f"{_ELSEWHERE}/x"})
        for status in (301, 302, 303, 307, 308)
    },
    "300 without an address": Fault.answer(300),
    "304": Fault.answer(304),
    # a good status with a bad body
    "200 with HTML": Fault.answer(200, _HTML_TYPE, _HTML),
    "200 with HTML that says JSON": Fault.answer(200, _JSON_TYPE, _HTML),
    "200 without a body": Fault.answer(200, _JSON_TYPE),
    "204": Fault.answer(204),
    "200 with a list": Fault.answer(200, _JSON_TYPE, b"[]"),
    "200 with null": Fault.answer(200, _JSON_TYPE, b"null"),
    "200 with text in JSON": Fault.answer(200, _JSON_TYPE, b'"ok"'),
    "200 with an empty object": Fault.answer(200, _JSON_TYPE, b"{}"),
    # the provider's own answer, corrupted
    "cut short without a sign": _body(lambda body: body[:20]),
    "something after the end": _body(lambda body: body + b"}"),
    "twice in one body": _body(lambda body: body + body),
    "with a byte order mark": _body(lambda body: b"\xef\xbb\xbf" + body),
    "in UTF-16": _body(lambda body: body.decode().encode("utf-16"), Content_Type=f"{JSON}; charset=utf-16"),
    "with a byte that is no UTF-8": _smuggle(b'"x":"\xff"'),
    "a duplicate member": _smuggle(b'"x":1,"x":2'),
    "NaN": _smuggle(b'"x":NaN'),
    "infinity": _smuggle(b'"x":-Infinity'),
    "a number beyond a float": _smuggle(b'"x":1e400'),
    "a number of 5,000 digits": _smuggle(b'"x":' + b"9" * 5000),
    "half a surrogate pair": _smuggle(b'"x":"\\ud800"'),
    "nested 10,000 deep": _smuggle(b'"x":' + b"[" * 10_000 + b"]" * 10_000),
    "oversized": _body(lambda body: body + b" " * _HUGE),
    "a compressed bomb": _body(lambda _: _bomb(), Content_Encoding="gzip"),
    "compressed with gzip": _body(gzip.compress, Content_Encoding="gzip"),
    "compressed with deflate": _body(zlib.compress, Content_Encoding="deflate"),
    "compressed with deflate, bare": _body(lambda body: zlib.compress(body, wbits=-15), Content_Encoding="deflate"),
    "compressed with what nobody knows": _body(bytes, Content_Encoding="br"),
    "compressed and broken off": _body(lambda body: gzip.compress(body)[:-1], Content_Encoding="gzip"),
    "compressed without a word": _body(gzip.compress),
    # the provider's own answer, with odd headers or members
    "as text/html": _body(bytes, Content_Type="text/html"),
    "as charset utf-7": _body(bytes, Content_Type=f"{JSON}; charset=utf-7"),
    "as a charset that is none": _body(bytes, Content_Type=f"{JSON}; charset=hex_codec"),
    "dated 1994": _body(bytes, Date="Sun, 06 Nov 1994 08:49:37 GMT"),
    "with a date that is none": _body(bytes, Date="yesterday"),
    "with a member that nobody knows": _smuggle(b'"x":{"y":[null]}'),
}

_ACKNOWLEDGEMENTS: Mapping[str, Fault] = {
    **{
        f"auth_req_id {name}": edit(auth_req_id=value)
        for name, value in {
            "missing": ..., "null": None, "a number": 7, "a list": ["x"], "empty": "", "of 3,000 letters": "x" * 3000,
            "with a line break": "abc\r\nX-Evil: 1", "with NUL": "abc\0def", "with a space": "abc def",
            "not ASCII": "åäö",
        }.items()
    },
    **{
        f"expires_in {name}": edit(expires_in=value)
        for name, value in {
            "missing": ..., "null": None, "true": True, "text": "120", "words": "two minutes", "120.0": 120.0,
            "1.5": 1.5, "zero": 0, "negative": -120, "10^30": 10**30, "10^30 as text": str(10**30),
        }.items()
    },
    **{
        f"interval {name}": edit(interval=value)
        for name, value in {
            "missing": ..., "null": None, "true": True, "text": "3", "3.0": 3.0, "3.5": 3.5, "zero": 0, "negative": -3,
            "10^30": 10**30, "a list": [3],
        }.items()
    },
    "words as a list": edit(bindingMessage=["red", "door"]),
    "refused": _error(400, "invalid_request"),
    "nobody known": _error(400, "unknown_user_id"),
    "client refused": _error(401, "invalid_client"),
    "an error with 200": _error(200, "access_denied"),
    "a code that nobody knows": _error(400, "made_up"),
}  # fmt: skip


def _in_tokens(**members: object) -> Fault:
    """A fault that edits only the answer with the tokens."""
    edited = edit(**members).rewrite
    assert edited is not None  # noqa: S101 - for type checkers
    return Fault.change(lambda reply: edited(reply) if b'"id_token"' in reply.body else reply)


_TOKEN_ANSWERS: Mapping[str, Fault] = {
    **{
        f"id_token {name}": _in_tokens(id_token=value)
        for name, value in {
            "missing": ..., "null": None, "a number": 7, "a list": ["x"], "empty": "", "of dots": "..",
            "no JWT": "hello", "not ASCII": "é.é.é",
        }.items()
    },
    **{
        f"expires_in {name}": _in_tokens(expires_in=value)
        for name, value in {
            "missing": ..., "null": None, "true": True, "text": "120", "words": "two minutes", "120.5": 120.5,
            "zero": 0, "negative": -1, "10^30": 10**30,
        }.items()
    },
    "access_token missing": _in_tokens(access_token=...),
    "access_token a list": _in_tokens(access_token=["x"]),
    "token_type missing": _in_tokens(token_type=...),
    "error null beside the tokens": _in_tokens(error=None),
    "error empty beside the tokens": _in_tokens(error=""),
    "access_denied beside the tokens": _in_tokens(error="access_denied"),
    "client refused": _error(401, "invalid_client"),
    "refused": _error(400, "invalid_request"),
    "a code that nobody knows": _error(400, "made_up"),
    "denied by something in front": _error(403, "access_denied"),
    "expired by something in front": _error(400, "expired_token"),
    "unknown id": _error(400, "invalid_grant"),
    "pending for ever": _error(400, "authorization_pending"),
    "pending for ever with 200": _error(200, "authorization_pending"),
    "slowed down for ever": _error(400, "slow_down"),
    "slowed down with 429": _error(429, "slow_down", Retry_After="1"),
}  # fmt: skip

_DISCOVERY: Mapping[str, Fault] = {
    "another issuer": edit(issuer=_ELSEWHERE),
    "no issuer": edit(issuer=...),
    "issuer a list": edit(issuer=[_ELSEWHERE]),
    "the issuer in capitals": edit(issuer="HTTPS://SIMULATOR.IDURA.BROKER"),
    **{
        f"{name} {what}": edit(**{name: value})
        for name in ("backchannel_authentication_endpoint", "token_endpoint", "jwks_uri")
        for what, value in {
            "on another host": f"{_ELSEWHERE}/x",
            "on a host that begins alike": "https://simulator.idura.broker.elsewhere.example/x",
            "behind a user name": "https://simulator.idura.broker@elsewhere.example/x",
            "without TLS": "http://elsewhere.example/x",
            "a file": "file:///x",
            "a path": "/x",
            "a number": 7,
            "missing": ...,
        }.items()
    },
    # What the provider says it supports.
    **{
        f"{name} {what}": edit(**{name: value})
        for name in (
            "backchannel_token_delivery_modes_supported", "id_token_signing_alg_values_supported",
            "token_endpoint_auth_methods_supported", "acr_values_supported",
        )
        for what, value in {
            "of others": ["x"], "a text": "x", "of numbers": [7], "null": None, "empty": [], "missing": ...,
        }.items()
    },
}  # fmt: skip


@functools.cache
def _foreign_key() -> Mapping[str, Any]:
    return RSAKey.generate_key(2048, private=False).as_dict(private=False)


def _keys(change: Callable[[list[dict[str, Any]]], object]) -> Fault:
    """A fault that publishes other keys."""

    def rewrite(reply: SimReply) -> SimReply:
        keys = change(json.loads(reply.body)["keys"])
        return SimReply(reply.status, reply.headers, json_bytes({"keys": keys}))

    return Fault.change(rewrite)


_KEY_SETS: Mapping[str, Fault] = {
    "no keys": edit(keys=[]),
    "keys missing": edit(keys=...),
    "keys an object": edit(keys={}),
    "keys null": edit(keys=None),
    "no objects": edit(keys=[None, 1, "x", []]),
    "10,000 keys": _keys(lambda keys: [{"kty": "oct", "k": "AA"}] * 10_000 + keys),
    "only a foreign key": _keys(lambda _: [{**_foreign_key(), "kid": "other"}]),
    "a foreign key under the same kid": _keys(lambda keys: [{**_foreign_key(), "kid": keys[0]["kid"]}]),
    "a shared secret under the same kid": _keys(lambda keys: [{"kty": "oct", "k": "AAAA", "kid": keys[0]["kid"]}]),
    "a key for encryption": _keys(lambda keys: [{**key, "use": "enc"} for key in keys]),
    "a key of another algorithm": _keys(lambda keys: [{**key, "alg": "PS512"} for key in keys]),
    "a broken key under the same kid": _keys(lambda keys: [{**keys[0], "n": "!", "x": "!"}]),
    "a broken key besides": _keys(lambda keys: [{**keys[0], "n": "!", "x": "!"}, None, *keys]),
    "a foreign key under the same kid besides": _keys(lambda keys: [{**_foreign_key(), "kid": keys[0]["kid"]}, *keys]),
    "a key without a kid": _keys(lambda keys: [{**key, "kid": None} for key in keys]),
}

#: All faults, by endpoint and name.
CATALOGUE: Mapping[Endpoint, Mapping[str, Fault]] = {
    "bc-authorize": {**ANYWHERE, **_ACKNOWLEDGEMENTS},
    "token": {**ANYWHERE, **_TOKEN_ANSWERS},
    "discovery": {**ANYWHERE, **_DISCOVERY},
    "jwks": {**ANYWHERE, **_KEY_SETS},
}
