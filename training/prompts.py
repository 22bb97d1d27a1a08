"""Prompts with their answers, drawn from the masks of a scene."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.opencv import cv2
from training.scenes import Scene

BoolMask = NDArray[np.bool_]

MIN_OBJECT_AREA_PX = 100
MIN_BACKGROUND_AREA_PX = 1500
TARGET_SIZE = 128
_BACKGROUND_SHARE = 0.06
_PART_SHARE = 0.22


@dataclass(frozen=True)
class ScenePrompts:
    """Clicks and boxes on one scene with the masks that they ask for.

    Masks are covered shares of the cells of a 128x128 grid, uint8 from 0 to 255.

    Attributes:
        image_hwc: RGB picture, uint8.
        clicks_nx2: Points (x, y) in pixels, one a click prompt, float32.
        click_masks_nhw: The mask that each click asks for.
        click_others_nhw: The other mask that holds the clicked pixel (whole for a part, part for a
            whole); all zero where there is none.
        boxes_nx4: Rectangles (x1, y1, x2, y2) in pixels, float32.
        box_masks_nhw: The mask within each rectangle.
    """

    image_hwc: NDArray[np.uint8]
    clicks_nx2: NDArray[np.float32]
    click_masks_nhw: NDArray[np.uint8]
    click_others_nhw: NDArray[np.uint8]
    boxes_nx4: NDArray[np.float32]
    box_masks_nhw: NDArray[np.uint8]


class MaskMenu:
    """The masks of a scene that may be asked for."""

    def __init__(self, scene: Scene, least_area_px: int = MIN_OBJECT_AREA_PX) -> None:
        self.scene = scene
        object_areas = np.bincount(scene.object_ids_hw.ravel(), minlength=256)
        part_areas = np.bincount(scene.part_ids_hw.ravel(), minlength=256)
        self.has_background = bool(
            scene.has_background and object_areas[0] >= MIN_BACKGROUND_AREA_PX
        )
        self.object_ids = [k for k in range(1, 256) if object_areas[k] >= least_area_px]
        self.part_ids = [k for k in range(1, 256) if part_areas[k] >= least_area_px]

    def object_mask(self, object_id: int) -> BoolMask:
        """Returns the visible pixels of an object with its parts; of the background for 0."""
        mask: BoolMask = self.scene.object_ids_hw == object_id
        return mask

    def part_mask(self, part_id: int) -> BoolMask:
        """Returns the visible pixels of a part."""
        mask: BoolMask = self.scene.part_ids_hw == part_id
        return mask

    def other_mask(self, x: int, y: int, *, asked_part: bool) -> BoolMask | None:
        """Returns the other mask at a pixel: the whole of a part, or the part of a whole."""
        if asked_part:
            return self.object_mask(int(self.scene.object_ids_hw[y, x]))
        part_id = int(self.scene.part_ids_hw[y, x])
        return self.part_mask(part_id) if part_id in self.part_ids else None

    def draw(self, rng: np.random.Generator, background_share: float) -> tuple[BoolMask, bool]:
        """Draws a mask, mostly of an object, seldom the background; tells whether it is a part."""
        if self.has_background and (not self.object_ids or rng.random() < background_share):
            return self.object_mask(0), False
        if self.part_ids and rng.random() < _PART_SHARE:
            return self.part_mask(int(rng.choice(self.part_ids))), True
        if not self.object_ids:
            return self.object_mask(
                int(np.bincount(self.scene.object_ids_hw.ravel()).argmax())
            ), False
        return self.object_mask(int(rng.choice(self.object_ids))), False


def draw_prompts(
    scene: Scene, rng: np.random.Generator, n_clicks: int, n_boxes: int
) -> ScenePrompts:
    """Draws click and box prompts for a scene."""
    menu = MaskMenu(scene)
    clicks = np.zeros((n_clicks, 2), np.float32)
    click_masks = np.zeros((n_clicks, TARGET_SIZE, TARGET_SIZE), np.uint8)
    click_others = np.zeros_like(click_masks)
    for k in range(n_clicks):
        mask, is_part = menu.draw(rng, _BACKGROUND_SHARE)
        x, y = draw_click(mask, rng)
        other = menu.other_mask(x, y, asked_part=is_part)
        clicks[k] = x, y
        click_masks[k] = _covered(mask)
        if other is not None:
            click_others[k] = _covered(other)
    boxes = np.zeros((n_boxes, 4), np.float32)
    box_masks = np.zeros((n_boxes, TARGET_SIZE, TARGET_SIZE), np.uint8)
    for k in range(n_boxes):
        mask, _ = menu.draw(rng, 0.0)
        boxes[k] = _loosen(box_of(mask), rng, mask.shape)
        box_masks[k] = _covered(mask)
    return ScenePrompts(scene.image_hwc, clicks, click_masks, click_others, boxes, box_masks)


def draw_click(mask_hw: BoolMask, rng: np.random.Generator) -> tuple[int, int]:
    """Draws a pixel (x, y) of a mask: one well inside, as people click, or at times any."""
    chosen = mask_hw.astype(np.uint8)
    if rng.random() < 0.75:
        depth = inner_distance(mask_hw)
        chosen = (depth >= 0.5 * depth.max()).astype(np.uint8)
    ys, xs = np.nonzero(chosen)
    k = int(rng.integers(len(xs)))
    return int(xs[k]), int(ys[k])


def inner_distance(mask_hw: BoolMask) -> NDArray[np.float32]:
    """Returns the distance of a mask's pixels to the outside, the picture's edge included."""
    framed = cv2.copyMakeBorder(mask_hw.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    return np.asarray(cv2.distanceTransform(framed, cv2.DIST_L2, 5)[1:-1, 1:-1], np.float32)


def box_of(mask_hw: BoolMask) -> NDArray[np.float32]:
    """Returns the smallest rectangle (x1, y1, x2, y2) around a mask, in pixels, ends included."""
    x, y, w, h = cv2.boundingRect(mask_hw.astype(np.uint8))
    return np.array([x, y, x + w - 1, y + h - 1], np.float32)


def _loosen(
    box_xyxy: NDArray[np.float32], rng: np.random.Generator, hw: tuple[int, ...]
) -> NDArray[np.float32]:
    """Moves the sides of every second box by some percent, as a hand would."""
    if rng.random() < 0.5:
        return box_xyxy
    sides = np.array([box_xyxy[2] - box_xyxy[0], box_xyxy[3] - box_xyxy[1]] * 2)
    moved = box_xyxy + np.clip(rng.normal(0, 0.05, 4), -0.12, 0.12) * sides
    return np.asarray(np.clip(moved, 0, [hw[1] - 1, hw[0] - 1] * 2), np.float32)


def _covered(mask_hw: BoolMask) -> NDArray[np.uint8]:
    full = mask_hw.astype(np.uint8) * 255
    return np.asarray(
        cv2.resize(full, (TARGET_SIZE, TARGET_SIZE), interpolation=cv2.INTER_AREA), np.uint8
    )
