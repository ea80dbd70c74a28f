"""Tests of the notification endpoint: what it reads, what it answers, and that it tells strangers nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, MutableMapping
from random import Random
from typing import Any

import pytest

from idura_ciba.errors import UsageError
from idura_ciba.ping import Ping, PingCounts, PingReceiver
from idura_ciba.ping.receiver import ANSWERS, MAX_BODY, attached
from idura_ciba.redaction import Redacted

BODY = b'{"auth_req_id": "an id"}'


class World:
    """A receiver with one login."""

    def __init__(self) -> None:
        self.receiver = PingReceiver()
        desk = attached(self.receiver, b"k" * 32)
        nonce, self.token = desk.issue(Random(1))
        self.woken: list[None] = []
        desk.expect(nonce, "an id", lambda: self.woken.append(None))
        self.other_token = desk.issue(Random(2))[1]
        desk.expect(desk.issue(Random(2))[0], "another id", lambda: None)

    def receive(self, body: bytes = BODY, *, method: str = "POST", fields: Iterable[str] | None = None) -> int:
        """Take a request that is a true ping but for the arguments."""
        return self.receiver.receive(method, [f"Bearer {self.token}"] if fields is None else fields, body)

    async def over_asgi(
        self, *parts: bytes, method: str = "POST", fields: Iterable[str] | None = None, gone: bool = False
    ) -> tuple[int, dict[bytes, bytes], int] | None:
        """The same over ASGI: the status, the header fields, and how many parts of the body were read."""
        sent: list[MutableMapping[str, Any]] = []
        messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
        messages += [{"type": "http.disconnect"}] if gone else [{"type": "http.request"}]
        left = iter(messages)
        read = 0

        async def receive() -> MutableMapping[str, Any]:
            nonlocal read
            read += 1
            return next(left)

        async def send(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        values = [f"Bearer {self.token}"] if fields is None else fields
        headers = [(b"host", b"rp.example"), *((b"Authorization", value.encode("latin-1")) for value in values)]
        await self.receiver({"type": "http", "method": method, "headers": headers}, receive, send)
        if not sent:
            return None
        assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
        assert sent[1]["body"] == b""
        return sent[0]["status"], dict(sent[0]["headers"]), read


@pytest.fixture(name="world")
async def _world() -> World:
    return World()


async def test_a_ping_is_answered_204(world: World) -> None:
    """Also when it is repeated; members that nobody knows are ignored, such as the tokens of push mode."""
    assert world.receive() == 204
    assert world.receive(b'{"auth_req_id": "an id", "id_token": "forged", "urn:x": [1]}') == 204
    assert world.receive(fields=[f"bEARER {world.token}"]) == 204
    assert world.woken == [None]
    assert world.receiver.counts == PingCounts(accepted=1, repeated=2)
    assert repr(world.receiver).startswith("<PingReceiver: 1 accepted, 2 repeated")


@pytest.mark.parametrize("body", [BODY, b'{"auth_req_id": "nobody"}', b"", b"{", b"x" * 2 * MAX_BODY])
async def test_a_stranger_learns_nothing(world: World, body: bytes) -> None:
    """A wrong or missing token is 401 whatever else there is, and another login's too, whether the id exists or not."""
    token = str(world.token)
    wrong = [
        [],
        [""],
        ["Bearer"],
        ["Bearer "],
        [token],
        [f"Basic {token}"],
        [f"Bearer  {token}"],
        [f"Bearer {token}="],
        [f"Bearer {token[:-1]}A" if token[-1] != "A" else f"Bearer {token[:-1]}B"],
        [f"Bearer {token}", f"Bearer {token}"],
        ["Bearer é"],
    ]
    for fields in wrong:
        assert world.receive(body, fields=fields) == 401
        assert await world.over_asgi(body, fields=fields) == (
            401,
            {b"content-length": b"0", b"www-authenticate": b"Bearer"},
            0,
        )
    assert world.woken == []
    assert world.receiver.counts == PingCounts(forged=2 * len(wrong))


@pytest.mark.parametrize("auth_req_id", ["an id", "nobody's id"])
async def test_another_logins_token_is_401(world: World, auth_req_id: str) -> None:
    """The same for an id that exists and one that does not."""
    body = json.dumps({"auth_req_id": auth_req_id}).encode()
    assert world.receive(body, fields=[f"Bearer {world.other_token}"]) == 401
    assert world.woken == []


async def test_the_token_stands_in_the_header_only(world: World) -> None:
    """Not in the body."""
    body = json.dumps({"auth_req_id": "an id", "access_token": world.token, "client_notification_token": world.token})
    assert world.receive(body.encode(), fields=[]) == 401


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b'{"auth_req_id": ""}',
        b'{"auth_req_id": 7}',
        b'{"auth_req_id": ["an id"]}',
        b'{"auth_req_id": "an id", "auth_req_id": "an id"}',
        b'\xef\xbb\xbf{"auth_req_id": "an id"}',
        b'{"auth_req_id": "an id"} ""',
        b'{"auth_req_id": "\\ud800"}',
        b'{"auth_req_id": "an id", "x": NaN}',
        b'{"auth_req_id": "an id", "x": ' + b"[" * 100 + b"]" * 100 + b"}",
        b"auth_req_id=an+id",
    ],
)
async def test_what_is_no_ping_is_400(world: World, body: bytes) -> None:
    """JSON is read as strictly as elsewhere."""
    assert world.receive(body) == 400
    assert world.woken == []
    assert world.receiver.counts == PingCounts(malformed=1)


async def test_a_body_is_bounded(world: World) -> None:
    """What is longer is refused, and over ASGI not read on."""
    padding = b" " * (MAX_BODY - len(BODY))
    assert world.receive(BODY + padding) == 204
    assert world.receive(BODY + padding + b" ") == 413
    answer = await world.over_asgi(*[b" " * MAX_BODY] * 5)
    assert answer is not None
    assert (answer[0], answer[2]) == (413, 2)


async def test_only_post_is_taken(world: World) -> None:
    """Nothing redirects."""
    for method in ("GET", "PUT", "HEAD"):
        assert world.receive(method=method) == 405
    assert await world.over_asgi(BODY, method="GET") == (405, {b"content-length": b"0", b"allow": b"POST"}, 0)
    assert not [status for status in ANSWERS if 300 <= status < 400]
    assert world.woken == []


async def test_asgi_delivers_a_ping(world: World) -> None:
    """In any number of parts; where the provider goes in the midst of it, nothing has happened."""
    assert await world.over_asgi(BODY[:5], gone=True) is None
    assert world.woken == []
    assert await world.over_asgi(BODY[:5], BODY[5:]) == (204, {}, 3)
    assert world.woken == [None]


@pytest.mark.parametrize(
    ("kind", "answers"),
    [("lifespan", ["lifespan.startup.complete", "lifespan.shutdown.complete"]), ("websocket", ["websocket.close"])],
)
async def test_other_protocols_of_asgi(world: World, kind: str, answers: list[str]) -> None:
    """A server that has nothing but the receiver can start and stop; nobody opens a web socket."""
    sent: list[str] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": kind}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message["type"])

    await world.receiver({"type": kind}, receive, send)
    assert sent == answers


async def test_a_ping_may_be_passed_on(world: World) -> None:
    """By the replica that got it to the one that has its login, which checks it again."""
    assert not world.receiver.take(Ping(Redacted("another id"), world.token))
    assert world.receiver.take(Ping(Redacted("an id"), world.token))
    assert not world.receiver.take(Ping(Redacted("an id"), world.token))
    assert world.woken == [None]


async def test_a_receiver_has_one_client(world: World) -> None:
    """And is one."""
    for wrong in (world.receiver, "receiver", None):
        with pytest.raises(UsageError) as caught:
            attached(wrong, b"k" * 32)  # type: ignore[arg-type]
        assert caught.value.code == "pings"
    assert PingReceiver().receive("POST", [f"Bearer {world.token}"], BODY) == 401
