"""Private keys: read from any format, and checked before they are used.

1. No exception of another library leaves this module: it may contain the key, and so may its traceback.
2. A key is rebuilt from its numbers, so a JWK's own restrictions are checked once, here, and cannot fail in the middle
   of a login.

Spec: RFC 7517, RFC 7518 sections 3 and 6, RFC 8037.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

from attrs import field, frozen
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from joserfc.util import json_b64encode, urlsafe_b64encode

from idura_ciba.errors import ArgumentError, UsageError
from idura_ciba.redaction import Redacted

__all__ = [
    "ALGORITHMS",
    "FLAWS",
    "MIN_RSA_BITS",
    "Flaw",
    "JoseKey",
    "KeyInput",
    "SigningKey",
    "read_file",
    "read_native_key",
    "read_signing_key",
    "sign_jwt",
    "threads_for",
]

JoseKey = RSAKey | ECKey | OKPKey
#: PEM text, a JWK as a mapping or as JSON text, or a private key object of joserfc or cryptography.
KeyInput = (
    str
    | bytes
    | Mapping[str, object]
    | JoseKey
    | RSAPrivateKey
    | EllipticCurvePrivateKey
    | Ed25519PrivateKey
    | X25519PrivateKey
)

#: The algorithms for each kind of key; the first is the default.
#: RS256 is what Idura documents, although FAPI-CIBA 7.10 wants PS256 or ES256.
#: RFC 9864 has a new name for EdDSA, and servers take one of the two and refuse the other.
ALGORITHMS: Final[Mapping[str, tuple[str, ...]]] = {
    "RSA": ("RS256", "PS256", "RS384", "RS512", "PS384", "PS512"),
    "P-256": ("ES256",),
    "P-384": ("ES384",),
    "P-521": ("ES512",),
    "Ed25519": ("EdDSA", "Ed25519"),
}
#: As cryptography names P-256, P-384 and P-521 (RFC 7518 section 3.4).
_CURVES: Final = {"secp256r1", "secp384r1", "secp521r1"}
#: RFC 7518 section 3.3.
MIN_RSA_BITS: Final = 2048

Flaw = Literal["key_unreadable", "key_encrypted", "key_public", "key_unsupported", "key_too_small", "key_use"]

#: What is wrong and what to do about it, by error code.
FLAWS: Final[Mapping[Flaw, tuple[str, str]]] = {
    "key_unreadable": (
        "The private key cannot be read",
        "Pass PEM that begins with -----BEGIN PRIVATE KEY-----, or a JWK with all its members",
    ),
    "key_encrypted": (
        "The private key is encrypted",
        "Decrypt it with cryptography's load_pem_private_key and pass the object that it returns",
    ),
    "key_public": (
        "This is a public key or a certificate",
        "Pass the private key; the public one is for the provider",
    ),
    "key_unsupported": (
        "This is not a private key that can sign",
        "Pass RSA of 2048 bits or more, P-256, P-384, P-521 or Ed25519",
    ),
    "key_too_small": ("The RSA key has fewer than 2048 bits", "Generate a new one"),
    "key_use": (
        "The JWK says that it is not for signing",
        "Pass a key whose use is sig and whose key_ops include sign",
    ),
}


@frozen
class SigningKey:
    """A private key that may sign.

    Attributes:
        key: For joserfc, with nothing but its numbers.
        kind: A key of `ALGORITHMS`.
        material: The private numbers, as the same text whatever format the key came in.
        kid: The JWK's own key id, if any.
        alg: The JWK's own algorithm, if any.
    """

    key: JoseKey = field(repr=False)
    kind: str
    material: Redacted
    kid: str | None = None
    alg: str | None = None

    def choose_alg(self, wanted: str | None) -> str:
        """Return the wanted algorithm, or else the JWK's, or else the default.

        Raises:
            UsageError: The algorithm is not for this type of key, or not supported at all.
        """
        fitting = ALGORITHMS[self.kind]
        alg = wanted or self.alg or fitting[0]
        if alg in fitting:
            return alg
        advice = f"Leave alg out, or pass {' or '.join(fitting)}"
        if any(alg in others for others in ALGORITHMS.values()):
            raise ArgumentError(f"The algorithm is not for {self.kind} keys", code="alg_mismatch", advice=advice)
        raise ArgumentError("The algorithm cannot sign assertions", code="alg_unsupported", advice=advice)


def read_file(path: str | os.PathLike[str], what: Literal["key", "certificate"] = "key") -> Redacted:
    """Read a file of text.

    Raises:
        UsageError: It cannot be read.
    """
    reason = ""
    try:
        return Redacted(Path(path).read_text("utf-8-sig", errors="replace"))
    except (OSError, ValueError) as error:  # ValueError: a path that no file system can have
        reason = getattr(error, "strerror", None) or type(error).__name__
    raise ArgumentError(f"The {what} file cannot be read: {reason}", code=f"{what}_file", advice="Check the path")


def read_signing_key(key: object) -> SigningKey | UsageError:
    """Read a key of any of the forms of `KeyInput`.

    Returns:
        The key, or the error for the caller to raise once its own variables no longer hold the key.
    """
    try:
        native = read_native_key(key)
        read = _judge(*native) if isinstance(native, tuple) else native
    except Exception:  # noqa: BLE001 - KeyError, binascii.Error, RecursionError, UnsupportedAlgorithm: all mean the same
        read = "key_unreadable"
    if isinstance(read, SigningKey):
        return read
    what, advice = FLAWS[read]
    return ArgumentError(what, code=read, advice=advice)


def sign_jwt(header: bytes, claims: Mapping[str, object], alg: str, key: JoseKey | OctKey) -> str:
    """Return a signed JWT in its compact form.

    Args:
        header: The header's JSON, encoded already: what a client signs all begins alike.
        claims: What it says.
        alg: The algorithm that the header names.
        key: One for this algorithm.
    """
    # Not `serialize_compact`: it checks header and key again, which takes the interpreter's lock for longer than a
    # P-256 signature does, and it warns about EdDSA each time.
    signed = header + b"." + json_b64encode({**claims})
    signature = JWSRegistry.algorithms[alg].sign(signed, key)
    return (signed + b"." + urlsafe_b64encode(signature)).decode()


def threads_for(kind: str) -> int:
    """How many threads sign with a kind of key at once; 0 for the event loop, where others take microseconds."""
    if kind != "RSA":
        return 0
    # More threads wait for each other and for the loop: six on two cores sign 10 to 20 % less.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def read_native_key(key: object) -> tuple[object, Mapping[str, Any] | JoseKey] | Flaw:
    """Read a private key of any of the forms of `KeyInput`, whatever it is for; raises anything, with the key in it.

    Returns:
        The key of cryptography, and what supplies `use`, `key_ops`, `kid` and `alg`; or what is wrong.
    """
    if isinstance(key, str):
        key = key.encode()
    if isinstance(key, bytes):
        if not key.lstrip().startswith(b"{"):
            return _read_pem(key)
        key = json.loads(key)
    if isinstance(key, Mapping):
        return _read_jwk({**key})
    if isinstance(key, JoseKey):
        return key.raw_value, key
    return key, {}


def _read_pem(text: bytes) -> tuple[object, Mapping[str, Any]] | Flaw:
    if b"PRIVATE KEY" not in text and (b"PUBLIC KEY" in text or b"CERTIFICATE" in text):
        return "key_public"
    try:
        native = load_pem_private_key(text, password=None)
    except TypeError:
        return "key_encrypted"
    return native, {}


def _read_jwk(jwk: dict[str, Any]) -> tuple[object, Mapping[str, Any]] | Flaw:
    types: dict[object, type[JoseKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
    if jwk["kty"] not in types:
        return "key_unsupported"
    if "d" not in jwk:
        return "key_public"
    # Not `import_key`, which warns of a small RSA key instead of refusing it.
    return types[jwk["kty"]].binding.import_from_dict(jwk), jwk


def _judge(native: object, jwk: Mapping[str, Any] | JoseKey) -> SigningKey | Flaw:
    """Check whether a key of cryptography may sign; `jwk` supplies `use`, `key_ops`, `kid` and `alg`."""
    key: JoseKey
    if isinstance(native, RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey):
        return "key_public"
    if isinstance(native, RSAPrivateKey):
        if native.key_size < MIN_RSA_BITS:
            return "key_too_small"
        private = native.private_numbers()
        # Sorted, because the primes of a JWK that leaves them out are recovered in either order.
        kind, key, numbers = "RSA", RSAKey.import_key(native), sorted((private.p, private.q))
    elif isinstance(native, EllipticCurvePrivateKey) and native.curve.name in _CURVES:
        key = ECKey.import_key(native)
        kind, numbers = key.curve_name, [native.private_numbers().private_value]
    elif isinstance(native, Ed25519PrivateKey):
        kind, key, numbers = "Ed25519", OKPKey.import_key(native), [int.from_bytes(native.private_bytes_raw())]
    else:
        return "key_unsupported"
    if jwk.get("use") not in {None, "sig"} or "sign" not in (jwk.get("key_ops") or ["sign"]):
        return "key_use"
    kid, alg = jwk.get("kid"), jwk.get("alg")
    return SigningKey(
        key=key,
        kind=kind,
        material=Redacted(":".join([kind, *(f"{number:x}" for number in numbers)])),
        kid=kid if isinstance(kid, str) else None,
        alg=alg if isinstance(alg, str) else None,
    )
