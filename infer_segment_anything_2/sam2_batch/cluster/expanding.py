"""Files of single pictures, made from the tables as ``segment`` would have made them."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from infer_segment_anything_2.errors import SegmentAnythingError
from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.request import objects_of
from infer_segment_anything_2.sam2_batch.cluster.folders import Folder, is_url
from infer_segment_anything_2.sam2_batch.cluster.run_settings import remembered_parameters
from infer_segment_anything_2.sam2_batch.cluster.shard_plan import Plan
from infer_segment_anything_2.sam2_batch.cluster.shard_tables import (
    MASKS,
    PICTURES,
    done_names,
    mask_set_of,
    read_rows,
)
from infer_segment_anything_2.sam2_batch.cluster.sources import SourcePicture, fetched
from infer_segment_anything_2.sam2_batch.formats import FORMATS, ExportOptions
from infer_segment_anything_2.sam2_batch.picture_finding import PictureFile
from infer_segment_anything_2.sam2_batch.result_folder import ResultFolder
from infer_segment_anything_2.sam2_batch.result_names import result_names
from infer_segment_anything_2.sam2_engine.image.rgb import to_rgb8
from infer_segment_anything_2.sam2_reading.picture_files import read_picture_file
from infer_segment_anything_2.sam2_results.outcome import Segmentation

__all__ = ["EXPANDABLE", "expand"]

# Tables do not hold what a report tells of the filters.
EXPANDABLE = tuple(name for name in FORMATS if name != "report")

_NEEDING_THE_PICTURE = {"overlay", "geojson"}


def expand(
    folder: Folder, formats: Sequence[str], to: Path, pattern: str
) -> Iterator[tuple[str, SegmentAnythingError | None]]:
    """Writes files of the pictures that did not fail.

    Args:
        folder: Of the run.
        formats: Some of :data:`EXPANDABLE`.
        to: Where the files go.
        pattern: Of the paths of those pictures that are wanted.

    Yields:
        The path of each picture, and why its files could not be written.

    Raises:
        ParameterError: ``to`` holds results of other settings.
        ExportError: A table cannot be read.
    """
    parameters, own_prompts = remembered_parameters(folder)
    results = ResultFolder(to, formats, ExportOptions(), parameters, own_prompts=own_prompts)
    results.check()
    plan, done = Plan(folder), done_names(folder)
    shards = [shard for shard in plan.shards() if shard.file_name in done]
    wanted = [
        picture
        for shard in shards
        for picture in plan.pictures_of(shard)
        if fnmatchcase(picture.path, pattern)
    ]
    names = result_names([picture.name for picture in wanted])
    files = results.settle(
        [
            PictureFile(_pseudo_path(picture.path), picture.name, name, picture.objects)
            for picture, name in zip(wanted, names, strict=True)
        ]
    )
    by_path = {picture.path: file for picture, file in zip(wanted, files, strict=True)}
    for shard in shards:
        sources = {
            picture.path: picture for picture in plan.pictures_of(shard) if picture.path in by_path
        }
        if not sources:
            continue
        masks_of = defaultdict(list)
        for mask in read_rows(folder, MASKS, shard.file_name):
            masks_of[mask["path"]].append(mask)
        for row in read_rows(folder, PICTURES, shard.file_name):
            path = row["path"]
            if row["error"] is None and path in sources:
                error = _write(sources[path], by_path[path], row, masks_of[path], results)
                yield path, error
    results.finish()


def _write(
    source: SourcePicture,
    file: PictureFile,
    row: dict[str, Any],
    masks: Sequence[dict[str, Any]],
    results: ResultFolder,
) -> SegmentAnythingError | None:
    try:
        found = _segmentation(row, masks, results.parameters, source.objects)
        if _NEEDING_THE_PICTURE & {*results.formats}:
            with tempfile.TemporaryDirectory(prefix="sam2_expand_") as temporary:
                content = read_picture_file(fetched(source, Path(temporary)))
            file = replace(file, georeference=content.georeference)
            found = replace(found, image_rgb_hwc=to_rgb8(content.pixels_hwc))
        results.write(file, found)
    except SegmentAnythingError as error:
        return error
    return None


def _segmentation(
    row: dict[str, Any],
    masks: Sequence[dict[str, Any]],
    parameters: Parameters,
    own_objects: str | None,
) -> Segmentation:
    """What came out for a picture, but for the picture itself and the counts of filters."""
    image_hw = (row["height"], row["width"])
    if own_objects is not None:
        parameters = replace(parameters, input_objects=own_objects)
    objects, _ = objects_of(parameters, image_hw)
    first, second, third = (
        mask_set_of([mask for mask in masks if mask["rank"] == rank], image_hw)
        for rank in (1, 2, 3)
    )
    everything = not objects and own_objects is None
    return Segmentation(
        # Only its size is looked at: no memory is taken.
        image_rgb_hwc=np.broadcast_to(np.uint8(0), (*image_hw, 3)),
        ranked=(first, second, third),
        objects=None if everything else tuple(objects),
        filter_counts=None,
        notes=tuple(row["notes"]),
        settings={},
    )


def _pseudo_path(path: str) -> Path:
    """A path that stands for a picture in the list of what is done, also for one in a bucket."""
    return Path("/" + path.replace("://", ":/")) if is_url(path) else Path(path)
