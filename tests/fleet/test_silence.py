"""Tests of hanging up on whoever says nothing."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from idura_ciba.fleet.silence import SILENCE, hanging_up


@pytest.fixture(name="pair")
def _pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a line."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(0)
        yield ours, theirs


async def test_whoever_says_nothing_is_hung_up_on(pair: tuple[socket.socket, socket.socket]) -> None:
    """Both ends notice, and whoever made the connection can still close it."""
    ours, theirs = pair
    with hanging_up(ours):
        await asyncio.sleep(SILENCE - 0.1)
        with pytest.raises(BlockingIOError):
            theirs.recv(1)
        await asyncio.sleep(0.2)
    assert theirs.recv(1) == ours.recv(1) == b""


async def test_whoever_answers_in_time_is_not(pair: tuple[socket.socket, socket.socket]) -> None:
    """Nor later, while nobody waits."""
    ours, theirs = pair
    with hanging_up(ours):
        await asyncio.sleep(SILENCE - 0.1)
    await asyncio.sleep(SILENCE)
    ours.send(b"x")
    assert theirs.recv(1) == b"x"


async def test_a_line_that_is_closed_already_is_left_alone(pair: tuple[socket.socket, socket.socket]) -> None:
    """Whatever its library says of that."""
    with hanging_up(pair[0]):
        pair[0].close()
        await asyncio.sleep(2 * SILENCE)
