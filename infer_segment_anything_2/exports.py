"""Masks into files of the usual formats.

Every file is written whole or not at all: under a temporary name first, then renamed. Masks are
decoded one at a time. Polygons follow the edges of pixels (see :mod:`.polygons`), so that in every
format the masks can be had back exactly by the rule that the format's readers fill by.

==============  ===========  ==================  =====================
Written by      Overlaps     Holes               Several parts
==============  ===========  ==================  =====================
write_coco      kept         kept                kept
... polygons    kept         kept, by a bridge   kept
write_labels    smaller won  kept                kept
write_masks     kept         kept                kept
write_yolo      kept         kept, by a bridge   kept, by a bridge
write_geojson   kept         kept                kept
==============  ===========  ==================  =====================

A bridge is a line of no width there and back, for formats whose polygons are one ring. Programs
that fill such a ring get the mask back; those that also draw its line, as readers of YOLO do,
colour the bridge.
"""

from __future__ import annotations

import contextlib
import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from infer_segment_anything_2.errors import ExportError
from infer_segment_anything_2.prompts import ObjectPrompt
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet, Rle, mask_in_box
from infer_segment_anything_2.sam2_engine.masks.rle import bounding_box_xyxy_px
from infer_segment_anything_2.sam2_results.painting import colours_of, paint_labels, paint_overlay
from infer_segment_anything_2.sam2_results.polygons import (
    Polygon,
    Ring,
    drawn_in,
    joined,
    polygons_of,
)
from infer_segment_anything_2.sam2_results.records import DEFAULT_CATEGORY, categories_of, records
from infer_segment_anything_2.sam2_results.whole_files import (
    remove_file,
    write_json,
    write_text,
    write_whole,
)

__all__ = [
    "MASK_INDEX_NAME",
    "Affine",
    "class_names",
    "coco_dataset",
    "geojson_features",
    "remove_masks",
    "write_coco",
    "write_csv",
    "write_geojson",
    "write_labels",
    "write_masks",
    "write_overlay",
    "write_yolo",
]

Affine = tuple[float, float, float, float, float, float]
"""a, b, c, d, e, f of x = a * column + b * row + c and y = d * column + e * row + f: the order of
rasterio's and of Python's affine package. (GDAL's geotransform is c, a, b, f, d, e.)"""

MASK_INDEX_NAME = "masks.csv"

# How far YOLO's rings lie within the outline, in pixels: left of the mask and above it, right of it
# and below. The readers colour the line too, so it must fall on the outermost pixels of the mask,
# whether they cut coordinates to whole pixels (Ultralytics) or round them (supervision). No ring
# serves these two and those that fill by pixels' centres: right of the last centre, rounding leads
# out of the mask.
_YOLO_INSET_PX = (0.05, 0.55)

_MOST_LABELS = np.iinfo(np.uint16).max
_LEAST_DIGITS = 4


def class_names(objects: Sequence[ObjectPrompt] | None = None) -> list[str]:
    """The classes that prompted objects name, in that order; "object" for those without a name.

    Their positions are the class numbers of YOLO; COCO's category ids are one higher.
    """
    names = [prompted.category or DEFAULT_CATEGORY for prompted in objects or ()]
    return list(dict.fromkeys(names)) or [DEFAULT_CATEGORY]


def coco_dataset(
    mask_set: MaskSet,
    objects: Sequence[ObjectPrompt] | None = None,
    *,
    file_name: str = "",
    as_polygons: bool = False,
    names: Sequence[str] | None = None,
    keep_empty: bool = True,
) -> dict[str, Any]:
    """Makes the dict of a COCO annotation file for one picture.

    ``bbox`` has COCO's own width and height here (pixels from edge to edge), as pycocotools gives
    them; ``score`` is the predicted IoU. The further keys are those of :func:`.records.records`.

    Args:
        mask_set: The masks.
        objects: What was prompted, for the categories; None in everything mode.
        file_name: The picture's, as readers of the file shall find it.
        as_polygons: Write polygons instead of RLE. COCO's polygons cannot hold holes by themselves;
            they are kept here by bridges. RLE, the default, needs no such trick.
        names: All classes in the order of their ids, for files that shall agree on them; those of
            ``objects`` if None.
        keep_empty: Keep the annotations of masks without a pixel. Their box has no size, which
            loaders for training refuse, and as polygons pycocotools cannot read them.
    """
    names = class_names(objects) if names is None else names
    annotations = []
    for record, rle in zip(records(mask_set, objects), mask_set.rles, strict=True):
        if not (keep_empty or rle.area_px):
            continue
        if as_polygons:
            record["segmentation"] = [
                joined([part.outer, *part.holes]).ravel().tolist() for part in _polygons(rle)
            ]
        record |= {
            "image_id": 1,
            "category_id": names.index(record.pop("category")) + 1,
            "iscrowd": 0,
            "bbox": _coco_box(rle),
            "score": record["predicted_iou"],
        }
        annotations.append(record)
    height, width = mask_set.image_hw
    return {
        "info": {"description": "Masks made with Segment Anything 2"},
        "licenses": [],
        "images": [{"id": 1, "file_name": file_name, "height": height, "width": width}],
        "annotations": annotations,
        "categories": [
            {"id": number, "name": name, "supercategory": ""}
            for number, name in enumerate(names, start=1)
        ],
    }


def write_coco(
    path: Path,
    mask_set: MaskSet,
    objects: Sequence[ObjectPrompt] | None = None,
    *,
    file_name: str = "",
    as_polygons: bool = False,
    names: Sequence[str] | None = None,
) -> None:
    """Writes a COCO annotation file; see :func:`coco_dataset`.

    Masks without a pixel stay as RLE and are left out as polygons, which no reader could read.

    Raises:
        ExportError: The file cannot be written.
    """
    dataset = coco_dataset(
        mask_set,
        objects,
        file_name=file_name,
        as_polygons=as_polygons,
        names=names,
        keep_empty=not as_polygons,
    )
    write_json(path, dataset)


def write_labels(path: Path, mask_set: MaskSet) -> None:
    """Writes a label PNG: 0 = background, k = mask number k, the smaller mask on top.

    It has 8 bits per pixel for up to 255 masks and 16 bits for up to 65,535.

    Raises:
        ExportError: There are more masks than that, or the file cannot be written.
    """
    if len(mask_set) > _MOST_LABELS:
        raise ExportError(
            f"A label PNG holds at most {_MOST_LABELS} masks, got {len(mask_set)}; write COCO "
            "JSON, or keep fewer masks."
        )
    _write_png(path, paint_labels(mask_set))


def write_masks(
    folder: Path, mask_set: MaskSet, objects: Sequence[ObjectPrompt] | None = None
) -> None:
    """Writes one PNG per mask (1 bit per pixel, as large as the picture) and an index of them.

    The index, ``masks.csv``, holds the columns of :func:`write_csv` and the file's name. It is
    written last, so where it is, all its masks are. Masks of an earlier index are removed.

    Raises:
        ExportError: A file cannot be written.
    """
    index_path = folder / MASK_INDEX_NAME
    earlier = _indexed_files(index_path)
    remove_file(index_path)
    digits = max(_LEAST_DIGITS, len(str(len(mask_set))))
    names = [f"{number:0{digits}}.png" for number in range(1, len(mask_set) + 1)]
    for name, rle in zip(names, mask_set.rles, strict=True):
        _write_png(folder / name, rle.decode())
    for name in earlier.difference(names):
        remove_file(folder / name)
    rows = [
        {"file": name, **row} for name, row in zip(names, _rows(mask_set, objects), strict=True)
    ]
    _write_rows(index_path, ("file", *_CSV_COLUMNS), rows)


def remove_masks(folder: Path) -> None:
    """Removes what :func:`write_masks` wrote, and the folder if nothing else is in it.

    Raises:
        ExportError: A file cannot be removed.
    """
    index_path = folder / MASK_INDEX_NAME
    for name in _indexed_files(index_path):
        remove_file(folder / name)
    remove_file(index_path)
    with contextlib.suppress(OSError):  # not there, or other files are
        folder.rmdir()


def write_yolo(
    path: Path,
    mask_set: MaskSet,
    objects: Sequence[ObjectPrompt] | None = None,
    *,
    names: Sequence[str] | None = None,
) -> None:
    """Writes YOLO's segmentation labels: a line per mask, its class and its ring of x y pairs.

    Coordinates are fractions of the picture's width and height. Parts and holes are joined to one
    ring by bridges. Empty masks, which the format cannot hold, are left out. The ring runs within
    the outline, by 0.05 pixels left and above, by 0.55 right and below: programs that cut or round
    it to whole pixels and colour its line too, as those that train on it do, get the mask back.
    Those that fill by the pixels' centres do so after adding a quarter of a pixel to x and y.

    Args:
        path: A text file.
        mask_set: The masks.
        objects: What was prompted; None in everything mode.
        names: All classes in the order of their numbers, for files that shall agree on them; those
            of :func:`class_names` if None.

    Raises:
        ExportError: The file cannot be written.
    """
    height, width = mask_set.image_hw
    categories = categories_of(mask_set, objects)
    names = class_names(objects) if names is None else names
    lines = []
    for rle, category in zip(mask_set.rles, categories, strict=True):
        rings = [
            drawn_in(ring, *_YOLO_INSET_PX)
            for part in _polygons(rle)
            for ring in (part.outer, *part.holes)
        ]
        if rings:
            pairs = (joined(rings) / (width, height)).ravel().tolist()
            words = [str(names.index(category)), *(f"{value:.9g}" for value in pairs)]
            lines.append(" ".join(words) + "\n")
    write_text(path, "".join(lines))


def geojson_features(
    mask_set: MaskSet,
    objects: Sequence[ObjectPrompt] | None = None,
    *,
    affine: Affine | None = None,
    crs: str = "",
) -> dict[str, Any]:
    """Makes a GeoJSON FeatureCollection: a Polygon or MultiPolygon with holes per mask.

    A mask without a pixel is a MultiPolygon of none: GEOS (shapely) reads no geometry of null.

    Args:
        mask_set: The masks.
        objects: What was prompted; None in everything mode.
        affine: From pixels to the coordinates of a map; None leaves pixels (y downwards).
        crs: Name of the map's reference system, such as "EPSG:32631". GeoJSON itself knows only
            longitude and latitude (RFC 7946); QGIS and GDAL read this older member.

    Raises:
        ExportError: ``affine`` is not six finite numbers that span an area, or there is a ``crs``
            without it: pixels are no coordinates of a map.
    """
    _check_affine(affine)
    if crs and affine is None:
        raise ExportError(
            f"The reference system {crs!r} needs the transform from pixels to its coordinates, got "
            "none; give it (affine, --affine), or leave the reference system out."
        )
    features = []
    for record, rle in zip(records(mask_set, objects), mask_set.rles, strict=True):
        parts = [_coordinates(part, affine) for part in _polygons(rle)]
        geometry: dict[str, Any] = {"type": "MultiPolygon", "coordinates": parts}
        if len(parts) == 1:
            geometry = {"type": "Polygon", "coordinates": parts[0]}
        del record["segmentation"]
        features.append(
            {"type": "Feature", "id": record["id"], "geometry": geometry, "properties": record}
        )
    collection: dict[str, Any] = {"type": "FeatureCollection"}
    if crs:
        collection["crs"] = {"type": "name", "properties": {"name": crs}}
    return {**collection, "features": features}


def write_geojson(
    path: Path,
    mask_set: MaskSet,
    objects: Sequence[ObjectPrompt] | None = None,
    *,
    affine: Affine | None = None,
    crs: str = "",
) -> None:
    """Writes a GeoJSON file; see :func:`geojson_features`.

    Raises:
        ExportError: ``affine`` is unusable, or the file cannot be written.
    """
    write_json(path, geojson_features(mask_set, objects, affine=affine, crs=crs))


def write_csv(path: Path, mask_set: MaskSet, objects: Sequence[ObjectPrompt] | None = None) -> None:
    """Writes a table: a row per mask with the plain values of its record; unknown is empty.

    Raises:
        ExportError: The file cannot be written.
    """
    _write_rows(path, _CSV_COLUMNS, _rows(mask_set, objects))


def write_overlay(
    path: Path,
    mask_set: MaskSet,
    image_rgb_hwc: npt.NDArray[np.uint8],
    objects: Sequence[ObjectPrompt] | None = None,
    *,
    opacity: float = 0.5,
) -> None:
    """Writes the picture with every mask painted in its own colour, the smaller on top.

    Args:
        path: A picture file; its ending gives the format (.png, .jpg, ...).
        mask_set: The masks.
        image_rgb_hwc: The picture, 8-bit RGB.
        objects: What was prompted, for the colours that it may bring; None in everything mode.
        opacity: 0 = only outlines, 1 = the picture is hidden under the masks.

    Raises:
        ExportError: The file cannot be written, or its ending is no picture format's.
    """
    kind = Image.registered_extensions().get(path.suffix.lower())
    if kind is None:
        raise ExportError(
            "The name of an overlay must end in that of a picture format such as .png or .jpg, "
            f"got {path.name!r}."
        )
    colours_rgb = colours_of(mask_set, objects)
    painted = paint_overlay(image_rgb_hwc, mask_set, opacity=opacity, colours_rgb=colours_rgb)
    picture = Image.fromarray(painted)
    write_whole(path, lambda file: picture.save(file, format=kind))


def _polygons(rle: Rle) -> list[Polygon]:
    return polygons_of(*mask_in_box(rle))


def _coco_box(rle: Rle) -> list[int]:
    if not rle.area_px:
        return [0, 0, 0, 0]
    left, top, right, bottom = bounding_box_xyxy_px(rle.counts, rle.image_hw)
    return [left, top, right - left + 1, bottom - top + 1]


def _check_affine(affine: Affine | None) -> None:
    if affine is None:
        return
    usable = len(affine) == 6 and all(map(math.isfinite, affine))
    if not usable or affine[0] * affine[4] == affine[1] * affine[3]:
        raise ExportError(
            "An affine transform is six finite numbers a, b, c, d, e, f with a * e not equal to "
            f"b * d (x = a * column + b * row + c, y = d * column + e * row + f), got {affine}."
        )


def _coordinates(part: Polygon, affine: Affine | None) -> list[list[list[float]]]:
    """The rings of a part, closed; the outline counterclockwise where y runs upwards."""
    return [_placed(ring, affine) for ring in (part.outer, *part.holes)]


def _placed(ring: Ring, affine: Affine | None) -> list[list[float]]:
    closed = np.concatenate([ring, ring[:1]])
    if affine is None:
        pixels: list[list[float]] = closed.tolist()
        return pixels
    a, b, c, d, e, f = affine
    if a * e < b * d:  # the transform mirrors, as maps with north at the top do
        closed = closed[::-1]
    matrix = np.array([[a, d], [b, e]], dtype=np.float64)
    placed: list[list[float]] = (closed @ matrix + np.array([c, f])).tolist()
    return placed


# Name of each column, and where its value is in the record.
_CSV_FIELDS: dict[str, tuple[str, int | None]] = {
    "id": ("id", None),
    "object": ("object", None),
    "category": ("category", None),
    "area": ("area", None),
    "bbox_x": ("bbox", 0),
    "bbox_y": ("bbox", 1),
    "bbox_w": ("bbox", 2),
    "bbox_h": ("bbox", 3),
    "predicted_iou": ("predicted_iou", None),
    "stability_score": ("stability_score", None),
    "point_x": ("point_coords", 0),
    "point_y": ("point_coords", 1),
    "crop_x": ("crop_box", 0),
    "crop_y": ("crop_box", 1),
    "crop_w": ("crop_box", 2),
    "crop_h": ("crop_box", 3),
}
_CSV_COLUMNS = tuple(_CSV_FIELDS)


def _rows(mask_set: MaskSet, objects: Sequence[ObjectPrompt] | None) -> list[dict[str, Any]]:
    """The records as rows of the table."""
    rows = []
    for record in records(mask_set, objects):
        record["point_coords"] = (record["point_coords"] or [[None, None]])[0]
        rows.append(
            {
                column: record[key] if position is None else record[key][position]
                for column, (key, position) in _CSV_FIELDS.items()
            }
        )
    return rows


def _indexed_files(index_path: Path) -> set[str]:
    """The names that an earlier index lists, as far as they are names of ours."""
    try:
        text = index_path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return set()
    names = {row.get("file") or "" for row in csv.DictReader(io.StringIO(text))}
    return {
        name for name in names if name.endswith(".png") and name.removesuffix(".png").isdecimal()
    }


def _write_rows(path: Path, columns: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def _write_png(path: Path, values_hw: npt.NDArray[Any]) -> None:
    """Writes bool as 1 bit, uint8 as 8 and uint16 as 16 bits per pixel."""
    write_whole(path, lambda file: Image.fromarray(values_hw).save(file, format="PNG"))
