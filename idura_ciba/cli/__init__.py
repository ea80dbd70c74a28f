"""The command `idura-ciba`; it needs the extra `cli`, and does nothing that a program of yours could not do.

May import everything, and typer and rich, which no other room imports. Never imported by another room.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command; without the extra, say in one line how to install it and exit with 2."""
    try:
        from idura_ciba.cli.app import run  # noqa: PLC0415 - only here is it known whether the extra is installed
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"typer", "rich"}:
            raise
        sys.stderr.write("idura-ciba: the command needs typer and rich: pip install 'idura_ciba[cli]'\n")
        sys.exit(2)
    run()
