"""The formats of input files behind one protocol; `open_format` is the way in."""

from claudebatch.inputs.formats.compressed import is_compressed, unpack
from claudebatch.inputs.formats.open_format import FORMATS, FormatName, open_format
from claudebatch.inputs.formats.record_format import RecordFormat

__all__ = ["FORMATS", "FormatName", "RecordFormat", "is_compressed", "open_format", "unpack"]
