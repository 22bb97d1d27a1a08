"""What stands behind a flag: texts into values, with errors that argparse shows."""

from __future__ import annotations

import argparse
import contextlib
import math
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from infer_segment_anything_2.errors import nearest
from infer_segment_anything_2.exports import Affine

__all__ = ["affine", "box", "folder", "fraction", "names_of", "point"]


def _numbers(text: str, counts: Sequence[int], example: str) -> list[float]:
    """Reads "1,2.5": as many finite numbers as one of ``counts`` says."""
    try:
        numbers = [float(word) for word in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in counts or not all(map(math.isfinite, numbers)):
        raise argparse.ArgumentTypeError(f"expected numbers such as {example}, got {text!r}")
    return numbers


def point(text: str) -> tuple[float, float, int]:
    """Reads "x,y" or "x,y,label"; without one the point is on the object."""
    x, y, *label = _numbers(text, (2, 3), "500,375 or 500,375,0")
    if label and label[0] not in (0, 1):
        raise argparse.ArgumentTypeError(
            f"the third number is 1 (on the object) or 0 (beside it), got {text!r}"
        )
    return x, y, int(label[0]) if label else 1


def box(text: str) -> list[float]:
    """Reads "x1,y1,x2,y2"."""
    return _numbers(text, (4,), "425,600,700,875")


def affine(text: str) -> Affine:
    """Reads the six numbers of a transform."""
    a, b, c, d, e, f = _numbers(text, (6,), "10,0,500000,0,-10,4000000")
    return a, b, c, d, e, f


def folder(text: str) -> Path:
    """Reads the path of a folder; "~" is the home of a user who has one here."""
    home = Path(text).parts[0] if Path(text).parts else ""
    with contextlib.suppress(RuntimeError):  # there is no such user
        if not home.startswith("~") or Path(home).expanduser().is_dir():
            return Path(text).expanduser()
    raise argparse.ArgumentTypeError(
        f"expected a folder, got {text!r} in the home of a user who has none here; write the path "
        f"out, or ./{text} for a folder of that name"
    )


def fraction(text: str) -> float:
    """Reads a number from 0 to 1."""
    (number,) = _numbers(text, (1,), "0.5")
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got {text!r}")
    return number


def names_of(known: Collection[str]) -> Callable[[str], list[str]]:
    """Reads "coco,overlay": some of the known names."""

    def read(text: str) -> list[str]:
        names = [name.strip() for name in text.split(",")]
        for name in names:
            if name not in known:
                similar = nearest(name, known)
                advice = f"; did you mean {similar}?" if similar else ""
                raise argparse.ArgumentTypeError(
                    f"expected {', '.join(known)}, got {name!r}{advice}"
                )
        return names

    return read
