"""The command `idura-ciba`. It needs the extra `cli`, and does only what your own program can do too.

May import every other package, and is the only one that imports typer and rich. Never imported by another package.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command; without the extra, say in one line how to install it and exit with 2."""
    try:
        from idura_ciba.cli.app import run  # noqa: PLC0415 - the extra may not be installed
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"typer", "rich"}:
            raise
        sys.stderr.write("idura-ciba: the command needs typer and rich: pip install 'idura_ciba[cli]'\n")
        sys.exit(2)
    run()
