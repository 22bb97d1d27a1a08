"""A small drawn picture of four discs, and quick runs on it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.sam2_results.outcome import Segmentation
from infer_segment_anything_2.segmentation import Segmenter

HEIGHT, WIDTH = 120, 160
CENTRES_XY = ((35, 35), (110, 40), (60, 90), (130, 95))
RADIUS = 17


def draw_discs() -> npt.NDArray[np.uint8]:
    """Four bright discs with dark cores on a dark, slightly noisy ground."""
    rng = np.random.default_rng(0)
    picture = rng.integers(30, 50, (HEIGHT, WIDTH, 3))
    rows, columns = np.indices((HEIGHT, WIDTH))
    for number, (x, y) in enumerate(CENTRES_XY):
        distance = np.hypot(rows - y, columns - x)
        picture[distance < RADIUS] = [220, 200 - 40 * number, 60 + 50 * number]
        picture[distance < RADIUS / 3] = [20, 90, 160]
    return picture.astype(np.uint8)


PICTURE = draw_discs()

QUICK = {
    "model_name": "sam2_demo_nano",
    "cuda": "False",
    "points_per_side": "8",
    "iou_thresh": "0.3",
    "stability_score_thresh": "0.5",
}


def run(segmenter: Segmenter, **parameters: object) -> Segmentation:
    texts = {key: str(value) for key, value in parameters.items()}
    return segmenter.segment(PICTURE, Parameters.from_strings({**QUICK, **texts}))
