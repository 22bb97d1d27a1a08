"""Measures the bundled model on scenes that it never saw; `python -m training.evaluate --help`."""

import argparse
import json
import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, fields
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sam2.modeling.sam2_base import SAM2Base

from infer_segment_anything_2.sam2_engine.decoder.mask_decoder import FastMaskDecoder, PreparedImage
from infer_segment_anything_2.sam2_engine.everything.generation import generate
from infer_segment_anything_2.sam2_engine.image.embedding import embed_image
from infer_segment_anything_2.sam2_engine.settings import GridSettings
from training.coins import coin_masks, coins_picture
from training.network import build_network, load_weights
from training.opencv import cv2
from training.photographs import Photograph, photographs
from training.prompts import BoolMask, MaskMenu
from training.scenes import draw_scene
from training.scoring import LEAST_AREA_PX, PromptScores, prompt_figures, score_masks, score_scene

TEST_SEEDS = range(200)
VALIDATION_SEEDS = range(1000, 1060)
_MODEL_DIR = Path(__file__).resolve().parent.parent / "infer_segment_anything_2" / "demo_model"
FOUND_IOU = 0.7
COIN_IOU = 0.75


@dataclass(frozen=True)
class Grid:
    """Settings of the automatic mode, named as Meta's generator names them; its defaults."""

    points_per_side: int = 32
    pred_iou_thresh: float = 0.8
    stability_score_thresh: float = 0.95
    box_nms_thresh: float = 0.7


def validation_figures(network: SAM2Base, seeds: Iterable[int]) -> dict[str, float]:
    """Mean figures over the prompts of some scenes; the network is in evaluation mode."""
    scores = PromptScores()
    for seed in seeds:
        scores.add(score_scene(network, draw_scene(seed), np.random.default_rng([5, seed])))
    return prompt_figures(scores)


def automatic_masks(network: SAM2Base, image_hwc: NDArray[np.uint8], grid: Grid) -> list[BoolMask]:
    """Runs the plugin's automatic mode on a picture; returns HxW masks."""
    decoder = FastMaskDecoder(network, dtype=torch.float32)

    def embedded(image_rgb_hwc: NDArray[np.uint8]) -> PreparedImage:
        return decoder.prepare(
            embed_image(
                network,
                image_rgb_hwc,
                input_size_percent=100,
                precision=torch.float32,
                digest="",
            )
        )

    with torch.inference_mode():
        settings = GridSettings(**asdict(grid))
        result = generate(embedded, decoder, image_hwc, settings)
    return list(result.masks.to_dense())


def count_found(masks: list[BoolMask], wanted: list[BoolMask], least_iou: float) -> int:
    """Counts the wanted masks that some mask matches with at least an IoU."""
    if not masks:
        return 0
    answered = np.stack(masks).reshape(len(masks), -1).astype(np.float32)
    asked = np.stack(wanted).reshape(len(wanted), -1).astype(np.float32)
    common = asked @ answered.T
    either = asked.sum(axis=1)[:, None] + answered.sum(axis=1)[None] - common
    return int(np.count_nonzero((common / either).max(axis=1) >= least_iou))


@dataclass(frozen=True)
class Subject:
    """What is measured, in a form that a process can be given."""

    weights: Path
    config: Path
    device: str
    grid: Grid


@lru_cache(maxsize=1)
def _loaded(subject: Subject) -> SAM2Base:
    cv2.setNumThreads(1)
    network = build_network(subject.config)
    load_weights(network, subject.weights)
    return network.to(subject.device).eval().requires_grad_(False)


def _prompted(subject: Subject, seed: int) -> PromptScores:
    return score_scene(_loaded(subject), draw_scene(seed), np.random.default_rng([5, seed]))


def _counted(subject: Subject, seed: int) -> tuple[int, int, int]:
    """Counts found objects, visible objects of at least 150 pixels, and proposed masks."""
    scene = draw_scene(seed)
    menu = MaskMenu(scene, LEAST_AREA_PX)
    wanted = [menu.object_mask(k) for k in menu.object_ids]
    masks = automatic_masks(_loaded(subject), scene.image_hwc, subject.grid)
    return (count_found(masks, wanted, FOUND_IOU) if wanted else 0), len(wanted), len(masks)


def measure(
    subject: Subject, seeds: range, automatic_seeds: range, processes: int
) -> dict[str, float]:
    """Measures everything, scenes shared out over processes.

    Args:
        subject: Weights, config, device and the grid of the automatic mode.
        seeds: Scenes to prompt.
        automatic_seeds: Scenes for the automatic mode.
        processes: How many; each takes one thread.

    Returns:
        All figures of the table and the counts behind them.
    """
    scores = PromptScores()
    with ProcessPoolExecutor(
        processes, mp_context=get_context("spawn"), initializer=partial(torch.set_num_threads, 1)
    ) as pool:
        for rows in pool.map(partial(_prompted, subject), seeds):
            scores.add(rows)
        counts = list(pool.map(partial(_counted, subject), automatic_seeds))
        seen = list(pool.map(partial(_photographed, subject), photographs()))
    figures = prompt_figures(scores)
    if counts:
        found, total, proposed = np.sum(counts, axis=0).tolist()
        figures |= {
            "automatic_objects": total,
            "automatic_found": found,
            "automatic_recall": found / max(total, 1),
            "automatic_masks_per_scene": proposed / len(counts),
        }
    figures |= {f"photograph_{key}": value for key, value in photograph_figures(seen).items()}
    return figures | coin_figures(_loaded(subject), subject.grid)


@dataclass(frozen=True)
class PhotographScores:
    """What one photograph gave.

    Attributes:
        prompted: IoU by kind of prompt.
        found: Outlined objects that everything mode found.
        outlined: Outlined objects.
        masks: Masks of everything mode.
    """

    prompted: PromptScores
    found: int
    outlined: int
    masks: int


def _photographed(subject: Subject, photograph: Photograph) -> PhotographScores:
    network = _loaded(subject)
    wanted = list(photograph.masks.values())
    rng = np.random.default_rng([6, len(wanted)])
    prompted = score_masks(network, photograph.image_hwc, wanted, rng)
    masks = automatic_masks(network, photograph.image_hwc, subject.grid)
    return PhotographScores(
        prompted, count_found(masks, wanted, FOUND_IOU), len(wanted), len(masks)
    )


def photograph_figures(seen: list[PhotographScores]) -> dict[str, float]:
    """Figures over the objects of all photographs."""
    scores = PromptScores()
    for photograph in seen:
        scores.add(photograph.prompted)
    return prompt_figures(scores) | {
        "found": sum(photograph.found for photograph in seen),
        "outlined": sum(photograph.outlined for photograph in seen),
        "masks": float(np.mean([photograph.masks for photograph in seen])),
        "fewest_masks": min(photograph.masks for photograph in seen),
    }


def coin_figures(network: SAM2Base, grid: Grid) -> dict[str, float]:
    """Counts the coins of scikit-image's grey picture that the automatic mode finds."""
    picture = coins_picture()
    masks = automatic_masks(network, picture, grid)
    return {"coins_found": count_found(masks, coin_masks(), COIN_IOU), "coins_masks": len(masks)}


_PROMPT_ROWS: tuple[tuple[str, str], ...] = (
    ("click, best of three: mean IoU", "click_best_of_three"),
    ("click, top-scored of three: mean IoU", "click_top_scored"),
    ("click, single mask: mean IoU", "click_single"),
    ("box: mean IoU", "box"),
    ("after one correction click: mean IoU", "one_correction"),
    ("after two correction clicks: mean IoU", "two_corrections"),
    ("predicted against true IoU: Pearson", "pearson"),
)
_ROWS: tuple[tuple[str, str], ...] = (
    *((f"drawn scenes: {label}", key) for label, key in _PROMPT_ROWS),
    (
        f"drawn scenes, everything mode: share of objects found at IoU {FOUND_IOU}",
        "automatic_recall",
    ),
    (f"coins picture: coins of 24 found at IoU {COIN_IOU}", "coins_found"),
    *((f"photographs: {label}", f"photograph_{key}") for label, key in _PROMPT_ROWS),
    (f"photographs, everything mode: objects found at IoU {FOUND_IOU}", "photograph_found"),
    ("photographs, everything mode: masks a picture", "photograph_masks"),
    ("photographs, everything mode: fewest masks on a picture", "photograph_fewest_masks"),
)
_AIMS = {
    "click_best_of_three": 0.82,
    "click_top_scored": 0.75,
    "box": 0.86,
    "two_corrections": 0.86,
    "pearson": 0.7,
    "automatic_recall": 0.7,
    "coins_found": 22,
    "photograph_box": 0.8,
    "photograph_click_best_of_three": 0.72,
    "photograph_click_top_scored": 0.6,
}


def markdown_table(figures: dict[str, float]) -> str:
    """Lays the figures out beside what was aimed at."""
    lines = ["| figure | measured | aim |", "|---|---|---|"]
    for label, key in _ROWS:
        if key in figures:
            value = figures[key]
            text = f"{value:.3f}" if isinstance(value, float) else str(value)
            lines.append(f"| {label} | {text} | {_AIMS.get(key, '')} |")
    return "\n".join(lines)


def main() -> None:
    """Prints the table of the README."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=_MODEL_DIR / "sam2_demo_nano.pt")
    parser.add_argument("--config", type=Path, default=_MODEL_DIR / "sam2_demo_nano.yaml")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--scenes", type=int, default=200, help="fresh scenes to prompt")
    parser.add_argument("--automatic-scenes", type=int, help="of these for the automatic mode; all")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--validation", action="store_true", help="use the validation scenes")
    for setting in fields(Grid):
        option = "--" + setting.name.replace("_", "-")
        parser.add_argument(option, type=type(setting.default), default=setting.default)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()

    grid = Grid(**{name: getattr(options, name) for name in Grid.__dataclass_fields__})
    subject = Subject(options.weights, options.config, options.device, grid)
    seeds = (VALIDATION_SEEDS if options.validation else TEST_SEEDS)[: options.scenes]
    figures = measure(subject, seeds, seeds[: options.automatic_scenes], options.processes)
    print(markdown_table(figures))
    print(f"\n{len(seeds)} scenes, {figures['prompts']} masks prompted; automatic mode: {grid}")
    if options.json is not None:
        options.json.write_text(json.dumps({**figures, "grid": asdict(grid)}, indent=1) + "\n")


if __name__ == "__main__":
    main()
