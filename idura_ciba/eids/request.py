"""Whom to ask, through which eID, and what the answer must prove.

`EidRequest` is plain data and open: an eID that is not here is an instance of it, or a subclass whose `__init__`
fills it in. Nothing else of this package knows one eID from another.

Spec: CIBA Core 1.0 section 7.1; Idura "Caller Authentication".
"""

from __future__ import annotations

import base64
import copy
import math
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Final, Literal, TypedDict, Unpack

from attrs import Factory, field, fields, frozen

from idura_ciba.eids.identity_number import check_danish, check_finnish, check_norwegian, check_swedish
from idura_ciba.eids.person import ClaimPath
from idura_ciba.errors import UsageError
from idura_ciba.protocol.requests import build_authentication_request, encode_form
from idura_ciba.protocol.strict_json import load_object
from idura_ciba.redaction import Redacted

__all__ = ["EidOptions", "EidRequest", "FrejaID", "NorwegianBankID", "SwedishBankID", "extends"]


class EidOptions(TypedDict, total=False):
    """The fields of `EidRequest` as keyword arguments; every eID of this module takes them and they win."""

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


# Converters let what is of the wrong kind through: `str` would make "None" of None, and the checks of the finished
# request can say what is wrong.


#: Seconds. Of the eIDs known, Norwegian BankID keeps a prompt the longest (Idura "Caller Authentication").
LONGEST_PROMPT: Final = 900.0
#: What may follow a level: whole segments of printable ASCII.
_SEGMENTS: Final = re.compile(r"(?::[!-9;-~]+)*")


def extends(level: str, asked: str) -> bool:
    """Whether a level is the one that was asked for, or adds whole `:` segments to it."""
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
    """Whom the hinted ID token is about; nothing where only the provider can read it."""
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
    """One person, asked through one eID. Checked when it is made, so a bad one never reaches a phone.

    To change one, make another: the eIDs below do not take each other's arguments back through `attrs.evolve`.

    Attributes:
        login_hint: Who is asked, in the provider's own notation. Exactly one of the three hints is given.
        login_hint_token: The same as a token made elsewhere.
        id_token_hint: The same as an earlier ID token of this client; the answer must be about the same `sub`.
        acr_values: Which eID and level. Idura reads one value; without any, no eID is checked in the answer.
        scope: Space separated, contains `openid`.
        binding_message: Shown to the person in the app. Not Idura's `bindingMessage`, which comes back to be spoken.
        user_code: The person's secret at providers that use one. Ask for it each time, never store it.
        requested_expiry: Seconds the request should live; the provider may ignore it.
        authorization_details: RFC 9396 objects, each with a `type`.
        extra: Further form parameters, for other providers.
        identity: What the ID token must say of the person, by the path into its claims. A claim that says something
            else is refused always; a missing one as the next two fields say. By default an `id_token_hint`'s `sub`.
        identity_elsewhere: Further claims that may be missing, and that may not say something else where they are not.
        identity_guaranteed: Tokens of this eID always carry these claims, so a missing one is refused.
        require_person: The caller insists on the claims where the eID may withhold them.
        require_acr: With `acr_values`: an answer that names no level is refused.
        pin_acr: The exact level the answer must name, where one that extends `acr_values` would not do.
        prompt_lifetime: Seconds for which a prompt stays on the phone at most. The person is held so long where the
            provider's answer, which says it, was lost.

    Raises:
        UsageError: The parameters cannot be sent, or the demands cannot be met.

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

    def __attrs_post_init__(self) -> None:
        """Refuse what cannot be sent and what could never be confirmed."""
        self._check_kinds()
        encode_form(self.parameters())
        for path, expected in (*self.identity.items(), *self.identity_elsewhere.items()):
            names: object = path  # {"ssn": ...} without the tuple is an easy mistake, and each letter would be a name
            if not isinstance(names, tuple) or not path or not all(map(_is_text, (*path, expected))):
                raise UsageError(
                    "An identity is not a tuple of claim names with the value to find there",
                    code="identity",
                    advice='Write {("ssn",): number}, with the comma',
                )
        if self.pin_acr is not None and not any(extends(self.pin_acr, asked) for asked in self._asked_levels()):
            raise UsageError(
                "The pin_acr is none of the acr_values, so no answer could ever be accepted",
                code="pin_acr",
                advice="Pass one of the acr_values, or one that extends it by whole segments",
            )
        if self.require_person and not self.identity:
            raise UsageError(
                "The person is required to be confirmed and nothing says by which claim",
                code="require_person",
                advice="Ask by a national number, or pass `identity`",
            )

    def _check_kinds(self) -> None:
        """Types are promises only: what comes from a form or a file may be anything, and would be sent as its repr."""
        for item in fields(EidRequest):
            value = getattr(self, item.name)
            if item.name in _TEXTS:
                good = isinstance(value, str) or (value is None and item.default is None)
            elif item.name in _MAPPINGS:
                good = isinstance(value, Mapping)
            else:
                good = not isinstance(item.default, bool) or isinstance(value, bool)
            if not good:
                raise UsageError(f"The {item.name} is not of the right kind", code=item.name, advice=_KINDS)
        lifetime: object = self.prompt_lifetime
        if isinstance(lifetime, bool) or not isinstance(lifetime, int | float) or not 0 < lifetime < math.inf:
            raise UsageError("The prompt_lifetime is no number of seconds", code="prompt_lifetime", advice=_KINDS)
        if not all(isinstance(value, str) for pair in self.extra.items() for value in pair):
            raise UsageError("The extra parameters are not all text", code="extra", advice=_KINDS)
        if self.acr_values is not None and not self._asked_levels():
            raise UsageError("The acr_values are empty", code="acr_values", advice="Leave them out, or name one")

    def _asked_levels(self) -> list[str]:
        return (self.acr_values or "").split()

    def __repr__(self) -> str:
        """Show what differs from the defaults, and nothing that tells of the person."""
        # By getattr, because a crash report may show a request that was refused before it had its fields.
        shown = ((item, getattr(self, item.name, item.default)) for item in fields(type(self)) if item.repr)
        said = (f"{item.name}={value!r}" for item, value in shown if value != item.default)
        return f"{type(self).__qualname__}({', '.join(said)})"

    def parameters(self) -> dict[str, str]:
        """Return the form parameters of the backchannel authentication request, client authentication excluded."""
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

    @property
    def person_key(self) -> Redacted:
        """Whom this asks: the hint. Two live requests with one key would cancel each other."""
        return next(hint for hint in (self.login_hint, self.login_hint_token, self.id_token_hint) if hint)


_TEXTS = frozenset({
    "login_hint", "login_hint_token", "id_token_hint", "acr_values", "scope", "binding_message", "user_code", "pin_acr",
})  # fmt: skip
_MAPPINGS = frozenset({"extra", "identity", "identity_elsewhere"})
_KINDS = "Pass text as str, switches as bool, and the rest as the documentation of EidRequest says"


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _text(name: str, value: object) -> Redacted:
    """What an eID is asked with, before anything is made of it."""
    if not isinstance(value, str):
        raise UsageError(f"The {name} is not text", code=name, advice="Pass it as str; a number loses its zeros")
    return Redacted(value)


#: BankID takes at most 1500 characters of base64 (RP API v6, `userVisibleData`), which hold this many bytes.
MAX_SWEDISH_MESSAGE_BYTES: Final = 1125


class SwedishBankID(EidRequest):
    """Swedish BankID phone authentication.

    The app asks whether the person is on the phone with you and shows `message`. The ID token always names the
    person, so a login without the number is refused.

    Args:
        ssn: Twelve digits with the century.
        call_initiator: `RP` when you called the person, `user` when the person called you; the app says which.
        message: What the person reads in the app. Idura lists it as required; at most 1125 bytes in UTF-8. Who
            knows better passes `binding_message` instead, or `binding_message=None` to send none.
        overrides: Any field of `EidRequest`.

    Raises:
        UsageError: A rule is broken; nothing was sent.

    Example:
        ::

            SwedishBankID("196802020575", call_initiator="user", message="Your call to Acme, reference 4711")

    Spec: Idura "Caller Authentication", Swedish BankID; BankID RP API v6, `/phone/auth`.
    """

    __slots__ = ()

    def __init__(
        self,
        ssn: str,
        *,
        call_initiator: Literal["RP", "user"],
        message: str = "",
        **overrides: Unpack[EidOptions],
    ) -> None:
        ssn, message = _text("ssn", ssn), _text("message", message)
        if call_initiator not in ("RP", "user"):
            raise UsageError(
                "The call_initiator of Swedish BankID is neither RP nor user",
                code="call_initiator",
                advice="Pass RP when you called the person, user when the person called you",
            )
        if bool(message.strip()) == ("binding_message" in overrides):
            raise UsageError(
                "Swedish BankID needs one message to show in the app, and there is none or there are two",
                code="message_required",
                advice="Pass message='...'; Idura lists binding_message as required for this eID",
            )
        number = check_swedish(ssn)
        fields: EidOptions = {
            "login_hint": Redacted(f"sub:ssn:{number}"),
            "acr_values": "urn:grn:authn:se:bankid",
            "binding_message": message,
            "authorization_details": ({"type": "phoneAuth", "callInitiator": call_initiator},),
            "identity": {("ssn",): number},
            "identity_elsewhere": {("socialno",): number, ("country",): "SE", ("identityscheme",): "sebankid"},
            "identity_guaranteed": True,
            # Idura's sample says 120; upstream an order can be picked up for three minutes (RP API v6).
            "prompt_lifetime": 180.0,
        }
        super().__init__(**(fields | overrides))
        # Encoding has been tried by now: a message that UTF-8 cannot hold is refused before it is measured.
        if len((self.binding_message or "").encode()) > MAX_SWEDISH_MESSAGE_BYTES:
            raise UsageError(
                f"The message for Swedish BankID is longer than {MAX_SWEDISH_MESSAGE_BYTES} bytes in UTF-8",
                code="message_too_long",
                advice="Shorten it; letters beyond ASCII count for two bytes or more",
            )


class NorwegianBankID(EidRequest):
    """Norwegian BankID caller authentication.

    There is no message to pass: Idura answers with two words, `Transaction.spoken_words`, which you read to the
    person before waiting, and which the person picks in the app.

    **The ID token may keep silent about who the person is.** The number stands in it only with the `ssn` scope and
    the person's consent. Without it the login has `person_confirmed = False`: somebody picked the right words, and
    nothing in the token says that it was the person you asked for. Where that is not enough, pass
    `scope="openid ssn"`, which needs dynamic scopes enabled for the application at Idura, and `require_person=True`.

    Args:
        ssn: Eleven digits.
        allow_synthetic: Whether the numbers of test persons pass.
        overrides: Any field of `EidRequest` but `binding_message`.

    Raises:
        UsageError: A rule is broken; nothing was sent.

    Spec: Idura "Caller Authentication", Norwegian BankID.
    """

    __slots__ = ()

    def __init__(self, ssn: str, *, allow_synthetic: bool = True, **overrides: Unpack[EidOptions]) -> None:
        ssn = _text("ssn", ssn)
        if overrides.get("binding_message") is not None:
            raise UsageError(
                "Norwegian BankID must not be sent a binding_message",
                code="message_forbidden",
                advice="Leave it out, and read the spoken_words of the transaction to the person instead",
            )
        number = check_norwegian(ssn, allow_synthetic=allow_synthetic)
        fields: EidOptions = {
            "login_hint": Redacted(f"sub:ssn:{number}"),
            "acr_values": "urn:grn:authn:no:bankid",
            "authorization_details": ({"type": "customerServiceCall.v1"},),
            "identity": {("socialno",): number},
            "identity_elsewhere": {("ssn",): number, ("country",): "NO"},
        }
        super().__init__(**(fields | overrides))


_NUMBER_RULES: Final[Mapping[str, Callable[[str], Redacted]]] = {
    "SE": check_swedish,
    "NO": check_norwegian,
    "DK": check_danish,
    "FI": check_finnish,
}
#: ITU-T E.164: a country code, and at most 15 digits in all.
_PHONE: Final = re.compile(r"\+[1-9][0-9]{4,14}")
#: Hints are separated by spaces, so none may hold one; whether the address exists is for Freja to say.
_EMAIL: Final = re.compile(r"[^\s\x00-\x1f\x7f@]+@[^\s\x00-\x1f\x7f@]+")


class FrejaID(EidRequest):
    """FrejaID caller authentication, as far as it is known.

    **FrejaID over CIBA is documented in one sentence, which says that Idura supports it.** Everything here is
    assumed from Idura's description of FrejaID in the browser: the `acr_values`, the notation of the hints, that
    there are no `authorization_details`, that a message is optional, and where the ID token has the number. Idura
    may want something else; every field can be overridden, so no new release is needed when it does.

    The ID token may keep silent about who the person is: see `NorwegianBankID`. Here the scope is `frejaid:ssn`.
    Who is asked by phone number or e-mail address is not confirmed at all unless you pass `identity`.

    Args:
        ssn: National number; exactly one of `ssn`, `phone` and `email` is given.
        country: Whose number it is: `SE`, `NO`, `DK` or `FI`. The rules of the first two are checked in full.
        phone: With the country code: `+46701740605`.
        email: An address registered with Freja.
        overrides: Any field of `EidRequest`.

    Raises:
        UsageError: A rule is broken; nothing was sent.

    Spec: Idura "FrejaID", `login_hint` and tokens; the sentence stands in Idura's "CIBA".
    """

    __slots__ = ()

    def __init__(
        self,
        ssn: str | None = None,
        *,
        country: Literal["SE", "NO", "DK", "FI"] = "SE",
        phone: str | None = None,
        email: str | None = None,
        **overrides: Unpack[EidOptions],
    ) -> None:
        ssn, phone, email = _text("ssn", ssn or ""), _text("phone", phone or ""), _text("email", email or "")
        if sum(map(bool, (ssn, phone, email))) != 1:
            raise UsageError(
                "FrejaID asks by exactly one of ssn, phone and email",
                code="one_hint",
                advice="Say in one way who is to be asked",
            )
        # Freja: an authentication lives two minutes at most.
        fields: EidOptions = {"acr_values": "urn:grn:authn:se:frejaid", "prompt_lifetime": 120.0}
        if ssn:
            number = _checked(ssn, country)
            # Idura describes the country's hint only together with the number's, so they are never sent apart.
            fields["login_hint"] = Redacted(f"sub:ssncountry:{country} sub:ssn:{number}")
            place = ("details", "requestedAttributes", "ssn")
            fields["identity"] = {(*place, "ssn"): number, (*place, "country"): country}
            fields["identity_elsewhere"] = {("ssn",): number, ("socialno",): number}
        elif phone:
            _match(_PHONE, phone, "phone", "+ and the country code, then digits only")
            fields["login_hint"] = Redacted(f"sub:phone:{phone}")
        else:
            _match(_EMAIL, email, "email", "it without spaces, with one @")
            fields["login_hint"] = Redacted(f"sub:email:{email}")
        super().__init__(**(fields | overrides))


def _checked(number: Redacted, country: str) -> Redacted:
    rule = _NUMBER_RULES.get(country) if _is_text(country) else None
    if rule is None:
        raise UsageError(
            "FrejaID knows no national numbers of that country",
            code="country",
            advice=f"Pass one of {', '.join(_NUMBER_RULES)}",
        )
    return rule(number)


def _match(pattern: re.Pattern[str], value: Redacted, name: str, form: str) -> None:
    if not pattern.fullmatch(value):
        raise UsageError(f"The {name} for FrejaID is not written as it must be", code=name, advice=f"Write {form}")
