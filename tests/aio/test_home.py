"""Tests of the event loop that something belongs to."""

from __future__ import annotations

import threading

from idura_ciba.aio.home import Home
from idura_ciba.testing import run_virtual


def test_the_first_loop_that_asks_is_home() -> None:
    """Another loop, another thread and no loop are not."""
    home, answers = Home(), list[bool]()

    async def ask() -> bool:
        elsewhere = threading.Thread(target=lambda: answers.append(home.is_here()))
        elsewhere.start()
        elsewhere.join()
        return home.is_here() and home.is_running()

    assert not home.is_here()
    assert not home.is_running()
    assert run_virtual(ask())
    assert not run_virtual(ask())
    assert not home.is_here()
    assert not home.is_running()
    assert answers == [False, False]
