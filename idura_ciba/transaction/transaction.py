"""What a caller holds of a person being asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Mapping
from typing import Any

from idura_ciba.protocol.machine import State
from idura_ciba.redaction import Redacted
from idura_ciba.transaction.driver import Driver
from idura_ciba.transaction.outcome import Outcome, Update
from idura_ciba.trust.authentication import Authentication

__all__ = ["Transaction"]


class Transaction:
    """A person being asked. `await` it for the login.

    Made by `CibaClient.start` and `CibaClient.resume`. Any number of tasks may await it; cancelling one of them never
    cancels the transaction.
    """

    __slots__ = ("__weakref__", "_driver")

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def __repr__(self) -> str:
        """The random name and the state; nothing of the person."""
        return f"<Transaction {self.id} {self.state.value}>"

    @property
    def id(self) -> str:
        """A random name for logs; says nothing about the person and opens nothing."""
        return self._driver.id

    @property
    def reference(self) -> str | None:
        """The caller's own name for it, as given to `CibaClient.start`; it survives resuming."""
        return self._driver.caller.reference

    @property
    def state(self) -> State:
        """Where the transaction stands."""
        return self._driver.state

    @property
    def spoken_words(self) -> Redacted | None:
        """Words to read to the person before anything else happens (Norwegian BankID), or None."""
        return self._driver.said.spoken_words

    @property
    def members(self) -> Mapping[str, Any]:
        """What else the provider said when it accepted the request: the members of its answer that are none of ours.

        For providers with extensions, such as a code to show. Foreign words, which a repr hides; they may name the
        person. Empty after resuming: a resume token holds no more than it must.
        """
        return self._driver.said.members

    @property
    def prompt_until(self) -> float | None:
        """Seconds since the epoch at which the prompt is gone from the phone at the latest.

        None once the provider has finished with it. An abandoned prompt stays until then, and so does one that expired
        by this clock only.
        """
        return self._driver.prompt_gone_at

    @property
    def trace_id(self) -> str | None:
        """The provider's trace id of its latest answer."""
        return self._driver.trace_id

    @property
    def resume_token(self) -> Redacted | None:
        """Resumes this transaction in `CibaClient.resume`, in this process or another; a secret.

        None once the provider has given its final answer. If this process polls on after a token was taken, a poll may
        use up the answer, and the resumed transaction ends `indeterminate`; close the client first to avoid that.
        """
        return self._driver.resume_token()

    @property
    def on_doubt(self) -> Callable[[bool], None] | None:
        """Called with True before each poll leaves, and with False once its answer is known not to be lost.

        For callers who must know after a crash whether an answer may be lost. No poll leaves when it raises.
        """
        return self._driver.on_doubt

    @on_doubt.setter
    def on_doubt(self, listen: Callable[[bool], None] | None) -> None:
        self._driver.on_doubt = listen

    def updates(self, *, polls: bool = False, until: asyncio.Event | None = None) -> AsyncIterator[Update]:
        """Progress: the present state at once, then each change once, the final state last.

        A slow reader misses steps in between, and never the latest.

        Args:
            polls: Whether the beginning and the end of each poll count as changes. Without it only what people can see
                does: the state, the provider's word and its phase, and the end of the prompt.
            until: Ends the iteration once it is set, so that a stream can end when the server does. The login goes on.

        Raises:
            StateError: At the first step, outside the client's event loop.
        """
        return self._driver.updates(polls=polls, until=until)

    async def outcome(self) -> Outcome:
        """Wait for the end and return it as a value; never raises what the transaction ended with.

        Raises:
            StateError: Outside the client's event loop, unless it has ended.
        """
        return await self._driver.outcome()

    def __await__(self) -> Generator[Any, None, Authentication]:
        """Wait for the login.

        Raises:
            Denied: The person said no.
            Expired: Nobody answered in time.
            Indeterminate: An answer was lost, or the provider was not heard near the end.
            Abandoned: Somebody called `abandon()`, or the timeout of this login passed.
            HandedOver: Somebody closed the client; the login can be resumed.
            ProviderError: The provider refused to go on.
            IdTokenRejected: The provider's token proves nothing.
            CibaError: Everything else that ended it.
        """
        outcome = yield from self._driver.outcome().__await__()
        return outcome.result()

    def abandon(self) -> None:
        """Stop asking. The prompt stays on the person's phone until it expires: CIBA has no cancel endpoint.

        An approval given after this is lost, unless somebody resumes with the resume token. Does nothing at the end.

        Raises:
            StateError: Outside the client's event loop; use `loop.call_soon_threadsafe(transaction.abandon)` there.
        """
        self._driver.abandon()
