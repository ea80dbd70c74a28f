"""A chat bot that verifies people: progress in one message, cancelling, and several people at once.

`Chat` is as much of a chat platform's client as a bot needs; that of Slack, Discord or Matrix has the same two calls.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from idura_ciba import AlreadyPending, CibaClient, CibaError, EidRequest, Transaction


class Chat(Protocol):
    """A chat platform's client."""

    async def post(self, channel: str, text: str) -> str:
        """Post a message; returns its id."""
        ...

    async def edit(self, channel: str, message: str, text: str) -> None:
        """Replace the text of a message."""
        ...


class Bot:
    """Verifies people in channels, one in each channel at a time."""

    def __init__(self, ciba: CibaClient, chat: Chat, language: str = "en") -> None:
        self._ciba = ciba
        self._chat = chat
        self._language = language
        self._logins: dict[str, Transaction] = {}

    async def verify(self, channel: str, request: EidRequest) -> None:
        """Ask somebody, and keep one message up to date until it is over."""
        try:
            login = await self._ciba.start(request, reference=f"channel {channel}")
        except AlreadyPending:
            await self._chat.post(channel, "This person is being asked already.")
            return
        except CibaError as error:
            await self._chat.post(channel, f"Nobody was asked: {error.what}.")
            return
        self._logins[channel] = login
        words = f"Read these words to the person: *{login.spoken_words}*\n" if login.spoken_words else ""
        message = await self._chat.post(channel, words + "…")
        async for update in login.updates():
            await self._chat.edit(channel, message, words + update.phase.text(self._language))
        outcome = await login.outcome()
        if outcome.authentication is not None and not outcome.authentication.person_confirmed:
            await self._chat.post(channel, "Approved, but the eID did not say by whom.")
        if self._logins.get(channel) is login:
            del self._logins[channel]

    async def cancel(self, channel: str) -> None:
        """Stop asking; the prompt stays on the phone until it expires."""
        login = self._logins.pop(channel, None)
        if login is None:
            await self._chat.post(channel, "Nobody is being asked here.")
        else:
            login.abandon()

    async def verify_all(self, people: dict[str, EidRequest]) -> None:
        """Ask several people, each in a channel of their own."""
        async with asyncio.TaskGroup() as group:
            for channel, request in people.items():
                group.create_task(self.verify(channel, request))
