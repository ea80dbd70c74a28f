"""Read the cells of an Excel workbook, with openpyxl from the extra `xlsx`. A row is in memory at a time.

What a spreadsheet stores as a number is read as the digits that it shows, where it can be: fifteen are exact. Other
numbers are read in a form that no national number has, so that they are refused and not guessed.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from idura_ciba.errors import ArgumentError, UsageError

if TYPE_CHECKING:
    from openpyxl import Workbook as Book
    from openpyxl.cell import Cell, MergedCell

__all__ = ["Workbook"]

#: A double has every integer of so many digits.
_EXACT: Final = 10**15
#: The texts of all cells are in memory at once, in bytes.
_MOST_TEXT: Final = 1 << 28
_TEXTS: Final = "xl/sharedStrings.xml"


class Workbook(Iterator[tuple[int, Sequence[str]]]):
    """The rows of one sheet: the number of each, and its cells as text.

    Args:
        stream: The file; copied to a temporary file, as it may be a pipe.
        sheet: The name of the sheet; None for the first.

    Raises:
        UsageError: It is no workbook or is damaged, has no such sheet, or the extra is not installed.
    """

    def __init__(self, stream: BinaryIO, sheet: str | None = None) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the workbook
        self._rows = self._read(sheet)
        try:
            shutil.copyfileobj(stream, self._file)
            _refuse_other_archives(self._file)
        except BaseException:
            self._file.close()
            raise

    def __next__(self) -> tuple[int, Sequence[str]]:
        """The next row that is not empty."""
        broken = False
        try:
            return next(self._rows)
        except (StopIteration, UsageError):
            raise
        except Exception:  # noqa: BLE001 - whatever a damaged file makes the library raise
            broken = True
        assert broken  # noqa: S101 - for type checkers
        raise _refused("The workbook is damaged", "damaged", "Open it, and save it again or as CSV in UTF-8")

    def close(self) -> None:
        """Close the temporary file."""
        self._rows.close()
        self._file.close()

    def _read(self, sheet: str | None) -> Generator[tuple[int, Sequence[str]], None, None]:
        with self._file, closing(_opened(self._file)) as book:
            found = (
                book.worksheets[0] if sheet is None else next((s for s in book.worksheets if s.title == sheet), None)
            )
            if found is None:
                raise _refused(
                    "The workbook has no sheet of that name", "sheet", "Pass --sheet NAME of one that it has"
                )
            # What a program wrote about the size of the sheet may be wrong, and would cut it off.
            found.reset_dimensions()
            for number, row in enumerate(found.iter_rows(), 1):
                cells = [_text(cell) for cell in row]
                if any(cells):
                    yield number, cells


def _text(cell: Cell | MergedCell) -> str:
    """The value of a cell as text."""
    value: Any = cell.value
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int | float):
        if abs(value) < _EXACT and value == int(value):
            zeros = str(getattr(cell, "number_format", ""))
            # Shown with leading zeros; stored without them.
            return str(int(value)).zfill(len(zeros) if zeros and not zeros.strip("0") else 0)
        return f"{float(value):.5E}"
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _refuse_other_archives(file: BinaryIO) -> None:
    names: dict[str, int] = {}
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as archive:
            names = {each.filename: each.file_size for each in archive.infolist()}
    except (zipfile.BadZipFile, OSError, ValueError):
        names = {}
    file.seek(0)
    if not names:
        raise _refused("The file is a damaged workbook or zip archive", "damaged", "Get the whole file")
    if not any(name.startswith("xl/") for name in names):
        kind = "a Word document" if "word/document.xml" in names else "a zip archive"
        kind = "an OpenDocument file" if "mimetype" in names else kind
        raise _refused(f"The file is {kind}", "file_kind", "Unpack it, or save it as CSV in UTF-8")
    if any(name.endswith(".bin") and name.startswith("xl/workbook") for name in names):
        raise _refused("The file is a binary workbook", "file_kind", "Save it as .xlsx, or as CSV in UTF-8")
    if names.get(_TEXTS, 0) > _MOST_TEXT:
        raise _refused("The workbook is too large", "too_long", "Save it as CSV in UTF-8")


def _opened(file: BinaryIO) -> Book:
    with suppress(ImportError):
        from openpyxl import load_workbook  # noqa: PLC0415 - an extra

        return load_workbook(file, read_only=True, data_only=True)
    raise _refused(
        "The file is an Excel workbook, and reading one needs the extra xlsx",
        "extra_missing",
        "Run pip install 'idura_ciba[xlsx]', or save the file as CSV in UTF-8",
    )


def _refused(what: str, code: str, advice: str) -> UsageError:
    return ArgumentError(what, code=code, advice=advice)
