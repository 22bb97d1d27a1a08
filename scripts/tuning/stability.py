"""How the stability score comes about, drawn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from infer_segment_anything_2.prompts import ObjectPrompt
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet
from infer_segment_anything_2.sam2_engine.settings import PredictionSettings
from scripts.tuning.bench import DEFAULTS, PICTURES, Bench, Picture
from scripts.tuning.drawing import Plot, below, beside, outlined, panel, save_small, with_title

LOW_CUT, HIGH_CUT, MIDDLE_CUT = (40, 110, 220), (230, 110, 20), (90, 90, 90)


@dataclass(frozen=True, eq=False)
class CutMask:
    """One mask at three cutoffs.

    Attributes:
        low_hw: Above the mask threshold less the offset.
        middle_hw: Above the mask threshold.
        high_hw: Above the mask threshold and the offset.
        logits_hw: The network's logits.
        stability: As the plugin reckons it.
    """

    low_hw: npt.NDArray[np.bool_]
    middle_hw: npt.NDArray[np.bool_]
    high_hw: npt.NDArray[np.bool_]
    logits_hw: npt.NDArray[np.float32]
    stability: float


def make_stability(bench: Bench, folder: Path) -> str:
    """Draws how the stability score comes about, for a mask that passes and one that does not."""
    name = "coins"
    best, worst = stable_and_unstable(bench, name)
    image = bench.run(name, {}).image_rgb_hwc
    rows, told = [], []
    for cut in (best, worst):
        inner, outer = int(cut.high_hw.sum()), int(cut.low_hw.sum())
        told.append(f"{inner:,} / {outer:,} = {inner / max(outer, 1):.2f}")
        title = f"pixels above +1 / pixels above -1 = {told[-1]}"
        row = beside(stability_row(image, cut, bench.scale.panel_px))
        rows.append(with_title(row, title))
    save_small(below(rows), folder / "stability.jpg")
    return (
        f"![Stability of two masks]({PICTURES}/stability.jpg)\n\n"
        f"*Two masks of the {name}, with the offset 1. Stability above: {told[0]}; below: "
        f"{told[1]}.*\n"
    )


def stable_and_unstable(bench: Bench, name: str) -> tuple[CutMask, CutMask]:
    """The most stable mask of an object's size in a picture, and one of low stability."""
    engine = bench.segmenter.load(bench.parameters({}))
    image = bench.run(name, {}).image_rgb_hwc
    height, width = image.shape[:2]
    prompts = [
        ObjectPrompt(((float(x), float(y)),), (1,))
        for y in np.linspace(0, height, 14)[1:-1]
        for x in np.linspace(0, width, 14)[1:-1]
    ]
    embedded = engine.embed(image)

    def cut(threshold: float) -> tuple[MaskSet, npt.NDArray[np.float32]]:
        settings = PredictionSettings(multimask_output=True, mask_threshold=threshold)
        prediction = engine.predict(embedded, prompts, settings)
        return prediction.ranked[0], prediction.low_res_logits_nhw.cpu().numpy()

    offset = DEFAULTS["stability_score_offset"]
    (low, logits), (middle, _), (high, _) = cut(-offset), cut(0.0), cut(offset)
    areas = np.array([rle.area_px for rle in middle.rles]) / (height * width)
    left, top, right, bottom = low.boxes_xyxy_px.T
    is_inside = (left > 0) & (top > 0) & (right < width - 1) & (bottom < height - 1)
    fits = np.flatnonzero((areas > 0.005) & (areas < 0.08) & is_inside)
    if not len(fits):
        fits = np.arange(len(areas))
    stability = np.nan_to_num(middle.stability_score[fits])
    chosen = fits[stability.argmax()], fits[np.abs(stability - 0.6).argmin()]
    best, worst = (
        CutMask(
            low.rles[i].decode(),
            middle.rles[i].decode(),
            high.rles[i].decode(),
            logits[i],
            float(middle.stability_score[i]),
        )
        for i in chosen
    )
    return best, worst


def stability_row(image_hwc: Picture, cut: CutMask, width_px: int) -> list[Image.Image]:
    """A mask's outlines at the cutoffs, what is in and out, and the logits along a line."""
    height, width = cut.low_hw.shape
    ys, xs = np.nonzero(cut.low_hw)
    length = min(round(1.3 * max(int(np.ptp(ys)), int(np.ptp(xs)), 10)), height, width)
    top, left = (
        int(np.clip((axis.min() + axis.max() - length) // 2, 0, limit - length))
        for axis, limit in ((ys, height), (xs, width))
    )
    enlarged = np.arange(width_px) * length // width_px
    part = np.ix_(top + enlarged, left + enlarged)
    low, middle, high = (mask[part] for mask in (cut.low_hw, cut.middle_hw, cut.high_hw))
    picture = image_hwc[part]
    outlines = outlined(picture, [(low, LOW_CUT), (middle, (255, 255, 255)), (high, HIGH_CUT)])
    outlines[width_px // 2] = (255, 255, 0)
    areas = np.full_like(picture, 255)
    areas[low] = LOW_CUT
    areas[high] = HIGH_CUT
    logits = Image.fromarray(cut.logits_hw).resize((width, height), Image.Resampling.BILINEAR)
    along = np.asarray(logits)[part][width_px // 2]
    plot = Plot((width_px, width_px), (-8.0, 8.0))
    plot.rule(1, HIGH_CUT, "+1")
    plot.rule(0, MIDDLE_CUT, "")
    plot.rule(-1, LOW_CUT, "-1")
    plot.line(along)
    return [
        panel(outlines, "outlines at -1, 0, +1", width_px),
        panel(areas, "above +1, above -1 only", width_px),
        with_title(plot.picture, "logits along the yellow line"),
    ]
