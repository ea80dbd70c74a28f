"""A provider that costs next to nothing, for `load.py`: what is measured beside it is the client.

    python benchmarks/load_provider.py --interval 2 --polls 4

It prints its issuer, serves on this machine until its standard input ends, and then prints how many connections it had
and how many polls. HTTP as little as well-behaved clients need, over bare asyncio; credentials are not looked at.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import sys
import time
from urllib.parse import parse_qs

from attrs import define, field
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

#: The level that Idura names for a Swedish login by phone.
ACR = "urn:grn:authn:se:bankid:caller-authentication"


def encode(data: bytes) -> str:
    """As base64url."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def answer(status: int, members: object) -> bytes:
    """One whole response."""
    body = json.dumps(members, separators=(",", ":")).encode()
    head = f"HTTP/1.1 {status} {'OK' if status < 300 else 'Bad Request'}\r\nContent-Type: application/json\r\n"  # noqa: PLR2004 - the class of status codes
    return f"{head}Cache-Control: no-store\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@define
class Books:
    """All that it knows.

    Attributes:
        issuer: Itself.
        polls: How many an order needs; 0 for one that nobody ever answers.
        interval: Seconds between them.
        orders: Of each order the polls so far, the person's number and the client.
        asked: All polls.
        connections: All that were opened.
    """

    issuer: str
    polls: int
    interval: int
    expires_in: int
    orders: list[tuple[str, str]] = field(factory=list)
    counts: list[int] = field(factory=list)
    asked: int = 0
    connections: int = 0
    key: ec.EllipticCurvePrivateKey = field(factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    pending: bytes = answer(400, {"error": "authorization_pending", "error_description": "OUTSTANDING_TRANSACTION"})

    def metadata(self) -> dict[str, object]:
        """The discovery document."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "backchannel_authentication_endpoint": f"{self.issuer}/ciba/bc-authorize",
            "token_endpoint": f"{self.issuer}/oauth2/token",
            "jwks_uri": f"{self.issuer}/.well-known/jwks",
            "id_token_signing_alg_values_supported": ["ES256"],
            "backchannel_token_delivery_modes_supported": ["poll"],
            "grant_types_supported": ["urn:openid:params:grant-type:ciba"],
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
        }

    def keys(self) -> dict[str, object]:
        """The key set."""
        numbers = self.key.public_key().public_numbers()
        point = {"x": encode(numbers.x.to_bytes(32)), "y": encode(numbers.y.to_bytes(32))}
        return {"keys": [{"kty": "EC", "crv": "P-256", "kid": "1", "alg": "ES256", "use": "sig", **point}]}

    def order(self, form: bytes) -> bytes:
        """Accept one."""
        members = {name: values[0] for name, values in parse_qs(form.decode()).items()}
        self.orders.append((members["login_hint"].rpartition(":")[2], members["client_id"]))
        self.counts.append(0)
        acknowledgement = {
            "auth_req_id": f"order-{len(self.orders) - 1:032}",
            "expires_in": self.expires_in,
            "interval": self.interval,
        }
        return answer(200, acknowledgement)

    def poll(self, form: bytes) -> bytes:
        """Answer one."""
        self.asked += 1
        begin = form.index(b"auth_req_id=order-") + len("auth_req_id=order-")
        nth = int(form[begin : begin + 32])
        self.counts[nth] += 1
        return self.pending if self.counts[nth] != self.polls else self._tokens(nth)

    def _tokens(self, nth: int) -> bytes:
        number, client_id = self.orders[nth]
        now = int(time.time())
        claims = {
            "iss": self.issuer, "aud": client_id, "identityscheme": "sebankid", "authenticationtype": ACR,
            "sub": f"{{{nth:032x}}}", "ssn": number, "name": "Nobody At All", "country": "SE",
            "iat": now, "nbf": now, "exp": now + 1200, "sessionindex": f"{nth:032x}",
        }  # fmt: skip
        signed = ".".join(encode(json.dumps(part).encode()) for part in ({"alg": "ES256", "kid": "1"}, claims))
        r, s = decode_dss_signature(self.key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        token = f"{signed}.{encode(r.to_bytes(32) + s.to_bytes(32))}"
        return answer(
            200, {"id_token": token, "access_token": f"access-{nth}", "token_type": "Bearer", "expires_in": 120}
        )


class Connection(asyncio.Protocol):
    """One connection: whole requests in, whole answers out."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._buffer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """One more."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._books.connections += 1

    def data_received(self, data: bytes) -> None:
        """Perhaps a whole request."""
        self._buffer += data
        while True:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._buffer[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 : head.find(b"\r\n", at) if b"\r\n" in head[at:] else None]) if at >= 0 else 0
            if len(self._buffer) < end + 4 + length:
                return
            body, self._buffer = self._buffer[end + 4 : end + 4 + length], self._buffer[end + 4 + length :]
            reply = self._answer(head, body)
            if b"\r\nconnection: close" in head:
                self._transport.write(reply.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
                self._transport.close()
                return
            self._transport.write(reply)

    def _answer(self, head: bytes, body: bytes) -> bytes:
        books, path = self._books, head.split(b" ", 2)[1]
        if path == b"/oauth2/token":
            return books.poll(body)
        if path == b"/ciba/bc-authorize":
            return books.order(body)
        return answer(200, books.keys() if path.endswith(b"jwks") else books.metadata())


async def serve(polls: int, interval: int, expires_in: int) -> None:
    """Until standard input ends."""
    loop = asyncio.get_running_loop()
    books = Books("", polls, interval, expires_in)
    server = await loop.create_server(lambda: Connection(books), "127.0.0.1", 0, backlog=65535)
    books.issuer = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    print(books.issuer, flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    print(json.dumps({"connections": books.connections, "polls": books.asked}), flush=True)


def main() -> None:
    """Read the options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--polls", type=int, default=0)
    parser.add_argument("--interval", type=int, default=1)
    parser.add_argument("--expires-in", type=int, default=600)
    options = parser.parse_args()
    asyncio.run(serve(options.polls, options.interval, options.expires_in))


if __name__ == "__main__":
    main()
