"""The two tables of a run, and the two files that a shard adds to them.

``masks/000017.parquet`` has a row per mask, ``pictures/000017.parquet`` a row per picture, failed
ones too. The second is written last: where it is, its shard is done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from infer_segment_anything_2.errors import ExportError
from infer_segment_anything_2.sam2_batch.cluster.folders import Folder
from infer_segment_anything_2.sam2_batch.cluster.shard_plan import Shard
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet, Rle
from infer_segment_anything_2.sam2_results.outcome import Segmentation
from infer_segment_anything_2.sam2_results.records import records

__all__ = [
    "MASKS",
    "PICTURES",
    "PictureRow",
    "ShardWriter",
    "done_names",
    "mask_rows",
    "mask_set_of",
    "read_rows",
]

MASKS = "masks"
PICTURES = "pictures"

_PICTURE_SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("name", pa.string()),
        ("shard", pa.int32()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("n_masks", pa.int32()),
        ("error", pa.string()),
        ("error_kind", pa.string()),
        ("notes", pa.list_(pa.string())),
        ("seconds", pa.float32()),
        ("settings", pa.string()),
    ]
)
_MASK_SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("id", pa.int32()),
        ("rank", pa.int8()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("rle", pa.string()),
        ("bbox", pa.list_(pa.int32())),
        ("area", pa.int64()),
        ("predicted_iou", pa.float32()),
        ("stability_score", pa.float32()),
        ("point", pa.list_(pa.float64())),
        ("crop_box", pa.list_(pa.int32())),
        ("object", pa.int32()),
        ("category", pa.string()),
        ("settings", pa.string()),
    ]
)
# Rows that wait in memory, by the length of their masks' texts.
_MOST_WAITING_CHARACTERS = 16_000_000


@dataclass(frozen=True)
class PictureRow:
    """What became of a picture, as the table has it.

    Attributes:
        path: What it is known by.
        name: Its path below the folder that was named.
        image_hw: Its height and width; None if it failed.
        n_masks: How many rows of masks it has, of all ranks.
        error: Why it failed, None if it is done.
        error_kind: In one word, None if it is done.
        notes: What there is to say about it.
        seconds: How long it took.
    """

    path: str
    name: str
    image_hw: tuple[int, int] | None = None
    n_masks: int = 0
    error: str | None = None
    error_kind: str | None = None
    notes: tuple[str, ...] = ()
    seconds: float = 0.0


class ShardWriter:
    """Collects the rows of a shard in files of this machine, then puts both in their places.

    To be entered and left like a file; :meth:`put` ends it. Masks leave memory as they come.

    Args:
        temporary: A folder for the time being.
        shard: Which one.
        settings: The digest of the run's settings.
    """

    def __init__(self, temporary: Path, shard: Shard, settings: str) -> None:
        self._shard = shard
        self._settings = settings
        self._masks_path = temporary / "masks.parquet"
        self._pictures_path = temporary / "pictures.parquet"
        self._pictures: list[dict[str, Any]] = []
        self._waiting: list[Mapping[str, Any]] = []
        self._n_characters = 0
        self._writer = pq.ParquetWriter(self._masks_path, _MASK_SCHEMA, compression="zstd")

    def __enter__(self) -> ShardWriter:
        """Gives itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes what is open."""
        self._writer.close()

    def add(self, picture: PictureRow, masks: Iterable[Mapping[str, Any]] = ()) -> None:
        """Adds a picture and its masks, as :func:`mask_rows` or an earlier file has them."""
        height, width = picture.image_hw or (None, None)
        row = {**vars(picture), "height": height, "width": width}
        del row["image_hw"]
        self._pictures.append({**row, "shard": self._shard.number, "settings": self._settings})
        for mask in masks:
            self._waiting.append({**mask, "path": picture.path, "settings": self._settings})
            self._n_characters += len(mask["rle"])
        if self._n_characters > _MOST_WAITING_CHARACTERS:
            self._write_waiting()

    def put(self, folder: Folder) -> None:
        """Puts both files into the run's folder, that of the pictures last.

        Raises:
            ExportError: The folder cannot be written.
            StorageError: The bucket does not answer.
        """
        self._write_waiting()
        self._writer.close()
        table = pa.Table.from_pylist(self._pictures, schema=_PICTURE_SCHEMA)
        pq.write_table(table, self._pictures_path, compression="zstd")
        folder.put(f"{MASKS}/{self._shard.file_name}", self._masks_path)
        folder.put(f"{PICTURES}/{self._shard.file_name}", self._pictures_path)

    def _write_waiting(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.Table.from_pylist(self._waiting, schema=_MASK_SCHEMA))
        self._waiting, self._n_characters = [], 0


def mask_rows(found: Segmentation) -> list[dict[str, Any]]:
    """The rows of a picture's masks, of all ranks, without its path and the settings."""
    rows = []
    for rank, masks in enumerate(found.ranked, start=1):
        for record in records(masks, found.objects):
            rle = record.pop("segmentation")
            points = record.pop("point_coords")
            del record["prompt"]
            height, width = rle["size"]
            row = {"rank": rank, "height": height, "width": width, "rle": rle["counts"]}
            rows.append({**record, **row, "point": points[0] if points else None})
    return rows


def mask_set_of(rows: Sequence[Mapping[str, Any]], image_hw: tuple[int, int]) -> MaskSet:
    """The masks of a picture, of one rank, from their rows: what the run had, bit for bit.

    Args:
        rows: Of the table, in the order of their ids; none for no masks.
        image_hw: Height and width of the picture.
    """
    if not rows:
        return MaskSet.empty(image_hw)
    unknown = float("nan")
    boxes_xywh = np.array([row["bbox"] for row in rows], np.int64)
    return MaskSet(
        image_hw=image_hw,
        rles=tuple(Rle.from_coco(image_hw, row["rle"]) for row in rows),
        boxes_xyxy_px=np.hstack([boxes_xywh[:, :2], boxes_xywh[:, :2] + boxes_xywh[:, 2:]]),
        predicted_iou=_floats(row["predicted_iou"] for row in rows),
        stability_score=_floats(row["stability_score"] for row in rows),
        points_xy_px=np.array([row["point"] or (unknown, unknown) for row in rows], np.float64),
        crop_boxes_xywh_px=np.array([row["crop_box"] for row in rows], np.int64),
        object_index=np.array([row["object"] for row in rows], np.int64),
    )


def done_names(folder: Folder) -> set[str]:
    """The names of the files of all shards that are done."""
    return folder.names(PICTURES)


def read_rows(
    folder: Folder, table: str, file_name: str, columns: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """The rows of a table that a shard has made.

    Args:
        folder: Of the run.
        table: :data:`MASKS` or :data:`PICTURES`.
        file_name: Of the shard.
        columns: Those that are wanted; all if None.

    Raises:
        ExportError: The file is missing or damaged.
    """
    content = folder.read(f"{table}/{file_name}")
    try:
        if content is None:
            raise FileNotFoundError("there is no such file")
        wanted = None if columns is None else list(columns)
        file = pq.ParquetFile(pa.BufferReader(content))
        # Not in Arrow's threads, which pq.read_table takes anyway: one of them that still holds
        # the content when Python ends aborts the process.
        rows: list[dict[str, Any]] = file.read(wanted, use_threads=False).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise ExportError(
            f"{folder.place}/{table}/{file_name} must be a table of this run, got: {error}; remove "
            f"{PICTURES}/{file_name} and run the same command again to make it anew."
        ) from error
    return rows


def _floats(values: Iterable[float | None]) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.array([np.nan if value is None else value for value in values], np.float32)
