"""How classes of attrs are called, for the reference: attrs makes their `__init__`, so no source shows it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import griffe

__all__ = ["AttrsSignatures"]

_DECORATORS = frozenset({"attrs.frozen", "attrs.define", "attrs.mutable"})


class AttrsSignatures(griffe.Extension):
    """Gives each class of attrs that has no `__init__` of its own the one that attrs makes."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Look at every class of the package, once all of them are known."""
        for each in _classes(pkg):
            if (options := _options(each)) is not None and "__init__" not in each.members:
                each.set_member("__init__", _init(each, options))


def _classes(owner: griffe.Module | griffe.Class) -> Iterator[griffe.Class]:
    for member in owner.members.values():
        if isinstance(member, griffe.Class):
            yield member
        if isinstance(member, griffe.Module | griffe.Class):
            yield from _classes(member)


def _options(each: griffe.Class) -> dict[str, str] | None:
    """What its decorator of attrs is given; None without one, or if it is told to make no `__init__`."""
    for decorator in each.decorators:
        if decorator.callable_path in _DECORATORS:
            options = {name: str(value) for name, value in _keywords(decorator.value).items()}
            return None if options.get("init") == "False" else options
    return None


def _keywords(call: Any) -> dict[str, Any]:
    if not isinstance(call, griffe.ExprCall):
        return {}
    return {each.name: each.value for each in call.arguments if isinstance(each, griffe.ExprKeyword)}


def _init(each: griffe.Class, options: dict[str, str]) -> griffe.Function:
    found: dict[str, griffe.Parameter] = {}
    inherited = [base for base in reversed(each.mro()) if _options(base) is not None]
    for owner in [*inherited, each]:
        own = options if owner is each else _options(owner) or {}
        for name, attribute in owner.members.items():
            if isinstance(attribute, griffe.Attribute) and _is_field(attribute):
                parameter = _parameter(name, attribute, kw_only=own.get("kw_only") == "True")
                found.pop(name, None)
                if parameter is not None:
                    found[name] = parameter
    self_ = griffe.Parameter("self", kind=griffe.ParameterKind.positional_or_keyword)
    keywords_last = sorted(found.values(), key=lambda one: one.kind is griffe.ParameterKind.keyword_only)
    return griffe.Function("__init__", parameters=griffe.Parameters(self_, *keywords_last), returns="None")


def _is_field(attribute: griffe.Attribute) -> bool:
    annotation = str(attribute.annotation or "")
    # Griffe counts properties among the attributes.
    is_plain = "property" not in attribute.labels
    return bool(annotation) and is_plain and not annotation.startswith(("ClassVar", "typing.ClassVar"))


def _parameter(name: str, attribute: griffe.Attribute, *, kw_only: bool) -> griffe.Parameter | None:
    value: Any = attribute.value
    called = str(value.function) if isinstance(value, griffe.ExprCall) else ""
    default = value
    if called in {"field", "attrs.field"}:
        given = _keywords(value)
        if str(given.get("init")) == "False":
            return None
        default = given.get("default")
        if "factory" in given:
            default = f"{given['factory']}()"
        kw_only = kw_only or str(given.get("kw_only")) == "True"
        name = str(given["alias"]).strip("'\"") if "alias" in given else name
    kind = griffe.ParameterKind.keyword_only if kw_only else griffe.ParameterKind.positional_or_keyword
    return griffe.Parameter(name.lstrip("_"), annotation=attribute.annotation, kind=kind, default=default)
