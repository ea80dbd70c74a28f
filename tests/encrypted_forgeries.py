"""Every forgery of an encrypted ID token; `tests/forgeries.py` tries them with the others."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from attrs import evolve

from idura_ciba.credentials.decryption_key import DecryptionKeys
from tests.fakes import b64, encrypt, json_bytes, private_key, public_jwk, sign, unb64
from tests.id_tokens import ABSENT, CLAIMS, CLIENT, ISSUER, OTHER_SSN, Case, encrypted_case, issuer_key

AGREED = ("ECDH-ES", "A128GCM")


def part(nth: int, change: Callable[[bytes], bytes]) -> Callable[[str], str]:
    """Changes the bytes of one of the five parts."""

    def twist(token: str) -> str:
        parts = token.split(".")
        parts[nth] = b64(change(unb64(parts[nth])))
        return ".".join(parts)

    return twist


def flipped(data: bytes) -> bytes:
    """One bit of it is other."""
    return data[:-1] + bytes([data[-1] ^ 1])


def header_member(name: str, change: Callable[[Any], Any]) -> Callable[[str], str]:
    """Changes a member of the finished header, which its encryption authenticates."""
    return part(0, lambda data: json_bytes((header := json.loads(data)) | {name: change(header.get(name))}))


def only(*, alg: str = "RSA-OAEP-256", enc: str = "A256GCM", kind: str = "RSA") -> DecryptionKeys:
    """What a client accepts that has registered one pair."""
    return DecryptionKeys(private_key(kind, 5), alg=[alg], enc=[enc])  # type: ignore[arg-type]  # no key of Ed448


def named(kid: str, nth: int = 5) -> DecryptionKeys:
    """A key that has an id."""
    key = private_key("P-256", nth).private_numbers().private_value  # type: ignore[union-attr]
    return DecryptionKeys({**public_jwk(private_key("P-256", nth), kid=kid), "d": b64(key.to_bytes(32))})


#: By the member at fault.
MEMBERS: Mapping[str, Mapping[str, Case]] = {
    "alg": {
        **{
            f"{alg} that was not agreed": encrypted_case(alg, kind="RSA")
            for alg in (
                *("RSA1_5", "RSA-OAEP", "RSA-OAEP-512", "dir", "A256KW", "A256GCMKW", "PBES2-HS256+A128KW", "none"),
                *("rsa-oaep-256", "RS256", "ECDH-ES+A192KW", "ECDH-1PU", "HPKE-0", ""),
            )
        },
        "another than the one registered": encrypted_case(
            *AGREED, keys=lambda: only(alg="ECDH-ES+A256KW", enc="A128GCM", kind="P-256")
        ),
        "absent": encrypted_case(header={"alg": ABSENT}),
        "a list": encrypted_case(header={"alg": ["RSA-OAEP-256"]}),
        "null": encrypted_case(header={"alg": None}),
        "PBES2 of a billion rounds": encrypted_case(
            "PBES2-HS512+A256KW", kind="RSA", header={"p2s": "AAAA", "p2c": 10**9}
        ),
    },
    "enc": {
        **{
            f"{enc} that was not agreed": encrypted_case(header={"enc": enc})
            for enc in ("A192GCM", "A256CBC-HS512", "A192CBC-HS384", "A128CBC", "none", "a128gcm", "")
        },
        "another than the one registered": encrypted_case(enc="A128GCM", keys=only),
        "absent": encrypted_case(header={"enc": ABSENT}),
        "an object": encrypted_case(header={"enc": {}}),
    },
    "zip": {
        "DEF": encrypted_case(header={"zip": "DEF"}, content=lambda token: zlib.compress(token.encode())[2:-4]),
        "a bomb": encrypted_case(header={"zip": "DEF"}, content=lambda _: zlib.compress(bytes(10**6))[2:-4]),
        "null": encrypted_case(header={"zip": None}),
    },
    "crit": {
        "unknown": encrypted_case(header={"crit": ["exp"], "exp": 1}),
        "known": encrypted_case(header={"crit": ["alg"]}),
        "empty": encrypted_case(header={"crit": []}),
        "a number": encrypted_case(header={"crit": 1}),
    },
    **{
        name: {"there": encrypted_case(header={name: value})}
        for name, value in {
            "jwk": public_jwk(private_key("P-256", 6)),
            "jku": "https://evil.example/jwks",
            "x5u": "https://evil.example/x5u",
            "x5c": ["AAAA"],
            "p2c": 1000,
            "p2s": "AAAA",
            "b64": False,
            "skid": "x",
        }.items()
    },
    "header": {
        "ALG in capitals": encrypted_case(header={"ALG": "dir"}),
        "Zip": encrypted_case(header={"Zip": "DEF"}),
        "Iss": encrypted_case(header={"Iss": ISSUER}),
        "no JSON": encrypted_case(twist=part(0, lambda _: b"alg=dir")),
        "alg twice": encrypted_case(twist=part(0, lambda data: b'{"alg":"dir",' + data[1:])),
        "too long": encrypted_case(header={"x": "x" * 2048}),
    },
    "kid": {"a number": encrypted_case(header={"kid": 1})},
    "typ": {"at+jwt": encrypted_case(header={"typ": "at+jwt"}), "a number": encrypted_case(header={"typ": 1})},
    "cty": {
        "JSON": encrypted_case(header={"cty": "application/json"}),
        "null": encrypted_case(header={"cty": None}),
    },
    "format": {
        "padded": encrypted_case(twist=lambda token: token.replace(".", "=.", 1)),
        "no header": encrypted_case(twist=lambda token: "!" + token),
    },
}
#: Where nobody but the holder of the key could say why.
UNOPENED: Mapping[str, Case] = {
    "another key": encrypted_case(keys=lambda: DecryptionKeys(private_key("RSA", 6))),  # type: ignore[arg-type]
    "another key of a curve": encrypted_case(*AGREED, keys=lambda: DecryptionKeys(private_key("P-256", 6))),  # type: ignore[arg-type]
    "a key of another curve": encrypted_case(*AGREED, keys=lambda: DecryptionKeys(private_key("P-384", 6))),  # type: ignore[arg-type]
    "a key of another kind": encrypted_case(*AGREED, keys=lambda: DecryptionKeys(private_key("RSA", 5))),  # type: ignore[arg-type]
    "a kid that is another key's": encrypted_case(*AGREED, {"kid": "theirs"}, keys=lambda: named("ours")),
    "a changed header": encrypted_case(twist=header_member("x", lambda _: 1)),
    "an exchanged enc": encrypted_case(enc="A256GCM", twist=header_member("enc", lambda _: "A128CBC-HS256")),
    **{
        f"a changed part {nth} under {enc}": encrypted_case(enc=enc, twist=part(nth, flipped))
        for nth in (1, 2, 3, 4)
        for enc in ("A128CBC-HS256", "A256GCM")
    },
    **{f"part {nth} is empty": encrypted_case(enc="A128GCM", twist=part(nth, lambda _: b"")) for nth in (1, 2, 3, 4)},
    **{
        f"a tag of {size} bytes under {enc}": encrypted_case(enc=enc, twist=part(4, lambda tag, size=size: tag[:size]))  # type: ignore[misc]
        for size in (4, 12, 15)
        for enc in ("A128CBC-HS256", "A256GCM")
    },
    "a tag that is longer": encrypted_case(twist=part(4, lambda tag: tag + b"\0")),
    "a longer iv": encrypted_case(enc="A128GCM", twist=part(2, lambda iv: iv + b"\0")),
    "a content key that is too short": encrypted_case(enc="A256GCM", cek=bytes(16)),
    "a content key that is too long": encrypted_case(enc="A128GCM", cek=bytes(32)),
    "a key where there must be none": encrypted_case(*AGREED, twist=part(1, lambda _: bytes(16))),
    "no ephemeral key": encrypted_case(*AGREED, {"epk": ABSENT}),
    "an ephemeral key that is text": encrypted_case(*AGREED, {"epk": "AAAA"}),
    "an ephemeral key without coordinates": encrypted_case(*AGREED, {"epk": {"kty": "EC", "crv": "P-256"}}),
    "an ephemeral key of another curve": encrypted_case(*AGREED, {"epk": public_jwk(private_key("P-384", 5))}),
    "an ephemeral point that is not on the curve": encrypted_case(
        *AGREED, twist=header_member("epk", lambda epk: {**epk, "y": b64(flipped(unb64(epk["y"])))})
    ),
    "an ephemeral point of low order": encrypted_case(
        *AGREED, {"epk": {"kty": "OKP", "crv": "X25519", "x": b64(bytes(32))}}, kind="X25519"
    ),
    "apu that is a number": encrypted_case(*AGREED, {"apu": 7}),
    "five parts of nothing": encrypted_case(twist=lambda token: token.split(".")[0] + "...."),
}
#: What is inside is judged like any other token.
INSIDE: Mapping[str, tuple[str, Case]] = {
    "claims without a signature": ("encryption", encrypted_case(content=lambda _: json_bytes(CLAIMS))),
    "nothing": ("encryption", encrypted_case(content=lambda _: b"")),
    "another encrypted token": (
        "encryption",
        encrypted_case(
            content=lambda token: encrypt(token.encode(), private_key("RSA", 5), "RSA-OAEP-256", "A128GCM").encode()
        ),
    ),
    "bytes": ("encryption", encrypted_case(content=lambda _: b"\xff.\xfe.\xfd")),
    "three empty parts": ("format", encrypted_case(content=lambda _: b"..")),
    "an unsecured token": (
        "format",
        encrypted_case(inner=Case(header={"alg": "none"}, signer=lambda _: b"")),
    ),
    "alg none": ("alg", encrypted_case(inner=Case(header={"alg": "none"}))),
    "an HMAC": (
        "alg",
        encrypted_case(inner=Case(header={"alg": "HS256"}, signer=lambda data: sign("HS256", b"known", data))),
    ),
    "a token of another issuer": ("iss", encrypted_case(inner=Case(claims={"iss": "https://evil.example"}))),
    "a signature of somebody else": ("signature", encrypted_case(inner=Case(key=issuer_key("RS256", 1)))),
    "a token for another client": ("aud", encrypted_case(inner=Case(claims={"aud": "urn:other"}))),
    "another person": ("ssn", encrypted_case(inner=Case(claims={"ssn": OTHER_SSN}))),
    "a critical member": ("crit", encrypted_case(inner=Case(header={"crit": ["exp"]}))),
    "a compressed one": ("zip", encrypted_case(inner=Case(header={"zip": "DEF"}))),
    "another issuer than the header says": ("iss", encrypted_case(header={"iss": "https://evil.example"})),
    "another audience than the header says": ("aud", encrypted_case(header={"aud": [CLIENT]})),
    "another sub than the header says": ("sub", encrypted_case(header={"sub": "somebody"})),
}


def encrypted_forgeries() -> Iterator[tuple[str, str, Case]]:
    """A name, the claim or header member at fault, the case."""
    for member, table in MEMBERS.items():
        for name, case in table.items():
            yield f"encrypted, {member}: {name}", member, case
    for name, case in UNOPENED.items():
        yield f"encrypted, {name}", "encryption", case
    for name, (claim, case) in INSIDE.items():
        yield f"encrypted, inside: {name}", claim, case
    yield "encrypted, too long", "size", evolve(encrypted_case(), max_size=1000)
    yield "encrypted, and no key", "encryption", encrypted_case(keys=lambda: None)
