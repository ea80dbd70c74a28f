"""Tests of the page that the command serves, with and without the extra that it needs."""

from __future__ import annotations

import sys

import pytest

from idura_ciba import UsageError
from idura_ciba.cli.phones import phone_page
from idura_ciba.eids import EIDS
from idura_ciba.phone.hands import Hands
from idura_ciba.simulator import SimulatedIdura
from tests.browsers import Browser


def forget(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """Have a library not installed."""
    for name in [name for name in sys.modules if name.startswith(("idura_ciba.web.", "idura_ciba.phone.app"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)


@pytest.mark.parametrize("missing", ["jinja2", "aiohttp_sse"])
def test_without_the_extra_there_is_no_page(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is an error only for those who want it, with what to install."""
    forget(monkeypatch, missing)
    idura = SimulatedIdura()
    assert phone_page(idura, Hands(), EIDS, port=0) is None
    with pytest.raises(UsageError, match=r"pip install 'idura_ciba\[desk\]'") as caught:
        phone_page(idura, Hands(), EIDS, port=0, required=True)
    assert caught.value.code == "desk_extra"


def test_another_fault_is_not_taken_for_that(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken installation says what is broken."""
    forget(monkeypatch, "idura_ciba.aio.threads")
    with pytest.raises(ModuleNotFoundError, match=r"idura_ciba\.aio\.threads"):
        phone_page(SimulatedIdura(), Hands(), EIDS, port=0)


@pytest.mark.sockets
async def test_the_page_is_served() -> None:
    """With a secret in its address; whoever opens it takes over."""
    hands = Hands()
    page = phone_page(SimulatedIdura(people=hands), hands, EIDS, port=0)
    assert page is not None
    async with page() as address:
        browser = Browser(address.partition("/phone/")[0])
        assert (await browser.open(address)).headers["location"] == f"{browser.root}/phone/"
        assert not hands.by_hand
        assert "Simulated phones" in (await browser.get("/phone/")).text
        assert hands.by_hand
