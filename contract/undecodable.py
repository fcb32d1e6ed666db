"""What decoding raises for JSON that is none, not what it should be, or made to break the one who reads it."""

from __future__ import annotations

from typing import Final

import msgspec

# msgspec lets Python's own error pass where a string is not UTF-8; brackets without end are the third kind.
UNDECODABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
