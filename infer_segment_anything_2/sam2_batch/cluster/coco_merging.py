"""One COCO data set of all pictures of a run, written in a stream.

Right for up to about a million masks: whoever reads such a file has all of it in memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from infer_segment_anything_2.sam2_batch.cluster.folders import Folder
from infer_segment_anything_2.sam2_batch.cluster.shard_tables import (
    MASKS,
    PICTURES,
    done_names,
    read_rows,
)
from infer_segment_anything_2.sam2_batch.data_set import write_coco_stream
from infer_segment_anything_2.sam2_results.records import DEFAULT_CATEGORY
from infer_segment_anything_2.sam2_results.whole_files import write_whole

__all__ = ["write_merged_coco"]

# As they are called in the records of a single picture.
_SAME_KEYS = ("area", "predicted_iou", "stability_score", "crop_box", "object")


def write_merged_coco(folder: Folder, path: Path) -> tuple[int, int]:
    """Writes all pictures that did not fail, and their best masks.

    Masks without a pixel, whose boxes training refuses, are left out.

    Args:
        folder: Of the run.
        path: The file to write.

    Returns:
        How many images and annotations it has.

    Raises:
        ExportError: A table cannot be read, or the file cannot be written.
    """
    merging = _Merging(folder)
    write_whole(
        path,
        lambda file: write_coco_stream(
            file, merging.class_names(), merging.images(), merging.annotations()
        ),
    )
    return len(merging.image_ids), merging.n_annotations


class _Merging:
    """Goes through the tables, shard by shard: classes, then images, then annotations."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._file_names = sorted(done_names(folder))
        self._category_ids: dict[str, int] = {}
        self.image_ids: dict[str, int] = {}
        self.n_annotations = 0

    def class_names(self) -> list[str]:
        names: dict[str, None] = {}
        for file_name in self._file_names:
            rows = read_rows(self._folder, MASKS, file_name, ["category"])
            names |= dict.fromkeys(row["category"] for row in rows)
        listed = list(names) or [DEFAULT_CATEGORY]
        self._category_ids = {name: number for number, name in enumerate(listed, start=1)}
        return listed

    def images(self) -> Iterator[dict[str, Any]]:
        columns = ["path", "name", "height", "width", "error"]
        counts = Counter(
            row["name"]
            for file_name in self._file_names
            for row in read_rows(self._folder, PICTURES, file_name, ["name"])
        )
        for file_name in self._file_names:
            for row in read_rows(self._folder, PICTURES, file_name, columns):
                if row["error"] is not None:
                    continue
                image_id = self.image_ids[row["path"]] = len(self.image_ids) + 1
                # Of several pictures of one name only the whole path says which is meant.
                name = row["name"] if counts[row["name"]] == 1 else row["path"]
                yield {
                    "id": image_id,
                    "file_name": name,
                    "height": row["height"],
                    "width": row["width"],
                }

    def annotations(self) -> Iterator[dict[str, Any]]:
        for file_name in self._file_names:
            for row in read_rows(self._folder, MASKS, file_name):
                if row["rank"] == 1 and row["area"] and row["path"] in self.image_ids:
                    self.n_annotations += 1
                    yield self._annotation(row)

    def _annotation(self, row: dict[str, Any]) -> dict[str, Any]:
        left, top, width, height = row["bbox"]
        point = row["point"]
        return {
            "id": self.n_annotations,
            "image_id": self.image_ids[row["path"]],
            "category_id": self._category_ids[row["category"]],
            "segmentation": {"size": [row["height"], row["width"]], "counts": row["rle"]},
            "iscrowd": 0,
            # COCO's width and height count pixels; the table has Meta's, which are one less.
            "bbox": [left, top, width + 1, height + 1],
            "score": row["predicted_iou"],
            "point_coords": [] if point is None else [point],
            **{key: row[key] for key in _SAME_KEYS},
        }
