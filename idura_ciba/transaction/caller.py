"""Whoever began a login, as far as the login remembers them."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, copy_context
from typing import ParamSpec, TypeVar
from weakref import ref

from attrs import field, frozen

from idura_ciba.eids.phase import PhaseTable

__all__ = ["Caller", "Callers"]

P = ParamSpec("P")
T = TypeVar("T")


@frozen(eq=False)
class Caller:
    """The caller of `start` or `resume`.

    Attributes:
        context: Their context variables. Observers, strategies and everything else that the login calls see them,
            whoever has caused the call. Only copies are entered: a context cannot be entered twice, and several logins
            may share one.
        reference: Their own name for the login, or None.
        phases: What the provider's words mean.
    """

    context: Context = field(repr=False)
    reference: str | None
    phases: PhaseTable

    def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in their name."""
        return self.context.copy().run(function, *args, **kwargs)


class Callers:
    """Remembers the last caller, so that logins which are begun alike, as in a batch, share one object.

    Weakly: whatever is in somebody's context variables must not outlive their login.
    """

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: ref[Caller] | None = None

    def present(self, reference: str | None, phases: PhaseTable) -> Caller:
        """Whoever calls now."""
        context, last = copy_context(), None if self._last is None else self._last()
        if (
            last is not None
            and last.phases is phases
            and last.reference == reference
            and _are_alike(last.context, context)
        ):
            return last
        caller = Caller(context, reference, phases)
        self._last = ref(caller)
        return caller


def _are_alike(one: Context, other: Context) -> bool:
    """Whether two contexts have the same variables with the very same values; comparing values is foreign code."""
    return len(one) == len(other) and all(one.get(name, _NOTHING) is value for name, value in other.items())


_NOTHING = object()
