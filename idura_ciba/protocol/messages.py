"""What goes over the wire: `build_*` writes requests, `parse_*` reads answers.

Rules:
1. A JSON object with a string `error` is an OAuth error. A code that the specifications know decides whatever the
   status says; any other yields to a status of overload, redirection or breakdown, because a gateway's
   `{"error": "too_many_requests"}` is no verdict on a login. Everything else is judged by its status.
2. Numbers are read tolerantly (`120`, `120.0`, `"120"`) and refused where they cannot mean what they say
   (booleans, fractions, zero, negatives).
3. Unknown members are kept and ignored; a member of the wrong type is an error only where it is needed.
4. What cannot be read is a value too, `UnusableAnswer`, never an exception: the machine decides what it means.

Spec: CIBA Core 1.0 sections 7, 10 and 11; RFC 6749 section 5.
"""

from __future__ import annotations

import email.utils
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC
from enum import Enum
from functools import lru_cache
from types import MappingProxyType
from typing import Any
from urllib.parse import quote_plus

from attrs import field, frozen

from idura_ciba.errors import UsageError
from idura_ciba.protocol.http import HttpResponse
from idura_ciba.protocol.strict_json import load_object
from idura_ciba.redaction import Redacted

__all__ = [
    "DEFAULT_INTERVAL",
    "GRANT_TYPE",
    "KNOWN_CODES",
    "Acknowledgement",
    "AuthenticationAnswer",
    "ErrorAnswer",
    "SlowedDown",
    "StillPending",
    "TokenAnswer",
    "Tokens",
    "Unusable",
    "UnusableAnswer",
    "build_authentication_request",
    "build_token_request",
    "encode_form",
    "parse_authentication_response",
    "parse_retry_after",
    "parse_token_response",
]

#: CIBA Core section 4.
GRANT_TYPE = "urn:openid:params:grant-type:ciba"
#: CIBA Core section 7.3: without `interval` the client uses 5 seconds.
DEFAULT_INTERVAL = 5.0
#: No eID keeps a prompt on a phone for longer than minutes; a silly number must not keep a transaction for years.
MAX_EXPIRES_IN = 86_400.0
#: As long as any issuer's; the specification sets no bound, memory does.
MAX_AUTH_REQ_ID_LENGTH = 2048
#: Seconds, thirty years: beyond it the exact number means nothing.
MAX_NUMBER = 10**9

_NO_MEMBERS: Mapping[str, Any] = MappingProxyType({})


# --- requests ---------------------------------------------------------------------------------------------------------


def build_authentication_request(
    *,
    scope: str = "openid",
    login_hint: str | None = None,
    login_hint_token: str | None = None,
    id_token_hint: str | None = None,
    acr_values: str | None = None,
    binding_message: str | None = None,
    user_code: str | None = None,
    requested_expiry: int | None = None,
    authorization_details: Sequence[Mapping[str, object]] = (),
    extra: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, str]:
    """The form parameters of a backchannel authentication request, client authentication excluded.

    Args:
        scope: Space separated, contains `openid`.
        login_hint: Who is asked; exactly one of the three hints is given.
        login_hint_token: The same, as a token made elsewhere.
        id_token_hint: The same, as an earlier ID token of this client.
        acr_values: Space separated, in order of preference. Idura reads one value.
        binding_message: Shown to the person.
        user_code: The person's secret at providers that use one.
        requested_expiry: Seconds, positive; the provider may ignore it.
        authorization_details: RFC 9396 objects, each with a `type`; sent as one compact JSON text.
        extra: Parameters that other providers define.

    Raises:
        UsageError: No hint or several, no `openid`, an `extra` name that stands twice or belongs to the protocol, or a
            value of the wrong kind.

    Spec: CIBA Core 1.0 section 7.1, RFC 9396 section 2.
    """
    hints = {"login_hint": login_hint, "login_hint_token": login_hint_token, "id_token_hint": id_token_hint}
    given = {name: value for name, value in hints.items() if value}
    if len(given) != 1:
        raise UsageError(
            f"exactly one of login_hint, login_hint_token and id_token_hint is needed, {len(given)} were given",
            code="one_hint",
            advice="say in one way who is to be asked",
        )
    # RFC 6749 section 3.3: scopes are separated by spaces, and by nothing else that Python would split at.
    if "openid" not in scope.split(" "):
        raise UsageError("the scope lacks openid", code="scope", advice="CIBA is OpenID Connect: add openid to scope")
    parameters = {"scope": scope, **given}
    optional = {"acr_values": acr_values, "binding_message": binding_message, "user_code": user_code}
    parameters.update({name: value for name, value in optional.items() if value})
    if requested_expiry is not None:
        # bool is an int to Python and means nothing here.
        if type(requested_expiry) is not int or not 0 < requested_expiry <= MAX_NUMBER:
            raise UsageError("requested_expiry is not a positive whole number of seconds", code="requested_expiry")
        parameters["requested_expiry"] = str(requested_expiry)
    if authorization_details:
        parameters["authorization_details"] = _compact_json(authorization_details)
    for name, value in extra.items():
        if name in parameters or name in _RESERVED:
            raise UsageError(
                f"the extra parameter {name!r} belongs to the protocol",
                code="extra_parameter",
                advice="use the argument of that name, or leave it to the client",
            )
        parameters[name] = value
    return parameters


#: Set by the client's authentication or the flow itself, or by their own arguments; twice in one form is an error.
_RESERVED = frozenset({
    "scope", "login_hint", "login_hint_token", "id_token_hint", "acr_values", "binding_message", "user_code",
    "requested_expiry", "authorization_details", "client_id", "client_secret", "client_assertion",
    "client_assertion_type", "grant_type", "auth_req_id", "request",
})  # fmt: skip


def _compact_json(details: Sequence[Mapping[str, object]]) -> str:
    # Typed or not, callers pass a single object or a ready JSON text here; both would go out wrong.
    items: Sequence[object] = details if isinstance(details, list | tuple) else ("",)
    if not all(isinstance(item, Mapping) and isinstance(item.get("type"), str) for item in items):
        raise UsageError(
            "authorization_details is not a list of objects with a type",
            code="authorization_details",
            advice='pass for example [{"type": "phoneAuth", "callInitiator": "RP"}]',
        )
    plain = [dict(item) for item in details]
    with suppress(TypeError, ValueError, RecursionError):
        return json.dumps(plain, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    raise UsageError("authorization_details holds something that JSON cannot say", code="authorization_details")


def build_token_request(auth_req_id: str) -> dict[str, str]:
    """The form parameters of one poll, client authentication excluded.

    Spec: CIBA Core 1.0 section 10.1.
    """
    return {"auth_req_id": auth_req_id, "grant_type": GRANT_TYPE}


def encode_form(parameters: Mapping[str, str]) -> bytes:
    """The parameters as an `application/x-www-form-urlencoded` body in UTF-8.

    Raises:
        UsageError: A value that UTF-8 cannot hold, such as a lone surrogate.
    """
    with suppress(UnicodeEncodeError):
        # Most of a poll is a signature, and to see that it is plain costs a tenth of quoting it.
        members = [
            f"{_quoted_name(name)}={value if _PLAIN.fullmatch(value) else _quoted(value)}"
            for name, value in parameters.items()
        ]
        return "&".join(members).encode("ascii")
    # Not from a handler: UnicodeEncodeError quotes the value, and the value may be a person's.
    raise UsageError("a parameter holds text that is not valid Unicode", code="parameter_encoding")


#: What stands for itself in a form.
_PLAIN = re.compile(r"[A-Za-z0-9_.~-]*+")
#: Parameters, and the names of the protocol and of clients, which stand in every form. Nothing of a person's is here.
_quoted_name = lru_cache(maxsize=64)(quote_plus)


def _quoted(text: str) -> str:
    return _quoted_name(text) if text.startswith("urn:") else quote_plus(text)


# --- answers ----------------------------------------------------------------------------------------------------------


@frozen
class Acknowledgement:
    """The provider has accepted the request; the phone asks from now on.

    Attributes:
        auth_req_id: The transaction's handle at the provider.
        expires_in: Seconds, counted from when the provider received the request.
        interval: Seconds at least between two polls.
        spoken_words: Idura's `bindingMessage`: words to read to the person before anything else happens.
        members: The whole answer.
    """

    auth_req_id: Redacted
    expires_in: float
    interval: float
    spoken_words: Redacted | None
    members: Mapping[str, Any] = field(repr=False)


@frozen
class ErrorAnswer:
    """A well-formed OAuth error. `error_description` is foreign text; `members` is the whole answer."""

    error: str
    # Foreign words may repeat what was sent, the person's number included.
    error_description: Redacted | None
    status: int
    retry_after: float | None = None
    members: Mapping[str, Any] = field(default=_NO_MEMBERS, repr=False)


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
    #: Complete and readable, and against the specification.
    BROKEN = "broken"


@frozen
class UnusableAnswer:
    """An answer that says neither yes, no nor wait. `reason` quotes nothing of the body."""

    kind: Unusable
    status: int
    reason: str
    retry_after: float | None = None


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
        members: The whole answer.
    """

    id_token: Redacted
    access_token: Redacted | None
    token_type: str | None
    expires_in: float | None
    members: Mapping[str, Any] = field(repr=False)


AuthenticationAnswer = Acknowledgement | ErrorAnswer | UnusableAnswer
TokenAnswer = Tokens | StillPending | SlowedDown | ErrorAnswer | UnusableAnswer


def parse_authentication_response(response: HttpResponse, *, wall: float) -> AuthenticationAnswer:
    """Read the answer to a backchannel authentication request.

    Args:
        response: JSON `{auth_req_id: str, expires_in: number | digits, interval?: number, bindingMessage?: str}`.
        wall: Seconds since the epoch, to read a `Retry-After` date against.

    Spec: CIBA Core 1.0 sections 7.3 and 13; Idura "Caller Authentication".
    """
    answer = _members_or_error(response, wall)
    if isinstance(answer, ErrorAnswer | UnusableAnswer):
        return _contradiction(answer) or answer
    auth_req_id = answer.get("auth_req_id")
    expires_in = _positive_seconds(answer.get("expires_in"))
    if not isinstance(auth_req_id, str) or not _AUTH_REQ_ID.fullmatch(auth_req_id):
        return UnusableAnswer(Unusable.BROKEN, response.status, "auth_req_id is missing or not printable text")
    if expires_in is None:
        return UnusableAnswer(Unusable.BROKEN, response.status, "expires_in is missing or not a positive number")
    words = answer.get("bindingMessage")
    return Acknowledgement(
        auth_req_id=Redacted(auth_req_id),
        expires_in=min(expires_in, MAX_EXPIRES_IN),
        # An interval that cannot be read must not cost a login whose phone is ringing already.
        interval=_positive_seconds(answer.get("interval")) or DEFAULT_INTERVAL,
        spoken_words=Redacted(words) if isinstance(words, str) and words else None,
        members=answer,
    )


def _contradiction(answer: ErrorAnswer | UnusableAnswer) -> UnusableAnswer | None:
    """A refusal that says that somebody is being asked nonetheless: asking again would ring twice."""
    if isinstance(answer, ErrorAnswer):
        asked = "auth_req_id" in answer.members or answer.error == "authorization_pending"
        reason = "an error that says that somebody is being asked"
    else:
        # Accepted, and unreadable.
        asked = answer.kind is Unusable.LOST and 200 <= answer.status < 300  # noqa: PLR2004 - the class of status codes
        reason = answer.reason
    return UnusableAnswer(Unusable.BROKEN, answer.status, reason) if asked else None


#: CIBA Core 7.3 allows letters, digits, `.`, `-` and `_`; others are survivable, control characters and spaces are not.
_AUTH_REQ_ID = re.compile(rf"[\x21-\x7e]{{1,{MAX_AUTH_REQ_ID_LENGTH}}}")


def parse_token_response(response: HttpResponse, *, wall: float) -> TokenAnswer:
    """Read the answer to one poll.

    Args:
        response: The answer as received.
        wall: Seconds since the epoch, to read a `Retry-After` date against.

    Spec: CIBA Core 1.0 sections 10.1.1 and 11; RFC 6749 section 5.
    """
    answer = _members_or_error(response, wall)
    if isinstance(answer, UnusableAnswer):
        return answer
    if isinstance(answer, ErrorAnswer):
        if answer.error == "authorization_pending":
            return StillPending(answer.error_description, answer.retry_after)
        if answer.error == "slow_down":
            interval = _positive_seconds(answer.members.get("interval"))
            return SlowedDown(answer.error_description, answer.retry_after, interval)
        return answer
    id_token, access_token, token_type = (answer.get(name) for name in ("id_token", "access_token", "token_type"))
    if not isinstance(id_token, str) or not id_token:
        return UnusableAnswer(Unusable.BROKEN, response.status, "neither error nor id_token is in the answer")
    return Tokens(
        id_token=Redacted(id_token),
        access_token=Redacted(access_token) if isinstance(access_token, str) and access_token else None,
        token_type=token_type if isinstance(token_type, str) else None,
        expires_in=_positive_seconds(answer.get("expires_in")),
        members=answer,
    )


def _members_or_error(response: HttpResponse, wall: float) -> dict[str, Any] | ErrorAnswer | UnusableAnswer:
    """Sort an answer by rule 1: OAuth error, success with members, or unusable."""
    status = response.status
    retry_after = parse_retry_after(response.headers.get("retry-after"), date=response.headers.get("date"), wall=wall)
    members: dict[str, Any] | None = None
    reason = ""
    try:
        members = load_object(response.body)
    except ValueError as error:
        reason = str(error)
    if members is not None:
        code, description = members.get("error"), members.get("error_description")
        if isinstance(code, str) and code and (code in KNOWN_CODES or _speaks_for_itself(status)):
            words = Redacted(description) if isinstance(description, str) else None
            return ErrorAnswer(code, words, status, retry_after, members)
        if 200 <= status < 300:  # noqa: PLR2004 - the class of status codes
            return members
        reason = "no error code that would say more"
    return UnusableAnswer(_kind(status), status, f"HTTP {status}, {reason}", retry_after)


#: CIBA Core sections 11 and 13, RFC 6749 section 5.2, RFC 8628 section 3.5, RFC 9396 section 5.
KNOWN_CODES = frozenset({
    "authorization_pending", "slow_down", "access_denied", "expired_token", "invalid_grant", "invalid_request",
    "invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope", "transaction_failed",
    "expired_login_hint_token", "unknown_user_id", "missing_user_code", "invalid_user_code", "invalid_binding_message",
    "invalid_authorization_details",
})  # fmt: skip

#: RFC 9110 sections 15.5.9 and 15.6.4, RFC 8470 section 5.2, RFC 6585 section 4: come back later.
_COME_BACK = frozenset({408, 425, 429, 503})


def _speaks_for_itself(status: int) -> bool:
    """Whether an unknown error code under this status is the provider's own word."""
    return (200 <= status < 300 or 400 <= status < 500) and status not in _COME_BACK  # noqa: PLR2004 - classes of status codes


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


def _positive_seconds(value: object) -> float | None:
    """Rule 2; None for anything that is not a positive whole number."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,64}", value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if value <= 0 or value != value // 1:
        return None
    # An int of thousands of digits does not fit a float.
    return _one_float(min(value, MAX_NUMBER))


#: The same object for the same number: a provider names the same few, and each pending login keeps two.
_one_float = lru_cache(maxsize=64)(float)
