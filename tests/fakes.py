"""What several tests share: a transport with scripted answers, and an issuer that signs whatever it is told to.

Signatures and encryptions are made with `cryptography` alone, so that the package's own way of reading them cannot be
wrong in the same way twice.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import os
import struct
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any
from urllib.parse import parse_qs

from attrs import define, field
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import padding as block_padding
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.keywrap import aes_key_wrap
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from idura_ciba import EidRequest, SwedishBankID
from idura_ciba.errors import TransportError
from idura_ciba.protocol.http import HttpRequest, HttpResponse
from idura_ciba.simulator.people import invent_swedish_number
from idura_ciba.testing import VirtualLoop

#: A scripted answer: a JSON object or list with 200, raw bytes with 200, a bare status, a whole answer, an error to
#: raise, or a function that makes any of these of the request.
Answer = Any
PrivateKey = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
    | x25519.X25519PrivateKey
)


@define(repr=False)
class FakeTransport:
    """Answers by URL, in order; the last answer of a URL stays. A URL without answers is a bug of the test.

    Attributes:
        requests: Each request, in the order of sending.
        sent_at: When each one was sent, in monotonic seconds.
        latency: Seconds until the answer.
    """

    answers: dict[str, list[Answer]] = field(factory=dict)
    latency: float = 0.0
    requests: list[HttpRequest] = field(factory=list, init=False)
    sent_at: list[float] = field(factory=list, init=False)
    closed: int = field(default=0, init=False)

    def on(self, url: str, *answers: Answer) -> FakeTransport:
        """Script what a URL answers from now on."""
        self.answers[url] = list(answers)
        return self

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Answer as scripted."""
        sent_at = asyncio.get_running_loop().time()
        self.requests.append(request)
        self.sent_at.append(sent_at)
        await asyncio.sleep(self.latency)
        script = self.answers[request.url]
        answer = script.pop(0) if len(script) > 1 else script[0]
        answer = answer(request) if callable(answer) else answer
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, HttpResponse):
            return answer
        status, body = (answer, b"") if isinstance(answer, int) else (200, answer)
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return HttpResponse(status, {}, data, sent_at, asyncio.get_running_loop().time())

    async def aclose(self) -> None:
        """Count."""
        self.closed += 1


def outage(_: HttpRequest | None = None, *, maybe_sent: bool = True) -> TransportError:
    """An error as a transport raises it, a new one each time."""
    error = TransportError("the connection failed (Test)", code="connection")
    error.maybe_sent = maybe_sent
    return error


def refused(_: HttpRequest | None = None) -> TransportError:
    """The same where no connection was made."""
    return outage(maybe_sent=False)


def b64(data: bytes) -> str:
    """Unpadded base64url."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    """The way back."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def number(value: int, size: int | None = None) -> str:
    """A number as a JWK spells it."""
    return b64(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def private_key(kind: str, nth: int = 0) -> PrivateKey:
    """A key of a kind (`RSA`, `RSA-1024`, a curve); the same one each time, another one for each `nth`."""
    return _generated(kind, nth)


@cache
def _generated(kind: str, _nth: int) -> PrivateKey:
    match kind:
        case "RSA" | "RSA-1024":
            return rsa.generate_private_key(65537, 1024 if kind == "RSA-1024" else 2048)
        case "Ed25519":
            return ed25519.Ed25519PrivateKey.generate()
        case "Ed448":
            return ed448.Ed448PrivateKey.generate()
        case "X25519":
            return x25519.X25519PrivateKey.generate()
        case _:
            return ec.generate_private_key(CURVES[kind])


CURVES = {
    "P-256": ec.SECP256R1(),
    "P-384": ec.SECP384R1(),
    "P-521": ec.SECP521R1(),
    "secp256k1": ec.SECP256K1(),
}
HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}


def public_jwk(key: PrivateKey, **members: object) -> dict[str, Any]:
    """The public half as a JWK with further members; None leaves one out."""
    public = key.public_key()
    jwk: dict[str, object]
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        jwk = {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}
    elif isinstance(public, ec.EllipticCurvePublicKey):
        point = public.public_numbers()
        size = (public.curve.key_size + 7) // 8
        name = next(name for name, curve in CURVES.items() if curve.name == public.curve.name)
        jwk = {"kty": "EC", "crv": name, "x": number(point.x, size), "y": number(point.y, size)}
    else:
        curve = type(public).__name__.lstrip("_").removesuffix("PublicKey")
        jwk = {"kty": "OKP", "crv": curve, "x": b64(public.public_bytes(Encoding.Raw, PublicFormat.Raw))}
    return {name: value for name, value in {**jwk, **members}.items() if value is not None}


def sign(alg: str, key: PrivateKey | bytes, message: bytes) -> bytes:
    """A JWS signature (RFC 7518 section 3, RFC 8037)."""
    if isinstance(key, bytes):
        return hmac.digest(key, message, f"sha{alg[2:]}")
    if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey):
        return key.sign(message)
    assert not isinstance(key, x25519.X25519PrivateKey)
    algorithm = HASHES[alg[2:]]
    if isinstance(key, ec.EllipticCurvePrivateKey):
        size = (key.curve.key_size + 7) // 8
        r, s = decode_dss_signature(key.sign(message, ec.ECDSA(algorithm)))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    if alg.startswith("PS"):
        return key.sign(message, padding.PSS(padding.MGF1(algorithm), algorithm.digest_size), algorithm)
    return key.sign(message, padding.PKCS1v15(), algorithm)


def compact(header: bytes, payload: bytes, signer: Callable[[bytes], bytes]) -> str:
    """A JWS in its compact form, of parts that may be anything."""
    message = f"{b64(header)}.{b64(payload)}"
    return f"{message}.{b64(signer(message.encode()))}"


def encrypt(
    content: bytes,
    key: PrivateKey,
    alg: str,
    enc: str,
    header: Mapping[str, object] | None = None,
    cek: bytes | None = None,
) -> str:
    """A JWE in its compact form (RFC 7516 section 5.1), for the holder of a key; ... leaves a member of the header out.

    Algorithms that this package does not know encrypt like RSA-OAEP-256 or ECDH-ES, and only say that they do not.
    """
    cek = cek or os.urandom(16 if enc == "A128GCM" else 32)
    named: dict[str, object] = {"alg": alg, "enc": enc, "cty": "JWT"}
    if isinstance(key, rsa.RSAPrivateKey):
        digest = hashes.SHA256()
        wrapped = key.public_key().encrypt(cek, padding.OAEP(padding.MGF1(digest), digest, None))
    else:
        shared, named["epk"] = agreed(key)
        size = int(alg[9:12]) // 8 if alg.startswith("ECDH-ES+") else len(cek)
        # RFC 7518 section 4.6.2: the one round of the Concat KDF that 256 bits need.
        about = struct.pack(">I", len(name := (alg if "+" in alg else enc).encode())) + name + bytes(8)
        derived = hashlib.sha256(struct.pack(">I", 1) + shared + about + struct.pack(">I", size * 8)).digest()[:size]
        cek, wrapped = (cek, aes_key_wrap(derived, cek)) if "+" in alg else (derived, b"")
    members = {name: value for name, value in {**named, **(header or {})}.items() if value is not ...}
    protected = b64(json_bytes(members))
    if enc.endswith("GCM"):
        iv = os.urandom(12)
        sealed = AESGCM(cek).encrypt(iv, content, protected.encode())
        text, tag = sealed[:-16], sealed[-16:]
    else:
        # RFC 7518 section 5.2.2.1.
        iv, padder = os.urandom(16), block_padding.PKCS7(128).padder()
        encryptor = Cipher(AES(cek[16:]), CBC(iv)).encryptor()
        text = encryptor.update(padder.update(content) + padder.finalize()) + encryptor.finalize()
        length = struct.pack(">Q", len(protected) * 8)
        tag = hmac.digest(cek[:16], protected.encode() + iv + text + length, "sha256")[:16]
    return ".".join([protected, *map(b64, (wrapped, iv, text, tag))])


def agreed(key: PrivateKey) -> tuple[bytes, dict[str, Any]]:
    """A shared secret with the holder of a key, and the public half that the holder needs for it."""
    if isinstance(key, x25519.X25519PrivateKey):
        own = x25519.X25519PrivateKey.generate()
        return own.exchange(key.public_key()), public_jwk(own)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    ephemeral = ec.generate_private_key(key.curve)
    return ephemeral.exchange(ec.ECDH(), key.public_key()), public_jwk(ephemeral)


def json_bytes(value: object) -> bytes:
    """Compact JSON."""
    return json.dumps(value, separators=(",", ":")).encode()


def at_hash(access_token: str, algorithm: str) -> str:
    """OpenID Connect Core section 3.1.3.6."""
    digest = hashlib.new(algorithm, access_token.encode()).digest()
    return b64(digest[: len(digest) // 2])


def form(request: HttpRequest) -> Mapping[str, str]:
    """The parameters that a request carries."""
    parsed = parse_qs(request.body.decode(), strict_parsing=True, keep_blank_values=True)
    assert all(len(values) == 1 for values in parsed.values())
    return {name: values[0] for name, values in parsed.items()}


def swedish_number(nth: int) -> str:
    """The number of the nth of many people who do not exist."""
    return invent_swedish_number(3, str(nth))


def swede(nth: int) -> SwedishBankID:
    """A request for the nth of them."""
    return SwedishBankID(swedish_number(nth), call_initiator="RP", message="Hello")


def swedes(count: int, *, first: int = 0) -> list[tuple[str, EidRequest]]:
    """So many of them, with keys."""
    return [(f"key-{nth}", swede(nth)) for nth in range(first, first + count)]


def block(seconds: float) -> None:
    """Keep the virtual event loop busy for so long, as a debugger or a blocking call does."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop._virtual.now += seconds
