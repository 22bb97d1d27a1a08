"""What helps grey and flat pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from skimage import exposure

from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet
from infer_segment_anything_2.sam2_results.outcome import Segmentation
from infer_segment_anything_2.sam2_results.painting import colours_of
from scripts.tuning.bench import (
    LEAST_OBJECT_PX,
    ONE_LAYER,
    PICTURES,
    Bench,
    Found,
    Labels,
    Picture,
    Values,
    as_grey,
    compare,
    first_scenes,
    is_colourful,
    painted_masks,
)
from scripts.tuning.drawing import below, beside, panel, save_small

Change = Callable[[Picture], Picture]


def low_contrast(share: float) -> Change:
    """Squeezes grey levels around the middle one and adds a camera's noise (deviation 2)."""

    def change(image: Picture) -> Picture:
        noise = np.random.default_rng(7).normal(0, 2, image.shape)
        return _to_bytes(128 + share * (image.astype(np.float64) - 128) + noise)

    return change


def stretched(image: Picture) -> Picture:
    """Brings the levels between the 0.5th and 99.5th percentile to 0 to 255."""
    low, high = np.percentile(image, (0.5, 99.5))
    return _to_bytes((image.astype(np.float64) - low) * (255 / max(high - low, 1)))


def locally_equalised(image: Picture) -> Picture:
    """scikit-image's `equalize_adapthist` (CLAHE) with its defaults."""
    return _to_bytes(exposure.equalize_adapthist(image) * 255)


def _to_bytes(levels: npt.NDArray[np.float64]) -> Picture:
    rounded: Picture = np.clip(np.round(levels), 0, 255).astype(np.uint8)
    return rounded


CONDITIONS: tuple[tuple[str, tuple[Change, ...]], ...] = (
    ("colour", ()),
    ("grey", (as_grey,)),
    ("grey, contrast 50 %", (as_grey, low_contrast(0.5))),
    ("grey, contrast 20 %", (as_grey, low_contrast(0.2))),
    ("grey, contrast 10 %", (as_grey, low_contrast(0.1))),
)

LOOSER: Values = {"iou_thresh": 0.6, "stability_score_thresh": 0.85}
Remedy = tuple[str, tuple[Change, ...], Values]

REMEDIES: tuple[Remedy, ...] = (
    ("nothing", (), {}),
    ("contrast stretched", (stretched,), {}),
    ("CLAHE", (locally_equalised,), {}),
    ("`iou_thresh` 0.6, `stability_score_thresh` 0.85", (), LOOSER),
    ("both, contrast stretched", (stretched,), LOOSER),
    ("`crop_n_layers` 1", (), ONE_LAYER),
)


def make_contrast(bench: Bench, folder: Path) -> str:
    """Measures remedies on grey and flat pictures: drawn scenes, and the coins."""
    scenes = [
        (scene.image_hwc, scene.object_ids_hw.astype(np.int64))
        for scene in first_scenes(bench.scale.scenes, is_colourful)
    ]
    known = sum(compare(MaskSet.empty(labels.shape[:2]), labels).objects for _, labels in scenes)
    parts = [
        f"{len(scenes)} drawn scenes in colour with {known} objects of at least "
        f"{LEAST_OBJECT_PX} pixels, and what becomes of them, with `points_per_side` "
        f"{bench.scale.table_points_per_side}; each cell: objects found, masks per picture.\n",
        _contrast_table(bench, scenes, CONDITIONS, REMEDIES[:-1]),
    ]
    coins = [(bench.picture("coins"), coin_labels())] if bench.scale.colour else []
    if coins:
        parts += [
            "The photo of 24 coins (grey):\n",
            _contrast_table(bench, coins, CONDITIONS[1:], REMEDIES),
        ]
        parts.append(f"![The coins, flat and stretched]({PICTURES}/contrast.jpg)\n")
        draw_contrast(bench, coins[0], folder / "contrast.jpg")
    return "\n".join(parts)


def coin_labels() -> Labels:
    """The 24 coins of scikit-image's picture."""
    from training.coins import coin_masks

    masks = coin_masks()
    labels = np.zeros(masks[0].shape, np.int64)
    for number, mask_hw in enumerate(masks, start=1):
        labels[mask_hw] = number
    return labels


def _contrast_table(
    bench: Bench,
    pictures: Sequence[tuple[Picture, Labels]],
    conditions: Sequence[tuple[str, tuple[Change, ...]]],
    remedies: Sequence[Remedy],
) -> str:
    lines = [
        "| what is done | " + " | ".join(name for name, _ in conditions) + " |",
        "|---" * (len(conditions) + 1) + "|",
    ]
    for label, changes, settings in remedies:
        cells = []
        for _, spoils in conditions:
            found = Found()
            for image, labels in pictures:
                found = found.plus(_compared(bench, image, labels, (*spoils, *changes), settings))
            cells.append(f"{found.recall}, {found.masks / len(pictures):.1f}")
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _compared(
    bench: Bench, image: Picture, labels: Labels, changes: Sequence[Change], settings: Values
) -> Found:
    return compare(_segmented(bench, image, changes, settings).ranked[0], labels)


def _segmented(
    bench: Bench, image: Picture, changes: Sequence[Change], settings: Values
) -> Segmentation:
    for change in changes:
        if not (change is as_grey and image.ndim == 2):
            image = change(image)
    grid = {"points_per_side": bench.scale.table_points_per_side}
    return bench.segmenter.segment(image, bench.parameters(grid | settings))


def draw_contrast(bench: Bench, coins: tuple[Picture, Labels], file: Path) -> None:
    """Shows the coins flat, stretched, and with lower thresholds."""
    image, labels = coins
    flat = low_contrast(0.1)
    cases: list[tuple[str, tuple[Change, ...], Values]] = [
        ("as it is", (), {}),
        ("contrast 10 %", (flat,), {}),
        ("10 %, stretched", (flat, stretched), {}),
        ("10 %, lower thresholds", (flat,), LOOSER),
        ("10 %, CLAHE", (flat, locally_equalised), {}),
        ("10 %, stretched, lower th.", (flat, stretched), LOOSER),
    ]
    panels = []
    for caption, changes, settings in cases:
        result = _segmented(bench, image, changes, settings)
        found = compare(result.ranked[0], labels)
        caption = f"{caption}: {found.found} of {found.objects}"
        painted = painted_masks(result, colours_of(result.ranked[0]))
        panels.append(panel(painted, caption, bench.scale.panel_px))
    save_small(below([beside(panels[:3]), beside(panels[3:])]), file)
