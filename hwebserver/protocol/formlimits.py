"""What a form with files may cost."""

from __future__ import annotations

from typing import NamedTuple


class FormLimits(NamedTuple):
    """What one form may cost; sizes in bytes. Files are bounded by the body alone.

    Attributes:
        parts: Parts of the form.
        part_headers: Header fields of one part.
        part_header: One header field line of a part, without its line end.
        field: The data of one part that is no file.
        fields: The data of all parts that are no files together.
    """

    parts: int = 1000
    part_headers: int = 8
    part_header: int = 4096
    field: int = 8 << 20
    fields: int = (16 << 20) - 1
