"""Verify many people so that a crash loses no answer and rings no phone twice. `import idura_ciba` does not load it.

`verify_many` asks the people, and a `Journal` lets the next run resume; `reading` and `writing` handle files, for the
command `idura-ciba batch` and for your own programs.

May import `client`, `transaction` and what lies below. Never imports the simulator, and never writes a national number
into the journal.
"""

from idura_ciba.batch.journal import Journal, Output
from idura_ciba.batch.results import Result
from idura_ciba.batch.runner import People, verify_many

__all__ = ["Journal", "Output", "People", "Result", "verify_many"]
