"""Verifying a file of people, so that a crash loses no answer and rings no phone twice.

`verify_many` is the library; `Journal` remembers across runs. `RowReader` and its kin read and write files, for the
command `idura-ciba batch` and for programs of yours. Not loaded by `import idura_ciba`.
"""

from idura_ciba.batch.journal import Journal, Output
from idura_ciba.batch.results import Result
from idura_ciba.batch.runner import People, verify_many

__all__ = ["Journal", "Output", "People", "Result", "verify_many"]
