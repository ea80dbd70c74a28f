"""Tests of what a login remembers of whoever began it."""

from __future__ import annotations

import gc
from contextvars import ContextVar, copy_context
from typing import Any
from weakref import ref

from idura_ciba.eids.phase import Phase, phase_table
from idura_ciba.transaction.caller import Callers

call: ContextVar[Any] = ContextVar("call")
other: ContextVar[Any] = ContextVar("other")
PHASES = phase_table({"waiting": Phase.WAITING})


class Unfriendly:
    """A value that must not be compared, as an array of numbers must not."""

    def __eq__(self, _: object) -> bool:
        raise AssertionError

    __hash__ = None  # type: ignore[assignment]


def test_logins_that_are_begun_alike_share_one_caller() -> None:
    """As the rows of a batch are: the same variables with the very same values, reference and words."""
    callers, value = Callers(), Unfriendly()

    def begin(reference: str | None = None, **values: Any) -> object:
        for variable in (call, other):
            if variable.name in values:
                variable.set(values[variable.name])
        return callers.present(reference, PHASES)

    def within(*arguments: Any, **values: Any) -> object:
        return copy_context().run(begin, *arguments, **values)

    first = within(call=value)
    assert within(call=value) is first
    for different in (
        within,
        lambda: within(call=Unfriendly()),
        lambda: within(call=value, other=1),
        lambda: within(other=value),
        lambda: within("call-4711", call=value),
    ):
        same = within(call=value)
        assert different() is not same
    assert within(call=value) is not first  # only the last one is remembered


def test_nothing_of_a_caller_outlives_their_logins() -> None:
    """A request of a web server, say, that is in a context variable."""

    class Request:
        """What a web framework puts there."""

    request, callers = Request(), Callers()
    gone = ref(request)

    def begin(request: Request) -> object:
        call.set(request)
        return callers.present(None, PHASES)

    caller = copy_context().run(begin, request)
    del request
    gc.collect()
    assert gone() is not None
    del caller
    gc.collect()
    assert gone() is None


def test_a_caller_is_as_it_was_however_often_it_is_used() -> None:
    """A variable that is set within one call is not set in the next, and calls within calls are possible."""
    caller = copy_context().run(lambda: (call.set("before"), Callers().present(None, PHASES))[1])

    def careless() -> tuple[str, str]:
        seen = call.get()
        call.set("left behind")
        return seen, caller.run(call.get)

    assert caller.run(careless) == ("before", "before")
    assert caller.run(careless) == ("before", "before")
    assert call.get(None) is None
