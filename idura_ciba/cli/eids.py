"""The options that eIDs declare: flags, help and choices of the command follow from the declarations."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, TypeVar

import typer

from idura_ciba import ArgumentError, UsageError
from idura_ciba.cli.files import read_secret
from idura_ciba.eids import EIDS, Eid, Eids, Option
from idura_ciba.eids.registry import declared
from idura_ciba.redaction import Redacted

__all__ = [
    "PANEL",
    "EidModuleOption",
    "EidOption",
    "EidOptionOption",
    "MessageOption",
    "RequirePersonOption",
    "ScopeOption",
    "fitting",
    "known_eids",
    "labels",
    "read_options",
    "refuse_descriptions",
    "request_fields",
    "require_options",
    "takes_eid_options",
]

PANEL: Final = "Person"
_DESCRIBED_PANEL: Final = "An eID that you describe: --eid raw"
#: The eID that its options describe.
_RAW: Final = "raw"
#: The options that eIDs declare stand in the help before this one.
_BEFORE: Final = "message"

C = TypeVar("C", bound=Callable[..., Any])


def labels(which: Callable[[Eid], bool]) -> str:
    """What people call the eIDs of which something is true."""
    return " and ".join(eid.label for eid in EIDS.values() if which(eid))


def known_eids(modules: Sequence[str] | None) -> Eids:
    """Those of this package, and those that modules declare.

    Raises:
        UsageError: A module cannot be imported, or two eIDs have one name.
    """
    return EIDS.plus(*(eid for module in modules or () for eid in declared(module, Eid)))


def _complete(context: typer.Context, incomplete: str) -> list[str]:
    """The names that the shell offers."""
    try:
        eids = known_eids(context.params.get("eid_module"))
    except UsageError:
        eids = EIDS  # whoever is still typing is not told what is wrong
    return [name for name in eids if name.startswith(incomplete)]


EidOption = Annotated[
    str | None,
    typer.Option(
        "--eid",
        rich_help_panel=PANEL,
        metavar=f"[{'|'.join(EIDS)}]",
        autocompletion=_complete,
        help="The eID to use. Describe one with raw and the options below, or add eIDs with --eid-module.",
    ),
]
EidModuleOption = Annotated[
    list[str] | None,
    typer.Option(
        "--eid-module",
        envvar="IDURA_CIBA_EID_MODULE",
        rich_help_panel=PANEL,
        metavar="MODULE",
        help="A Python module that declares eIDs of your own, and their simulated phones; repeatable.",
    ),
]
EidOptionOption = Annotated[
    list[str] | None,
    typer.Option(
        "--eid-option",
        rich_help_panel=PANEL,
        metavar="NAME=VALUE",
        help="An option of such an eID; NAME=@FILE reads it from a file, NAME=@- from standard input. Repeatable.",
    ),
]
MessageOption = Annotated[
    str | None,
    typer.Option(
        "--message",
        rich_help_panel=PANEL,
        help=f"Shown in the app; {labels(lambda eid: eid.message == 'required')} needs it, "
        f"and {labels(lambda eid: eid.message == 'forbidden')} takes none.",
    ),
]
ScopeOption = Annotated[
    str | None,
    typer.Option(
        "--scope",
        rich_help_panel=PANEL,
        help="OAuth scopes, such as 'openid ssn' if the provider allows it; openid by default.",
    ),
]
RequirePersonOption = Annotated[
    bool,
    typer.Option("--require-person", rich_help_panel=PANEL, help="Fail unless the ID token confirms the person."),
]


def takes_eid_options(command: C) -> C:
    """Give a command one option for each that an eID of this package declares, in the place of its `**given`."""
    signature = inspect.signature(command, eval_str=True)
    own = [each for each in signature.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
    place = [each.name for each in own].index(_BEFORE)
    own[place:place] = _parameters()
    command.__signature__ = signature.replace(parameters=own)  # type: ignore[attr-defined] # where `inspect` looks first
    return command


def _parameters() -> Iterator[inspect.Parameter]:
    for takers in EIDS.options().values():
        option = takers[0][1]
        panel = _DESCRIBED_PANEL if takers[0][0].name == _RAW else PANEL
        choices = tuple(dict.fromkeys(choice for _, each in takers for choice in each.choices))
        kind: Any = Literal[choices] if choices else str
        kind = list[kind] if option.repeatable else kind
        yield _parameter(option.name, kind, option.flag, panel, _help(takers))
        if option.secret:
            help_ = f"File with the value of {option.flag}; - for standard input."
            yield _parameter(f"{option.name}_file", str, f"{option.flag}-file", panel, help_)


def _parameter(name: str, kind: Any, flag: str, panel: str, help_: str) -> inspect.Parameter:
    annotation = Annotated[kind | None, typer.Option(flag, rich_help_panel=panel, help=help_)]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _help(takers: Sequence[tuple[Eid, Option]]) -> str:
    """What an option says, and for which eIDs."""
    (eid, option), *others = takers
    said = option.help
    if eid.name != _RAW:
        said = f"{' and '.join(taker.label for taker, _ in (takers[0], *others))}: {said}"
    by_default = f"; {option.default} by default" if option.default is not None else ""
    repeatable = " Repeatable." if option.repeatable else ""
    return f"{said[0].upper()}{said[1:]}{by_default}.{repeatable}"


def read_options(
    given: Mapping[str, Any], more: Sequence[str] | None, eids: Eids, *, message: str | None
) -> dict[str, Any]:
    """The options of eIDs that were given, by name, and the message.

    Args:
        given: Values by the names of the options that `takes_eid_options` added.
        more: What `--eid-option` said.
        eids: Those that there are.
        message: What `--message` said.

    Raises:
        UsageError: One is given twice, is none of any eID, or its file cannot be read.
    """
    found: dict[str, list[str]] = {}
    for name, value in given.items():
        if not value:
            continue
        if name in eids.options():
            found.setdefault(name, []).extend([value] if isinstance(value, str) else value)
        else:
            of = name.removesuffix("_file")
            found.setdefault(of, []).append(read_secret(value, what=of.replace("_", " ")))
    for text in more or ():
        name, equals, value = text.partition("=")
        if not equals or name not in eids.options():
            raise ArgumentError(
                "An --eid-option is not NAME=VALUE, or no eID has an option of that NAME",
                code="eid_option",
                advice=f"Known options: {', '.join(eids.options())}; --eid-module adds those of other eIDs",
            )
        from_file = value.startswith("@")
        found.setdefault(name, []).append(read_secret(value[1:], what=f"option {name}") if from_file else value)
    read = {name: _one(eids.options()[name][0][1], values) for name, values in found.items()}
    return read if message is None else {**read, "message": message}


def request_fields(*, scope: str | None, require_person: bool) -> dict[str, Any]:
    """What was said of the request, whichever eID makes it."""
    said = {"scope": scope, "require_person": require_person or None}
    return {name: value for name, value in said.items() if value is not None}


def _one(option: Option, values: list[str]) -> str | tuple[str, ...]:
    if option.repeatable:
        return tuple(values)
    if len(values) > 1:
        raise ArgumentError(f"The option {option.flag} is given twice", code=option.name, advice="Pass it once")
    return Redacted(values[0]) if option.secret else str(values[0])


def fitting(eid: Eid, options: Mapping[str, Any], eids: Eids) -> dict[str, Any]:
    """Some options without those that only describe the person, where an eID does not take them."""
    takers = eids.options()

    def ignored(name: str) -> bool:
        return name in takers and all(option.elsewhere == "ignored" for _, option in takers[name])

    return {name: value for name, value in options.items() if eid.takes(name) or not ignored(name)}


def require_options(eid: Eid, options: Mapping[str, Any]) -> None:
    """See that what an eID cannot do without was said, and say how where it was not.

    Raises:
        UsageError: Something is missing.
    """
    for option in eid.options:
        if option.required and option.name not in options:
            flag = option.flag if option.name in EIDS.options() else f"--eid-option {option.name}=VALUE"
            raise ArgumentError(
                f"{eid.label} needs {flag}, and it is missing", code=option.name, advice=f"Pass it: {option.help}"
            )


def refuse_descriptions(eid: Eid | None, options: Mapping[str, Any]) -> None:
    """See that options which describe an eID do not go unheard where a file is asked through another one.

    Raises:
        UsageError: One would.
    """
    for option in EIDS[_RAW].options:
        if option.name in options and (eid is None or not eid.takes(option.name)):
            raise ArgumentError(
                f"The option {option.flag} describes an eID, and rows are not asked through one that is described",
                code=option.name,
                advice=f"Pass --eid {_RAW}, or leave it out",
            )
