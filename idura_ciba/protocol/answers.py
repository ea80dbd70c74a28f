"""What comes back: the answers to the two requests, as values.

Once a phone has rung, a login must not be lost to how an answer is written, and nothing is trusted for being in one:
the ID token is verified elsewhere.

Rules:
1. A JSON object with a string `error` is an OAuth error. A code that the specifications know decides whatever the
   status says; any other yields to a status of overload, redirection or breakdown, because a gateway's
   `{"error": "too_many_requests"}` is no verdict on a login. Everything else is judged by its status.
2. What has a usable `auth_req_id` is an acknowledgement, whatever else it says: a poll settles what is true.
3. Numbers are read in every form in which others write them (`120`, `120.9`, `" 1.2e2 "`); fractions are floored. What
   is missing, or cannot be meant, falls back: to the lifetime of the eID's own prompts, or to 5 seconds between polls.
4. A value that says nothing (null, an empty text or list) is as if its member were absent. Unknown members are kept and
   ignored; a member of the wrong type is an error only where it is needed.
5. What cannot be read is a value too, `UnusableAnswer`, never an exception: the machine decides what it means. It says
   why, and quotes nothing of the body but a code that looks like one.

Spec: CIBA Core 1.0 sections 7.3, 10.1.1, 11 and 13; RFC 6749 section 5.
"""

from __future__ import annotations

import email.utils
import re
from collections.abc import Mapping
from datetime import UTC
from enum import Enum
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from attrs import field, frozen

from idura_ciba.errors import TransportError
from idura_ciba.protocol.http import HttpResponse
from idura_ciba.protocol.tolerant_json import load_answer
from idura_ciba.redaction import Redacted, redact

__all__ = [
    "DEFAULT_INTERVAL",
    "KNOWN_CODES",
    "LONGEST_PROMPT",
    "NO_MEMBERS",
    "Acknowledgement",
    "AuthenticationAnswer",
    "ErrorAnswer",
    "SlowedDown",
    "StillPending",
    "TokenAnswer",
    "Tokens",
    "Unusable",
    "UnusableAnswer",
    "is_code",
    "parse_authentication_response",
    "parse_refresh_response",
    "parse_retry_after",
    "parse_token_response",
    "unanswered",
    "why",
]

#: CIBA Core section 7.3: without `interval` the client uses 5 seconds.
DEFAULT_INTERVAL = 5.0
#: Seconds. Of the eIDs known, Norwegian BankID keeps a prompt the longest (Idura "Caller Authentication").
LONGEST_PROMPT = 900.0
#: No eID keeps a prompt on a phone for longer than minutes; a silly number must not keep a transaction for years.
MAX_EXPIRES_IN = 86_400.0
#: As long as an answer may be; the specification sets no bound.
MAX_AUTH_REQ_ID_LENGTH = 64 * 1024
#: Members of an acknowledgement with a place of their own.
_READ = frozenset({"auth_req_id", "expires_in", "interval", "bindingMessage"})
#: Seconds, thirty years: beyond it the exact number means nothing.
MAX_NUMBER = 10**9

NO_MEMBERS: Mapping[str, Any] = MappingProxyType({})


@frozen
class Acknowledgement:
    """The provider has accepted the request; the phone asks from now on.

    Attributes:
        auth_req_id: The transaction's handle at the provider.
        expires_in: Seconds, counted from when the provider received the request.
        interval: Seconds at least between two polls.
        spoken_words: Idura's `bindingMessage`: words to read to the person before anything else happens.
        members: The whole answer; its texts are hidden in a repr.
    """

    auth_req_id: Redacted
    expires_in: float
    interval: float
    spoken_words: Redacted | None
    members: Mapping[str, Any] = field(converter=redact, repr=False)

    @property
    def further(self) -> Mapping[str, Any]:
        """The members that have no place of their own; one empty mapping for all answers without any."""
        further = {name: value for name, value in self.members.items() if name not in _READ}
        return MappingProxyType(further) if further else NO_MEMBERS


@frozen
class ErrorAnswer:
    """A well-formed OAuth error. `error_description` is foreign text; `members` is the whole answer."""

    error: str
    # Foreign words may repeat what was sent, the person's number included.
    error_description: Redacted | None
    status: int
    retry_after: float | None = None
    members: Mapping[str, Any] = field(default=NO_MEMBERS, repr=False)


class Unusable(Enum):
    """Why an answer cannot be used, in the ways that matter to what comes next."""

    #: No connection was made: nothing was asked, nothing can be lost.
    NOT_CONNECTED = "not connected"
    #: Refused before it was looked at, with a promise of better times: 429, 503, 408, 425.
    BUSY = "busy"
    #: Something stood between us and the provider's answer: a 5xx of a gateway, a body cut short.
    LOST = "lost"
    #: A bare 4xx, as firewalls and proxies produce it, or a provider that keeps silent about bad credentials.
    TURNED_AWAY = "turned away"
    #: 3xx. Never followed: the form holds credentials.
    REDIRECT = "redirect"
    #: A success that this client does not take: too long, or compressed in a way unknown here. It comes only once, and
    #: would come the same again.
    UNACCEPTABLE = "unacceptable"
    #: Complete and readable, and against the specification.
    BROKEN = "broken"


@frozen
class UnusableAnswer:
    """An answer that says neither yes, no nor wait.

    Attributes:
        kind: What matters of it.
        status: The HTTP status; 0 where none was read.
        reason: Why, in words; quotes nothing of the body.
        retry_after: Seconds to wait, where the answer says so.
        code: The transport's word for what went wrong, where it has one.
    """

    kind: Unusable
    status: int
    reason: str
    retry_after: float | None = None
    code: str = ""


@frozen
class StillPending:
    """`authorization_pending`. `hint` is the provider's `error_description`: progress to show, never to act on."""

    hint: Redacted | None
    retry_after: float | None = None


@frozen
class SlowedDown:
    """`slow_down`: still pending, and the interval grows for good. `interval` is what the provider asks for, if any."""

    hint: Redacted | None
    retry_after: float | None = None
    interval: float | None = None


@frozen
class Tokens:
    """The token response. Proves nothing before its ID token is verified.

    Attributes:
        id_token: Compact JWS.
        access_token: As issued; opaque. None at providers that leave it out.
        token_type: As spelled by the provider; compare without case.
        expires_in: Seconds the access token lives, where the provider says so.
        members: The whole answer; its texts are hidden in a repr.
    """

    id_token: Redacted
    access_token: Redacted | None
    token_type: str | None
    expires_in: float | None
    members: Mapping[str, Any] = field(converter=redact, repr=False)


AuthenticationAnswer = Acknowledgement | ErrorAnswer | UnusableAnswer
TokenAnswer = Tokens | StillPending | SlowedDown | ErrorAnswer | UnusableAnswer


def parse_authentication_response(
    response: HttpResponse, *, wall: float, lifetime: float = LONGEST_PROMPT
) -> AuthenticationAnswer:
    """Read the answer to a backchannel authentication request.

    Args:
        response: JSON `{auth_req_id: str, expires_in: number | digits, interval?: number, bindingMessage?: str}`.
        wall: Seconds since the epoch, to read a `Retry-After` date against.
        lifetime: Seconds for which a prompt lives where the answer does not say so.

    Spec: CIBA Core 1.0 sections 7.3 and 13; Idura "Caller Authentication".
    """
    members, problem = _read(response)
    auth_req_id = _handle(members.get("auth_req_id"))
    if auth_req_id is None:
        answer = _sort(response, members, problem, wall)
        if not isinstance(answer, dict):
            return _contradiction(answer) or answer
        reason = f"auth_req_id is missing, or no text of at most {MAX_AUTH_REQ_ID_LENGTH} characters"
        return UnusableAnswer(Unusable.BROKEN, response.status, reason)
    expires_in = _seconds(members.get("expires_in"))
    if expires_in is None or expires_in > MAX_EXPIRES_IN:
        expires_in = _one_float(min(lifetime, MAX_EXPIRES_IN))
    interval = _seconds(members.get("interval"))
    words = members.get("bindingMessage")
    return Acknowledgement(
        auth_req_id=auth_req_id,
        expires_in=expires_in,
        # Nor can an interval be meant that leaves no time to ask.
        interval=DEFAULT_INTERVAL if interval is None or interval >= expires_in else interval,
        spoken_words=Redacted(words) if isinstance(words, str) and words.strip() else None,
        members=members,
    )


def _handle(value: object) -> Redacted | None:
    """What can be an `auth_req_id`: by CIBA Core 7.3 letters, digits, `.`, `-` and `_`, but a form carries any text."""
    text = str(value) if type(value) is int else value
    good = isinstance(text, str) and text.strip() and len(text) <= MAX_AUTH_REQ_ID_LENGTH
    return Redacted(text) if good else None


def _contradiction(answer: ErrorAnswer | UnusableAnswer) -> UnusableAnswer | None:
    """A refusal that says that somebody is being asked nonetheless: asking again would ring twice."""
    if isinstance(answer, ErrorAnswer):
        asked = bool(answer.members.get("auth_req_id")) or answer.error == "authorization_pending"
        reason = "an error that says that somebody is being asked"
    else:
        # Accepted, and unreadable.
        asked = answer.kind is Unusable.LOST and _is_success(answer.status)
        reason = answer.reason
    return UnusableAnswer(Unusable.BROKEN, answer.status, reason) if asked else None


def parse_token_response(response: HttpResponse, *, wall: float) -> TokenAnswer:
    """Read the answer to one poll.

    Args:
        response: The answer as received.
        wall: Seconds since the epoch, to read a `Retry-After` date against.

    Spec: CIBA Core 1.0 sections 10.1.1 and 11; RFC 6749 section 5.
    """
    members, problem = _read(response)
    answer = _sort(response, members, problem, wall)
    if isinstance(answer, UnusableAnswer):
        return answer
    if isinstance(answer, ErrorAnswer):
        if answer.error == "authorization_pending":
            return StillPending(answer.error_description, answer.retry_after)
        if answer.error == "slow_down":
            interval = _seconds(answer.members.get("interval"))
            return SlowedDown(answer.error_description, answer.retry_after, interval)
        return answer
    if not (id_token := _text(answer.get("id_token"))):
        return UnusableAnswer(Unusable.BROKEN, response.status, "neither error nor id_token is in the answer")
    return _tokens(answer, id_token)


def parse_refresh_response(
    response: HttpResponse, *, wall: float, before: Tokens
) -> Tokens | ErrorAnswer | UnusableAnswer:
    """Read the answer to a refresh. The ID token and the refresh token may be missing: then the earlier ones stay.

    Spec: OpenID Connect Core 1.0 section 12.2; RFC 6749 section 6.
    """
    members, problem = _read(response)
    answer = _sort(response, members, problem, wall)
    if not isinstance(answer, dict):
        return answer
    if not _text(answer.get("access_token")):
        return UnusableAnswer(Unusable.BROKEN, response.status, "neither error nor access_token is in the answer")
    if not _text(answer.get("refresh_token")):
        answer["refresh_token"] = before.members.get("refresh_token")
    return _tokens(answer, _text(answer.get("id_token")) or before.id_token)


def _text(value: object) -> Redacted | None:
    return Redacted(value) if isinstance(value, str) and value else None


def _tokens(answer: dict[str, Any], id_token: Redacted) -> Tokens:
    token_type = answer.get("token_type")
    return Tokens(
        id_token=id_token,
        access_token=_text(answer.get("access_token")),
        token_type=token_type if isinstance(token_type, str) else None,
        expires_in=_seconds(answer.get("expires_in")),
        members=answer,
    )


def unanswered(error: TransportError) -> UnusableAnswer:
    """What a request that brought no answer is, as a value."""
    status, reason = error.status, error.what
    if not error.maybe_sent:
        kind = Unusable.NOT_CONNECTED
    elif error.code not in _AS_BAD_AGAIN:
        kind = Unusable.LOST
    else:
        # Only a success is worth its length: of an error page, the status says all there is to know.
        kind = _kind(status) if status and not _is_success(status) else Unusable.UNACCEPTABLE
    return UnusableAnswer(kind, status, f"HTTP {status}, {reason}" if status else reason, code=error.code)


#: Codes of a `TransportError` for answers that would come the same again.
_AS_BAD_AGAIN = frozenset({"oversized", "compressed"})


def why(answer: AuthenticationAnswer | TokenAnswer) -> str | None:
    """Why an answer brought nothing, in words that say nothing of a person; None for one that did."""
    match answer:
        case UnusableAnswer():
            return answer.reason
        case ErrorAnswer():
            return f"HTTP {answer.status}, {answer.error if is_code(answer.error) else 'an error without a code'}"
        case _:
            return None


def is_code(text: str) -> bool:
    """Whether a foreign text looks like an error code: all of the specifications do, and no number of a person does."""
    return _CODE.fullmatch(text) is not None


_CODE = re.compile(r"[a-z_]{1,64}")


def _read(response: HttpResponse) -> tuple[dict[str, Any], str]:
    """The members of the body, and what is wrong with it if there are none to be had."""
    try:
        return load_answer(response.body, response.headers.get("content-type")), ""
    except ValueError as error:
        return {}, str(error)


def _sort(
    response: HttpResponse, members: dict[str, Any], problem: str, wall: float
) -> dict[str, Any] | ErrorAnswer | UnusableAnswer:
    """Sort an answer by rule 1: OAuth error, success with members, or unusable."""
    status = response.status
    retry_after = parse_retry_after(response.headers.get("retry-after"), date=response.headers.get("date"), wall=wall)
    named, description = members.get("error"), members.get("error_description")
    code = named if isinstance(named, str) and named.strip() else ""
    if code in KNOWN_CODES or (code and _speaks_for_itself(status)):
        words = Redacted(description) if isinstance(description, str) else None
        return ErrorAnswer(code, words, status, retry_after, members)
    if _is_success(status) and not problem:
        return members
    reason = problem or (code if is_code(code) else "no error code that would say more")
    return UnusableAnswer(_kind(status), status, f"HTTP {status}, {reason}", retry_after)


#: CIBA Core sections 11 and 13, RFC 6749 section 5.2, RFC 8628 section 3.5, RFC 9396 section 5, RFC 9449 section 12.2.
KNOWN_CODES = frozenset({
    "authorization_pending", "slow_down", "access_denied", "expired_token", "invalid_grant", "invalid_request",
    "invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope", "transaction_failed",
    "expired_login_hint_token", "unknown_user_id", "missing_user_code", "invalid_user_code", "invalid_binding_message",
    "invalid_authorization_details", "invalid_dpop_proof", "use_dpop_nonce",
})  # fmt: skip

#: RFC 9110 sections 15.5.9 and 15.6.4, RFC 8470 section 5.2, RFC 6585 section 4: come back later.
_COME_BACK = frozenset({408, 425, 429, 503})


def _is_success(status: int) -> bool:
    return 200 <= status < 300  # noqa: PLR2004 - the class of status codes


def _speaks_for_itself(status: int) -> bool:
    """Whether an unknown error code under this status is the provider's own word."""
    return (_is_success(status) or 400 <= status < 500) and status not in _COME_BACK  # noqa: PLR2004 - as above


def _kind(status: int) -> Unusable:
    if status in _COME_BACK:
        return Unusable.BUSY
    if 300 <= status < 400:  # noqa: PLR2004 - the class of status codes
        return Unusable.REDIRECT
    if 400 <= status < 500:  # noqa: PLR2004 - the class of status codes
        return Unusable.TURNED_AWAY
    # 2xx that cannot be read may have been the tokens; of a gateway's 5xx nobody knows what stood behind it.
    return Unusable.LOST


def parse_retry_after(value: str | None, *, date: str | None, wall: float) -> float | None:
    """Seconds to wait by a `Retry-After` header; None when it is absent or garbage.

    A date is read against the answer's own `Date`, so that two clocks that disagree cancel out; without one, against
    `wall`. A past date and a negative number are 0.

    Spec: RFC 9110 section 10.2.3.
    """
    if value is None:
        return None
    text = value.strip()
    if re.fullmatch(r"-?[0-9]{1,64}", text):
        return float(min(max(int(text), 0), MAX_NUMBER))
    at = _http_date(text)
    if at is None:
        return None
    now = _http_date(date or "")
    return max(0.0, at - (wall if now is None else now))


def _http_date(text: str) -> float | None:
    try:
        at = email.utils.parsedate_to_datetime(text)
        # HTTP dates are GMT, also the old form that does not say so; Python would take that for local time.
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError, AttributeError):
        return None


def _seconds(value: object) -> float | None:
    """Rule 3; None for anything that is not a number of at least 1."""
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 1:
        return None
    # An int of thousands of digits does not fit a float.
    return _one_float(int(min(value, MAX_NUMBER)))


#: What JSON has for numbers, and what others write instead. `float` itself takes underscores and other scripts too.
_NUMBER = re.compile(r"[+]?(?:[0-9]{1,64}\.?[0-9]{0,64}|\.[0-9]{1,64})(?:[eE][+-]?[0-9]{1,4})?", re.ASCII)

#: The same object for the same number: a provider names the same few, and each pending login keeps two.
_one_float = lru_cache(maxsize=64)(float)
