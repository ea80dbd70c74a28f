"""Whom to ask, through which eID, and what the answer must prove.

`EidRequest` is plain data and open for extension: an eID is an instance, or a subclass whose `__init__` fills it in.

Spec: CIBA Core 1.0 section 7.1; Idura "Caller Authentication".
"""

from __future__ import annotations

import base64
import copy
import math
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final, TypedDict

from attrs import Factory, field, fields, frozen

from idura_ciba.eids.person import ClaimPath
from idura_ciba.eids.phase import Phase
from idura_ciba.errors import ArgumentError
from idura_ciba.protocol.answers import LONGEST_PROMPT
from idura_ciba.protocol.requests import build_authentication_request, encode_form
from idura_ciba.protocol.strict_json import load_object
from idura_ciba.redaction import Redacted

__all__ = ["EidOptions", "EidRequest", "as_text", "extends"]


class EidOptions(TypedDict, total=False):
    """The fields of `EidRequest` as keyword arguments; every eID takes them, and they override its own."""

    login_hint: str | None
    login_hint_token: str | None
    id_token_hint: str | None
    acr_values: str | None
    scope: str
    binding_message: str | None
    user_code: str | None
    requested_expiry: int | None
    authorization_details: Iterable[Mapping[str, object]]
    extra: Mapping[str, str]
    identity: Mapping[ClaimPath, str]
    identity_elsewhere: Mapping[ClaimPath, str]
    identity_guaranteed: bool
    require_person: bool
    require_acr: bool
    pin_acr: str | None
    prompt_lifetime: float
    phases: Mapping[str, Phase]


# The converters let values of the wrong type through: `str` would turn None into "None", and the checks after
# initialisation can say what is wrong.


#: What may follow a requested level: whole segments of printable ASCII.
_SEGMENTS: Final = re.compile(r"(?::[!-9;-~]+)*")


#: Characters from which a name says whose it is; a country or a flag does not.
LEAST_NAME: Final = 6


def extends(level: str, asked: str) -> bool:
    """Whether a level is the requested one, or adds whole `:` segments to it."""
    return level.startswith(asked) and _SEGMENTS.fullmatch(level, len(asked)) is not None


def _redacted(value: str | None) -> Redacted | None:
    return Redacted(value) if isinstance(value, str) else value


def _details(value: Iterable[Mapping[str, object]]) -> tuple[Mapping[str, object], ...]:
    if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
        return value  # type: ignore[return-value] # refused by `build_authentication_request`
    return tuple(copy.copy(item) for item in value)


def _copied(value: Mapping[str, str]) -> Mapping[str, str]:
    return dict(value) if isinstance(value, Mapping) else value


def _identity(value: Mapping[ClaimPath, str]) -> Mapping[ClaimPath, Redacted]:
    if not isinstance(value, Mapping):
        return value
    return {path: Redacted(expected) if isinstance(expected, str) else expected for path, expected in value.items()}


def _subject(request: EidRequest) -> Mapping[ClaimPath, str]:
    """The subject of the hinted ID token; empty if only the provider can read it."""
    hint = request.id_token_hint
    if not isinstance(hint, str):
        return {}
    with suppress(ValueError, IndexError):
        payload = hint.split(".")[1]
        subject = load_object(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))).get("sub")
        return {("sub",): subject} if isinstance(subject, str) else {}
    return {}


@frozen(kw_only=True, repr=False)
class EidRequest:
    """A request to ask one person through one eID. Validated on creation, so an invalid one never reaches a phone.

    To change a request, make a new one: the eIDs of this package do not work with `attrs.evolve`.

    Attributes:
        login_hint: Whom to ask, in the provider's own notation. Pass exactly one of the three hints.
        login_hint_token: The same, as a token made elsewhere.
        id_token_hint: The same, as an earlier ID token of this client; the answer must have the same `sub`.
        acr_values: Which eID and level. Idura reads one value; without any, the answer's eID is not checked.
        scope: Space-separated; contains `openid`.
        binding_message: Shown to the person in the app. Not Idura's `bindingMessage`, which comes back to be spoken.
        user_code: The person's secret at providers that use one. Ask for it each time, never store it.
        requested_expiry: Seconds the request should live; the provider may ignore it.
        authorization_details: RFC 9396 objects, each with a `type`.
        extra: Further form parameters, for other providers.
        identity: Claims that the ID token must have, by path. A claim with another value is always refused; a missing
            one, if `identity_guaranteed` or `require_person` is set. Default: the `sub` of an `id_token_hint`.
        identity_elsewhere: Further claims that may be missing, but must not have another value.
        identity_guaranteed: Tokens of this eID always have the `identity` claims, so a missing one is refused.
        require_person: Refuse a missing `identity` claim even if the eID may omit it.
        require_acr: With `acr_values`: refuse an answer that names no level.
        pin_acr: The exact level that the answer must name, if one that extends `acr_values` is not enough.
        prompt_lifetime: Most seconds that a prompt stays on the phone. It counts if the provider's answer does not
            give a credible lifetime; if that answer is lost, the person is not asked again for that long.
        phases: What the provider's progress hints mean, for `Update.phase`.

    Raises:
        UsageError: The parameters cannot be sent, or no answer could ever be accepted.

    Example:
        A provider's own eID, as data::

            EidRequest(
                login_hint=f"cpr:{number}",
                acr_values="urn:example:mitid:substantial",
                identity={("cpr",): number},
            )
    """

    login_hint: Redacted | None = field(default=None, converter=_redacted, repr=False)
    login_hint_token: Redacted | None = field(default=None, converter=_redacted, repr=False)
    id_token_hint: Redacted | None = field(default=None, converter=_redacted, repr=False)
    acr_values: str | None = None
    scope: str = "openid"
    binding_message: Redacted | None = field(default=None, converter=_redacted, repr=False)
    user_code: Redacted | None = field(default=None, converter=_redacted, repr=False)
    requested_expiry: int | None = None
    # Mappings cannot be hashed; equal requests still hash alike by the other fields.
    authorization_details: tuple[Mapping[str, object], ...] = field(
        default=(), converter=_details, repr=False, hash=False
    )
    extra: Mapping[str, str] = field(factory=dict, converter=_copied, repr=False, hash=False)
    identity: Mapping[ClaimPath, Redacted] = field(
        default=Factory(_subject, takes_self=True), converter=_identity, repr=False, hash=False
    )
    identity_elsewhere: Mapping[ClaimPath, Redacted] = field(factory=dict, converter=_identity, repr=False, hash=False)
    identity_guaranteed: bool = False
    require_person: bool = False
    require_acr: bool = True
    pin_acr: str | None = None
    prompt_lifetime: float = LONGEST_PROMPT
    phases: Mapping[str, Phase] = field(factory=dict, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        """Refuse a request that cannot be sent, or whose answer could never be accepted."""
        self._check_kinds()
        encode_form(self.parameters())
        for path, expected in (*self.identity.items(), *self.identity_elsewhere.items()):
            names: object = path  # {"ssn": ...} without the tuple is an easy slip: each letter would become a name
            if not isinstance(names, tuple) or not path or not all(map(_is_text, (*path, expected))):
                raise ArgumentError(
                    "An identity must map a tuple of claim names to the expected text",
                    code="identity",
                    advice='Write {("ssn",): number}, with the comma',
                )
        if self.pin_acr is not None and not any(extends(self.pin_acr, asked) for asked in self._asked_levels()):
            raise ArgumentError(
                "The pin_acr matches none of the acr_values, so no answer could ever be accepted",
                code="pin_acr",
                advice="Pass one of the acr_values, or one that extends it by whole segments",
            )
        if self.require_person and not self.identity:
            raise ArgumentError(
                "require_person is set, but there is no identity claim to confirm the person by",
                code="require_person",
                advice="Ask by a national number, or pass `identity`",
            )

    def _check_kinds(self) -> None:
        """Check types at run time: values from a form or a file may be anything, and would be sent as their repr."""
        for item in fields(EidRequest):
            value = getattr(self, item.name)
            if item.name in _TEXTS:
                good = isinstance(value, str) or (value is None and item.default is None)
            elif item.name in _MAPPINGS:
                good = isinstance(value, Mapping)
            else:
                good = not isinstance(item.default, bool) or isinstance(value, bool)
            if not good:
                raise ArgumentError(f"The {item.name} has the wrong type", code=item.name, advice=_KINDS)
        lifetime: object = self.prompt_lifetime
        if isinstance(lifetime, bool) or not isinstance(lifetime, int | float) or not 0 < lifetime < math.inf:
            raise ArgumentError("The prompt_lifetime is no number of seconds", code="prompt_lifetime", advice=_KINDS)
        if not all(isinstance(value, str) for pair in self.extra.items() for value in pair):
            raise ArgumentError("The extra parameters are not all text", code="extra", advice=_KINDS)
        if not all(isinstance(hint, str) and isinstance(phase, Phase) for hint, phase in self.phases.items()):
            raise ArgumentError("The phases do not map text to Phase", code="phases", advice=_KINDS)
        if self.acr_values is not None and not self._asked_levels():
            raise ArgumentError("The acr_values are empty", code="acr_values", advice="Leave them out, or name one")

    def _asked_levels(self) -> list[str]:
        return (self.acr_values or "").split()

    def __repr__(self) -> str:
        """Show what differs from the defaults, and nothing personal."""
        # By getattr, because a crash report may show a request that was refused before its fields were set.
        shown = ((item, getattr(self, item.name, item.default)) for item in fields(type(self)) if item.repr)
        said = (f"{item.name}={value!r}" for item, value in shown if value != item.default)
        return f"{type(self).__qualname__}({', '.join(said)})"

    def parameters(self) -> dict[str, str]:
        """Return the form parameters of the backchannel authentication request, without client authentication."""
        return build_authentication_request(
            scope=self.scope,
            login_hint=self.login_hint,
            login_hint_token=self.login_hint_token,
            id_token_hint=self.id_token_hint,
            acr_values=self.acr_values,
            binding_message=self.binding_message,
            user_code=self.user_code,
            requested_expiry=self.requested_expiry,
            authorization_details=self.authorization_details,
            extra=self.extra,
        )

    def is_named_in(self, text: str) -> bool:
        """Whether a text contains what names the person: their number, hint or address, however it is spelled."""
        hint, plain = self.person_key, _plain(text)
        named = [hint, hint.rpartition(":")[2], *self.identity.values(), *self.identity_elsewhere.values()]
        # A Swedish number is also written without its century.
        spelled = [name[start:] for name in map(_plain, named) for start in (0, 2) if name.isdigit() or not start]
        return any(len(name) >= LEAST_NAME and name in plain for name in spelled)

    @property
    def person_key(self) -> Redacted:
        """The hint, as a key for the person. Two live requests with the same key would cancel each other."""
        return next(hint for hint in (self.login_hint, self.login_hint_token, self.id_token_hint) if hint)


def _plain(text: str) -> str:
    return "".join(filter(str.isalnum, text)).casefold()


_TEXTS = frozenset({
    "login_hint", "login_hint_token", "id_token_hint", "acr_values", "scope", "binding_message", "user_code", "pin_acr",
})  # fmt: skip
_MAPPINGS = frozenset({"extra", "identity", "identity_elsewhere", "phases"})
_KINDS = "Pass text as str, flags as bool, and the rest as documented in EidRequest"


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def as_text(name: str, value: object) -> Redacted:
    """Return an argument of an eID as redacted text.

    Raises:
        UsageError: Not a string; its code is the argument's name.
    """
    if not isinstance(value, str):
        raise ArgumentError(
            f"The {name} is not text", code=name, advice="Pass it as str; a number loses its leading zeros"
        )
    return Redacted(value)


def check_request(request: object) -> None:
    """Make sure that this is a request, whatever a program has passed.

    Raises:
        UsageError: It is something else.
    """
    if not isinstance(request, EidRequest):
        raise ArgumentError(
            f"start needs a request, not a {type(request).__name__}",
            code="request",
            advice="pass, for example, SwedishBankID(number, ...)",
        )
