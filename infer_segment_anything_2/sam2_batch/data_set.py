"""One COCO data set of all pictures in a folder of results, put together from their own files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from infer_segment_anything_2.errors import ExportError
from infer_segment_anything_2.sam2_batch.done_marks import Mark
from infer_segment_anything_2.sam2_results.whole_files import write_whole

__all__ = ["write_coco_stream", "write_data_set"]


def write_data_set(
    path: Path,
    marks: Sequence[Mark],
    part_of: Callable[[Mark], Path],
    class_names: Sequence[str],
) -> None:
    """Joins COCO files of single pictures to one; a picture at a time is in memory.

    Every picture keeps its image id from run to run, a class its category id. Annotations are
    numbered through. Masks without a pixel, whose boxes training refuses, are left out.

    Args:
        path: The file to write.
        marks: The pictures, in the order of their ids.
        part_of: Where the COCO file of a picture is.
        class_names: In the order of their ids, the first of which is 1.

    Raises:
        ExportError: A part cannot be read, or the file cannot be written.
    """
    write_whole(path, lambda file: _write(file, marks, part_of, class_names))


def _write(
    file: Path, marks: Sequence[Mark], part_of: Callable[[Mark], Path], class_names: Sequence[str]
) -> None:
    write_coco_stream(file, class_names, _images(marks), _joined(marks, part_of))


def write_coco_stream(
    file: Path,
    class_names: Sequence[str],
    images: Iterable[Mapping[str, Any]],
    annotations: Iterable[Mapping[str, Any]],
) -> None:
    """Writes a COCO data set a row at a time; see :func:`write_whole` for whole files.

    Args:
        file: The file to write.
        class_names: In the order of their ids, the first of which is 1.
        images: All images, taken first.
        annotations: All annotations, taken then.

    Raises:
        OSError: The operating system refuses.
    """
    categories = [
        {"id": number, "name": name, "supercategory": ""}
        for number, name in enumerate(class_names, start=1)
    ]
    with file.open("w", encoding="utf-8", newline="\n") as text:
        text.write('{"info": {"description": "Masks made with Segment Anything 2"},\n')
        text.write('"licenses": [],\n')
        text.write(f'"categories": {json.dumps(categories)},\n')
        for key, rows in (("images", images), ("annotations", annotations)):
            text.write(f'"{key}": [')
            for index, row in enumerate(rows):
                text.write(",\n" if index else "\n")
                text.write(json.dumps(row, allow_nan=False))
            text.write("],\n" if key == "images" else "]}\n")


def _images(marks: Sequence[Mark]) -> Iterator[dict[str, Any]]:
    counts = Counter(mark.name for mark in marks)
    for mark in marks:
        height, width = mark.image_hw
        # Of several folders' pictures of one name only the whole path says which is meant.
        name = mark.name if counts[mark.name] == 1 else mark.source
        yield {"id": mark.image_id, "file_name": name, "height": height, "width": width}


def _joined(marks: Iterable[Mark], part_of: Callable[[Mark], Path]) -> Iterator[dict[str, Any]]:
    last_id = 0
    for mark in marks:
        path = part_of(mark)
        try:
            annotations = json.loads(path.read_text(encoding="utf-8"))["annotations"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ExportError(
                f"The results of {mark.name} in {path} cannot be read: {error!r}; remove them and "
                "run the same command again."
            ) from error
        for annotation in annotations:
            if annotation["area"]:
                last_id += 1
                yield {**annotation, "id": last_id, "image_id": mark.image_id}
