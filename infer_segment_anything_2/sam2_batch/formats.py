"""The formats of results: name, ending, words, writer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from infer_segment_anything_2.exports import (
    MASK_INDEX_NAME,
    Affine,
    remove_masks,
    write_coco,
    write_csv,
    write_geojson,
    write_labels,
    write_masks,
    write_overlay,
    write_yolo,
)
from infer_segment_anything_2.sam2_batch.map_places import MapPlace
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet
from infer_segment_anything_2.sam2_results.outcome import Segmentation
from infer_segment_anything_2.sam2_results.whole_files import remove_file, write_json

__all__ = ["FORMATS", "ExportOptions", "Format", "Result"]


@dataclass(frozen=True)
class ExportOptions:
    """Choices of single formats; see :mod:`.exports`."""

    affine: Affine | None = None
    crs: str = ""
    opacity: float = 0.5


@dataclass(frozen=True)
class Result:
    """What is written of one picture: the masks of one rank, and what belongs to them.

    Attributes:
        masks: Of that rank.
        segmentation: All that came out for the picture.
        picture_name: As readers of a data set shall find it.
        options: Choices of single formats.
        class_names: All classes of the folder; their positions are their numbers.
        place: Of the picture on a map.
    """

    masks: MaskSet
    segmentation: Segmentation
    picture_name: str
    options: ExportOptions
    class_names: Sequence[str]
    place: MapPlace


@dataclass(frozen=True)
class Format:
    """A kind of result file.

    Attributes:
        ending: What follows the picture's name; a folder when it ends in "/".
        words: What it holds, for a list of formats.
        write: Writes it.
        options: The names of the :class:`ExportOptions` that it depends on.
    """

    ending: str
    words: str
    write: Callable[[Path, Result], None]
    options: tuple[str, ...] = ()

    def marker(self, path: Path) -> Path:
        """The file that is there only when all of the result is."""
        return path / MASK_INDEX_NAME if self.ending.endswith("/") else path

    def remove(self, path: Path) -> None:
        """Removes the result if it is there.

        Raises:
            ExportError: It cannot be removed.
        """
        if self.ending.endswith("/"):
            remove_masks(path)
        else:
            remove_file(path)


def _coco(path: Path, result: Result, *, as_polygons: bool = False) -> None:
    write_coco(
        path,
        result.masks,
        result.segmentation.objects,
        file_name=result.picture_name,
        as_polygons=as_polygons,
        names=result.class_names,
    )


def _yolo(path: Path, result: Result) -> None:
    objects = result.segmentation.objects
    write_yolo(path, result.masks, objects, names=result.class_names)


def _geojson(path: Path, result: Result) -> None:
    affine, crs = result.place
    write_geojson(path, result.masks, result.segmentation.objects, affine=affine, crs=crs)


def _overlay(path: Path, result: Result) -> None:
    found = result.segmentation
    opacity = result.options.opacity
    write_overlay(path, result.masks, found.image_rgb_hwc, found.objects, opacity=opacity)


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "coco": Format(".json", "COCO JSON with RLE masks, exact", _coco),
        "coco-polygons": Format(
            "_polygons.json",
            "COCO JSON with polygons; holes are kept by zero-width bridges",
            lambda path, result: _coco(path, result, as_polygons=True),
        ),
        "labels": Format(
            "_labels.png",
            "PNG of one number per pixel, the smaller mask on top, 0 = background",
            lambda path, result: write_labels(path, result.masks),
        ),
        "masks": Format(
            "_masks/",
            "a folder with one black-and-white PNG per mask, and an index",
            lambda path, result: write_masks(path, result.masks, result.segmentation.objects),
        ),
        "yolo": Format(
            ".txt",
            "YOLO segmentation labels, and data.yaml with the names of the classes",
            _yolo,
        ),
        "geojson": Format(
            ".geojson",
            "polygons with holes, on a map by a GeoTIFF's own place or --affine, else in pixels",
            _geojson,
            options=("affine", "crs"),
        ),
        "csv": Format(
            ".csv",
            "a table: box, area, scores and point of each mask",
            lambda path, result: write_csv(path, result.masks, result.segmentation.objects),
        ),
        "overlay": Format(
            "_overlay.png",
            "the picture with the masks painted over it",
            _overlay,
            options=("opacity",),
        ),
        "report": Format(
            "_report.json",
            "all records, and what each filter dropped",
            lambda path, result: write_json(path, result.segmentation.to_dict()),
        ),
        "coco-dataset": Format(
            ".json", "as coco, and at the end dataset.json of all pictures in the folder", _coco
        ),
    }
)
