"""The page with the simulated people's phones, where the extra that it needs is installed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Final

from idura_ciba import ArgumentError
from idura_ciba.eids import Eids
from idura_ciba.phone.hands import Hands
from idura_ciba.simulator import SimulatedIdura

__all__ = ["INSTALL", "PhonePage", "needs_extra", "phone_page"]

#: How to get the page.
INSTALL: Final = "pip install 'idura_ciba[desk]'"
#: What it needs; anything else that is missing is a fault.
LIBRARIES: Final = frozenset({"aiohttp_sse", "jinja2", "markupsafe"})

#: Serves the page, and says the address to open.
PhonePage = Callable[[], AbstractAsyncContextManager[str]]


@contextmanager
def needs_extra() -> Iterator[None]:
    """Import pages inside of this.

    Raises:
        UsageError: The extra `desk` is not installed (`desk_extra`).
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in LIBRARIES:
            raise
        missing = ArgumentError("The pages need jinja2 and aiohttp-sse", code="desk_extra", advice=f"Run: {INSTALL}")
        raise missing from None


def phone_page(
    idura: SimulatedIdura, hands: Hands, eids: Eids, *, port: int, required: bool = False
) -> PhonePage | None:
    """Return what serves the page; None: it is not installed.

    Args:
        idura: The provider.
        hands: Its `people`.
        eids: What people call the eIDs.
        port: Where to listen; 0: any free port.
        required: Whether it is an error that it is not installed.

    Raises:
        UsageError: It is required and not installed (`desk_extra`).
    """
    try:
        with needs_extra():
            from idura_ciba.phone.app import phone_app  # noqa: PLC0415 - the extra may not be installed
            from idura_ciba.web.guard import Guard  # noqa: PLC0415
            from idura_ciba.web.serving import serving  # noqa: PLC0415
    except ArgumentError:
        if required:
            raise
        return None

    @asynccontextmanager
    async def serve() -> AsyncIterator[str]:
        guard = Guard("phone")
        app = guard.application()
        app.add_subapp("/phone/", phone_app(idura, guard, hands=hands, eids=eids))
        async with serving(app, guard, port=port, path="/phone/") as address:
            yield address

    return serve
