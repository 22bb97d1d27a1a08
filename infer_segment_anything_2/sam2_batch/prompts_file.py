"""``--prompts``: what is prompted in each picture of a run, from a detector's file.

Two kinds are read: COCO JSON (``images``, ``annotations`` with ``bbox``, ``categories``) and a CSV
table with a row per object. Both become texts of ``input_objects``, one per picture.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from infer_segment_anything_2.errors import ParameterError, quoted
from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.sam2_batch.picture_finding import PictureFile

__all__ = ["read_prompts", "refuse_prompts_of_all", "with_prompts"]

Entry = dict[str, Any]
"""An object as ``input_objects`` takes it."""

# Names that columns of such tables have, the first of each being ours.
_PATH = ("path", "file_name", "filename", "file", "image")
_CORNERS = (
    ("x1", "xmin", "left"),
    ("y1", "ymin", "top"),
    ("x2", "xmax", "right"),
    ("y2", "ymax", "bottom"),
)
_POINT = (("x", "point_x"), ("y", "point_y"))
_CATEGORY = ("category", "class", "name")
_EXAMPLE = "path,x1,y1,x2,y2,category"


def read_prompts(path: Path) -> dict[str, list[Entry]]:
    """Reads a file of prompts.

    Returns:
        The objects by the picture's path as the file has it, with "/"; pictures without objects
        are there if the file names them.

    Raises:
        ParameterError: It cannot be read, or is neither of the two kinds.
    """
    try:
        text = path.expanduser().read_text(encoding="utf-8-sig")
    except (OSError, ValueError, RuntimeError) as error:
        raise ParameterError(
            f"The file of --prompts cannot be read: {error}; give the path of COCO JSON or of a "
            "CSV table.",
            value=str(path),
        ) from error
    found = _from_coco(path, text) if text.lstrip()[:1] in ("{", "[") else _from_table(path, text)
    return {name.replace("\\", "/"): entries for name, entries in found.items()}


def refuse_prompts_of_all(parameters: Parameters, flag: str) -> None:
    """Makes sure that nothing is prompted in all pictures where each brings its own prompts.

    Raises:
        ParameterError: Something is.
    """
    for key in ("input_point", "input_box", "input_objects"):
        if getattr(parameters, key):
            raise ParameterError(
                f"{flag} gives each picture its own prompts, got {key} for all of them too; "
                "give one of the two.",
                key=key,
            )


def with_prompts(
    pictures: Sequence[PictureFile], prompts: Mapping[str, Sequence[Entry]], path: Path
) -> tuple[list[PictureFile], list[str]]:
    """Gives each picture its own prompts.

    A picture is known by its path below the folder that was named, by its whole path, by its path
    from the folder of the file of prompts, or else by its file name, if no other picture has it.

    Args:
        pictures: Of the run.
        prompts: As :func:`read_prompts` gives them.
        path: The file that they are from.

    Returns:
        The pictures, those without prompts with none; and the names that fit no picture.

    Raises:
        ParameterError: No name fits, or one fits two pictures.
    """
    numbers = _Numbers(pictures, path.expanduser().parent)
    entries: dict[int, list[Entry]] = defaultdict(list)
    unknown = []
    for name, own in prompts.items():
        number = numbers.of(name)
        if number is None:
            unknown.append(name)
        else:
            entries[number] += own
    if not entries:
        got = f"those of {quoted(unknown[0])}" if unknown else "none"
        raise ParameterError(
            f"The prompts in {path} must be of the given pictures, such as "
            f"{quoted(pictures[0].name)}, got {got}; name pictures by their paths below the folder "
            "that is given."
        )
    return [
        replace(picture, objects=json.dumps(entries.get(number, [])))
        for number, picture in enumerate(pictures)
    ], unknown


class _Numbers:
    """Which picture a name means."""

    def __init__(self, pictures: Sequence[PictureFile], folder: Path) -> None:
        self._folder = folder
        self._by_name = {picture.name: number for number, picture in enumerate(pictures)}
        self._by_path = {
            str(picture.path.absolute()): number for number, picture in enumerate(pictures)
        }
        self._by_file: dict[str, list[int]] = defaultdict(list)
        for number, picture in enumerate(pictures):
            self._by_file[picture.path.name].append(number)

    def of(self, name: str) -> int | None:
        """Its number, None if there is no such picture."""
        plain = name.removeprefix("./")
        if plain in self._by_name:
            return self._by_name[plain]
        for path in (Path(name), self._folder / name):
            if str(path.absolute()) in self._by_path:
                return self._by_path[str(path.absolute())]
        same = self._by_file.get(PurePosixPath(name).name, [])
        if len(same) > 1:
            raise ParameterError(
                f"The prompts of {quoted(name)} fit {len(same)} pictures of that file name; name "
                "pictures by their paths below the folder that is given."
            )
        return same[0] if same else None


def _from_coco(path: Path, text: str) -> dict[str, list[Entry]]:
    try:
        content = json.loads(text)
        if isinstance(content, list):
            raise ParameterError(
                f"The prompts in {path} must be a COCO data set with its images, got a bare list "
                "of results; put them in as its annotations: "
                '{"images": [...], "annotations": [...], "categories": [...]}.'
            )
        names = {image["id"]: str(image["file_name"]) for image in content["images"]}
        classes = {row["id"]: str(row["name"]) for row in content.get("categories", [])}
        found: dict[str, list[Entry]] = {name: [] for name in names.values()}
        for annotation in content["annotations"]:
            left, top, width, height = map(float, annotation["bbox"])
            entry: Entry = {"box": [left, top, left + width, top + height]}
            if annotation.get("category_id") in classes:
                entry["category"] = classes[annotation["category_id"]]
            _check_finite(entry["box"])
            found[names[annotation["image_id"]]].append(entry)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, ParameterError):
            raise
        raise ParameterError(
            f"The prompts in {path} must be COCO JSON: images with id and file_name, annotations "
            f"with image_id and bbox [x, y, width, height], got: {error!r}; write them so, or as a "
            f"CSV table {_EXAMPLE}."
        ) from error
    return found


def _from_table(path: Path, text: str) -> dict[str, list[Entry]]:
    first, _, _ = text.partition("\n")
    delimiter = max(",;\t", key=first.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    columns = {(name or "").strip().lower(): name for name in reader.fieldnames or ()}
    path_column = _column(columns, _PATH)
    corners = [_column(columns, names) for names in _CORNERS]
    point = [_column(columns, names) for names in _POINT]
    category = _column(columns, _CATEGORY)
    if path_column is None or (None in corners and None in point):
        raise ParameterError(
            f"The prompts in {path} must be a table with the columns {_EXAMPLE} (or x, y for a "
            f"point), or COCO JSON, got the columns {quoted(', '.join(columns))}; name them in the "
            "first line."
        )
    found: dict[str, list[Entry]] = {}
    for row in reader:
        entry: Entry = {}
        try:
            if box := _numbers(row, corners):
                entry["box"] = box
            if xy := _numbers(row, point):
                entry["points"] = [xy]
        except ValueError as error:
            raise ParameterError(
                f"Line {reader.line_num} of the prompts in {path} must hold numbers in pixels, as "
                f"in {_EXAMPLE}, got: {error}; correct it."
            ) from error
        if category is not None and (row[category] or "").strip():
            entry["category"] = row[category].strip()
        own = found.setdefault((row[path_column] or "").strip(), [])
        if entry.keys() & {"box", "points"}:  # a path alone: a picture in which nothing is
            own.append(entry)
    return found


def _column(columns: Mapping[str, str], names: Sequence[str]) -> str | None:
    return next((columns[name] for name in names if name in columns), None)


def _numbers(row: Mapping[str, str | None], columns: Sequence[str | None]) -> list[float]:
    """The numbers of some columns; none where all are empty or missing."""
    words = [(row[column] or "").strip() for column in columns if column is not None]
    if len(words) < len(columns) or not any(words):
        return []
    numbers = [float(word) for word in words]
    _check_finite(numbers)
    return numbers


def _check_finite(numbers: Sequence[float]) -> None:
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"{list(numbers)} are not finite numbers")
