"""What the provider's tokens say of one login: who it is, or why they prove nothing."""

from __future__ import annotations

import asyncio

from attrs import evolve

from idura_ciba import explain
from idura_ciba.aio.cancellation import is_cancelled
from idura_ciba.errors import CibaError
from idura_ciba.observe import VerificationEvent
from idura_ciba.protocol.answers import Tokens
from idura_ciba.redaction import Redacted
from idura_ciba.transaction.after_login import ProvedLogin
from idura_ciba.transaction.context import Context
from idura_ciba.trust.authentication import Authentication, proved
from idura_ciba.trust.binding import check_binding
from idura_ciba.trust.expectation import Expectation

__all__ = ["verified"]


async def verified(
    context: Context,
    tokens: Tokens,
    *,
    expected: Expectation,
    requested_at: float,
    auth_req_id: Redacted,
    trace_id: str | None,
    name: str,
    reference: str | None,
) -> Authentication | CibaError:
    """Verify the tokens of a login; what is wrong with them is returned and not raised.

    Args:
        context: What the logins of this client share.
        tokens: The provider's answer.
        expected: What the ID token must say, as of the request.
        requested_at: Monotonic instant at which the request was sent.
        auth_req_id: The login's id at the provider.
        trace_id: The trace id of the answer.
        name: That of the transaction, for observers.
        reference: The caller's own.
    """
    clock = context.clock
    asked_at = clock.monotonic()
    # A clock that is corrected while the person is being asked must not make the token look older than the request: the
    # earliest instant is by the wall clock of then or of now, whichever is behind.
    began_at = clock.wall() - (clock.monotonic() - requested_at)
    expected = evolve(expected, issued_from=min(expected.issued_from, began_at))
    result: Authentication | CibaError
    try:
        login = await context.verifier.verify(
            tokens, expected=expected, auth_req_id=auth_req_id, trace_id=trace_id, name=name
        )
        if confirmation := context.backchannel.confirmation:
            check_binding(tokens, login.claims, confirmation)
        result = proved(login, after=ProvedLogin(context, expected))
    except CibaError as error:
        result = explain.about_document(error, "after")
    except (Exception, asyncio.CancelledError) as error:
        if is_cancelled():
            raise
        result = explain.internal(error, "after")
    if context.observers:
        code, elapsed = getattr(result, "code", None), clock.monotonic() - asked_at
        context.observers.tell(VerificationEvent(name, code, elapsed, reference, clock.wall()))
    return result
