"""The formats of input files behind one protocol; `open_format` is the way in.

Files that have no places to come back to are copied first: `unpack` and `table_kind`.
"""

from claudebatch.inputs.formats.compressed import is_compressed, unpack
from claudebatch.inputs.formats.open_format import FORMATS, FormatName, open_format
from claudebatch.inputs.formats.record_format import RecordFormat
from claudebatch.inputs.formats.table_kinds import TableKind, table_kind
from claudebatch.inputs.formats.text_files import OWN, FoundFiles, copy_texts
from claudebatch.inputs.formats.typed_rows import place_of, typed_rows

__all__ = [
    "FORMATS",
    "OWN",
    "FormatName",
    "FoundFiles",
    "RecordFormat",
    "TableKind",
    "copy_texts",
    "is_compressed",
    "open_format",
    "place_of",
    "table_kind",
    "typed_rows",
    "unpack",
]
