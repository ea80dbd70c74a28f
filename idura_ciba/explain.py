"""The words for what went wrong: what happened, what it means for the person's phone, what to do.

The only home of such words for a login that was begun, so that one situation reads the same everywhere.
"""

from __future__ import annotations

import email.utils
import re
from collections.abc import Mapping
from typing import Literal, TypeVar

from idura_ciba.errors import (
    Abandoned,
    CibaError,
    ClientRejected,
    Denied,
    Expired,
    Indeterminate,
    LocalProtocolError,
    ProviderError,
    RemoteProtocolError,
    TransportError,
    UsageError,
)
from idura_ciba.protocol.answers import ErrorAnswer, TokenAnswer, Unusable, UnusableAnswer
from idura_ciba.protocol.machine import State
from idura_ciba.redaction import Redacted

__all__ = [
    "Stage",
    "abandoned",
    "about_document",
    "acknowledgement_lost",
    "closed",
    "denied",
    "expired",
    "final_answer",
    "indeterminate",
    "internal",
    "interrupted",
    "limit_passed",
    "named_before",
    "not_begun",
    "provider_error",
    "strategy_failed",
    "unusable",
]

_MAY_STAY = "The prompt may stay on the phone until it expires; nothing can take it back"
_NOT_RUNG = "The phone has not rung"

_E = TypeVar("_E", bound=CibaError)
#: How far a login has come: before the request left, while the person is asked, or after the tokens came.
Stage = Literal["before", "meanwhile", "after"]
#: What it means, and what to do, when a document of the provider cannot be had, by how far the login has come.
_DOCUMENT: Mapping[Stage, tuple[str, str]] = {
    "before": (_NOT_RUNG, "check the network and the issuer, then start again"),
    "meanwhile": (_MAY_STAY, "check the network and the issuer, then resume with the resume token"),
    "after": (
        "The person has answered on the phone, and nobody is logged in",
        "see that the provider's keys can be fetched, and start anew with the person's consent",
    ),
}

#: What to do about codes of the authentication endpoint and the token endpoint (CIBA Core 11 and 13, RFC 9396 5).
_ADVICE = {
    "unknown_user_id": "check the number or hint, and that this person has the eID",
    "invalid_binding_message": "use a shorter message of plain characters",
    "missing_user_code": "ask the person for their user code and pass it as user_code",
    "invalid_user_code": "ask the person for their user code again",
    "expired_login_hint_token": "obtain a new login_hint_token",
    "unauthorized_client": "have the provider enable CIBA with poll delivery for this client",
    "invalid_authorization_details": "compare authorization_details with the provider's documentation",
    "access_denied": "the provider refused before asking anybody; ask it why, with the trace id",
    "invalid_scope": "ask for scopes that are enabled for this client",
}

#: All codes of the specifications are of this form, and no number is.
_CODE = re.compile(r"[a-z_]{1,64}")


def denied(description: Redacted | None) -> Denied:
    """The person said no."""
    error = Denied(
        "the person declined, cancelled, or picked the wrong words",
        phone="The prompt is gone from the phone",
        advice="speak with the person before you start again",
    )
    error.error_description = description
    return error


def expired(detected_by: Literal["server", "deadline"], *, heard: bool = True) -> Expired:
    """Nobody answered in time; `heard` when the provider had said so shortly before the end."""
    error = Expired(
        "nobody answered in time" if heard else "the time was over before the provider could be asked for an answer",
        phone="The prompt is gone from the phone, or goes within seconds",
        advice="start again when the person is ready"
        if heard
        else "ask the person, who may have answered, and start anew",
    )
    error.detected_by = detected_by
    return error


def indeterminate(description: Redacted | None = None) -> Indeterminate:
    """A final answer was lost on the way."""
    error = Indeterminate(
        "an answer of the provider was lost on the way, and it was the final one or nobody can tell",
        phone="The person may have approved or declined; the prompt is gone or goes when it expires",
        advice="treat it as neither; ask the person, and start anew with their consent",
    )
    error.error_description = description
    return error


def acknowledgement_lost(reason: str) -> Indeterminate:
    """The request may have arrived, its acknowledgement did not."""
    return Indeterminate(
        f"the request may have reached the provider and no usable answer came back ({reason})",
        code="start_unknown",
        phone="The phone may be asking now, for a login that nobody can fetch",
        advice="do not start again until the person sees no prompt: a second request cancels both",
    )


def interrupted(during: Literal["asking", "answering"]) -> Indeterminate:
    """The process that asked was killed, and what came of it cannot be known."""
    if during == "asking":
        return Indeterminate(
            "the program was stopped between noting this request and noting what came of it",
            code="interrupted",
            phone="The phone may have rung, for a login that nobody can fetch",
            advice="ask the person; they are asked again only where that is wanted",
        )
    return Indeterminate(
        "the program was stopped while this person was asked, and nobody went on in time",
        code="resumed_late",
        phone="The person may have approved or declined; the prompt is gone",
        advice="treat it as neither; ask the person, and start anew with their consent",
    )


def named_before(what: Literal["key", "person"]) -> UsageError:
    """A batch names somebody twice, and is not to ask twice."""
    second = "key stands" if what == "key" else "person stands"
    return UsageError(
        f"the {second} in the batch twice",
        code=f"{what}_twice",
        phone="The phone has not rung for this one",
        advice="see what came of the other one",
    )


def closed() -> UsageError:
    """The client was closed before anything was sent."""
    return UsageError("the client is closed", code="closed", phone=_NOT_RUNG, advice="make a new one")


def abandoned(code: str = "abandoned") -> Abandoned:
    """The caller stopped asking."""
    return Abandoned(
        "the client was closed while the person was being asked" if code == "closed" else "the login was abandoned",
        code=code,
        phone="The prompt stays on the phone until it expires; CIBA has no way to take it back",
        advice="resume with the resume token, or wait for the prompt to go before you start again",
    )


def limit_passed(*, begun: bool = True) -> Abandoned:
    """The caller's own timeout passed; `begun` when the person was being asked."""
    if not begun:
        return Abandoned(
            "the timeout given for this login passed before the provider could be asked",
            code="caller_timeout",
            phone=_NOT_RUNG,
            advice="check the network, and give it more time",
        )
    return Abandoned(
        "nobody answered within the timeout given for this login",
        code="caller_timeout",
        phone="The prompt stays on the phone until it expires; CIBA has no way to take it back",
        advice="resume with the resume token while it lives, or wait for the prompt to go before you start again",
    )


def internal(error: BaseException, stage: Stage = "meanwhile") -> LocalProtocolError:
    """A bug. Only its kind and place are told; what it says may hold anything."""
    place, traceback = "", error.__traceback__
    while traceback is not None:
        place = f" at {traceback.tb_frame.f_globals.get('__name__')}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return LocalProtocolError(
        f"a bug in idura_ciba or in an object given to it: {type(error).__name__}{place}",
        code="internal",
        phone=_DOCUMENT[stage][0],
        advice="please report it",
    )


def strategy_failed(error: BaseException) -> UsageError:
    """A polling strategy raised."""
    return UsageError(
        f"the polling strategy failed with {type(error).__name__}",
        code="strategy_failed",
        phone=_MAY_STAY,
        advice="mend the strategy and resume with the resume token",
    )


def about_document(error: _E, stage: Stage) -> _E:
    """Say of an error with the provider's documents, which know nothing of a login, what it means for this one.

    Args:
        error: Keeps the words it has; one that is about something else keeps its silence too.
        stage: How far the login has come.
    """
    if isinstance(error, TransportError | RemoteProtocolError):
        phone, advice = _DOCUMENT[stage]
        error.phone = error.phone or phone
        error.advice = error.advice or advice
    return error


def final_answer(state: State, answer: TokenAnswer, *, wall: float, server_date: str | None) -> CibaError:
    """The provider's answer has ended a login in this state, and it was no token."""
    description = answer.error_description if isinstance(answer, ErrorAnswer) else None
    if state is State.DENIED:
        return denied(description)
    if state is State.EXPIRED:
        return expired("server")
    if state is State.INDETERMINATE:
        return indeterminate(description)
    if isinstance(answer, ErrorAnswer):
        return provider_error(answer, begun=True, wall=wall, server_date=server_date)
    assert isinstance(answer, UnusableAnswer)  # noqa: S101 - the others are never final
    return unusable(answer, begun=True)


def provider_error(
    answer: ErrorAnswer, *, begun: bool, wall: float = 0.0, server_date: str | None = None
) -> ProviderError:
    """The provider answered with a final OAuth error; `begun` when the person was already being asked."""
    advice = _ADVICE.get(answer.error, "compare the request with the provider's documentation")
    kind = ProviderError
    if answer.error == "invalid_client":
        kind = ClientRejected
        advice = "check client id, registered key and clock" + _skew(wall, server_date)
    # The wire code is foreign text and stays an attribute where it does not look like one.
    legible = _CODE.fullmatch(answer.error)
    spelled = f" with {answer.error}" if legible else ""
    error = kind(
        f"the provider refused {'to go on' if begun else 'the request'}{spelled} (HTTP {answer.status})",
        phone=_MAY_STAY if begun else _NOT_RUNG,
        advice=advice,
    )
    error.error = answer.error if legible else Redacted(answer.error)
    error.error_description = answer.error_description
    error.status = answer.status
    error.retry_after = answer.retry_after
    return error


def not_begun(answer: ErrorAnswer | UnusableAnswer, *, lost: bool, wall: float, server_date: str | None) -> CibaError:
    """What came instead of an acknowledgement; `lost` when it may have been one."""
    if isinstance(answer, ErrorAnswer):
        return provider_error(answer, begun=False, wall=wall, server_date=server_date)
    return acknowledgement_lost(answer.reason) if lost else unusable(answer, begun=False)


def _skew(wall: float, server_date: str | None) -> str:
    try:
        seconds = round(email.utils.parsedate_to_datetime(server_date or "").timestamp() - wall)
    except (ValueError, TypeError, OverflowError):
        return ""
    if abs(seconds) <= 1:
        return ", which agrees with the provider's"
    return f": the provider's clock is {abs(seconds)} s {'ahead of' if seconds > 0 else 'behind'} this one"


def unusable(answer: UnusableAnswer, *, begun: bool) -> CibaError:
    """An answer that is final and says neither yes nor no."""
    phone = _MAY_STAY
    match answer.kind:
        case Unusable.NOT_CONNECTED:
            failure = TransportError(
                f"the provider could not be reached ({answer.reason})",
                code="never_connected",
                phone=_NOT_RUNG,
                advice="check the network and the issuer, then start again",
            )
            failure.maybe_sent = False
            return failure
        case Unusable.REDIRECT:
            return RemoteProtocolError(
                f"the provider answered with a redirect ({answer.reason}), which is never followed",
                code="redirect",
                phone=phone if begun else "The phone has most likely not rung",
                advice="check the issuer and the endpoints",
            )
        case Unusable.TURNED_AWAY | Unusable.BUSY:
            error = ProviderError(
                f"the provider, or something before it, refused the request ({answer.reason})",
                code="busy" if answer.kind is Unusable.BUSY else "turned_away",
                phone=phone if begun else "The phone has most likely not rung",
                advice="try again later"
                if answer.kind is Unusable.BUSY
                else "check firewalls, proxies and credentials",
            )
            error.status = answer.status
            error.retry_after = answer.retry_after
            return error
        case _:
            return RemoteProtocolError(
                f"the provider's answer breaks the specification ({answer.reason})",
                phone=phone if begun else "The phone may be asking now, for a login that nobody can fetch",
                advice="report it to the provider with the trace id",
            )
