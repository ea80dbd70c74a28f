"""What errors and outcomes mean for a batch: are they about one person, or about everybody?"""

from __future__ import annotations

from typing import Final

from idura_ciba import explain
from idura_ciba.batch.store import Entry, Phase
from idura_ciba.errors import (
    CibaError,
    ClientRejected,
    Indeterminate,
    JournalError,
    LocalProtocolError,
    ProviderError,
    RemoteProtocolError,
    ResumeError,
    StateError,
    TransportError,
    UsageError,
)
from idura_ciba.protocol.machine import State
from idura_ciba.transaction.outcome import Outcome

__all__ = [
    "asked_often",
    "ends_run",
    "is_about_all",
    "is_about_client",
    "is_lost",
    "is_unclear",
    "is_unknown",
    "too_late",
]

#: OAuth errors about the client, whoever is asked (RFC 6749 section 5.2, CIBA Core 1.0 section 13).
_CLIENT: Final = frozenset({"invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope"})
#: OAuth errors about one person (CIBA Core 1.0 section 13).
_PERSON: Final = frozenset({"unknown_user_id", "expired_login_hint_token", "missing_user_code", "invalid_user_code"})


def is_about_client(error: CibaError | None) -> bool:
    """Return whether the provider does not allow this client to ask, or to fetch an answer."""
    if isinstance(error, ProviderError) and error.error in _CLIENT:
        # The generic code would not tell a program why nobody was asked.
        error.code = error.error
        return True
    return isinstance(error, ClientRejected)


def is_about_all(error: CibaError, *, sent: bool) -> bool:
    """Return whether nobody was asked, for a reason that concerns all requests.

    Args:
        error: What starting a login has raised.
        sent: The request was about to leave.
    """
    if isinstance(error, UsageError):
        return isinstance(error, StateError)
    if not sent or isinstance(error, JournalError | LocalProtocolError) or is_about_client(error):
        # The provider's documents are unavailable, or no request can be journaled, signed or accepted.
        return True
    if isinstance(error, TransportError):
        return not error.maybe_sent
    # RFC 6585 section 4, RFC 9110 section 15.6.4: the request was not processed.
    return isinstance(error, ProviderError) and error.code == "busy"


def ends_run(error: CibaError) -> bool:
    """Return whether waiting cannot help against an error that concerns all requests."""
    return isinstance(error, JournalError | LocalProtocolError | UsageError) or is_about_client(error)


def is_unclear(error: CibaError | None) -> bool:
    """Return whether a refusal may be about one person or about all: `access_denied`, a gateway's 403, a redirect."""
    if isinstance(error, ProviderError):
        return error.error not in _PERSON
    return isinstance(error, RemoteProtocolError) and error.code == "redirect"


def is_lost(error: CibaError | None) -> bool:
    """Return whether nobody knows what became of a request. One may be chance; one after another is an outage."""
    return isinstance(error, Indeterminate | TransportError | RemoteProtocolError)


def is_unknown(entry: Entry) -> bool:
    """Return whether the answer of this person is unknown."""
    return entry.phase is Phase.INTENDED or entry.state == State.INDETERMINATE


def too_late(error: ResumeError) -> Outcome:
    """Return the outcome of a login that cannot be resumed."""
    if error.code != "resume_expired":
        return Outcome.not_begun(error)
    # Whether an answer was lost or nobody was there to fetch it: the person may have given one.
    return Outcome(State.INDETERMINATE, error=explain.interrupted("answering"))


def asked_often() -> Indeterminate:
    """Somebody whose answer stays unknown was asked again as often as anybody may be."""
    return Indeterminate(
        "this person was asked again before, and the answer is still unknown",
        code="asked_often",
        phone="The phone has not rung again",
        advice="reach the person in another way",
    )
