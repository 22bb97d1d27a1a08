"""What tiles find in a big picture that the other ways lose: `python -m benchmarks.tiles --help`.

A scene is drawn with hundreds of objects that are small for the picture, and a few that are larger
than a tile. Counted is how many of them come out with an IoU of at least 0.7.
"""

from __future__ import annotations

import argparse
import resource
import time
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.common import n_found
from infer_segment_anything_2.sam2_engine.engine import Engine
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet, Rle
from infer_segment_anything_2.sam2_engine.masks.rle import encode, place_in_image
from infer_segment_anything_2.sam2_engine.network.loading import load_model
from infer_segment_anything_2.sam2_engine.settings import GridSettings, TileSettings

FOUND_IOU = 0.7
# Of the side of a small object's place: half the object's width.
_LEAST_RADIUS, _MOST_RADIUS = 0.16, 0.34
_GROUND = 70
GRID = GridSettings(points_per_side=8, pred_iou_thresh=0.5, stability_score_thresh=0.7)


@dataclass(frozen=True)
class BigScene:
    """A drawn picture and the masks of what is in it.

    Attributes:
        image_rgb_hwc: uint8.
        small: Masks of the objects that lie in places of one size.
        large: Masks of the objects that are larger.
    """

    image_rgb_hwc: npt.NDArray[np.uint8]
    small: tuple[Rle, ...]
    large: tuple[Rle, ...]


def draw_big_scene(n_places: int, place_px: int, n_large: int, seed: int = 0) -> BigScene:
    """Draws a square scene of `n_places` x `n_places` places with an ellipse or a box in each.

    Args:
        n_places: Places along a side.
        place_px: Side of a place.
        n_large: Objects of 5 x 5 places instead of small ones, at most one per 6 x 6 places.
        seed: Of the random numbers.
    """
    rng = np.random.default_rng(seed)
    side = n_places * place_px
    image = np.empty((side, side, 3), np.uint8)
    shade = np.linspace(-15, 15, side, dtype=np.float32)
    for top in range(0, side, place_px):  # in bands: noise of the whole takes too much memory
        noise = rng.normal(0, 4, (place_px, side, 3)).astype(np.float32)
        band = _GROUND + shade[None, :, None] + shade[top : top + place_px, None, None] + noise
        image[top : top + place_px] = np.clip(band, 0, 255)
    corners = [(6 * x, 6 * y) for y in range(n_places // 6) for x in range(n_places // 6)]
    chosen = [corners[int(k)] for k in rng.permutation(len(corners))[:n_large]]
    large = [
        _draw_object(image, rng, (x * place_px, y * place_px), 5 * place_px) for x, y in chosen
    ]
    small = [
        _draw_object(image, rng, (x * place_px, y * place_px), place_px)
        for y in range(n_places)
        for x in range(n_places)
        if not any(a <= x < a + 5 and b <= y < b + 5 for a, b in chosen)
    ]
    return BigScene(image, tuple(small), tuple(large))


def _draw_object(
    image: npt.NDArray[np.uint8], rng: np.random.Generator, xy_px: tuple[int, int], side_px: int
) -> Rle:
    left, top = xy_px
    rows, columns = np.indices((side_px, side_px), np.float32) / side_px
    width, height = rng.uniform(_LEAST_RADIUS, _MOST_RADIUS, 2)
    x, y = rng.uniform(0.4, 0.6, 2)
    across, down = np.abs(columns - x) / width, np.abs(rows - y) / height
    is_box = rng.random() < 0.4
    mask = np.maximum(across, down) < 1 if is_box else np.hypot(across, down) < 1
    colour = rng.uniform(110, 250, 3)
    window = image[top : top + side_px, left : left + side_px]
    light = 1 - 0.25 * (columns + rows)[..., None] / 2
    window[mask] = np.clip(colour * light + rng.normal(0, 5, (*mask.shape, 3)), 0, 255)[mask]
    image_hw = (image.shape[0], image.shape[1])
    return Rle(image_hw, place_in_image(encode(mask), mask.shape, (left, top), image_hw))


def recall(found: MaskSet, wanted: tuple[Rle, ...]) -> float:
    """The part of the wanted masks that were found with an IoU of at least 0.7."""
    return n_found(found, wanted, FOUND_IOU) / max(1, len(wanted))


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--places", type=int, default=36, help="places along a side")
    parser.add_argument("--place-px", type=int, default=198, help="side of a place")
    parser.add_argument("--large", type=int, default=6)
    parser.add_argument("--tile-px", type=int, default=512)
    parser.add_argument("--crops", action="store_true", help="also Meta's crop layers 2")
    arguments = parser.parse_args()
    scene = draw_big_scene(arguments.places, arguments.place_px, arguments.large)
    engine = Engine(load_model("sam2_demo_nano", device=torch.device("cpu")))
    height, width = scene.image_rgb_hwc.shape[:2]
    print(f"{width} x {height} = {width * height / 1e6:.1f} megapixels, {len(scene.small)} small ")
    print(f"and {len(scene.large)} large objects; {torch.get_num_threads()} threads")
    print("| way | points | masks | recall small | recall large | seconds | peak memory |")
    print("|---|---|---|---|---|---|---|")
    denser = replace(GRID, points_per_side=32)
    ways: list[tuple[str, GridSettings, TileSettings | None]] = [
        (f"tiles of {arguments.tile_px}", GRID, TileSettings(arguments.tile_px)),
        ("whole picture", denser, None),
    ]
    if arguments.crops:
        ways.append(("2 crop layers", replace(GRID, crop_n_layers=2), None))
    print(f"peak memory before: {_peak_mb():.0f} MB")
    for name, grid, tiles in ways:
        start = time.perf_counter()
        result = engine.generate(scene.image_rgb_hwc, grid, tiles=tiles)
        seconds = time.perf_counter() - start
        small, large = (recall(result.masks, wanted) for wanted in (scene.small, scene.large))
        print(
            f"| {name} | {result.filter_counts.points} | {len(result.masks)} | {small:.0%} | "
            f"{large:.0%} | {seconds:.0f} | {_peak_mb():.0f} MB |",
            flush=True,
        )


if __name__ == "__main__":
    main()
