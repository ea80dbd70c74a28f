"""Fuzzes everything that reads what comes from outside, guided by coverage.

    python benchmarks/fuzz_parsers.py --seconds 300

atheris (the dependency group `bench`) makes bytes that reach ever more branches of the library, and of joserfc and
authlib below it. The first byte says who reads the rest: the two answers of CIBA, the discovery document, the key
set, a token as it is, a token with any header and claims under a signature that fits, or a resume token. Each reader
may return or raise an error of the library. The run fails on any other exception, on an approval of anybody but the
person who was asked, on a resume token that was not sealed, on an input that takes seconds, and on 2 GB of memory.

The program prints how often and how far it came, and exits with 1 when something was found, and with 2 without atheris.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import io
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

try:
    import atheris
except ImportError:
    print("fuzz_parsers needs atheris, which has wheels for some Pythons only: pip install --group bench")
    sys.exit(2)

# atheris tells each module that it instruments.
with (
    contextlib.redirect_stderr(io.StringIO()),
    atheris.instrument_imports(include=["idura_ciba", "joserfc", "authlib"]),
):
    from joserfc import jws
    from joserfc.jwk import ECKey

    from idura_ciba.aio.clock import Clock
    from idura_ciba.eids.person import PersonTags
    from idura_ciba.errors import CibaError, RemoteProtocolError, ResumeError
    from idura_ciba.http.provider import Endpoints, Provider
    from idura_ciba.protocol.answers import Tokens, parse_authentication_response, parse_token_response
    from idura_ciba.protocol.documents import parse_discovery, parse_jwks
    from idura_ciba.protocol.http import HttpRequest, HttpResponse
    from idura_ciba.redaction import Redacted
    from idura_ciba.testing import VirtualLoop
    from idura_ciba.transaction.resume import Checkpoint, Sealer
    from idura_ciba.trust.expectation import Demand, Expectation
    from idura_ciba.trust.id_token import IdTokenVerifier
    from idura_ciba.trust.jwks import JwksCache

ISSUER, CLIENT_ID, AUTH_REQ_ID, NOW = "https://fuzz.idura.broker", "urn:fuzz", "b2d1-4e11", 1_750_000_000.0
PERSON, EID, STRANGER = "209801011231", "urn:grn:authn:se:bankid", "200001010000"
#: Fixed, so that a finding can be repeated; worth nothing.
KEY = ECKey.import_key({
    "kty": "EC", "crv": "P-256", "kid": "1",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    "d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI",
})  # fmt: skip  # the example key of RFC 7515 appendix A.3
JWKS = json.dumps({"keys": [KEY.as_dict(private=False)]}).encode()
CLAIMS = {
    "iss": ISSUER, "aud": CLIENT_ID, "sub": "{1}", "iat": int(NOW), "exp": int(NOW) + 1200, "ssn": PERSON,
    "authenticationtype": EID,
}  # fmt: skip
TAGS = PersonTags(b"k" * 32)
EXPECTED = Expectation(
    Demand((EID,), None, require_acr=True, identity=(("ssn",),), identity_guaranteed=True, require_person=False),
    TAGS.tag(("ssn",), PERSON),
    NOW,
)
CLOCK = Clock(wall=lambda: NOW)
SEALER = Sealer(ISSUER, CLIENT_ID, b"k" * 32)
RESUME_TOKEN = SEALER.seal(
    Checkpoint(
        auth_req_id=Redacted(AUTH_REQ_ID), person=b"tag", expected=EXPECTED, requested_at=NOW, acknowledged_at=NOW,
        expires_in=120.0, interval=3.0, not_before=NOW, heard_at=NOW, in_doubt=False, polls=1, spoken_words=None,
    )
)  # fmt: skip
#: Virtual, because a token with an unknown `kid` waits seconds before the keys are fetched again.
LOOP = VirtualLoop()


class Canned:
    """A transport that answers every request with the same key set."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def send(self, _request: HttpRequest) -> HttpResponse:
        """Answer."""
        return HttpResponse(200, {}, self._body, 0.0, 0.0)

    async def aclose(self) -> None:
        """Nothing to release."""


def key_cache(body: bytes) -> JwksCache:
    """The cache of a client whose issuer publishes this."""
    transport = Canned(body)
    uri = f"{ISSUER}/keys"
    endpoints = Endpoints(backchannel_authentication_endpoint=uri, token_endpoint=uri, jwks_uri=uri)
    provider = Provider(ISSUER, transport=transport, endpoints=endpoints)
    return JwksCache(provider, transport=transport, clock=CLOCK)


VERIFIER = IdTokenVerifier(ISSUER, CLIENT_ID, key_cache(JWKS), TAGS, CLOCK, algorithms=frozenset({"ES256"}))

# --- the readers ------------------------------------------------------------------------------------------------------


def answer_of(data: bytes) -> HttpResponse:
    """Half a kilobyte of headers at most, then the body; the first byte chooses the status."""
    status = (200, 200, 400, 400, 401, 403, 429, 503)[data[0] % 8] if data else 200
    head, _, body = data[1:].partition(b"\n\n")
    fields = (line.partition(":") for line in head[:512].decode("latin-1").split("\n"))
    return HttpResponse(status, {name.lower(): value for name, _, value in fields}, body, 0.0, 0.0)


def acknowledgement(data: bytes) -> None:
    """The answer to an authentication request."""
    parse_authentication_response(answer_of(data), wall=NOW)


def token_answer(data: bytes) -> None:
    """The answer to a poll; its token, where there is one, is verified too."""
    answer = parse_token_response(answer_of(data), wall=NOW)
    if isinstance(answer, Tokens):
        verify(answer)


def discovery(data: bytes) -> None:
    """A discovery document."""
    with contextlib.suppress(RemoteProtocolError):
        parse_discovery(HttpResponse(200, {}, data, 0.0, 0.0), issuer=ISSUER)


def key_set(data: bytes) -> None:
    """A key set, and the import of each key in it."""
    with contextlib.suppress(RemoteProtocolError):
        parse_jwks(HttpResponse(200, {}, data, 0.0, 0.0))
        LOOP.run_until_complete(key_cache(data).find(None))


def raw_token(data: bytes) -> None:
    """A token as it is."""
    verify(tokens_of(data.decode("utf-8", "surrogateescape")))


def signed_token(data: bytes) -> None:
    """Any header and claims, under a signature of the issuer's key."""
    header, _, payload = data.partition(b"\n\n")
    message = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (header, payload))
    signature = jws.JWSRegistry(algorithms=["ES256"]).get_alg("ES256").sign(message, KEY)
    verify(tokens_of(f"{message.decode()}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"))


def resume_token(data: bytes) -> None:
    """A resume token."""
    text = data.decode("utf-8", "surrogateescape")
    try:
        SEALER.open(text)
    except ResumeError:
        return
    # Another spelling of the same JSON is the same token: the seal is over what it says.
    if json.loads(text) != json.loads(RESUME_TOKEN):
        raise AssertionError("a resume token that nobody sealed was opened")


def tokens_of(id_token: str) -> Tokens:
    """A token response around it."""
    return Tokens(Redacted(id_token), Redacted("access"), "Bearer", None, {})


def verify(tokens: Tokens) -> None:
    """Verify; whoever is approved must be the person who was asked, by this issuer and for this client."""
    try:
        login = LOOP.run_until_complete(VERIFIER.verify(tokens, expected=EXPECTED, auth_req_id=AUTH_REQ_ID))
    except CibaError:
        return
    level = login.acr or ""
    if (login.claims["ssn"], login.claims["iss"], level == EID or level.startswith(f"{EID}:")) != (
        PERSON,
        ISSUER,
        True,
    ):
        raise AssertionError("an approval that proves nothing")


READERS: tuple[Callable[[bytes], None], ...] = (
    acknowledgement, token_answer, discovery, key_set, raw_token, signed_token, resume_token,
)  # fmt: skip


def read(data: bytes) -> None:
    """What atheris calls."""
    if data:
        READERS[data[0] % len(READERS)](data[1:])


# --- the run ----------------------------------------------------------------------------------------------------------


def seeds() -> list[bytes]:
    """One good input or more for each reader, so that the fuzzer need not find JSON by itself."""
    header = b'{"alg":"ES256","kid":"1","typ":"JWT"}\n\n'
    late = b"\0retry-after:5\ndate:Mon, 01 Jan 2026 00:00:00 GMT\n\n"
    inputs = [
        (acknowledgement, late + b'{"auth_req_id":"1","expires_in":"120","interval":3,"bindingMessage":"x"}'),
        (acknowledgement, b'\2\n\n{"error":"unknown_user_id","error_description":"x"}'),
        (token_answer, b'\2\n\n{"error":"slow_down","interval":9}'),
        (token_answer, b'\0\n\n{"id_token":"a.b.c","access_token":"x","expires_in":1}'),
        (discovery, json.dumps({"issuer": ISSUER, "jwks_uri": "x", "token_endpoint": "y"}).encode()),
        (key_set, JWKS),
        (key_set, b'{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"},{"kty":"OKP","crv":"Ed25519","x":"AA"}]}'),
        (raw_token, b"eyJhbGciOiJFUzI1NiJ9.e30.AA"),
        (signed_token, header + json.dumps(CLAIMS).encode()),
        (signed_token, header + json.dumps({**CLAIMS, "ssn": STRANGER}).encode()),
        (signed_token, header + json.dumps({**CLAIMS, "aud": [CLIENT_ID], "at_hash": "x", "acr": EID}).encode()),
        (resume_token, RESUME_TOKEN.encode()),
    ]
    return [bytes([READERS.index(reader)]) + data for reader, data in inputs]


def fuzz(seconds: int) -> int:
    """Run the fuzzer, which ends its process, in a process of its own; say what came of it."""
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder, "corpus")
        corpus.mkdir()
        for nth, seed in enumerate(seeds()):
            Path(corpus, str(nth)).write_bytes(seed)
        limits = [f"-max_total_time={seconds}", "-max_len=8192", "-timeout=5", "-rss_limit_mb=2048"]
        command = [sys.executable, __file__, "--run", str(corpus), f"-artifact_prefix={folder}/", *limits]
        began = time.monotonic()
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, errors="replace", check=False)
        found = next((path for path in Path(folder).iterdir() if path.is_file()), None)
        if done.returncode or found:
            print("\n".join(line for line in done.stderr.splitlines() if line[:1] not in {"#", ""}))
            print(f"found: an input that must not do this, {found.read_bytes()!r}" if found else "the fuzzer failed")
        runs = re.findall(r"^#(\d+)\s.*cov: (\d+) ft: (\d+) corp: (\d+)", done.stderr, re.MULTILINE)
        executions, coverage, features, inputs = runs[-1] if runs else ("0", "0", "0", "0")
        print(f"{executions} executions in {time.monotonic() - began:.0f} s over {len(READERS)} readers;")
        print(f"coverage {runs[0][1] if runs else 0} -> {coverage} branches, {features} features, {inputs} inputs kept")
        print(f"{'':<44}{'demanded':>10}{'reached':>10}")
        print(f"{'errors other than those of the library':<44}{0:>10}{int(bool(done.returncode or found)):>10}")
        return int(bool(done.returncode or found))


def main() -> int:
    """Fuzz, or be the process that is fuzzed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--run", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run is None:
        return fuzz(options.seconds)
    atheris.Setup([sys.argv[0], *options.run], read)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
