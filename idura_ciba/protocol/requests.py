"""What is sent: the parameters of the two requests, and the form that carries them.

Spec: CIBA Core 1.0 sections 7.1 and 10.1; RFC 9396 section 2.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from types import MappingProxyType
from urllib.parse import quote_plus

from idura_ciba.errors import ArgumentError

__all__ = ["GRANT_TYPE", "build_authentication_request", "build_refresh_request", "build_token_request", "encode_form"]

#: CIBA Core section 4.
GRANT_TYPE = "urn:openid:params:grant-type:ciba"
#: Seconds, thirty years: beyond it the exact number means nothing.
MAX_REQUESTED_EXPIRY = 10**9


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
        raise ArgumentError(
            f"exactly one of login_hint, login_hint_token and id_token_hint is needed, {len(given)} were given",
            code="one_hint",
            advice="say in one way who is to be asked",
        )
    # RFC 6749 section 3.3: scopes are separated by spaces, and by nothing else that Python would split at.
    if "openid" not in scope.split(" "):
        raise ArgumentError(
            "the scope lacks openid", code="scope", advice="CIBA is OpenID Connect: add openid to scope"
        )
    parameters = {"scope": scope, **given}
    optional = {"acr_values": acr_values, "binding_message": binding_message, "user_code": user_code}
    parameters.update({name: value for name, value in optional.items() if value})
    if requested_expiry is not None:
        # bool is an int to Python and means nothing here.
        if type(requested_expiry) is not int or not 0 < requested_expiry <= MAX_REQUESTED_EXPIRY:
            raise ArgumentError("requested_expiry is not a positive whole number of seconds", code="requested_expiry")
        parameters["requested_expiry"] = str(requested_expiry)
    if authorization_details:
        parameters["authorization_details"] = _compact_json(authorization_details)
    for name, value in extra.items():
        if name in parameters or name in _RESERVED:
            raise ArgumentError(
                f"the extra parameter {name!r} belongs to the protocol",
                code="extra_parameter",
                advice="use the argument of that name, or leave it to the client",
            )
        if name in _ECHOED:
            # Before the phone rings: a token that says what nobody compares would be refused after it.
            raise ArgumentError(
                f"the extra parameter {name!r} demands a claim of the ID token that this client would not compare",
                code="extra_parameter",
                advice="leave it out: a login belongs to its request by its auth_req_id, and is never older than it",
            )
        parameters[name] = value
    return parameters


#: Set by the client's authentication or the flow itself, or by their own arguments; twice in one form is an error.
_RESERVED = frozenset({
    "scope", "login_hint", "login_hint_token", "id_token_hint", "acr_values", "binding_message", "user_code",
    "requested_expiry", "authorization_details", "client_id", "client_secret", "client_assertion",
    "client_assertion_type", "client_notification_token", "grant_type", "auth_req_id", "request", "request_uri",
})  # fmt: skip
#: OpenID Connect Core sections 3.1.2.1 and 3.1.3.7: `nonce` comes back, and `max_age` brings an `auth_time` to check.
#: CIBA has neither.
_ECHOED = frozenset({"nonce", "max_age"})


def _compact_json(details: Sequence[Mapping[str, object]]) -> str:
    # Typed or not, callers pass a single object or a ready JSON text here; both would go out wrong.
    items: Sequence[object] = details if isinstance(details, list | tuple) else ("",)
    if not all(isinstance(item, Mapping) and isinstance(item.get("type"), str) for item in items):
        raise ArgumentError(
            "authorization_details is not a list of objects with a type",
            code="authorization_details",
            advice='pass for example [{"type": "phoneAuth", "callInitiator": "RP"}]',
        )
    plain = [dict(item) for item in details]
    with suppress(TypeError, ValueError, RecursionError):
        return json.dumps(plain, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    raise ArgumentError("authorization_details holds something that JSON cannot say", code="authorization_details")


def build_token_request(auth_req_id: str) -> dict[str, str]:
    """The form parameters of one poll, client authentication excluded.

    Spec: CIBA Core 1.0 section 10.1.
    """
    return {"auth_req_id": auth_req_id, "grant_type": GRANT_TYPE}


def build_refresh_request(refresh_token: str) -> dict[str, str]:
    """The form parameters of a refresh, client authentication excluded; the scope stays what it was.

    Spec: RFC 6749 section 6.
    """
    return {"grant_type": "refresh_token", "refresh_token": refresh_token}


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
    raise ArgumentError("a parameter holds text that is not valid Unicode", code="parameter_encoding")


#: What stands for itself in a form.
_PLAIN = re.compile(r"[A-Za-z0-9_.~-]*+")
#: Parameters, and the names of the protocol and of clients, which stand in every form. Nothing of a person's is here.
_quoted_name = lru_cache(maxsize=64)(quote_plus)


def _quoted(text: str) -> str:
    return _quoted_name(text) if text.startswith("urn:") else quote_plus(text)
