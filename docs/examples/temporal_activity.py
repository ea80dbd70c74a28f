"""An activity of Temporal that verifies somebody: an attempt that dies is gone on with, and the phone rings once.

    worker = Worker(client, task_queue="verification", activities=[Verification(ciba, person_of, keep).verify], ...)

    state = await workflow.execute_activity(
        "verify", "case 4711", result_type=str,
        start_to_close_timeout=timedelta(minutes=20),  # longer than a prompt lives
        heartbeat_timeout=timedelta(seconds=15),  # three times BEAT; without it nobody notices a death
    )

Heartbeats carry the resume token, and each attempt gets the last one of the attempt before. The token is in the very
first heartbeat, because the SDK sends that one at once and holds later ones back for 0.8 of the timeout; when an
attempt fails, the last one always arrives. An attempt after the first that gets none does not ask: the one before may
have, and nobody knows.

Temporal keeps what activities take and return readable. So the case is passed and not the person, and the person's
claims go to `keep`. The token is sealed against changes, holds no number, and is worth nothing without the client's
credential; with a payload codec it cannot be read either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from temporalio import activity
from temporalio.exceptions import ApplicationError

from idura_ciba import AlreadyPending, Authentication, CibaClient, CibaError, EidRequest, State, Transaction
from idura_ciba.errors import TransportError

#: Seconds between heartbeats.
BEAT: Final = 5.0
#: In a heartbeat in place of a token: certainly nobody was asked, so the next attempt may ask.
NOT_ASKED: Final = "not asked"


class Verification:
    """The activity, with what its attempts on one worker share.

    Args:
        ciba: The client, with the same credential or `resume_secret` on each worker.
        person_of: Whom a case is about; of your own database.
        keep: Keeps who it was; in your own database.
    """

    def __init__(
        self,
        ciba: CibaClient,
        person_of: Callable[[str], EidRequest],
        keep: Callable[[str, Authentication], Awaitable[None]],
    ) -> None:
        self._ciba = ciba
        self._person_of = person_of
        self._keep = keep

    @activity.defn
    async def verify(self, case: str) -> str:
        """Verify the person of a case; returns how that ended."""
        login = await self._login(case)
        try:
            await self._beat(login)
            outcome = await login.outcome()
        finally:
            login.abandon()  # cancelled: poll no more here; the token is good for the next attempt
        if outcome.state is State.HANDED_OVER and outcome.error is not None:
            activity.heartbeat(outcome.error.resume_token)
            raise failure(outcome.error, again=True)
        if outcome.authentication is not None:
            await self._keep(case, outcome.authentication)
        return outcome.state.value

    async def _login(self, case: str) -> Transaction:
        """Go on with what an attempt before has begun, or begin."""
        details = activity.info().heartbeat_details
        token = details[0] if details else None
        if token is None and activity.info().attempt > 1:
            what = "an attempt before may have asked the person"
            raise ApplicationError(what, type="interrupted", non_retryable=True)
        try:
            if token not in {None, NOT_ASKED}:
                return await self._ciba.resume(str(token))
            return await self._ciba.start(self._person_of(case), reference=case)
        except (AlreadyPending, TransportError) as error:
            activity.heartbeat(token or NOT_ASKED)
            raise failure(error, again=True) from error
        except CibaError as error:
            raise failure(error, again=False) from error

    @staticmethod
    async def _beat(login: Transaction) -> None:
        """Give signs of life until the login ends."""
        ended = asyncio.ensure_future(login.outcome())
        try:
            while (token := login.resume_token) is not None and not ended.done():
                activity.heartbeat(token)
                await asyncio.wait({ended}, timeout=BEAT)
        finally:
            ended.cancel()


def failure(error: CibaError, *, again: bool) -> ApplicationError:
    """How Temporal is told; the sentences of an error hold nothing secret."""
    return ApplicationError(str(error), type=error.code, non_retryable=not again)
