"""The declaration of an eID: a request with blanks, and the options that fill them in.

Rules:
1. Values in `Eid.fields` may contain blanks: `{ssn}`, whom to ask, and names of the eID's options in braces.
2. A blank that nothing fills is an error when the eID is declared, so it never reaches a provider.
3. A value that is part of a hint can neither end that part nor begin another, wherever the value comes from.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal, cast

from attrs import field, frozen

from idura_ciba.eids.phase import Phase
from idura_ciba.eids.request import EidOptions, EidRequest, as_text
from idura_ciba.errors import ArgumentError, UsageError
from idura_ciba.redaction import Redacted

__all__ = ["Eid", "MessageRule", "Option"]

MessageRule = Literal["required", "optional", "forbidden"]

#: The blank for whom to ask, filled by the option `--ssn` or the column `ssn` of a file.
_PERSON: Final = "ssn"
_BLANK: Final = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
_HINTS: Final = ("login_hint", "login_hint_token", "id_token_hint")
#: Parts of a hint are separated by spaces, and a hint may be JSON.
_PART: Final = re.compile(r"""[^\s\x00-\x20\x7f\ud800-\udfff"'\\{}]+""")


@frozen(kw_only=True)
class Option:
    """An option that an eID takes besides the person: an option of the command, and a column of a file.

    Attributes:
        name: Its name in Python and as a column; on the command line `some_name` becomes `--some-name`.
        help: A short description.
        choices: Allowed values; empty: any text.
        default: The value if none is given.
        required: Whether it must be given.
        repeatable: Whether it may be given more than once; the values come as a tuple. Such an option is not a column.
        secret: Whether it may reveal who is asked: the command can then also read it from a file, `--some-name-file`.
        elsewhere: What happens if it is given for another eID. `ignored` is for options that only describe the person.
    """

    name: str
    help: str
    choices: tuple[str, ...] = ()
    default: str | None = None
    required: bool = False
    repeatable: bool = False
    secret: bool = False
    elsewhere: Literal["refused", "ignored"] = "refused"

    def __attrs_post_init__(self) -> None:
        """Refuse a name that cannot serve as an option, a column and a blank."""
        if not _NAME.fullmatch(self.name) or self.name in {"key", "eid", "message", _PERSON}:
            raise ArgumentError(
                f"An option cannot be called {self.name!r}",
                code="option_name",
                advice="Use lower-case letters, digits and _; key, eid, ssn and message are reserved",
            )

    @property
    def flag(self) -> str:
        """Its name on the command line."""
        return f"--{self.name.replace('_', '-')}"


def _own(fields: EidOptions) -> EidOptions:
    return copy.deepcopy(fields)


def _hidden(text: str | None) -> Redacted | None:
    return None if text is None else Redacted(text)


@frozen(kw_only=True, eq=False)
class Eid:
    """One eID: its name, the request it sends, what the answer proves, and the options it takes.

    The client's request classes, the command, batches and the documentation all read it. `fields` is enough for most
    eIDs; `request` is for eIDs with checks that data cannot express.

    Attributes:
        name: Short name, for the command line and for files.
        label: The name that people know it by.
        fields: The fields of `EidRequest`, with blanks.
        number: Reads a person's number as it is written and returns it as it is sent, or raises `UsageError`; None:
            anything goes. Those of this package stand in `written_number`.
        number_options: The names of the options by which it does so; it takes them by keyword.
        message: Whether the app shows a text of yours.
        message_bytes: Most bytes of that text in UTF-8; None: no limit.
        spoken_words: Whether the provider answers with words that you must read to the person.
        phases: What the provider's progress hints mean, in their order; empty if unknown.
        options: Its options.
        request: Makes a request from the person and, by keyword, from options, `message` if there is one, and fields
            of `EidRequest`. None: `fields` does.
        build: Makes the eID from its options, if they define it.
        person: What `ssn` means for this eID, shown when prompting for it.
        somebody: A well-formed value of `ssn` that belongs to nobody, for trials.

    Raises:
        UsageError: The declaration cannot work.

    Example:
        ::

            Eid(
                name="mitid",
                label="Danish MitID",
                fields={
                    "login_hint": "cpr:{ssn}",
                    "acr_values": "urn:example:mitid:substantial",
                    "identity": {("cpr",): "{ssn}"},
                },
            )
    """

    name: str
    label: str
    fields: EidOptions = field(factory=EidOptions, converter=_own, repr=False)
    number: Callable[..., str] | None = field(default=None, repr=False)
    number_options: tuple[str, ...] = field(default=(), repr=False)
    message: MessageRule = "optional"
    message_bytes: int | None = None
    spoken_words: bool = False
    phases: Mapping[str, Phase] = field(factory=dict, repr=False)
    options: tuple[Option, ...] = field(default=(), repr=False)
    request: Callable[..., EidRequest] | None = field(default=None, repr=False)
    build: Callable[..., Eid] | None = field(default=None, repr=False)
    person: str = "National number"
    somebody: Redacted | None = field(default=None, converter=_hidden, repr=False)
    # Computed once: fields with blanks, the names of the blanks, and those of them that are parts of hints.
    _open: tuple[str, ...] = field(init=False, repr=False)
    _blanks: frozenset[str] = field(init=False, repr=False)
    _parts: frozenset[str] = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Find the blanks, and refuse a declaration that would fail when used."""
        if not _NAME.fullmatch(self.name.replace("-", "_")):
            raise _undeclarable(f"An eID cannot be called {self.name!r}", "Use lower-case letters, digits, - and _")
        if unknown := self.fields.keys() - EidOptions.__annotations__.keys():
            raise _undeclarable(f"{self.label} has fields that no request has: {', '.join(sorted(unknown))}")
        blanks = {name: found for name, value in self.fields.items() if (found := frozenset(_blanks_in(value)))}
        parts = (found for name, found in blanks.items() if name in _HINTS and f"{{{min(found)}}}" != self.fields[name])  # type: ignore[literal-required]
        object.__setattr__(self, "_open", tuple(blanks))
        object.__setattr__(self, "_blanks", frozenset().union(*blanks.values()))
        object.__setattr__(self, "_parts", frozenset().union(*parts))
        certain = (each for each in self.options if each.required or each.default is not None)
        filled = {option.name for option in certain if not option.repeatable}
        if unfilled := self._blanks - filled - {_PERSON}:
            raise _undeclarable(
                f"{self.label} has a blank that nothing fills: {{{min(unfilled)}}}",
                "A blank is {ssn} or the name of an option that is there once, because it is required or has a default",
            )
        if unknown := set(self.number_options) - {option.name for option in self.options}:
            raise _undeclarable(f"{self.label} reads a number by an option that it does not have: {min(unknown)}")
        if self.request is None and self.build is None and not any(self.fields.get(hint) for hint in _HINTS):
            raise _undeclarable(f"{self.label} has no hint, so it cannot say whom to ask", "Put login_hint into fields")

    @property
    def guarantees_person(self) -> bool:
        """Whether its tokens always say who approved; otherwise they may omit the national number."""
        return self.fields.get("identity_guaranteed", False)

    @property
    def needs_ssn(self) -> bool:
        """Whether `ssn` is needed to say whom to ask; otherwise the options say it."""
        return self.request is not None or _PERSON in self._blanks

    def takes(self, name: str) -> bool:
        """Whether it has an option of this name, including `message`."""
        return self.message != "forbidden" if name == "message" else any(name == each.name for each in self.options)

    def resolve(self, given: Mapping[str, Any]) -> tuple[Eid, dict[str, Any]]:
        """Return the eID to ask, and the remaining arguments; this eID unless `build` makes another.

        Args:
            given: As for `ask`.

        Raises:
            UsageError: An option is missing, unknown or invalid.
        """
        options = self._read(given)
        rest = {name: value for name, value in given.items() if not any(name == each.name for each in self.options)}
        return (self, {**options, **rest}) if self.build is None else (self.build(**options), rest)

    def ask(self, ssn: str = "", /, **given: Any) -> EidRequest:
        """Make the request for one person.

        Args:
            ssn: Whom to ask: the national number, or what this eID uses instead.
            given: Options by name, `message` for the text that the app shows, and any field of `EidRequest`.

        Raises:
            UsageError: An argument is missing, unknown or invalid. Its code is the option's name, `message_required`,
                `message_forbidden`, `message_too_long`, or the code of the number's rule.
        """
        ssn, given = as_text(_PERSON, ssn), self._hidden(given)
        eid, rest = self.resolve(given)
        if eid is not self:
            return eid.ask(ssn, **rest)
        message = rest.get("message")
        if self.message == "required" and not (message or "").strip() and "binding_message" not in rest:
            raise ArgumentError(
                f"{self.label} needs a message for the person to read in the app",
                code="message_required",
                advice="Pass --message, or in a file the column message",
            )
        if self.message == "forbidden":
            self.check_message(message)
        return self._fill_in(ssn, rest) if self.request is None else self.request(ssn, **rest)

    def fill(self, **values: str) -> EidOptions:
        """Return the fields of a request with the blanks filled in.

        Args:
            values: Values by blank; others are ignored.

        Raises:
            UsageError: A value is missing, or could turn the hint into another one.
        """
        for name in sorted(self._blanks):
            self._check_blank(name, values.get(name))
        filled = {name: _filled(self.fields[name], values) for name in self._open}  # type: ignore[literal-required]
        return cast("EidOptions", {**self.fields, **filled, "phases": self.phases})

    def check_ssn(self, ssn: str, /, **given: Any) -> Redacted:
        """Read `ssn` and return it as it is sent: two spellings of one person give the same text.

        Args:
            ssn: As for `ask`.
            given: As for `ask`; only `number_options` are looked at.

        Raises:
            UsageError: It is not a valid number, or could turn the hint into another one.
        """
        ssn = as_text(_PERSON, ssn)
        if self.number is not None:
            own = (option for option in self.options if option.name in self.number_options)
            ssn = Redacted(self.number(ssn, **{option.name: given.get(option.name, option.default) for option in own}))
        # A `request` of its own may have another hint for some people, as FrejaID has for addresses.
        if self.request is None and _PERSON in self._blanks:
            self._check_blank(_PERSON, ssn)
        return ssn

    def _check_blank(self, name: str, value: str | None) -> None:
        if not value:
            raise ArgumentError(f"The {name} is empty", code="missing", advice="Pass a value for it")
        if name in self._parts and not _PART.fullmatch(value):
            raise ArgumentError(
                f"The {name} contains a character that is not allowed in a hint",
                code=name,
                advice="Write it without spaces, quotes, braces and backslashes",
            )

    def check_message(self, message: str | None) -> None:
        """Check that the app can show a message.

        Raises:
            UsageError: It is too long (`message_too_long`), or this eID takes none (`message_forbidden`).
        """
        if message is not None and self.message == "forbidden":
            instead = ", and read the spoken_words of the transaction to the person instead" * self.spoken_words
            raise ArgumentError(
                f"{self.label} takes no binding_message",
                code="message_forbidden",
                advice=f"Leave it out{instead}",
            )
        if message is not None and self.message_bytes is not None and len(message.encode()) > self.message_bytes:
            raise ArgumentError(
                f"The message for {self.label} is longer than {self.message_bytes} bytes in UTF-8",
                code="message_too_long",
                advice="Shorten it; each letter beyond ASCII takes two bytes or more",
            )

    def _hidden(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments with personal ones redacted, because the variables of a frame end up in crash reports."""
        told = {"message", *(option.name for option in self.options if option.secret)}
        said = {name: value for name, value in given.items() if value is not None or name not in told}
        return {name: as_text(name, value) if name in told else value for name, value in said.items()}

    def _fill_in(self, ssn: Redacted, given: dict[str, Any]) -> EidRequest:
        """Make a request from `fields`."""
        options = {each.name: given.pop(each.name) for each in self.options if each.name in given}
        if "message" in given:
            given = {"binding_message": given.pop("message"), **given}
        if _PERSON in self._blanks:
            ssn = self.check_ssn(ssn, **options)
        request = EidRequest(**(self.fill(ssn=ssn, **options) | cast("EidOptions", given)))
        # Only now: `EidRequest` has refused a message that UTF-8 cannot encode, which cannot be measured.
        self.check_message(request.binding_message)
        return request

    def _read(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return its options from the arguments, with defaults filled in."""
        for name in given:
            if not self.takes(name) and name != "message" and name not in EidOptions.__annotations__:
                raise ArgumentError(
                    f"{self.label} has no option {name}", code=name, advice="Leave it out, or choose another eID"
                )
        read = {}
        for option in self.options:
            value = given.get(option.name, option.default)
            if value is None:
                if option.required:
                    raise ArgumentError(
                        f"{self.label} needs the option {option.name}",
                        code=option.name,
                        advice=f"Pass it: {option.help}",
                    )
                continue
            for text in value if option.repeatable and isinstance(value, list | tuple) else (value,):
                as_text(option.name, text)
            if option.choices and value not in option.choices:
                raise ArgumentError(
                    f"The {option.name} for {self.label} must be one of {', '.join(option.choices)}",
                    code=option.name,
                    advice="Pass one of them",
                )
            read[option.name] = value
        return read


def _blanks_in(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield from _BLANK.findall(value)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _blanks_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _blanks_in(item)


def _filled(value: object, values: Mapping[str, str]) -> object:
    """The value with its blanks filled in; texts that had blanks become `Redacted`."""
    if isinstance(value, str):
        # One pass, so that a value that looks like a blank is not filled in.
        return Redacted(_BLANK.sub(lambda blank: values[blank[1]], value)) if _BLANK.search(value) else value
    if isinstance(value, Mapping):
        return {name: _filled(item, values) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_filled(item, values) for item in value)
    return value


def _undeclarable(what: str, advice: str = "See docs/writing-an-eid.md") -> UsageError:
    return ArgumentError(what, code="eid_declaration", advice=advice)
