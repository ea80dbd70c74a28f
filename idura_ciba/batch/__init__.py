"""Verifying many people, so that a crash loses no answer and rings no phone twice. Not loaded by `import idura_ciba`.

`verify_many` is the library; `Journal` remembers across runs. `RowReader` and its kin read and write files, for the
command `idura-ciba batch` and for programs of yours.

May import `client`, `transaction` and what lies below. Never imports the simulator, and never writes a national number
into the journal.
"""

from idura_ciba.batch.journal import Journal, Output
from idura_ciba.batch.results import Result
from idura_ciba.batch.runner import People, verify_many

__all__ = ["Journal", "Output", "People", "Result", "verify_many"]
