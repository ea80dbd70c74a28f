"""Every forgery of an ID token that the tests and `benchmarks/faults_and_forgeries.py` try."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from attrs import evolve
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from idura_ciba.trust.id_token import AUTH_REQ_ID_CLAIM
from tests.encrypted_forgeries import encrypted_forgeries
from tests.fakes import PrivateKey, b64, json_bytes, private_key, public_jwk, sign, unb64
from tests.id_tokens import (
    ABSENT,
    AUTH_REQ_ID,
    CLAIMS,
    CLIENT,
    EXPIRES,
    FREJA_CLAIMS,
    FREJA_IDENTITY,
    HASHED,
    HEADER,
    ISSUED,
    ISSUER,
    KID,
    NORWEGIAN,
    OTHER_SSN,
    SSN,
    SUBJECT,
    SWEDISH,
    Case,
    header_of,
    issuer_key,
)


def spelled_otherwise(part: int) -> Callable[[str], str]:
    """Sets spare bits at the end of a part: the same bytes, another text."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

    def twist(token: str) -> str:
        parts = token.split(".")
        assert len(parts[part]) % 4
        parts[part] = parts[part][:-1] + alphabet[alphabet.index(parts[part][-1]) + 1]
        assert unb64(parts[part]) == unb64(token.split(".")[part])
        return ".".join(parts)

    return twist


def twisted_signature(change: Callable[[bytes], bytes]) -> Callable[[str], str]:
    """Changes the bytes of the signature."""

    def twist(token: str) -> str:
        message, _, signature = token.rpartition(".")
        return f"{message}.{b64(change(unb64(signature)))}"

    return twist


def as_der(signature: bytes) -> bytes:
    """How everybody but JOSE writes an ECDSA signature."""
    half = len(signature) // 2
    return encode_dss_signature(int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big"))


def plus_modulus(signature: bytes) -> bytes:
    """The same number modulo n, and no RSA signature."""
    key = issuer_key("RS256").public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    return (int.from_bytes(signature, "big") + key.public_numbers().n).to_bytes(257, "big")


def public_pem(form: PublicFormat, encoding: Encoding = Encoding.PEM) -> bytes:
    """The issuer's public key as a file, which an attacker has too."""
    return issuer_key("RS256").public_key().public_bytes(encoding, form)


def hmac_with(secret: Callable[[], bytes], alg: str = "HS256") -> Case:
    """The old trick: the public key, known to everybody, as the secret of an HMAC."""
    return Case(
        header={"alg": alg}, signer=lambda data: sign(alg, secret(), data), algorithms=frozenset({"RS256", "ES256"})
    )


def payload_with(text: bytes) -> Case:
    """A payload that is good but for the text of one more member."""
    return Case(payload=json_bytes(CLAIMS)[:-1] + b"," + text + b"}")


def deep(depth: int) -> bytes:
    """JSON that is all brackets."""
    return b'{"x":' + b"[" * depth + b"]" * depth + b"}"


def one_key(key: PrivateKey, **members: object) -> Callable[[], list[dict[str, Any]]]:
    """A key set of one key."""
    return lambda: [public_jwk(key, **{"kid": KID, **members})]


FORMAT: Mapping[str, Case] = {
    "no dots": Case(twist=lambda token: token.replace(".", "")),
    "two parts": Case(twist=lambda token: token.rpartition(".")[0]),
    "stripped of its signature": Case(twist=lambda token: token.rpartition(".")[0] + "."),
    "four parts": Case(twist=lambda token: f"{token}.AAAA"),
    "six parts": Case(twist=lambda token: f"{token}.AAAA.AAAA.AAAA"),
    "a hundred thousand parts": Case(twist=lambda token: token + "." * 100_000),
    "empty payload": Case(payload=b""),
    "detached payload": Case(twist=lambda token: ".".join([token.split(".")[0], "", token.split(".")[2]])),
    "empty": Case(twist=lambda _: "."),
    "JSON serialisation": Case(twist=lambda token: f'{{"payload":"{token}"}}'),
    "padded header": Case(twist=lambda token: token.replace(".", "=.", 1)),
    "padded signature": Case(twist=lambda token: f"{token}=="),
    "spare bits in the payload": Case(claims={"pad": "x"}, twist=spelled_otherwise(1)),
    "spare bits in the signature": Case(twist=spelled_otherwise(2)),
    "spare bits in the header": Case(header={"typ": ABSENT}, twist=spelled_otherwise(0)),
    "a length that base64 does not have": Case(twist=lambda token: token[:-1]),
    "the standard alphabet": Case(twist=lambda token: f"{token[:-4]}+/A="),
    "line break at the end": Case(twist=lambda token: f"{token}\n"),
    "space at the beginning": Case(twist=lambda token: f" {token}"),
    "line break inside": Case(twist=lambda token: f"{token[:-4]}\r\n{token[-4:]}"),
    "NUL": Case(twist=lambda token: f"{token[:-1]}\0"),
    "a letter beyond ASCII": Case(twist=lambda token: f"{token[:-1]}é"),
    "a digit beyond ASCII": Case(twist=lambda token: f"{token[:-1]}\u0661"),
    "a lone surrogate": Case(twist=lambda token: f"{token[:-1]}\ud800"),
}
HEADERS: Mapping[str, Case] = {
    "not JSON": Case(header_text=b"alg=RS256"),
    "a list": Case(header_text=b'["alg","RS256"]'),
    "a string": Case(header_text=b'"RS256"'),
    "null": Case(header_text=b"null"),
    "alg twice": Case(header_text=b'{"alg":"none","alg":"RS256"}'),
    "kid twice": Case(header_text=b'{"alg":"RS256","kid":"1","kid":"%s"}' % KID.encode()),
    "byte order mark": Case(header_text=b"\xef\xbb\xbf" + json_bytes(HEADER)),
    "UTF-16": Case(header_text=json_bytes(HEADER).decode().encode("utf-16")),
    "bad UTF-8": Case(header_text=b'{"alg":"RS256","kid":"\xff"}'),
    "too long": Case(header={"kid": "k" * 2048}),
    "too long by one": Case(header=header_of(2049)),
    "too deep": Case(header_text=deep(40_000)[:2000]),
    "nested": Case(header_text=deep(500)),
    "alg in capitals": Case(header={"ALG": "none"}),
    "kid in capitals": Case(header={"KID": "other"}),
    "a member with rules in capitals": Case(header={"Crit": ["exp"]}),
}
MEMBERS: Mapping[str, Mapping[str, Any]] = {
    "crit": {"known": ["exp"], "empty": [], "number": 1, "nested": [[]], "numbers": [1], "b64": ["b64"]},
    "b64": {"false": False, "true": True},
    "jwk": {"its own": public_jwk(issuer_key("RS256", 1)), "null": None},
    "jku": {"elsewhere": "https://evil.example/jwks", "its own": f"{ISSUER}/jwks"},
    "x5u": {"elsewhere": "https://evil.example/cert"},
    "x5c": {"its own": ["MIIB"], "empty": []},
    "zip": {"deflate": "DEF"},
    "enc": {"gcm": "A128GCM"},
    "cty": {"nested": "JWT"},
    "url": {"of ACME": "https://evil.example"},
    "nonce": {"of DPoP": "n"},
    "typ": {
        "access token": "at+jwt",
        "access token as a media type": "application/at+jwt",
        "logout token": "logout+jwt",
        "client assertion": "client-authentication+jwt",
        "another media type": "text/jwt",
        "a beginning": "JW",
        "empty": "",
        "list": ["JWT"],
        "null": None,
    },
    "kid": {"number": 1, "list": [KID], "null": None, "object": {}, "another": "other", "lower case": KID.lower()},
    "alg": {
        "none": "none",
        "None": "None",
        "NONE": "NONE",
        "nOnE": "nOnE",
        "empty": "",
        "missing": ABSENT,
        "null": None,
        "list": ["RS256"],
        "number": 256,
        "object": {"RS256": 1},
        "with a space": "RS256 ",
        "lower case": "rs256",
        **{alg: alg for alg in HASHED if alg != "RS256"},
        **{alg: alg for alg in ("HS256", "HS384", "HS512", "ES256K", "Ed448", "RSA-OAEP", "dir", "RS1")},
    },
}
SIGNATURES: Mapping[str, Case] = {
    "of somebody else": Case(key=issuer_key("RS256", 1)),
    "of another token": Case(
        twist=lambda token: f"{token.rpartition('.')[0]}.{Case().token.rpartition('.')[2]}", claims={"ssn": OTHER_SSN}
    ),
    "for another payload": Case(
        twist=lambda token: ".".join(
            [token.split(".")[0], b64(json_bytes({**CLAIMS, "ssn": OTHER_SSN})), token.split(".")[2]]
        )
    ),
    "for another header": Case(
        twist=lambda token: ".".join([b64(json_bytes({"alg": "RS256", "kid": KID})), *token.split(".")[1:]])
    ),
    "of the payload without its header": Case(
        signer=lambda data: sign("RS256", issuer_key("RS256"), data.split(b".")[1])
    ),
    "one bit off": Case(twist=twisted_signature(lambda data: bytes([data[0] ^ 1]) + data[1:])),
    "cut short": Case(twist=twisted_signature(lambda data: data[:-1])),
    "with a zero in front": Case(twist=twisted_signature(lambda data: b"\0" + data)),
    "with a zero behind": Case(twist=twisted_signature(lambda data: data + b"\0")),
    "plus the modulus": Case(twist=twisted_signature(plus_modulus)),
    "all zeros": Case(signer=lambda _: bytes(256)),
    "one": Case(signer=lambda _: bytes(255) + b"\1"),
    "one byte": Case(signer=lambda _: b"\0"),
    "as long as a novel": Case(signer=lambda _: bytes(100_000)),
    "by the other padding": Case(signer=lambda data: sign("PS256", issuer_key("RS256"), data)),
    "by the other padding the other way round": Case(
        alg="PS256", signer=lambda data: sign("RS256", issuer_key("RS256"), data)
    ),
    "by the other hash": Case(signer=lambda data: sign("RS512", issuer_key("RS256"), data)),
    "an HMAC": Case(signer=lambda data: sign("HS256", public_pem(PublicFormat.SubjectPublicKeyInfo), data)),
    "EC of somebody else": Case(alg="ES256", key=issuer_key("ES256", 1)),
    "EC as DER": Case(alg="ES256", twist=twisted_signature(as_der)),
    "EC of zeros": Case(alg="ES256", signer=lambda _: bytes(64)),
    "EC with its halves swapped": Case(alg="ES256", twist=twisted_signature(lambda data: data[32:] + data[:32])),
    "EC with a zero in each half": Case(
        alg="ES256", twist=twisted_signature(lambda data: b"\0" + data[:32] + b"\0" + data[32:])
    ),
    "EC with ones": Case(alg="ES256", signer=lambda _: b"\xff" * 64),
    "Ed25519 of somebody else": Case(alg="EdDSA", key=issuer_key("EdDSA", 1)),
    "Ed25519 of zeros": Case(alg="EdDSA", signer=lambda _: bytes(64)),
    "Ed25519 cut short": Case(alg="EdDSA", twist=twisted_signature(lambda data: data[:-1])),
    # The group order added to the scalar: the same to a verifier that does not look.
    "Ed25519 malleated": Case(
        alg="EdDSA",
        twist=twisted_signature(
            lambda data: (
                data[:32]
                + (int.from_bytes(data[32:], "little") + 2**252 + 27742317777372353535851937790883648493).to_bytes(
                    32, "little"
                )
            )
        ),
    ),
}
KEYS: Mapping[str, Case] = {
    "none published": Case(keys=list),
    "of another name": Case(keys=lambda: [public_jwk(issuer_key("RS256"), kid="other")]),
    "for encryption": Case(keys=one_key(issuer_key("RS256"), use="enc")),
    "of no known use": Case(keys=one_key(issuer_key("RS256"), use=["sig"])),
    "for signing only": Case(keys=one_key(issuer_key("RS256"), key_ops=["sign"])),
    "for another algorithm": Case(keys=one_key(issuer_key("RS256"), alg="PS256")),
    "for the other name of an Edwards curve": Case(keys=one_key(issuer_key("RS256"), alg="Ed25519")),
    "for key transport": Case(keys=one_key(issuer_key("RS256"), alg="RSA-OAEP")),
    "too weak": Case(key=private_key("RSA-1024"), keys=one_key(private_key("RSA-1024"))),
    "of another kind": Case(keys=one_key(issuer_key("ES256"))),
    "of another kind the other way round": Case(alg="ES256", keys=one_key(issuer_key("RS256"))),
    "on another curve": Case(alg="ES256", key=private_key("P-384"), keys=one_key(private_key("P-384"))),
    "on a curve of Bitcoin": Case(alg="ES256", key=private_key("secp256k1"), keys=one_key(private_key("secp256k1"))),
    "on another Edwards curve": Case(alg="Ed25519", key=private_key("Ed448"), keys=one_key(private_key("Ed448"))),
    "for key agreement": Case(
        alg="EdDSA", keys=lambda: [{**public_jwk(issuer_key("EdDSA"), kid=KID), "crv": "X25519"}]
    ),
    "of the other kind of Edwards": Case(alg="Ed25519", keys=one_key(issuer_key("Ed25519"), alg="Ed448")),
    "symmetric": Case(
        keys=lambda: [{"kty": "oct", "k": b64(b"s" * 32), "kid": KID}],
        signer=lambda data: sign("HS256", b"s" * 32, data),
    ),
}
SECRETS: Mapping[str, Case] = {
    "PEM": hmac_with(lambda: public_pem(PublicFormat.SubjectPublicKeyInfo)),
    "PEM without its last line break": hmac_with(lambda: public_pem(PublicFormat.SubjectPublicKeyInfo).strip()),
    "PEM of PKCS1": hmac_with(lambda: public_pem(PublicFormat.PKCS1)),
    "DER": hmac_with(lambda: public_pem(PublicFormat.SubjectPublicKeyInfo, Encoding.DER)),
    "JWK": hmac_with(lambda: json_bytes(public_jwk(issuer_key("RS256"), kid=KID))),
    "modulus": hmac_with(lambda: unb64(public_jwk(issuer_key("RS256"))["n"])),
    "nothing": hmac_with(lambda: b""),
    "PEM for HS512": hmac_with(lambda: public_pem(PublicFormat.SubjectPublicKeyInfo), "HS512"),
}
#: JSON values that are nothing where a text or an instant should be.
JUNK: Mapping[str, Any] = {"null": None, "list": [], "object": {}, "true": True, "false": False}
INSTANTS: Mapping[str, Any] = {
    **JUNK,
    "text": str(EXPIRES),
    "text of a date": "2024-05-22T11:01:41Z",
    "list of one": [EXPIRES],
    "negative": -1,
    "of four thousand digits": 10**4000,
    "in the year 5138": 10**11,
    "huge and no integer": 1e300,
}
VALUES: Mapping[str, Mapping[str, Any]] = {
    "iss": {
        **JUNK,
        "missing": ABSENT,
        "other": "https://evil.example",
        "slash": f"{ISSUER}/",
        "capitals": ISSUER.upper(),
        "http": ISSUER.replace("https", "http"),
        "port": f"{ISSUER}:443",
        "below": f"{ISSUER}.evil.example",
        "list of one": [ISSUER],
        "space": f"{ISSUER} ",
        "empty": "",
    },
    "aud": {
        **JUNK,
        "missing": ABSENT,
        "other": "urn:other",
        "empty": "",
        "list of another": ["urn:other"],
        "list with another": [CLIENT, "urn:other"],
        "list with another first": ["urn:other", CLIENT],
        "list with itself twice": [CLIENT, CLIENT],
        "nested list": [[CLIENT]],
        "object": {CLIENT: 1},
        "beginning": CLIENT[:-1],
        "longer": f"{CLIENT}:x",
        "capitals": CLIENT.upper(),
        "number": 1,
    },
    "azp": {**JUNK, "other": "urn:other", "empty": "", "list of one": [CLIENT]},
    "sub": {
        **JUNK,
        "missing": ABSENT,
        "empty": "",
        "of 256 characters": "s" * 256,
        "not ASCII": "Å",
        "number": 1,
        "list of one": [SUBJECT],
    },
    "exp": {
        **INSTANTS,
        "missing": ABSENT,
        "zero": 0,
        "at the leeway's end": ISSUED + 1 - 60,
        "a second ago": 1716374400,
    },
    "iat": {
        **INSTANTS,
        "missing": ABSENT,
        "zero": 0,
        "beyond the leeway": ISSUED + 1 + 61,
        "a week ago": ISSUED - 7 * 86400,
        "before the request": ISSUED - 10 - 61,
    },
    "nbf": {**INSTANTS, "beyond the leeway": ISSUED + 1 + 61},
    "nonce": {**JUNK, "text": "n-0S6_WzA2Mj", "empty": ""},
    "at_hash": {
        **JUNK,
        "empty": "",
        "another": "Wt0kVFXMacqvnHeyU0001w",
        "list of it": ["45R57qeVSXoptMFsX7qfyA"],
        "a part": "45R57qeVSXop",
        "padded": "45R57qeVSXoptMFsX7qfyA==",
        "not ASCII": "é",
        "the whole hash": b64(b"\0" * 32),
    },
    AUTH_REQ_ID_CLAIM: {
        **JUNK,
        "another": "3857f8ff-21b9-48ae-a732-a3bd8128a7af",
        "list of it": [AUTH_REQ_ID],
        "empty": "",
    },
    "authenticationtype": {
        **JUNK,
        "another eID": NORWEGIAN,
        "a segment that only begins alike": f"{SWEDISH}x",
        "another separator": f"{SWEDISH}.substantial",
        "shorter": SWEDISH.rpartition(":")[0],
        "capitals": SWEDISH.upper(),
        "empty": "",
        "list of it": [SWEDISH],
        "hidden in front": f"x:{SWEDISH}",
        "line break": f"{SWEDISH}\n",
    },
    "acr": {
        **JUNK,
        "another eID": NORWEGIAN,
        "a segment that only begins alike": f"{SWEDISH}x",
        "empty": "",
        "number": 3,
    },
    "ssn": {
        "another person": OTHER_SSN,
        "ten digits": SSN[2:],
        "hyphen": f"{SSN[:8]}-{SSN[8:]}",
        "space": f"{SSN} ",
        "line break": f"{SSN}\n",
        "number": int(SSN),
        "list of it": [SSN],
        "object with it": {"ssn": SSN},
        "empty": "",
        "true": True,
        "zero": 0,
        "Arabic-Indic digits": SSN.translate({ord("0") + n: 0x0660 + n for n in range(10)}),
        "full-width digits": SSN.translate({ord("0") + n: 0xFF10 + n for n in range(10)}),
        "NUL": f"{SSN}\0",
    },
    "amr": {"text": "mfa", "number": 1},
    "auth_time": {"text": "yesterday", "list": [1]},
    "jti": {"number": 1, "null": None},
}
PAYLOADS: Mapping[str, Case] = {
    "not JSON": Case(payload=b"sub=1"),
    "a list": Case(payload=b"[%s]" % json_bytes(CLAIMS)),
    "a string": Case(payload=b'"x"'),
    "a number": Case(payload=b"1"),
    "null": Case(payload=b"null"),
    "cut short": Case(payload=json_bytes(CLAIMS)[:-1]),
    "with something behind": Case(payload=json_bytes(CLAIMS) + b"{}"),
    "ssn twice": payload_with(b'"ssn":"%s"' % OTHER_SSN.encode()),
    "aud twice": payload_with(b'"aud":"urn:other"'),
    "sub twice by an escape": payload_with(rb'"s\u0075b":"x"'),
    "twice in depth": payload_with(b'"x":{"y":1,"y":2}'),
    "NaN": payload_with(b'"x":NaN'),
    "Infinity": payload_with(b'"x":-Infinity'),
    "a number without end": payload_with(b'"x":1e400'),
    "a number of five thousand digits": payload_with(b'"x":' + b"9" * 5000),
    "too deep": payload_with(deep(40_000)[1:-1]),
    "byte order mark": Case(payload=b"\xef\xbb\xbf" + json_bytes(CLAIMS)),
    "UTF-16": Case(payload=json_bytes(CLAIMS).decode().encode("utf-16")),
    "a lone surrogate": Case(claims={"sub": "\ud800"}),
    "a lone surrogate in depth": Case(claims={"x": [{"\udfff": 1}]}),
    "Latin-1": payload_with(b'"x":"\xe9"'),
    "compressed": Case(payload=zlib.compress(json_bytes(CLAIMS))),
    "a JWS within": Case(payload=Case().token.encode()),
}
FREJA = Case(claims=FREJA_CLAIMS, identity=FREJA_IDENTITY, expected={"acr_values": ("urn:grn:authn:se:frejaid",)})


def freja(**changes: object) -> Case:
    """A Freja token with other details."""
    return evolve(FREJA, claims={**FREJA_CLAIMS, "details": {"requestedAttributes": changes}})


def forgeries() -> Iterator[tuple[str, str, Case]]:
    """Of form, key and registered claims: a name, the claim or header member at fault, the case."""
    tables = {
        "format": FORMAT,
        "header": HEADERS,
        "signature": SIGNATURES,
        "kid": KEYS,
        "alg": SECRETS,
        "payload": PAYLOADS,
    }
    for claim, table in tables.items():
        for name, case in table.items():
            yield f"{claim}: {name}", claim, case
    for claim, values in MEMBERS.items():
        for name, value in values.items():
            yield f"header {claim}: {name}", claim, Case(header={claim: value})
    for claim, values in VALUES.items():
        for name, value in values.items():
            yield f"{claim}: {name}", claim, Case(claims={claim: value})
    yield "five parts", "encryption", Case(twist=lambda token: f"{token}.AAAA.AAAA")
    yield "none without a signature", "format", Case(header={"alg": "none"}, signer=lambda _: b"")
    yield "too long by one", "size", Case(max_size=len(Case().token) - 1)
    yield "a megabyte of dots", "size", Case(twist=lambda _: "." * (1024 * 1024 + 1))
    yield (
        "at_hash without an access token",
        "at_hash",
        Case(claims={"at_hash": "45R57qeVSXoptMFsX7qfyA"}, access_token=None),
    )
    for name in ("x5t", "x5t#S256"):
        yield f"{name} that is no text", name, Case(header={name: None})
    yield "expired when it was issued", "exp", Case(claims={"exp": ISSUED, "nbf": ABSENT})
    yield "expired before it was issued", "exp", Case(claims={"exp": ISSUED - 5, "nbf": ABSENT})
    for name in (" ", "a\nb", "a\x00", "\x7f"):
        yield f"sub that is {name!r}", "sub", Case(claims={"sub": name})


def audiences() -> Iterator[tuple[str, str, Case]]:
    """Of tokens for several, at a client that trusts some of them."""
    trusting = Case(trusted_audiences=frozenset({"urn:api", "urn:app"}))
    for name, audience in {
        "the trusted one alone": "urn:api",
        "a list of the trusted one": ["urn:api"],
        "one too many": [CLIENT, "urn:api", "urn:other"],
        "the trusted one twice": [CLIENT, "urn:api", "urn:api"],
        "itself twice": [CLIENT, CLIENT, "urn:api"],
        "a part of a trusted name": [CLIENT, "urn:ap"],
        "one text of both": f"{CLIENT} urn:api",
        "a nested list": [CLIENT, ["urn:api"]],
        "nobody": [],
    }.items():
        yield f"aud beside trusted ones: {name}", "aud", evolve(trusting, claims={"aud": audience, "azp": CLIENT})
    for name, party in {"missing": ABSENT, "the other": "urn:api", "null": None, "both": [CLIENT, "urn:api"]}.items():
        claims = {"aud": [CLIENT, "urn:api"], "azp": party}
        yield f"azp with several audiences: {name}", "azp", evolve(trusting, claims=claims)


def contradictions() -> Iterator[tuple[str, str, Case]]:
    """Of audience, level, eID and person."""
    yield from audiences()
    yield "no level", "acr", Case(claims={"authenticationtype": ABSENT})
    for tail in (":", "::x", ":\n", ":a b", ":é"):
        yield f"level extended by {tail!r}", "authenticationtype", Case(claims={"authenticationtype": SWEDISH + tail})
    for first, second in (("high", "low"), ("high", "higher")):
        yield (
            f"two levels that contradict each other: {first}, {second}",
            "acr",
            Case(claims={"authenticationtype": f"{SWEDISH}:{first}", "acr": f"{SWEDISH}:{second}"}),
        )
    yield (
        "two eIDs at once, both asked for",
        "acr",
        Case(expected={"acr_values": (SWEDISH, NORWEGIAN)}, claims={"acr": NORWEGIAN}),
    )
    yield (
        "no level where one is pinned",
        "acr",
        Case(
            claims={"authenticationtype": ABSENT}, expected={"pin_acr": SWEDISH, "acr_values": (), "require_acr": False}
        ),
    )
    pinned = {"pin_acr": f"{SWEDISH}:substantial"}
    yield "less than the pinned level", "authenticationtype", Case(expected=pinned)
    yield (
        "more than the pinned level",
        "authenticationtype",
        Case(expected={"pin_acr": SWEDISH}, claims={"authenticationtype": f"{SWEDISH}:substantial"}),
    )
    yield (
        "two levels of which one is pinned",
        "acr",
        Case(expected={"pin_acr": SWEDISH}, claims={"acr": f"{SWEDISH}:high"}),
    )
    yield (
        "the trick with the segment",
        "authenticationtype",
        Case(expected={"acr_values": (NORWEGIAN,)}, claims={"authenticationtype": f"{NORWEGIAN}x"}),
    )
    for demand in ("identity_guaranteed", "require_person"):
        yield f"nobody where {demand}", "ssn", Case(claims={"ssn": ABSENT}, expected={demand: True})
        yield f"null where {demand}", "ssn", Case(claims={"ssn": None}, expected={demand: True})
    place = "details.requestedAttributes.ssn"
    yield "Freja: another person", f"{place}.ssn", freja(ssn={"ssn": OTHER_SSN, "country": "SE"})
    yield "Freja: another country", f"{place}.country", freja(ssn={"ssn": SSN, "country": "NO"})
    yield "Freja: a list", f"{place}.ssn", freja(ssn={"ssn": [SSN], "country": "SE"})
    for other in (OTHER_SSN, SSN, [{"ssn": SSN, "country": "SE"}], 1, False):
        yield f"Freja: {other!r} where an object belongs", f"{place}.ssn", freja(ssn=other)
    elsewhere = {("socialno",): SSN, ("country",): "SE", ("identityscheme",): "sebankid"}
    for claim, value in (
        ("socialno", OTHER_SSN),
        ("country", "NO"),
        ("identityscheme", "nobankid-oidc"),
        ("country", 1),
    ):
        yield (
            f"{claim} contradicts the rest with {value}",
            claim,
            Case(claims={claim: value}, expected={"identity_elsewhere": elsewhere}),
        )
    yield "Freja: nobody", f"{place}.ssn", evolve(freja(), expected={**FREJA.expected, "require_person": True})


FORGERIES = {name: (claim, case) for name, claim, case in (*forgeries(), *contradictions(), *encrypted_forgeries())}

#: By claim or header member: the code of its refusals, where all of them have the same.
CODES: Mapping[str, str] = {
    **dict.fromkeys(("ssn", "socialno", "country", "identityscheme"), "id_token_person"),
    **dict.fromkeys((f"details.requestedAttributes.ssn.{name}" for name in ("ssn", "country")), "id_token_person"),
    **dict.fromkeys(("authenticationtype", "acr"), "id_token_level"),
    **dict.fromkeys(("aud", "azp"), "id_token_audience"),
    **dict.fromkeys(("nonce", AUTH_REQ_ID_CLAIM), "id_token_other_login"),
    "alg": "id_token_signature",
    "iss": "id_token_issuer",
    "kid": "id_token_key",
    "signature": "id_token_signature",
    "size": "oversized",
}
#: The same by the reason, which is told first.
CODES_BY_REASON: Mapping[str, str] = {
    **dict.fromkeys(
        ("it is no text", "it is missing or no instant", "it had expired when it was issued"), "id_token_malformed"
    ),
    **dict.fromkeys(
        ("it has expired", "it lies in the future", "it was issued before this login was asked for"), "id_token_clock"
    ),
    "it is missing, so the token does not say who approved": "id_token_person_missing",
    "the token does not say which eID or level was used": "id_token_level_missing",
    "a member that could change the rules is not accepted": "id_token_malformed",
    "it is not one of the accepted encryptions": "id_token_encryption",
    "what is compressed is not inflated": "id_token_encryption",
    "it is encrypted for this client, which was given no key": "id_token_encrypted",
    "no key of this client opens it": "id_token_decryption",
    "the header of the encryption says something else": "id_token_malformed",
}


def code_of(claim: str, reason: str, case: Case) -> str:
    """What a program is told of a refusal."""
    if reason in CODES_BY_REASON:
        return CODES_BY_REASON[reason]
    if claim == "alg" and str(case.header.get("alg", case.alg)) in HASHED:
        return "id_token_algorithm"
    if claim == "at_hash":
        return "id_token_other_login" if reason == "it does not hold what it must" else "id_token_malformed"
    return CODES.get(claim, "id_token_malformed")


_NO_JSON = tuple(
    f"it is {rule}"
    for rule in (
        *("not JSON", "not a JSON object", "not UTF-8", "a member stands twice", "nested too deeply"),
        *("NaN or Infinity", "a number that is too large"),
    )
)
OTHER_RULES = "a member that could change the rules is not accepted"
_OUTER = "the header of the encryption says something else"
_NO_INSTANT, _FUTURE = "it is missing or no instant", "it lies in the future"
_AUTHLIB = "it does not hold what it must"
_LEVEL = ("it is no text", "it is another eID or level than was asked for")
_PIN = "it is not exactly the level that was demanded"
_PERSON = "it names another person or eID than was asked"
_NOBODY = "it is missing, so the token does not say who approved"
#: What a refusal says of each claim; members of the header that are not here have `OTHER_RULES`.
REASONS: Mapping[str, tuple[str, ...]] = {
    "format": ("it is not three parts of base64url", "a part is not canonical base64url"),
    "size": tuple(f"it is longer than {size} characters" for size in (1000, len(Case().token) - 1, 1024 * 1024)),
    "encryption": (
        "it is encrypted for this client, which was given no key",
        "no key of this client opens it",
        "what it encrypts is no signed token",
    ),
    "enc": (OTHER_RULES, "it is not one of the accepted encryptions"),
    "zip": (OTHER_RULES, "what is compressed is not inflated"),
    "cty": (OTHER_RULES, "it is another kind of token"),
    "header": ("it is longer than 2048 bytes", OTHER_RULES, *_NO_JSON),
    "payload": _NO_JSON,
    "alg": ("it is not one of the accepted algorithms", "it is not one of the accepted encryptions"),
    "typ": ("it is another kind of token",),
    "x5t": ("it is no text",),
    "x5t#S256": ("it is no text",),
    "kid": ("the issuer publishes no key of this name for this algorithm", "it is no text"),
    "signature": ("it was not made by the issuer's key",),
    "iss": ("it is another issuer's", _OUTER),
    "aud": ("it is not for this client alone", _OUTER),
    "azp": ("it was issued to another party",),
    "sub": ("it is missing or no text of at most 255 printable ASCII characters", _OUTER),
    "jti": ("it is no text",),
    "nonce": (OTHER_RULES, "nobody asked for one"),
    "exp": (_NO_INSTANT, "it has expired", "it had expired when it was issued"),
    "iat": (_NO_INSTANT, _FUTURE, "it was issued before this login was asked for"),
    "nbf": (_NO_INSTANT, _FUTURE),
    "at_hash": ("it is no text, or there is no access token to compare", _AUTHLIB),
    "amr": (_AUTHLIB,),
    "auth_time": (_AUTHLIB,),
    AUTH_REQ_ID_CLAIM: ("it belongs to another transaction",),
    "authenticationtype": (*_LEVEL, _PIN),
    "acr": (
        *(*_LEVEL, _PIN, "it contradicts authenticationtype"),
        "the token does not say which eID or level was used",
    ),
    "socialno": (_PERSON,),
    "country": (_PERSON,),
    "identityscheme": (_PERSON,),
    "ssn": (_PERSON, _NOBODY),
    "details.requestedAttributes.ssn.ssn": (_PERSON, _NOBODY),
    "details.requestedAttributes.ssn.country": (_PERSON,),
}
