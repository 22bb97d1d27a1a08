"""Pictures whose objects are known, and how near masks come to them: for `benchmarks.zoom`.

Photographs with outlines set by hand, and large drawn scenes with objects of many sizes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from infer_segment_anything_2.prompts import BoxXyxy
from infer_segment_anything_2.sam2_engine.masks.mask_set import Rle, mask_in_box
from infer_segment_anything_2.sam2_engine.masks.rle import place_in_image
from training.opencv import cv2
from training.photographs import photographs
from training.prompts import box_of, inner_distance
from training.scenes import draw_scene

Mask = npt.NDArray[np.bool_]
Image = npt.NDArray[np.uint8]

BOUNDARY_PX = 3
_MARGIN_PX = 2 * BOUNDARY_PX
# Thin is what nowhere is wider than this part of its length.
_THIN = 1 / 5
# Bounds of the longer side, in pixels.
SIZES_PX = (20, 50, 200, 800, 2000)
# Scenes of 4 x 3 cells: so many cells wide, and where their left upper corners are.
_LAYOUT = (
    (2.0, ((0, 0),)),
    (1.0, ((2, 0), (3, 0), (2, 1), (0, 2))),
    (0.5, ((3, 1), (3.5, 1), (3, 1.5), (3.5, 1.5), (1, 2), (1.5, 2), (1, 2.5), (1.5, 2.5))),
    (0.25, tuple((2 + x / 4, 2 + y / 4) for y in range(4) for x in range(8))),
)


@dataclass(frozen=True, eq=False)
class Outlined:
    """An object that is known.

    Attributes:
        rle: Its mask in the picture.
        box_xyxy_px: Around it, in whole pixels, the last ones included.
        part: Its longer side as a part of the picture's.
        breadth_px: The diameter of the largest circle in it.
    """

    rle: Rle
    box_xyxy_px: BoxXyxy
    part: float
    breadth_px: float

    @property
    def length_px(self) -> float:
        """Its longer side."""
        left, top, right, bottom = self.box_xyxy_px
        return max(right - left, bottom - top) + 1

    @property
    def is_thin(self) -> bool:
        """Whether it is nowhere wider than a fifth of its length."""
        return self.breadth_px <= _THIN * self.length_px


@dataclass(frozen=True, eq=False)
class KnownPicture:
    """A picture with the objects that are known in it."""

    image_rgb_hwc: Image
    objects: tuple[Outlined, ...]


def outlined_photographs() -> Iterator[KnownPicture]:
    """The photographs that training never sees."""
    for photograph in photographs():
        masks = photograph.masks.values()
        yield KnownPicture(photograph.image_hwc, tuple(map(_outlined, masks)))


def _outlined(mask_hw: Mask) -> Outlined:
    return _outlined_in(mask_hw, (0, 0), (mask_hw.shape[0], mask_hw.shape[1]))


def _outlined_in(part_hw: Mask, xy_px: tuple[int, int], image_hw: tuple[int, int]) -> Outlined:
    """An object of a picture, whose mask is drawn in a part of it."""
    left, top = xy_px
    x1, y1, x2, y2 = map(float, box_of(part_hw))
    counts = Rle.from_mask(part_hw).counts
    part_size = (part_hw.shape[0], part_hw.shape[1])
    return Outlined(
        Rle(image_hw, place_in_image(counts, part_size, xy_px, image_hw)),
        (x1 + left, y1 + top, x2 + left, y2 + top),
        max((x2 - x1) / image_hw[1], (y2 - y1) / image_hw[0]),
        2 * float(inner_distance(part_hw).max()),
    )


def drawn_picture(megapixels: float, seed: int, most_of_a_size: int) -> KnownPicture:
    """Scenes of several sizes in one picture of 4 to 3, with some objects of each size.

    Args:
        megapixels: Of the picture, about.
        seed: Of its scenes; training used 1,000,000 and up.
        most_of_a_size: So many objects at most between two of the bounds of sizes.
    """
    cell_px = 4 * round((megapixels * 1e6 / 12) ** 0.5 / 4)
    image = np.zeros((3 * cell_px, 4 * cell_px, 3), np.uint8)
    labels = np.zeros(image.shape[:2], np.int32)
    for cells, places in _LAYOUT:
        side = round(cells * cell_px)
        for x, y in places:
            seed += 1
            scene = draw_scene(seed, side)
            place = np.s_[round(y * cell_px) :, round(x * cell_px) :]
            ids = scene.object_ids_hw.astype(np.int32)
            labels[place][:side, :side] = np.where(ids > 0, ids + labels.max(), 0)
            image[place][:side, :side] = scene.image_hwc
    return KnownPicture(image, _some_of_each_size(labels, most_of_a_size, seed))


def drawn_scene(megapixels: float, seed: int) -> KnownPicture:
    """One scene as large as a picture, with all its objects of at least 20 pixels."""
    scene = draw_scene(seed, round((megapixels * 1e6) ** 0.5))
    labels = scene.object_ids_hw.astype(np.int32)
    return KnownPicture(scene.image_hwc, _some_of_each_size(labels, labels.size, seed))


def _some_of_each_size(
    labels_hw: npt.NDArray[np.int32], most: int, seed: int
) -> tuple[Outlined, ...]:
    """Objects of a map of labels, so many at most between two of the bounds of sizes."""
    kept: dict[int, list[Outlined]] = {}
    image_hw = (labels_hw.shape[0], labels_hw.shape[1])
    parts = ndimage.find_objects(labels_hw)
    for place in np.random.default_rng(seed).permutation(len(parts)).tolist():
        part = parts[place]
        if part is None:  # others hide it
            continue
        rows, columns = part
        size = size_class(max(rows.stop - rows.start, columns.stop - columns.start))
        if size is not None and len(kept.setdefault(size, [])) < most:
            mask_hw = labels_hw[part] == place + 1
            kept[size].append(_outlined_in(mask_hw, (columns.start, rows.start), image_hw))
    return tuple(known for size in sorted(kept) for known in kept[size])


def size_class(length_px: float) -> int | None:
    """Between which bounds of sizes a length lies: 0 is below the second; None is outside."""
    place = int(np.searchsorted(SIZES_PX, length_px)) - 1
    return place if 0 <= place < len(SIZES_PX) - 1 else None


def iou(one: Rle, other: Rle) -> float:
    """Intersection over union."""
    left, right = _beside(one, other)
    return float((left & right).sum() / max((left | right).sum(), 1))


def boundary_f(answered: Rle, wanted: Rle) -> float:
    """F-score of the boundaries, with a tolerance of 3 pixels."""
    edges = [_edge(mask) for mask in _beside(answered, wanted)]
    if not all(edge.any() for edge in edges):
        return 0.0
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * BOUNDARY_PX + 1,) * 2)
    wide = [cv2.dilate(edge.astype(np.uint8), disc) > 0 for edge in edges]
    precision, recall = edges[0][wide[1]].sum() / edges[0].sum(), edges[1][wide[0]].sum()
    recall = recall / edges[1].sum()
    return float(2 * precision * recall / max(precision + recall, 1e-9))


def _edge(mask: Mask) -> Mask:
    inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    edge: Mask = mask & ~inner
    return edge


def _beside(*rles: Rle) -> list[Mask]:
    """Two masks, drawn in the part of the picture around both."""
    parts = [mask_in_box(rle) for rle in rles]
    filled = [(part, xy) for part, xy in parts if part.size]
    height, width = rles[0].image_hw
    left = max(min((x for _, (x, _) in filled), default=0) - _MARGIN_PX, 0)
    top = max(min((y for _, (_, y) in filled), default=0) - _MARGIN_PX, 0)
    right = max((x + part.shape[1] for part, (x, _) in filled), default=1) + _MARGIN_PX
    bottom = max((y + part.shape[0] for part, (_, y) in filled), default=1) + _MARGIN_PX
    drawn = []
    for part, (x, y) in parts:
        mask = np.zeros((min(bottom, height) - top, min(right, width) - left), bool)
        mask[y - top : y - top + part.shape[0], x - left : x - left + part.shape[1]] |= (
            part if part.size else False
        )
        drawn.append(mask)
    return drawn
