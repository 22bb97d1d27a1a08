"""What the tests of tables and clusters share: pictures, calls, whole tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset as ds
from PIL import Image

from infer_segment_anything_2.sam2_batch.cluster.folders import LocalFolder
from infer_segment_anything_2.sam2_batch.cluster.shard_plan import Plan
from infer_segment_anything_2.sam2_batch.command_line import main

EVERYTHING = (
    *("--model-name", "sam2_demo_nano", "--no-cuda", "--points-per-side", "4"),
    *("--iou-thresh", "0.3", "--stability-score-thresh", "0.3"),
)
BOX = ("--model-name", "sam2_demo_nano", "--no-cuda", "--box", "10,12,40,38")
HW = (64, 80)


def draw_pictures(folder: Path, n_pictures: int) -> Path:
    """Pictures of two discs each, every third of them in a folder below."""
    y, x = np.mgrid[: HW[0], : HW[1]]
    for number in range(n_pictures):
        picture = np.full((*HW, 3), 40, np.uint8)
        picture[np.hypot(y - 24, x - 20 - 2 * number) < 12] = (220, 180, 60)
        picture[np.hypot(y - 46, x - 60 + number) < 10] = (60, 120, 220)
        path = folder / ("below" if number % 3 == 2 else "") / f"p{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
    return folder


def tables(out: Path | str, *words: str | Path, settings: tuple[str, ...] = BOX) -> int:
    """Runs ``segment --format parquet`` with small shards."""
    call = ["segment", *map(str, words), "--format", "parquet", "--out", str(out), *settings]
    return main(call if "--shard-size" in call else [*call, "--shard-size", "2"])


def results(out: Path | str, *words: str | Path) -> int:
    return main(["results", str(out), *map(str, words)])


def rows_of(out: Path, table: str, without: tuple[str, ...] = ("seconds",)) -> list[dict[str, Any]]:
    """All rows of a table, in the order of the pictures' paths."""
    files = ds.dataset(out / table, format="parquet").to_table()
    kept = [name for name in files.column_names if name not in without]
    rows: list[dict[str, Any]] = files.select(kept).to_pylist()
    return sorted(rows, key=lambda row: (row["path"], row.get("rank", 0), row.get("id", 0)))


def n_masks_as_in_reports(out: Path, files: Path) -> int:
    """How many masks the tables have; each is, bit for bit, as the report of its picture tells."""
    n_masks = 0
    for picture in rows_of(out, "pictures"):
        if picture["error"] is not None:
            continue
        report = (files / picture["name"]).with_suffix("").as_posix() + "_report.json"
        told = json.loads(Path(report).read_text())
        masks = [row for row in rows_of(out, "masks") if row["path"] == picture["path"]]
        assert (picture["height"], picture["width"]) == HW
        assert picture["n_masks"] == len(masks) == len(told["masks"])
        for row, record in zip(masks, told["masks"], strict=True):
            assert row["rle"] == record["segmentation"]["counts"]
            assert [row["point"]] == record["point_coords"]
            for key in ("bbox", "area", "crop_box"):
                assert row[key] == record[key], key
            for key in ("predicted_iou", "stability_score"):
                assert np.float32(row[key]) == np.float32(record[key]), key
        n_masks += len(masks)
    return n_masks


def shard_of(out: Path, name: str) -> int:
    """The number of the shard that a picture is in."""
    plan = Plan(LocalFolder(out))
    return next(
        shard.number
        for shard in plan.shards()
        for picture in plan.pictures_of(shard)
        if picture.name == name
    )
