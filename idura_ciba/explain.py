"""Error messages: what happened, what it means for the person's phone, what to do.

All messages about a login that has begun live here, so that one situation reads the same everywhere.
"""

from __future__ import annotations

import email.utils
from collections.abc import Mapping
from typing import Literal, TypeVar

from idura_ciba.errors import (
    Abandoned,
    ArgumentError,
    CibaError,
    ClientRejected,
    Denied,
    Expired,
    HandedOver,
    Indeterminate,
    LocalProtocolError,
    ProviderError,
    RemoteProtocolError,
    StateError,
    TransportError,
    UsageError,
)
from idura_ciba.protocol.answers import ErrorAnswer, TokenAnswer, Unusable, UnusableAnswer, is_code, why
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
    "handed_over",
    "indeterminate",
    "internal",
    "interrupted",
    "limit_passed",
    "named_before",
    "not_begun",
    "nothing_pending",
    "other_loop",
    "other_request",
    "provider_error",
    "strategy_failed",
    "unheard",
    "unusable",
    "wire_code",
]

_MAY_STAY = "The prompt may stay on the phone until it expires; CIBA cannot withdraw it"
_NOT_RUNG = "The phone has not rung"

_E = TypeVar("_E", bound=CibaError)
#: How far the login is: before the request left, while the person is being asked, or after the tokens arrived.
Stage = Literal["before", "meanwhile", "after"]
#: The effect on the phone, and the advice, when the provider's discovery document or keys cannot be fetched.
_DOCUMENT: Mapping[Stage, tuple[str, str]] = {
    "before": (_NOT_RUNG, "check the network and the issuer, then start again"),
    "meanwhile": (_MAY_STAY, "check the network and the issuer, then resume with the resume token"),
    "after": (
        "The person has answered, but nobody is logged in",
        "make sure that the provider's keys can be fetched, then resume with the resume token: the answer is in it",
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
    "access_denied": "the provider refused before asking anybody; contact its support with the trace id",
    "invalid_scope": "ask for scopes that are enabled for this client",
}

#: The option that lets in what is too long, by name: everything else about the answer is the provider's.
_RAISE_LIMIT = "if the provider sends photos, raise max_token_size of CibaClient"
#: By the transport's code: what to do about an answer that this client does not take.
_TAKE_IT = {
    "oversized": _RAISE_LIMIT,
    "compressed": "have the provider, or what stands before it, obey Accept-Encoding: identity",
}


def denied(description: Redacted | None) -> Denied:
    """The person said no."""
    error = Denied(
        "the person declined, cancelled, or picked the wrong words",
        phone="The prompt is gone from the phone",
        advice="talk to the person before you start again",
    )
    error.error_description = description
    return error


def expired(detected_by: Literal["server", "deadline"], *, trouble: str | None = None) -> Expired:
    """Nobody answered in time; `trouble`: why the last poll brought no answer, where it came after the end."""
    error = Expired(
        "nobody answered in time" + _because(trouble),
        phone="The prompt has disappeared from the phone, or will within seconds",
        advice="start again when the person is ready",
    )
    error.detected_by = detected_by
    return error


def unheard(silence: float, trouble: str | None, *, last: str | None = None) -> Indeterminate:
    """The time is over, and the provider was not heard near the end.

    Args:
        silence: Seconds before the end for which nothing was heard of the login.
        trouble: Why the last polls brought no answer; None where none was sent.
        last: What the provider said when it was heard again, after the end.
    """
    said = f"; then {last}" if last else ""
    return Indeterminate(
        f"the time ran out, and for the last {silence:.0f} s of it the provider said nothing of this login"
        + (f" ({trouble}{said})" if trouble else f" (no poll was sent{said})"),
        code="unheard",
        phone="The person may have approved or declined unseen; the prompt has disappeared from the phone",
        advice=(
            "check the network and the provider"
            if trouble
            else "see that nothing blocks the event loop, and wrap a strategy of your own in FinalPoll"
        )
        + "; ask the person, and start again with their agreement",
    )


def indeterminate(description: Redacted | None = None, *, trouble: str | None = None) -> Indeterminate:
    """A final answer was lost on the way; `trouble` says how."""
    error = Indeterminate(
        "the provider's answer was lost on the way, and it may have been the final one" + _because(trouble),
        phone="The person may have approved or declined; the prompt disappears when it expires at the latest",
        advice="treat it as neither: ask the person, and start again with their agreement",
    )
    error.error_description = description
    return error


def _because(trouble: str | None) -> str:
    return f" ({trouble})" if trouble else ""


def acknowledgement_lost(reason: str) -> Indeterminate:
    """The request may have arrived; no acknowledgement came back."""
    return Indeterminate(
        f"the request may have reached the provider, but no usable answer came back ({reason})",
        code="start_unknown",
        phone="The phone may be showing a prompt whose result nobody can fetch",
        advice="do not start again until the prompt has disappeared: a second request cancels both",
    )


def interrupted(during: Literal["asking", "answering"]) -> Indeterminate:
    """The process that asked was killed, and the result is unknown."""
    if during == "asking":
        return Indeterminate(
            "the program stopped after it recorded this request and before it recorded the answer",
            code="interrupted",
            phone="The phone may have rung, and nobody can fetch the result",
            advice="ask the person; they are asked again only if you say so",
        )
    return Indeterminate(
        "the program stopped while this person was being asked, and was not resumed in time",
        code="resumed_late",
        phone="The person may have approved or declined; the prompt has disappeared",
        advice="treat it as neither: ask the person, and start again with their agreement",
    )


def named_before(what: Literal["key", "person"]) -> UsageError:
    """A batch names somebody twice; they are asked once."""
    return ArgumentError(
        f"the {what} appears twice in the batch",
        code=f"{what}_twice",
        phone="The phone has not rung for this row",
        advice="see the result of the other row",
    )


def closed() -> StateError:
    """The client was closed before anything was sent."""
    return StateError("the client is closed", code="closed", phone=_NOT_RUNG, advice="create a new client")


def nothing_pending() -> StateError:
    """There is no prompt to go on with."""
    return StateError(
        "this client knows of no prompt of this person that could still be answered",
        code="nothing_pending",
        phone=_NOT_RUNG,
        advice="start a new login",
    )


def other_request() -> UsageError:
    """The prompt on the phone is for something else."""
    return ArgumentError(
        "this person was asked for something else: another eID, level or number, or with other rules",
        code="other_request",
        phone="The earlier prompt stays on the phone until it expires",
        advice="rejoin with the request that was started, or wait until its prompt has expired",
    )


def other_loop(what: str) -> StateError:
    """Something that belongs to one event loop was used from another one, or from another thread."""
    return StateError(
        f"the {what} belongs to another event loop or thread, so nothing was changed",
        code="other_loop",
        advice="call it in its own event loop; from another thread, through loop.call_soon_threadsafe or "
        "asyncio.run_coroutine_threadsafe",
    )


def handed_over() -> HandedOver:
    """The client was closed, and somebody else can go on."""
    return HandedOver(
        "the client was closed while the person was being asked",
        phone="The prompt stays on the phone until it expires, and the person can still answer it",
        advice="resume with the resume token, here or in another process, before the prompt expires",
    )


def abandoned(code: str = "abandoned") -> Abandoned:
    """The caller stopped asking."""
    return Abandoned(
        "the login was abandoned",
        code=code,
        phone="The prompt stays on the phone until it expires; CIBA cannot withdraw it",
        advice="resume with the resume token, or wait until the prompt has expired before you start again",
    )


def limit_passed(*, begun: bool = True, in_doubt: bool = False, trouble: str | None = None) -> Abandoned:
    """The caller's own timeout passed.

    Args:
        begun: The person was being asked.
        in_doubt: An answer may have been lost before.
        trouble: Why the last polls brought no answer; None if the last one brought one.
    """
    if not begun:
        return Abandoned(
            "the timeout of this login passed before the request was sent",
            code="caller_timeout",
            phone=_NOT_RUNG,
            advice="check the network, or allow more time",
        )
    if in_doubt or trouble:
        return Abandoned(
            (
                "the timeout of this login passed, and an answer of the provider may have been lost before"
                if in_doubt
                else "the timeout of this login passed while the provider said nothing of it"
            )
            + _because(trouble),
            code="caller_timeout_in_doubt" if in_doubt else "caller_timeout_unheard",
            phone="The person may have approved or declined unseen; a prompt stays on the phone until it expires",
            advice="resume with the resume token while it is valid, which tells more; otherwise ask the person",
        )
    return Abandoned(
        "nobody answered within the timeout of this login",
        code="caller_timeout",
        phone="The prompt stays on the phone until it expires; CIBA cannot withdraw it",
        advice="resume with the resume token while it is valid, or start again once the prompt has expired",
    )


def internal(error: BaseException, stage: Stage = "meanwhile") -> LocalProtocolError:
    """A bug. Only its type and place are shown: its message may contain anything."""
    place, traceback = "", error.__traceback__
    while traceback is not None:
        place = f" at {traceback.tb_frame.f_globals.get('__name__')}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return LocalProtocolError(
        f"a bug in idura_ciba, or in an object passed to it: {type(error).__name__}{place}",
        code="internal",
        phone=_DOCUMENT[stage][0],
        advice="please report it",
    )


def strategy_failed(error: BaseException) -> UsageError:
    """A polling strategy raised."""
    return ArgumentError(
        f"the polling strategy failed with {type(error).__name__}",
        code="strategy_failed",
        phone=_MAY_STAY,
        advice="fix the strategy, then resume with the resume token",
    )


def about_document(error: _E, stage: Stage) -> _E:
    """Add what a failed fetch of discovery or keys means for this login.

    Args:
        error: Words that it already has are kept; errors about something else are returned unchanged.
        stage: How far the login is.
    """
    if isinstance(error, TransportError | RemoteProtocolError):
        phone, advice = _DOCUMENT[stage]
        if isinstance(error, TransportError) and not error.phone:
            # Once: logins that wait for one document share the error.
            document = "key set" if stage == "after" else "discovery document"
            error.what = f"the provider's {document} could not be fetched: {error.what}"
        error.phone = error.phone or phone
        error.advice = error.advice or advice
    return error


def final_answer(
    state: State, answer: TokenAnswer, *, wall: float, server_date: str | None, trouble: str | None = None
) -> CibaError:
    """The provider's answer, which was no token, has ended a login in this state.

    Args:
        state: The final state.
        answer: The last one.
        wall: Seconds since the epoch.
        server_date: The answer's `Date`.
        trouble: Why the polls before it brought no answer, where they did not.
    """
    description = answer.error_description if isinstance(answer, ErrorAnswer) else None
    ending: CibaError | None = None
    if state is State.DENIED:
        ending = denied(description)
    elif state is State.EXPIRED:
        ending = expired("server")
    elif state is State.INDETERMINATE:
        ending = indeterminate(description, trouble="; then ".join(filter(None, (trouble, why(answer)))))
    if ending is not None:
        if (code := wire_code(answer)) is not None:
            ending.error = code
        return ending
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
    spelled = f" with {answer.error}" if is_code(answer.error) else ""
    error = kind(
        f"the provider {'ended the login' if begun else 'refused the request'}{spelled} (HTTP {answer.status})",
        phone=_MAY_STAY if begun else _NOT_RUNG,
        advice=advice,
    )
    error.error = wire_code(answer)
    error.error_description = answer.error_description
    error.status = answer.status
    error.retry_after = answer.retry_after
    return error


def wire_code(answer: TokenAnswer | ErrorAnswer) -> str | None:
    """The OAuth code of an answer. It is foreign text: one that does not look like a code is not shown."""
    if not isinstance(answer, ErrorAnswer):
        return None
    return answer.error if is_code(answer.error) else Redacted(answer.error)


def not_begun(answer: ErrorAnswer | UnusableAnswer, *, lost: bool, wall: float, server_date: str | None) -> CibaError:
    """The answer was no acknowledgement; `lost` when it may have been one that cannot be read."""
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
    """A final answer that is neither a yes nor a no."""
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
        case Unusable.UNACCEPTABLE:
            failure = TransportError(
                f"the provider's answer was not taken ({answer.reason})",
                code=answer.code or "oversized",
                phone="The person has probably answered, but nobody is logged in",
                advice=f"{_TAKE_IT.get(answer.code, _RAISE_LIMIT)}; start again with the person's agreement",
            )
            failure.status = answer.status
            return failure
        case Unusable.REDIRECT:
            return RemoteProtocolError(
                f"the provider answered with a redirect ({answer.reason}), which is never followed",
                code="redirect",
                phone=phone if begun else "The phone has probably not rung",
                advice="check the issuer and the endpoints",
            )
        case Unusable.TURNED_AWAY | Unusable.BUSY:
            error = ProviderError(
                f"the provider, or a gateway in front of it, refused the request ({answer.reason})",
                code="busy" if answer.kind is Unusable.BUSY else "turned_away",
                phone=phone if begun else "The phone has probably not rung",
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
                phone=phone if begun else "The phone may be showing a prompt whose result nobody can fetch",
                advice="report it to the provider, with the trace id",
            )
