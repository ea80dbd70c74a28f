"""What a provider publishes about itself: its metadata and its keys.

Rules:
1. Read strictly, because trust hangs on it; but a byte order mark in front is skipped (RFC 8259 section 8.1).
2. A value that says nothing (null, an empty text, list or object) is as if its member were absent.
3. One bad key does not spoil the set (RFC 7517 section 5): what cannot be read alone is left out alone.

Spec: OpenID Connect Discovery 1.0 sections 3 and 4; RFC 7517 section 5.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from attrs import field, frozen

from idura_ciba.errors import RemoteProtocolError
from idura_ciba.protocol.http import HttpResponse
from idura_ciba.protocol.strict_json import load_object

__all__ = ["ProviderMetadata", "build_discovery_url", "parse_discovery", "parse_jwks"]

#: A set larger than this is no key set of one issuer.
MAX_KEYS = 100


@frozen
class ProviderMetadata:
    """The part of a discovery document that this package uses; `members` has all of it."""

    issuer: str
    jwks_uri: str | None
    token_endpoint: str | None
    backchannel_authentication_endpoint: str | None
    userinfo_endpoint: str | None
    members: Mapping[str, Any] = field(repr=False)

    def listed(self, name: str) -> frozenset[str]:
        """The texts that a member lists; none where it says nothing, or is no list."""
        values = self.members.get(name)
        return (
            frozenset(value for value in values if isinstance(value, str)) if isinstance(values, list) else frozenset()
        )


def build_discovery_url(issuer: str) -> str:
    """Where the issuer's metadata stands.

    Spec: OpenID Connect Discovery 1.0 section 4.
    """
    return issuer.removesuffix("/") + "/.well-known/openid-configuration"


def parse_discovery(response: HttpResponse, *, issuer: str) -> ProviderMetadata:
    """Read the issuer's metadata.

    Raises:
        RemoteProtocolError: Not a JSON object with 200, or it names another issuer: code point by code point, no
            normalisation, because ID tokens are compared with the same text.

    Spec: OpenID Connect Discovery 1.0 sections 3 and 4.3.
    """
    members = _document(response, "discovery document")
    if members.get("issuer") != issuer:
        raise _fault(
            response,
            f"the discovery document of {issuer} names another issuer",
            code="issuer_mismatch",
            advice="pass the issuer exactly as the provider spells it, trailing slash included or not",
        )

    def endpoint(name: str) -> str | None:
        value = members.get(name)
        return value if isinstance(value, str) and value.strip() else None

    return ProviderMetadata(
        issuer=issuer,
        jwks_uri=endpoint("jwks_uri"),
        token_endpoint=endpoint("token_endpoint"),
        backchannel_authentication_endpoint=endpoint("backchannel_authentication_endpoint"),
        userinfo_endpoint=endpoint("userinfo_endpoint"),
        members=members,
    )


def parse_jwks(response: HttpResponse) -> Sequence[Mapping[str, Any]]:
    """Read a key set; the keys themselves are judged one by one by whoever uses them.

    Returns:
        Each key without the members that say nothing.

    Raises:
        RemoteProtocolError: Not a JSON object with 200 and a list in `keys`, or too many of them. What is no object is
            left out, and so is a key in which a member stands twice.

    Spec: RFC 7517 section 5.
    """
    keys = _document(response, "key set", duplicates="void").get("keys")
    if not isinstance(keys, list) or len(keys) > MAX_KEYS:
        raise _fault(response, f"the key set holds no list of at most {MAX_KEYS} keys", code="bad_jwks")
    return [
        {name: value for name, value in key.items() if value not in _NOTHING} for key in keys if isinstance(key, dict)
    ]


#: Compared by value: none of them equals 0 or False.
_NOTHING: tuple[Any, ...] = (None, "", [], {})


def _document(response: HttpResponse, name: str, *, duplicates: Literal["refuse", "void"] = "refuse") -> dict[str, Any]:
    if response.status != 200:  # noqa: PLR2004 - Discovery 4.2: a successful answer is exactly 200
        raise _fault(response, f"the {name} was answered with HTTP {response.status}")
    problem = ""
    try:
        return load_object(response.body.removeprefix(codecs.BOM_UTF8), duplicates=duplicates)
    except ValueError as error:
        problem = str(error)
    raise _fault(response, f"the {name} cannot be read: {problem}")


def _fault(response: HttpResponse, what: str, *, code: str = "bad_document", advice: str = "") -> RemoteProtocolError:
    error = RemoteProtocolError(what, code=code, advice=advice)
    error.trace_id = response.trace_id
    return error
