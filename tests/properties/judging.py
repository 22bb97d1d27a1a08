"""What an area of bad input is, and when an error's message is good enough."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from infer_segment_anything_2.errors import SegmentAnythingError

VALID = "valid"

# One of these in each message: what is expected, or what to do.
_ADVICE = (
    " must ",
    " may ",
    "expected",
    "give ",
    "did you mean",
    "known are",
    "set only",
    "Run: ",
    "Save ",
)

_LONGEST_MESSAGE = 2000


@dataclass(frozen=True)
class Area:
    """One kind of input.

    Attributes:
        name: For people.
        cases: Makes the cases.
        judge: Gives "valid" or the name of our error; raises for everything else.
        fuzz_cases: How many of them `make fuzz` tries.
    """

    name: str
    cases: st.SearchStrategy[Any]
    judge: Callable[[Any], str]
    fuzz_cases: int


def told_well(error: SegmentAnythingError) -> str:
    """The name of an error whose message stands alone: one line, of bounded length, with advice."""
    message = str(error)
    assert 30 <= len(message) <= _LONGEST_MESSAGE, message
    assert "\n" not in message, message
    assert message[-1] in ".?", message
    assert any(words in message for words in _ADVICE), message
    return type(error).__name__
