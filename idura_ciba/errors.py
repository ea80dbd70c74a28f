"""Every error of this package, and nothing else.

    CibaError
    |- UsageError                     the call cannot work; nothing was sent
    |  |- ArgumentError (also ValueError)  an argument of it cannot
    |  |- StateError                  it is right in itself, but not now or not here
    |- TransportError                 no usable answer; `.maybe_sent` says whether bytes may have left
    |  |- TransportTimeout            none within the time allowed
    |- ProtocolError
    |  |- RemoteProtocolError         the provider's answer breaks the specification
    |  |- LocalProtocolError          a bug in this package: an event that the state does not allow
    |- ProviderError                  a well-formed OAuth error; `.error`, `.error_description`, `.status`
    |  |- ClientRejected              `invalid_client`: the provider does not accept your credentials
    |- NotAuthenticated               the person was asked and there is no login
    |  |- Denied                      the person said no
    |  |- Expired                     nobody answered, and the provider was heard till near the end; `.detected_by`
    |  |- Indeterminate               an answer may exist, but it is unknown
    |  |- Abandoned                   you stopped asking
    |  |- HandedOver                  you closed the client; the login can be resumed elsewhere
    |- IdTokenRejected                the ID token failed verification; `.claim` and `.reason`, never the token
    |- ResumeError                    this client cannot use the resume token
    |- JournalError                   the journal of a batch cannot be used
    |- StoreError                     the store that replicas share cannot be used

`AlreadyPending`, a `StateError`, is in `idura_ciba` beside the `Transaction` that it may have.

Each error says what happened, what it means for the person's phone and what to do, and has a stable `code`: one for
each outcome that a program must treat differently. docs/errors.md lists them all.
No error contains a national id, a secret, an assertion or a token, and every error can be pickled.
`authorization_pending` and `slow_down` are events of a pending transaction and are never raised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Callable

    from idura_ciba.redaction import Redacted

__all__ = [
    "Abandoned",
    "ArgumentError",
    "CibaError",
    "ClientRejected",
    "Denied",
    "Expired",
    "HandedOver",
    "IdTokenRejected",
    "Indeterminate",
    "JournalError",
    "LocalProtocolError",
    "NotAuthenticated",
    "ProtocolError",
    "ProviderError",
    "RemoteProtocolError",
    "ResumeError",
    "StateError",
    "StoreError",
    "TransportError",
    "TransportTimeout",
    "UsageError",
]


#: Where the documentation is; `pyproject.toml` and `mkdocs.yml` have the same, which a test holds.
DOCUMENTATION: Final = "https://idura-ciba.github.io/idura_ciba/"


def help_url(code: str) -> str:
    """Where the documentation explains a code."""
    return f"{DOCUMENTATION}errors/#{code}"


class CibaError(Exception):
    """The root of every error that leaves this package.

    Args:
        what: What happened, one sentence without its full stop.
        code: Stable, for programs to branch on; one for each situation.
        phone: What it means for the prompt on the person's phone.
        advice: What to do next.
    """

    #: The default of the class; many errors have a more exact one.
    code: str = "ciba_error"
    #: The provider's `Trace-Id` of the answer that led here; quote it to the provider's support.
    trace_id: str | None = None
    #: The provider's OAuth code that led here, verbatim, or None. Programs branch on `code`, which never changes.
    error: str | None = None
    #: The caller's own name for the login, as given to `CibaClient.start`.
    reference: str | None = None
    # The token, or a function that makes it: most are never read, and many logins may end at once.
    _resume_token: Redacted | Callable[[], Redacted] | None = None

    def __init__(self, what: str, *, code: str | None = None, phone: str = "", advice: str = "") -> None:
        # Only plain attributes and one positional argument: that is what lets every error pickle.
        super().__init__(what)
        self.what = what
        self.phone = phone
        self.advice = advice
        if code is not None:
            self.code = code

    @property
    def help_url(self) -> str:
        """Where the documentation explains this code; the code is all that the address says of the login."""
        return help_url(self.code)

    @property
    def resume_token(self) -> Redacted | None:
        """Resumes the transaction in `CibaClient.resume` while it may still be pending, else None."""
        if callable(self._resume_token):
            self._resume_token = self._resume_token()
        return self._resume_token

    @resume_token.setter
    def resume_token(self, token: Redacted | Callable[[], Redacted] | None) -> None:
        self._resume_token = token

    def belong(
        self, *, trace_id: str | None, reference: str | None, resume_token: Redacted | Callable[[], Redacted] | None
    ) -> None:
        """Say which login it has ended. What is unknown takes no memory: many logins may end at once."""
        if self.trace_id is None and trace_id is not None:
            self.trace_id = trace_id
        if reference is not None:
            self.reference = reference
        if resume_token is not None or self._resume_token is not None:
            self._resume_token = resume_token

    def __getstate__(self) -> dict[str, object]:
        """All attributes, with the resume token itself instead of what makes it."""
        state: dict[str, object] = dict(self.__dict__)
        if callable(self._resume_token):
            state["_resume_token"] = self.resume_token
        return state

    def __reduce__(self) -> tuple[type[CibaError], tuple[object, ...], dict[str, object]]:
        """Pickle the one positional argument and the attributes."""
        return type(self), self.args, self.__getstate__()

    def without_frames(self) -> Self:
        """This error without its traceback and context: the frames it came through hold what came over the wire."""
        self.__context__: BaseException | None = None
        self.__cause__: BaseException | None = None
        return self.with_traceback(None)

    def __str__(self) -> str:
        """The three sentences, then the code and the trace id."""
        parts = [part for part in (self.what, self.phone, self.advice) if part]
        sentences = " ".join(f"{part[0].upper()}{part[1:].rstrip('.')}." for part in parts)
        trace = f", trace {self.trace_id}" if self.trace_id else ""
        return f"{sentences} [{self.code}{trace}]"


class UsageError(CibaError):
    """The call cannot work; raised before anything is sent. The subclasses say whether it ever could."""

    code = "usage"


class ArgumentError(UsageError, ValueError):
    """An argument of the call cannot work; its code names the argument, or the rule that it breaks."""

    @property
    def help_url(self) -> str:
        """Where the documentation explains errors of this kind. Eids of your own may bring arguments of their own."""
        return help_url("an-argument-cannot-work")


class StateError(UsageError):
    """The call is right in itself, but not now or not here.

    The client is closed, belongs to another event loop, or is set to what its provider says that it does not support.

    Raised before anything is changed or sent.
    """

    code = "state"


class TransportError(CibaError):
    """No usable answer came back."""

    code = "no_answer"
    #: False only where no connection was made, so that nothing can have reached the provider.
    maybe_sent: bool = True
    #: Monotonic seconds at which the request had its connection; None where it never got one.
    sent_at: float | None = None
    #: Monotonic seconds at which the request was given up.
    ended_at: float | None = None
    #: The HTTP status, where the head of an answer was read; else 0.
    status: int = 0


class TransportTimeout(TransportError):
    """No answer within the time allowed."""

    code = "timeout"


class ProtocolError(CibaError):
    """The protocol was violated; the two subclasses say by which side."""


class RemoteProtocolError(ProtocolError):
    """The provider's answer breaks the specification."""

    code = "bad_answer"


class LocalProtocolError(ProtocolError):
    """A bug in this package: an event that the current state does not allow. Nothing was changed."""

    code = "illegal_event"


class ProviderError(CibaError):
    """The provider answered with an OAuth error (RFC 6749 section 5.2, CIBA Core sections 11 and 13)."""

    code = "provider_error"
    #: The provider's own words. They may repeat what was sent, so a repr hides them; escape them before showing them.
    error_description: Redacted | None = None
    #: The HTTP status.
    status: int = 0
    #: Seconds to wait before the next try, where the provider said so.
    retry_after: float | None = None


class ClientRejected(ProviderError):
    """`invalid_client`: the provider does not accept this client's credentials."""

    code = "invalid_client"


class NotAuthenticated(CibaError):
    """The person was asked, and nobody is logged in; the subclasses say why."""

    code = "not_authenticated"
    #: The provider's own words, if any; see `ProviderError.error_description`.
    error_description: Redacted | None = None


class Denied(NotAuthenticated):
    """The person declined, cancelled, or picked the wrong words."""

    code = "denied"


class Expired(NotAuthenticated):
    """Nobody answered in time, and the provider was heard till near the end.

    `detected_by` says who noticed the end: the provider, or this client's deadline. Where the provider was not heard,
    the person may have answered unseen, and it is `Indeterminate` with the code `unheard`.
    """

    code = "expired"
    detected_by: Literal["server", "deadline"] = "deadline"


class Indeterminate(NotAuthenticated):
    """The person may have answered, and nobody knows what. Treat it as neither an approval nor a denial.

    `code` says why: an answer was lost on the way (`indeterminate`), the provider was not heard near the end
    (`unheard`), the request may or may not have arrived (`start_unknown`), or a program stopped (`interrupted`,
    `resumed_late`).
    """

    code = "indeterminate"


class Abandoned(NotAuthenticated):
    """The caller stopped asking, or the caller's own timeout passed. The prompt stays on the phone.

    `code` tells a timeout within which nobody answered (`caller_timeout`) from one that passed while the provider was
    not heard (`caller_timeout_unheard`), or after an answer that may have been lost (`caller_timeout_in_doubt`).
    """

    code = "abandoned"


class HandedOver(NotAuthenticated):
    """The client was closed while the person was being asked.

    Nothing is lost: the prompt stays on the phone, and `CibaClient.resume` goes on with the login, here or in another
    process. `CibaClient.close` returns what is needed for it.
    """

    code = "handed_over"


class IdTokenRejected(CibaError):
    """The provider issued tokens that failed verification; mostly it is the ID token that did.

    `claim` names the claim or header member at fault, `reason` says why; neither quotes the token. `code` is one for
    each outcome that a program must treat differently.

    A setting, or a clock: `id_token_clock`, `id_token_encrypted`, `id_token_decryption`, `id_token_encryption`,
    `id_token_algorithm`, `id_token_level_missing`, `id_token_person_missing`, `token_unbound` (not bound to
    this client's key by DPoP), `oversized`.

    A setting, or somebody may be cheating: `token_other_key` (bound to another key than this client's).

    Somebody may be cheating: `id_token_person` (it names another person), `id_token_signature`, `id_token_key`,
    `id_token_issuer`, `id_token_audience`, `id_token_level` (another eID or level), `id_token_replayed`,
    `id_token_other_login`, `id_token_malformed`.
    """

    code = "id_token_rejected"
    claim: str = ""
    reason: str = ""


class ResumeError(CibaError):
    """The resume token is unreadable, altered, expired, or of another version, provider or client."""

    code = "resume"


class StoreError(CibaError):
    """The store that the replicas of a service share cannot be used, or does not allow this. Nobody was asked."""

    code = "store"


class JournalError(CibaError):
    """The journal of a batch cannot be opened, read or written. Nobody is asked without it."""

    code = "journal"
