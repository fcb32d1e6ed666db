"""Strategies: valid samples that are bent a little, and pieces that have broken parsers before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from hypothesis import strategies as st

SAMPLES: Final = Path(__file__).parents[1] / "samples"
BOXES: Final = [path.read_bytes() for path in sorted((SAMPLES / "boxes").glob("*.json"))]

NASTY: Final = [
    b"",
    b"\x00",
    b"\n",
    b"\r\n\r\n",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\\ud800",
    b"NaN",
    b"-0",
    b"1e999",
    b"-1e999",
    b"9" * 25,
    b"9" * 5000,
    b"0.1e-999",
    b"null",
    b"true",
    b"{}",
    b"[]",
    b"[" * 5000,
    b'{"a":' * 2000,
    b'"',
    b"../../etc/passwd",
    b"\x1b[2J",
    "٣".encode(),
]

JSON_VALUES: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**31, 2**53, 2**63, 2**64, -(2**63) - 1, 10**30])
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.sampled_from(["", "HLT", "cloud", "run000001", "../x", "\x00", "a\nb", "\u202e", "1", "2026-11-25T00:00:00Z"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)


@st.composite
def bent(draw: st.DrawFn, samples: list[bytes]) -> bytes:
    """Draws a sample with a few bytes removed, doubled, replaced or put in; sometimes bytes of no sample."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=300))
    content = draw(st.sampled_from(samples))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(content)))
        end = draw(st.integers(start, min(len(content), start + 40)))
        middle = draw(st.sampled_from(NASTY) | st.binary(max_size=8) | st.just(content[start:end] * 2))
        content = content[:start] + middle + content[end:]
    return content[: draw(st.integers(0, len(content)))] if draw(st.integers(0, 7)) == 0 else content


@st.composite
def bent_json(draw: st.DrawFn, samples: list[bytes]) -> bytes:
    """Draws JSON like a sample, in which values are of other kinds, missing, or in another place."""
    value: Any = json.loads(draw(st.sampled_from(samples)))
    for _ in range(draw(st.integers(0, 4))):
        _bend(draw, value)
    return json.dumps(value).encode()


def _bend(draw: st.DrawFn, value: Any) -> None:
    while isinstance(value, dict | list) and value:
        key: Any = draw(st.sampled_from(sorted(value) if isinstance(value, dict) else range(len(value))))
        inner = value[key]
        if isinstance(inner, dict | list) and inner and draw(st.booleans()):
            value = inner
            continue
        if draw(st.integers(0, 4)) == 0:
            del value[key]
        else:
            value[key] = draw(JSON_VALUES)
        return


def either(samples: list[bytes]) -> st.SearchStrategy[bytes]:
    """Draws bent bytes or bent JSON of samples that are JSON."""
    return bent(samples) | bent_json(samples)
