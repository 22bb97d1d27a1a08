"""``input_objects``: a list of objects in text, each with any mix of box, points and mask.

An entry is a dict with some of the keys ``box``, ``points``, ``labels``, ``mask``, ``category``,
and in a video ``frame`` and ``id``; every entry has its own numbers of points. Both JSON and
Python's way of writing are understood, as hosts turn lists into text in either way.
"""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from infer_segment_anything_2.errors import ImageError, PromptError, nearest, quoted
from infer_segment_anything_2.prompts import (
    BACKGROUND_LABEL,
    FOREGROUND_LABEL,
    BoxXyxy,
    ObjectPrompt,
    PointXy,
    PromptMask,
)
from infer_segment_anything_2.sam2_reading.prompt_text import without_numpy_names

__all__ = ["MaskSource", "objects_from_entries"]

_KEY = "input_objects"
_FIELDS = ("box", "points", "labels", "mask", "category", "frame", "id")
_EXAMPLE = '[{"box": [425, 600, 700, 875]}, {"points": [[90, 80], [95, 70]], "labels": [1, 0]}]'
_RLE_EXAMPLE = '{"size": [height, width], "counts": "..."}'
_PIXELS_ADVICE = (
    "got the pixels themselves; give pycocotools.mask.encode(np.asfortranarray(mask, np.uint8)), "
    "or set the picture at input 2."
)
_MOST_PIXELS = 2**28
_MOST_FRAMES = 2**31


@dataclass(frozen=True)
class MaskSource:
    """Where an entry's mask comes from: a picture file, or COCO's run lengths.

    Attributes:
        path: The picture, "" for run lengths.
        image_hw: Height and width that the run lengths are of.
        counts: COCO's compressed text, or the run lengths themselves.
    """

    path: str = ""
    image_hw: tuple[int, int] = (0, 0)
    counts: str | tuple[int, ...] = ""


ReadMask = Callable[[MaskSource], PromptMask]


def objects_from_entries(text: str, read_mask: ReadMask | None = None) -> list[ObjectPrompt]:
    """Reads the list of objects; empty text is no objects.

    Args:
        text: JSON, or the same in Python's way of writing.
        read_mask: Fetches a mask. Its ``ImageError`` and ``ValueError`` become errors of the entry.
            Without it masks are left unread: the text is judged, and no file is opened.

    Raises:
        PromptError: The text is no such list; the message tells the number of the entry.
    """
    entries = _load(text)
    return [_Entry(number, entry).read(read_mask) for number, entry in enumerate(entries, start=1)]


def _load(text: str) -> list[Any]:
    if text.strip().lower() in ("", "none"):
        return []
    try:
        loaded = json.loads(text)
    except (ValueError, RecursionError):
        try:
            loaded = ast.literal_eval(without_numpy_names(text.strip()))
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            raise PromptError(
                f"{_KEY} must be a list of objects such as {_EXAMPLE}, got {quoted(text)}, which "
                "is not such a list in JSON; look for a missing quote, comma or bracket.",
                key=_KEY,
            ) from None
    if isinstance(loaded, dict):
        loaded = [loaded]
    if not isinstance(loaded, list | tuple):
        raise PromptError(
            f"{_KEY} must be a list of objects such as {_EXAMPLE}, got {quoted(text)}; put the "
            "objects between [ and ].",
            key=_KEY,
        )
    return list(loaded)


class _Entry:
    """One entry of the list.

    Args:
        number: Its place, from 1.
        entry: What stands there.
    """

    def __init__(self, number: int, entry: Any) -> None:
        self.name = f"Object {number} of {_KEY}"
        if not isinstance(entry, dict):
            raise self.refusal(f"must be a dict such as those of {_EXAMPLE}", entry)
        for field in entry:
            if field not in _FIELDS:
                similar = nearest(str(field), _FIELDS)
                advice = f"did you mean '{similar}'?" if similar else "leave it out."
                raise self.refusal(f"may have only the keys {', '.join(_FIELDS)}", field, advice)
        self.fields = {field: value for field, value in entry.items() if value is not None}

    def refusal(self, expected: str, got: object, advice: str = "") -> PromptError:
        words = f"{self.name} {expected}, got {quoted(got)}"
        return PromptError(f"{words}; {advice}" if advice else f"{words}.", key=_KEY)

    def read(self, read_mask: ReadMask | None) -> ObjectPrompt:
        points = self._points()
        box, source = self._box(), self._mask_source()
        if not points and box is None and source is None:
            raise self.refusal("must have a box, points or a mask", self.fields)
        return ObjectPrompt(
            points_xy_px=tuple(points),
            labels=tuple(self._labels(len(points))),
            box_xyxy_px=box,
            category=self._category(),
            key=_KEY,
            name=self.name,
            frame=self._number("frame", least=0),
            track_id=self._number("id", least=1),
            mask=self._read_mask(source, read_mask) if source and read_mask else None,
        )

    def _points(self) -> list[PointXy]:
        given = self.fields.get("points", [])
        is_single = isinstance(given, list | tuple) and given and _is_number(given[0])
        rows = self._rows([given] if is_single else given, 2, "points", "[[90, 80], [95, 70]]")
        return [(x, y) for x, y in rows]

    def _box(self) -> BoxXyxy | None:
        given = self.fields.get("box")
        if given is None:
            return None
        is_nested = isinstance(given, list | tuple) and len(given) == 1
        rows = self._rows(given if is_nested else [given], 4, "box", "[425, 600, 700, 875]")
        x1, y1, x2, y2 = rows[0]
        return x1, y1, x2, y2

    def _rows(self, given: Any, width: int, field: str, example: str) -> list[list[float]]:
        fits = isinstance(given, list | tuple) and all(
            isinstance(row, list | tuple) and len(row) == width and all(map(_is_number, row))
            for row in given
        )
        if not fits:
            value = self.fields[field]
            raise self.refusal(f"must have its {field} as finite numbers like {example}", value)
        return [[float(number) for number in row] for row in given]

    def _labels(self, n_points: int) -> list[int]:
        given = self.fields.get("labels", [])
        labels = list(given) if isinstance(given, list | tuple) else [given]
        if not labels:
            return [FOREGROUND_LABEL] * n_points
        known = (FOREGROUND_LABEL, BACKGROUND_LABEL)
        if any(not isinstance(label, int | float) or label not in known for label in labels):
            raise self.refusal("must have labels of 1 (on the object) or 0 (background)", given)
        if len(labels) != n_points:
            raise self.refusal(
                f"must have one label per point ({n_points})", given, "none means all 1."
            )
        return [int(label) for label in labels]

    def _category(self) -> str:
        given = self.fields.get("category", "")
        if not isinstance(given, str | int):
            raise self.refusal("must have its category as text", given)
        return str(given)

    def _number(self, field: str, *, least: int) -> int | None:
        given = self.fields.get(field)
        if given is not None and (type(given) is not int or not least <= given <= _MOST_FRAMES):
            raise self.refusal(f"must have its {field} as a whole number from {least} on", given)
        return given

    def _mask_source(self) -> MaskSource | None:
        given = self.fields.get("mask")
        if given is None:
            return None
        if isinstance(given, str) and given.strip():
            return MaskSource(path=given)
        if not isinstance(given, dict) or not {"size", "counts"} <= given.keys():
            expected = (
                f"must have its mask as COCO run lengths like {_RLE_EXAMPLE}, or as a picture's "
                "path"
            )
            if isinstance(given, list | tuple):
                raise PromptError(f"{self.name} {expected}, {_PIXELS_ADVICE}", key=_KEY)
            raise self.refusal(expected, given)
        size, counts = given["size"], _text_of_bytes(given["counts"])
        whole = isinstance(size, list | tuple) and all(type(side) is int for side in size)
        if not whole or len(size) != 2 or min(size) < 1 or size[0] * size[1] > _MOST_PIXELS:
            raise self.refusal("must have the size of its mask as [height, width]", size)
        is_text = isinstance(counts, str) and _is_coco_text(counts)
        is_list = isinstance(counts, list | tuple) and all(
            type(count) is int and 0 <= count <= _MOST_PIXELS for count in counts
        )
        if not counts or not (is_text or is_list):
            raise self.refusal("must have its mask's counts as COCO writes them", counts)
        return MaskSource(
            image_hw=(size[0], size[1]), counts=counts if isinstance(counts, str) else tuple(counts)
        )

    def _read_mask(self, source: MaskSource, read_mask: ReadMask) -> PromptMask:
        try:
            return read_mask(source)
        except (ImageError, ValueError) as error:
            raise PromptError(f"{self.name} has an unusable mask: {error}", key=_KEY) from error


def _is_coco_text(text: str) -> bool:
    """Whether COCO's characters are all there is, and the last one ends a number."""
    return all("0" <= character <= "o" for character in text) and "0" <= text[-1:] <= "O"


def _text_of_bytes(counts: Any) -> Any:
    """Pycocotools gives bytes, which text may show as b'...'."""
    if isinstance(counts, str) and counts.startswith("b'") and counts.endswith("'"):
        return counts[2:-1].replace("\\\\", "\\")
    return counts.decode("latin-1") if isinstance(counts, bytes) else counts


def _is_number(value: object) -> bool:
    is_real = isinstance(value, int | float) and not isinstance(value, bool)
    try:
        return is_real and math.isfinite(float(value))  # type: ignore[arg-type]
    except OverflowError:
        return False
