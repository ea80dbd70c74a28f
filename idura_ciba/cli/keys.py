"""New private keys, in the format that this package reads."""

from __future__ import annotations

from typing import Literal

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from idura_ciba.redaction import Redacted

__all__ = ["KeyAlg", "generate_key"]

#: Algorithms for a new key. Idura documents RS256; FAPI-CIBA 7.10 requires PS256 or ES256.
KeyAlg = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]

#: Enough until 2030 by NIST SP 800-57. Each poll needs a signature, and 3072 bits make it three times as slow.
RSA_BITS = 2048


def generate_key(alg: KeyAlg) -> Redacted:
    """Return a new private key as PEM (PKCS #8, unencrypted)."""
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
    match alg:
        case "RS256" | "RS384" | "RS512" | "PS256" | "PS384" | "PS512":
            key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
        case "ES256":
            key = ec.generate_private_key(ec.SECP256R1())
        case "ES384":
            key = ec.generate_private_key(ec.SECP384R1())
        case "ES512":
            key = ec.generate_private_key(ec.SECP521R1())
        case _:  # EdDSA
            key = ed25519.Ed25519PrivateKey.generate()
    return Redacted(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())
