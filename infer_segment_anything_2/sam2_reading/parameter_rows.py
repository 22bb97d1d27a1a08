"""What a row of the table of parameters is: its facts, and how its texts are read and written."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from infer_segment_anything_2.errors import ParameterError, nearest, quoted

__all__ = ["GROUP_TITLES", "Group", "Kind", "ParameterRow", "Value", "is_unset"]

Value = bool | int | float | str
Kind = Literal["bool", "int", "float", "choice", "text"]
Group = Literal["model", "prompts", "everything", "cleanup", "video"]

GROUP_TITLES: dict[Group, str] = {
    "prompts": "Prompts",
    "model": "Model",
    "everything": "Everything mode",
    "cleanup": "Clean-up",
    "video": "Video",
}

_TRUE_WORDS = frozenset({"true", "t", "yes", "y", "on", "1"})
_FALSE_WORDS = frozenset({"false", "f", "no", "n", "off", "0"})
_UNSET_WORDS = frozenset({"", "none"})

# Of a value, in a message.
_LONGEST_VALUE = 60


@dataclass(frozen=True)
class ParameterRow:
    """What is known of one parameter.

    Attributes:
        key: Its name in the host's map.
        kind: How its text is read.
        default: Its value unless set; never holds a double quote or a newline, because the host
            writes defaults into Python source unescaped.
        group: The part of the form it belongs to.
        label: Its name for people.
        help: One or two sentences: the meaning, and which way it acts.
        minimum: Smallest value, for numbers.
        maximum: Largest value, for numbers.
        choices: The allowed words, for choices.
        example: A text to show in an empty field.
        alias_of: The key of the parameter that this one is another name of, else "".
        part: The sub-heading that it stands below in the form, "" for the top of its group.
        unit: What the number counts, such as "px", "" for nothing.
        zero_means: What 0 stands for, in the words of the form, such as "no limit".
    """

    key: str
    kind: Kind
    default: Value
    group: Group
    label: str
    help: str
    minimum: float = -math.inf
    maximum: float = math.inf
    choices: tuple[str, ...] = ()
    example: str = ""
    alias_of: str = ""
    part: str = ""
    unit: str = ""
    zero_means: str = ""

    @property
    def expected(self) -> str:
        """The allowed values in words, such as "a whole number from 1 to 512"."""
        if self.kind == "bool":
            return "True or False"
        if self.kind == "choice":
            return "one of " + ", ".join(self.choices)
        if self.kind == "text":
            return "text"
        noun = "a whole number" if self.kind == "int" else "a number"
        return f"{noun} from {self.minimum:g} to {self.maximum:g}"

    def parse(self, text: str) -> Value:
        """Reads the value from the host's text.

        Empty text, and "None", which the host makes of ``None``, stand for the default.

        Raises:
            ParameterError: The text is not of the kind, or out of range.
        """
        stripped = text.strip()
        if is_unset(text):
            return self.default
        if self.kind == "text":
            return text
        try:
            value = _READERS[self.kind](stripped)
        except (ValueError, ZeroDivisionError):
            raise self._refusal(text) from None
        if self.kind == "choice" and value not in self.choices:
            raise self._refusal(text, nearest=nearest(stripped, self.choices))
        if not isinstance(value, str) and not self.minimum <= value <= self.maximum:
            raise self._refusal(text)
        return value

    def format(self, value: Value) -> str:
        """Writes a value as the host's text; :meth:`parse` gives exactly it back."""
        return repr(value) if isinstance(value, float) else str(value)

    def _refusal(self, text: str, nearest: str = "") -> ParameterError:
        advice = f"did you mean '{nearest}'?" if nearest else f"the default is {self.default!r}."
        got = quoted(text, _LONGEST_VALUE)
        message = f"Parameter {self.key} must be {self.expected}, got {got}; {advice}"
        return ParameterError(message, key=self.key, value=text)


def is_unset(text: str) -> bool:
    """Whether a text stands for the default."""
    return text.strip().lower() in _UNSET_WORDS


def _read_bool(text: str) -> bool:
    word = text.lower()
    if word not in _TRUE_WORDS | _FALSE_WORDS:
        raise ValueError(text)
    return word in _TRUE_WORDS


def _read_float(text: str) -> float:
    """Reads a finite number; also a fraction such as "512/1500"."""
    numerator, _, denominator = text.partition("/")
    value = float(numerator) / float(denominator) if denominator else float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _read_int(text: str) -> int:
    """Reads a whole number; also one written as a float, "32.0"."""
    try:
        return int(text)
    except ValueError:
        value = _read_float(text)
        if value != int(value):
            raise
        return int(value)


_READERS: dict[Kind, Callable[[str], Value]] = {
    "bool": _read_bool,
    "int": _read_int,
    "float": _read_float,
    "choice": str,
}
