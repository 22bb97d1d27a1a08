"""Scenes of real photographs, with a teacher's masks (`teacher.py`)."""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.fetch_pictures import LABELLED_FOLDER
from training.opencv import cv2
from training.prompts import MaskMenu
from training.scenes import Scene

# Of the picture's shorter and longer side, what a window shows.
_WINDOW_SHARE = (0.4, 1.0)
_WHOLE_PICTURE = 0.3
_GREY_SHARE = 0.15
# A part lies in its whole by this share of its area.
_WITHIN = 0.85
# So much of a thing is still to be seen where others lie over it.
_LEAST_VISIBLE = 0.8
_LARGEST_SHARE = 0.85
_MOST_OBJECTS = 250


class LabelledPhotograph(NamedTuple):
    """A picture (H x W x 3, uint8 RGB) and the masks of some of its things (N x H x W, bool)."""

    image_hwc: NDArray[np.uint8]
    masks_nhw: NDArray[np.bool_]


@lru_cache(maxsize=1)
def labelled_paths(folder: Path = LABELLED_FOLDER) -> tuple[Path, ...]:
    """Lists the photographs of a folder that have masks beside them.

    Raises:
        FileNotFoundError: There are none; the message says how to get them.
    """
    paths = tuple(p for p in sorted(folder.glob("*.jpg")) if p.with_suffix(".npz").is_file())
    if not paths:
        raise FileNotFoundError(
            f"There are no labelled photographs in {folder}; run `python -m training.teacher`."
        )
    return paths


@lru_cache(maxsize=64)
def read_labelled(path: Path) -> LabelledPhotograph:
    """Reads a photograph and its masks."""
    image = np.asarray(Image.open(path).convert("RGB"))
    with np.load(path.with_suffix(".npz")) as stored:
        masks = np.unpackbits(stored["bits"], axis=-1, count=int(stored["shape"][2]))
    return LabelledPhotograph(image, masks.astype(bool))


def draw_photograph(seed: int, folder: Path, size_px: int) -> Scene:
    """Shows a window of a photograph; the same seed shows the same.

    What no mask covers is not known to be anything: the scene has no background to ask for.

    Args:
        seed: Any non-negative number.
        folder: Of labelled photographs.
        size_px: Width and height; the window is squashed to it, as users' pictures are.
    """
    rng = np.random.default_rng([20_261, seed])
    while True:
        scene = _seen_through_a_window(rng, folder, size_px)
        if MaskMenu(scene).object_ids:
            return scene


def _seen_through_a_window(rng: np.random.Generator, folder: Path, size_px: int) -> Scene:
    paths = labelled_paths(folder)
    image, masks = read_labelled(paths[int(rng.integers(len(paths)))])
    rows, columns = _window(image.shape[:2], rng)
    size = (size_px, size_px)
    view = cv2.resize(image[rows, columns], size, interpolation=cv2.INTER_AREA)
    seen = [
        cv2.resize(
            mask[rows, columns].astype(np.uint8), size, interpolation=cv2.INTER_NEAREST_EXACT
        )
        for mask in masks
    ]
    if rng.random() < 0.5:
        view, seen = view[:, ::-1], [mask[:, ::-1] for mask in seen]
    objects, parts = _id_maps([mask.astype(bool) for mask in seen], size)
    return Scene(_lit(view, rng), objects, parts, "photograph", has_background=False)


def _window(hw: tuple[int, ...], rng: np.random.Generator) -> tuple[slice, slice]:
    if rng.random() < _WHOLE_PICTURE:
        return slice(0, hw[0]), slice(0, hw[1])
    share = rng.uniform(*_WINDOW_SHARE)
    spans = []
    for side in hw:
        length = int(np.clip(share * rng.uniform(0.8, 1.25), _WINDOW_SHARE[0], 1) * side)
        start = int(rng.integers(side - length + 1))
        spans.append(slice(start, start + length))
    return spans[0], spans[1]


def _lit(image_hwc: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Changes exposure, contrast and the colour of the light a little; some pictures turn grey."""
    light = image_hwc.astype(np.float32) / 255
    light = np.power(light, np.exp(rng.normal(0, 0.2)))
    light = (light - 0.5) * np.exp(rng.normal(0, 0.12)) + 0.5 + rng.normal(0, 0.04)
    light = light * np.exp(rng.normal(0, 0.05, 3))
    if rng.random() < _GREY_SHARE:
        light = np.repeat(light.mean(-1, keepdims=True), 3, -1)
    return np.asarray(np.clip(light * 255, 0, 255), np.uint8)


def _id_maps(
    masks: list[NDArray[np.bool_]], hw: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Sorts masks, largest first, into wholes and parts of one level.

    What would hide too much of another mask, or lies across two, is left out: a prompt's answer is
    the whole mask, or it teaches something wrong.
    """
    objects = np.zeros(hw, np.uint8)
    parts = np.zeros(hw, np.uint8)
    n_objects = n_parts = 0
    for mask in masks:
        area = int(mask.sum())
        if area == 0 or area > _LARGEST_SHARE * mask.size:
            continue
        on_objects = np.bincount(objects[mask], minlength=256)
        on_parts = int((parts[mask] > 0).sum())
        host = int(on_objects[1:].argmax()) + 1
        if on_objects[host] >= _WITHIN * area:
            if on_parts < (1 - _LEAST_VISIBLE) * area and n_parts < _MOST_OBJECTS:
                n_parts += 1
                parts[mask & (objects == host) & (parts == 0)] = n_parts
        elif on_objects[0] >= _LEAST_VISIBLE * area and n_objects < _MOST_OBJECTS:
            n_objects += 1
            objects[mask & (objects == 0)] = n_objects
    return objects, parts
