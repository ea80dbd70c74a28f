"""What holds for every test: virtual time, no network but loopback, no sleep; and which tests coverage looks at."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import ipaddress
import os
import pkgutil
import socket
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

# Its assertions say as much as those of a test.
pytest.register_assert_rewrite("tests.jobs")

#: Only `nox -s browser` installs what drives one.
collect_ignore = [] if importlib.util.find_spec("playwright") else ["browser"]


def pytest_configure(config: pytest.Config) -> None:
    """Say in one line what is not installed; otherwise set up hypothesis."""
    fixtures = config.pluginmanager.hasplugin("idura_ciba.pytest_plugin")
    present = {
        "idura_ciba[cli]": fixtures and importlib.util.find_spec("typer") is not None,
        "idura_ciba[desk]": all(map(importlib.util.find_spec, ("aiohttp_sse", "jinja2"))),
        "idura_ciba[xlsx]": importlib.util.find_spec("openpyxl") is not None,
        "hypothesis": importlib.util.find_spec("hypothesis") is not None,
        # An older one would run the tests on a real clock.
        "pytest-asyncio>=1.5": config.hook.pytest_asyncio_loop_factories.has_spec(),
    }
    if missing := [name for name, found in present.items() if not found]:
        raise pytest.UsageError(f"the tests need {', '.join(missing)}: pip install -e '.[cli,desk,xlsx]' --group test")

    from hypothesis import settings  # noqa: PLC0415 - only here is it known to be installed

    # No deadline: it would measure the machine. In CI the same examples each time: a commit fails for its own faults.
    settings.register_profile("idura_ciba", deadline=None, derandomize="CI" in os.environ)
    settings.load_profile("idura_ciba")


@pytest.hookimpl(optionalhook=True)  # Without its plugin, the line of pytest_configure is what should be read.
def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run async tests on the virtual clock, except those that talk through sockets."""
    from idura_ciba.testing import VirtualLoop  # noqa: PLC0415 - as above

    del config
    if any(map(item.get_closest_marker, ("sockets", "interop", "browser"))):
        return {"real": asyncio.new_event_loop}
    return {"virtual": VirtualLoop}


@contextmanager
def unmeasured() -> Iterator[None]:
    """Work without coverage's tracer, which makes everything take twice as long; so do processes that are started."""
    here, threads = sys.gettrace(), threading.gettrace()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)
        sys.settrace(None)
        threading.settrace(None)
        try:
            yield
        finally:
            threading.settrace(threads)  # type: ignore[arg-type]
            sys.settrace(here)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Measure what the package does when it is imported, and not how pytest reads the tests."""
    if sys.gettrace() is not None:
        import idura_ciba  # noqa: PLC0415 - as above

        for module in pkgutil.walk_packages(idura_ciba.__path__, "idura_ciba."):
            if not module.name.endswith(".__main__"):
                importlib.import_module(module.name)
    with unmeasured():
        collected = yield
    # Thousands of tests stay until the end. The garbage collector need not look at them again and again.
    gc.collect()
    gc.freeze()
    return collected


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that wait for processes: while they wait, others compute. At the end nobody would."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Measure the processes that run tests, and not the one that hands them out."""
    if session.config.getoption("dist", "no") == "no":
        return (yield)
    with unmeasured():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Do not measure what covers nothing that other tests do not."""
    if item.get_closest_marker("unmeasured"):
        with unmeasured():
            return (yield)
    return (yield)


@pytest.fixture(autouse=True, scope="session")
def _stay_on_this_machine() -> Iterator[None]:
    """Refuse to connect, to send and to resolve names beyond loopback, and to sleep."""
    with pytest.MonkeyPatch.context() as patch:
        for method in ("connect", "connect_ex", "sendto"):
            patch.setattr(socket.socket, method, _only_loopback(getattr(socket.socket, method)))
        patch.setattr(socket, "getaddrinfo", _only_local_names(socket.getaddrinfo))
        patch.setattr(time, "sleep", _never(time.sleep))
        yield


def _only_loopback(real: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(self: socket.socket, *args: Any) -> Any:
        # The address is the last argument of all three; that of a Unix socket is no tuple.
        if isinstance(args[-1], tuple):
            _check(args[-1][0])
        return real(self, *args)

    return guarded


def _only_local_names(real: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(host: Any, *args: Any, **kwargs: Any) -> Any:
        _check(host)
        return real(host, *args, **kwargs)

    return guarded


def _check(host: str | bytes | None) -> None:
    name = host.decode() if isinstance(host, bytes) else host
    if name in {None, "", "localhost"}:
        return
    try:
        local = ipaddress.ip_address(str(name)).is_loopback
    except ValueError:
        local = False
    if not local:
        pytest.fail("a test reached for the network beyond 127.0.0.1")


def _never(real: Callable[[float], None]) -> Callable[[float], None]:
    def guarded(seconds: float) -> None:
        # `Popen.wait(timeout=...)` has no other way to wait.
        if sys._getframe(1).f_globals.get("__name__") != "subprocess":
            pytest.fail("a test sleeps for real; use the virtual clock")
        real(seconds)

    return guarded
