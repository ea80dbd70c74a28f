"""`python -m idura_ciba` is the command `idura-ciba`."""

from __future__ import annotations

from idura_ciba.cli import main

if __name__ == "__main__":
    main()
