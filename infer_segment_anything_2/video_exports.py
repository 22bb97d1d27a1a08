"""Masklets into files of the usual formats for objects in videos.

Every file is written whole or not at all. Frames are counted from 0 everywhere, from the first one
of the video. An object that is absent in a frame has no pixel there.

================  ===================  =================================================
Written by        Overlaps             Read by
================  ===================  =================================================
write_masklets    kept                 Meta's training code and tools for SA-V
write_coco_video  kept                 tools for YouTube-VIS
write_mots        smaller won          tools for KITTI MOTS and MOTSChallenge
write_davis       smaller won          tools for DAVIS and YouTube-VOS
write_boxes       (boxes)              any program that reads tables
================  ===================  =================================================
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet, Rle
from infer_segment_anything_2.sam2_engine.tracking.masklets import Masklets, Sighting
from infer_segment_anything_2.sam2_results.frame_pictures import (
    check_ids,
    remove_davis,
    write_davis_frame,
)
from infer_segment_anything_2.sam2_results.painting import paint_labels
from infer_segment_anything_2.sam2_results.records import DEFAULT_CATEGORY
from infer_segment_anything_2.sam2_results.whole_files import (
    write_json,
    write_text,
)

__all__ = [
    "MOST_MOTS_ID",
    "ClipFacts",
    "frame_masks",
    "frame_sightings",
    "write_boxes",
    "write_coco_video",
    "write_davis",
    "write_masklets",
    "write_mots",
]

MOST_MOTS_ID = 999
"""MOTS writes a class and an object as one number: class * 1000 + object."""

_MOTS_CLASSES = {"car": 1, "pedestrian": 2, "person": 2}
_MOTS_IGNORED = 10


@dataclass(frozen=True)
class ClipFacts:
    """What the files say of the video.

    Attributes:
        name: The video's name, without folders and ending.
        image_hw: Height and width of the frames in pixels.
        times_s: Per frame, when it is shown, in seconds from the first one; None where that is
            not known.
        categories: Class names by object id; "object" where there is none.
    """

    name: str
    image_hw: tuple[int, int]
    times_s: Sequence[float | None]
    categories: Mapping[int, str] = field(default_factory=dict)

    def category_of(self, object_id: int) -> str:
        """The class name of an object."""
        return self.categories.get(object_id) or DEFAULT_CATEGORY

    @property
    def frame_names(self) -> list[str]:
        """The frames as data sets name them: "clip/00000.jpg", ..."""
        return [f"{self.name}/{number:05d}.jpg" for number in range(len(self.times_s))]


def write_masklets(path: Path, masklets: Masklets, facts: ClipFacts) -> None:
    """Writes SA-V's JSON: ``masklet[frame][place of the object]`` is a COCO RLE.

    ``masklet_id`` holds the objects' ids in the order of those places. Beside SA-V's own keys stand
    ``masklet_category``, ``masklet_score`` (predicted IoU) and ``masklet_presence`` (the network's
    logit) per object and frame, None where nothing was looked for, and ``frame_times`` in seconds.

    Raises:
        ExportError: The file cannot be written.
    """
    n_frames = len(facts.times_s)
    ids = list(masklets.by_object)
    by_place = [masklets.by_object[one] for one in ids]
    nothing = _nothing(masklets.image_hw).to_coco()
    height, width = masklets.image_hw
    visible = [_visible(sightings) for sightings in by_place]
    sizes_px = [_mean([float(rle.area_px) for rle in masks.values()]) for masks in visible]
    content: dict[str, Any] = {
        "video_id": facts.name,
        "video_duration": facts.times_s[-1] if facts.times_s else 0.0,
        "video_frame_count": n_frames,
        "video_height": height,
        "video_width": width,
        "video_resolution": height * width,
        "masklet": [
            [masks[number].to_coco() if number in masks else nothing for masks in visible]
            for number in range(n_frames)
        ],
        "masklet_id": ids,
        "masklet_num": len(ids),
        "masklet_size_abs": sizes_px,
        "masklet_size_rel": [size_px / (height * width) for size_px in sizes_px],
        "masklet_first_appeared_frame": [min(masks, default=None) for masks in visible],
        "masklet_frame_count": [len(masks) for masks in visible],
        "masklet_type": "auto",
        "masklet_category": [facts.category_of(one) for one in ids],
        "masklet_score": [
            [_number(_score(sightings.get(number))) for sightings in by_place]
            for number in range(n_frames)
        ],
        "masklet_presence": [
            [_presence(sightings.get(number)) for sightings in by_place]
            for number in range(n_frames)
        ],
        "frame_times": list(facts.times_s),
    }
    write_json(path, content)


def write_coco_video(path: Path, masklets: Masklets, facts: ClipFacts) -> None:
    """Writes YouTube-VIS's JSON: COCO with one annotation per object, a list over the frames.

    ``segmentations``, ``bboxes`` and ``areas`` are None where the object is absent. ``score`` is
    the mean of the predicted IoU; ``track_id`` is the object's id.

    Raises:
        ExportError: The file cannot be written.
    """
    height, width = masklets.image_hw
    n_frames = len(facts.times_s)
    names = list(dict.fromkeys(facts.category_of(one) for one in masklets.by_object))
    shared = {"height": height, "width": width, "length": n_frames}
    annotations = []
    for number, (object_id, sightings) in enumerate(masklets.by_object.items(), start=1):
        masks = _visible(sightings)
        shown = [masks.get(frame) for frame in range(n_frames)]
        scores = [sightings[frame].predicted_iou for frame in masks]
        annotations.append(
            {
                "id": number,
                "video_id": 1,
                "category_id": names.index(facts.category_of(object_id)) + 1,
                "track_id": object_id,
                "segmentations": [None if rle is None else rle.to_coco() for rle in shown],
                "bboxes": [
                    _box_xywh(sightings[frame]) if frame in masks else None
                    for frame in range(n_frames)
                ],
                "areas": [None if rle is None else rle.area_px for rle in shown],
                "iscrowd": 0,
                "score": _number(_mean(scores)),
                **shared,
            }
        )
    content = {
        "info": {"description": "Masks made with Segment Anything 2"},
        "licenses": [],
        "videos": [{"id": 1, "file_names": facts.frame_names, **shared}],
        "annotations": annotations,
        "categories": [
            {"id": number, "name": name, "supercategory": ""}
            for number, name in enumerate(names, start=1)
        ],
    }
    write_json(path, content)


def write_mots(path: Path, masklets: Masklets, facts: ClipFacts) -> None:
    """Writes MOTS' text: frame, class * 1000 + object id, class, height, width, RLE in each line.

    Classes are 1 for "car" and 2 for "pedestrian" or "person", as KITTI MOTS has them; others
    follow in the order of their first objects, without 10, which means "to be ignored". Masks of a
    frame share no pixel: the smaller one has it.

    Raises:
        ExportError: An object's id is above 999, or the file cannot be written.
    """
    check_ids(masklets.by_object, 0, MOST_MOTS_ID, "MOTS")
    classes = _mots_classes(facts.category_of(one) for one in masklets.by_object)
    height, width = masklets.image_hw
    lines = []
    for number in range(len(facts.times_s)):
        masks = frame_masks(masklets, number)
        labels_hw = paint_labels(masks)
        for place, object_id in enumerate(masks.object_index.tolist(), start=1):
            mask_hw = labels_hw == place
            if mask_hw.any():
                class_id = classes[facts.category_of(object_id)]
                text = Rle.from_mask(mask_hw).to_coco()["counts"]
                lines.append(
                    f"{number} {class_id * 1000 + object_id} {class_id} {height} {width} {text}\n"
                )
    write_text(path, "".join(lines))


def write_davis(folder: Path, masklets: Masklets, facts: ClipFacts) -> None:
    """Writes a palette PNG per frame, named "00012.png", and removes earlier ones.

    See :func:`.frame_pictures.write_davis_frame`.

    Raises:
        ExportError: As there, or a file cannot be removed.
    """
    remove_davis(folder)
    for number in range(len(facts.times_s)):
        write_davis_frame(folder, number, frame_masks(masklets, number))


def write_boxes(path: Path, masklets: Masklets, facts: ClipFacts) -> None:
    """Writes a table: a row per frame and object; an absent one has no box.

    The box is the outermost pixels of the mask, inclusive; ``state`` is "prompted", "tracked" or
    "absent"; ``presence`` is the network's logit, above 0 where the object is there.

    Raises:
        ExportError: The file cannot be written.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, _BOX_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for number, time_s in enumerate(facts.times_s):
        for object_id, sighting in frame_sightings(masklets, number).items():
            row = {
                "frame": number,
                "time_s": "" if time_s is None else f"{time_s:.6f}".rstrip("0").rstrip("."),
                "object_id": object_id,
                "category": facts.category_of(object_id),
                "state": sighting.kind,
                "area": 0 if sighting.rle is None else sighting.rle.area_px,
                "predicted_iou": _number(sighting.predicted_iou),
                "presence": _presence(sighting),
            }
            if sighting.rle is not None and sighting.rle.area_px and sighting.box_xyxy_px:
                row |= dict(zip(("x1", "y1", "x2", "y2"), sighting.box_xyxy_px, strict=True))
            writer.writerow(row)
    write_text(path, text.getvalue())


def frame_sightings(masklets: Masklets, number: int) -> dict[int, Sighting]:
    """The objects that were looked for in a frame, by id."""
    return {
        object_id: sightings[number]
        for object_id, sightings in masklets.by_object.items()
        if number in sightings
    }


def frame_masks(masklets: Masklets, number: int) -> MaskSet:
    """The masks of a frame; ``object_index`` is the object's id."""
    shown = [
        (object_id, sighting, sighting.rle)
        for object_id, sighting in frame_sightings(masklets, number).items()
        if sighting.rle is not None
    ]
    n_masks = len(shown)
    height, width = masklets.image_hw
    return MaskSet(
        masklets.image_hw,
        tuple(rle for _, _, rle in shown),
        np.array([one.box_xyxy_px for _, one, _ in shown], np.int64).reshape(-1, 4),
        np.array([one.predicted_iou for _, one, _ in shown], np.float32),
        np.full(n_masks, np.nan, np.float32),
        np.full((n_masks, 2), np.nan),
        np.tile(np.array([0, 0, width, height], np.int64), (n_masks, 1)),
        np.array([object_id for object_id, _, _ in shown], np.int64),
    )


def _visible(sightings: Mapping[int, Sighting]) -> dict[int, Rle]:
    """The masks that have pixels, by frame."""
    return {
        frame: one.rle
        for frame, one in sightings.items()
        if one.rle is not None and one.rle.area_px
    }


def _nothing(image_hw: tuple[int, int]) -> Rle:
    return Rle(image_hw, np.array([image_hw[0] * image_hw[1]], np.uint32))


def _box_xywh(sighting: Sighting) -> list[int]:
    left, top, right, bottom = sighting.box_xyxy_px or (0, 0, -1, -1)
    return [left, top, right - left + 1, bottom - top + 1]


def _score(sighting: Sighting | None) -> float:
    return math.nan if sighting is None else sighting.predicted_iou


def _presence(sighting: Sighting | None) -> float | None:
    return None if sighting is None else _number(sighting.presence)


def _number(value: float) -> float | None:
    """As JSON has it: None for NaN and infinities."""
    return round(float(value), 6) if math.isfinite(value) else None


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _mots_classes(categories: Iterable[str]) -> dict[str, int]:
    classes: dict[str, int] = {}
    free = (number for number in range(3, 10_000) if number != _MOTS_IGNORED)
    for name in categories:
        if name not in classes:
            classes[name] = _MOTS_CLASSES.get(name.lower()) or next(free)
    return classes


_BOX_COLUMNS = (
    *("frame", "time_s", "object_id", "category", "state"),
    *("x1", "y1", "x2", "y2", "area", "predicted_iou", "presence"),
)
