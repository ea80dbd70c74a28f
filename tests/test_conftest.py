"""Tests of what guards all other tests."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import tenacity

pytestmark = pytest.mark.unmeasured

#: TEST-NET-1 (RFC 5737): belongs to nobody.
ELSEWHERE = "192.0.2.1"
REFUSED = pytest.fail.Exception


@pytest.mark.parametrize("method", ["connect", "connect_ex"])
def test_no_connection_leaves_this_machine(method: str) -> None:
    """A socket cannot reach beyond loopback."""
    with socket.socket() as sock, pytest.raises(REFUSED, match=r"beyond 127\.0\.0\.1"):
        getattr(sock, method)((ELSEWHERE, 443))


def test_no_datagram_leaves_this_machine() -> None:
    """Nor does what needs no connection."""
    with socket.socket(type=socket.SOCK_DGRAM) as sock, pytest.raises(REFUSED):
        sock.sendto(b"", (ELSEWHERE, 53))


@pytest.mark.parametrize("host", ["simulator.idura.broker", b"simulator.idura.broker", ELSEWHERE])
def test_no_name_is_resolved(host: str | bytes) -> None:
    """Asking for a name would tell it to others."""
    with pytest.raises(REFUSED):
        socket.getaddrinfo(host, 443)


@pytest.mark.sockets
async def test_loopback_is_open() -> None:
    """Tests with a server of their own work, by address and by name."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        for host in ("127.0.0.1", "localhost"):
            reader, writer = await asyncio.open_connection(host, port)
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()


@pytest.mark.parametrize(
    ("hidden", "options", "missing"),
    [
        ("", ("-p", "no:asyncio"), "pytest-asyncio>=1.5"),
        ("", ("-p", "no:idura_ciba.pytest_plugin"), "idura_ciba[cli]"),
        ("hypothesis", (), "hypothesis"),
        ("typer", (), "idura_ciba[cli]"),
        ("openpyxl", (), "idura_ciba[xlsx]"),
        ("", ("--disable-plugin-autoload",), "idura_ciba[cli], pytest-asyncio>=1.5"),
    ],
)
def test_what_is_not_installed_is_named(hidden: str, options: Sequence[str], missing: str) -> None:
    """In one line, with the command that installs it, and no traceback."""
    program = f"""
import importlib.util, sys, pytest
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *args: None if name == {hidden!r} else find(name, *args)
sys.exit(pytest.main())
"""
    ran = subprocess.run(
        [sys.executable, "-c", program, *options, str(Path(__file__).with_name("test_errors.py"))],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == pytest.ExitCode.USAGE_ERROR
    assert ran.stderr.strip() == f"ERROR: the tests need {missing}: pip install -e '.[cli,desk,xlsx]' --group test"


def test_nothing_sleeps() -> None:
    """Neither a test nor a library beneath it waits for real."""
    with pytest.raises(REFUSED, match="virtual clock"):
        time.sleep(0.001)
    with pytest.raises(REFUSED, match="virtual clock"):
        tenacity.nap.sleep(0.001)


def test_waiting_for_a_process_of_ones_own_is_allowed() -> None:
    """`subprocess` polls with sleeps when it is given a timeout, and a test must not hang without one."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.05)"]) as process:
        assert process.wait(timeout=30) == 0
