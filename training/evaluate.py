"""Measures the bundled model on scenes that it never saw; `python -m training.evaluate --help`."""

import argparse
import json
import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, fields
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor
from torch.nn.functional import interpolate

from infer_segment_anything_2.sam2_engine.decoder.mask_decoder import FastMaskDecoder, PreparedImage
from infer_segment_anything_2.sam2_engine.everything.generation import generate
from infer_segment_anything_2.sam2_engine.image.embedding import embed_image
from infer_segment_anything_2.sam2_engine.settings import GridSettings
from training.coins import coin_masks, coins_picture
from training.network import (
    Decoded,
    Embedding,
    build_network,
    decode,
    embed,
    load_weights,
    normalise,
)
from training.opencv import cv2
from training.prompts import BoolMask, MaskMenu, box_of, inner_distance
from training.scenes import Scene, draw_scene

LEAST_AREA_PX = 150
TEST_SEEDS = range(200)
VALIDATION_SEEDS = range(1000, 1060)
_PROMPTS_PER_SCENE = 8
_MODEL_DIR = Path(__file__).resolve().parent.parent / "infer_segment_anything_2" / "demo_model"
FOUND_IOU = 0.7
COIN_IOU = 0.75


@dataclass(frozen=True)
class Grid:
    """Settings of the automatic mode, named as Meta's generator names them."""

    points_per_side: int = 32
    pred_iou_thresh: float = 0.6
    stability_score_thresh: float = 0.7
    box_nms_thresh: float = 0.7


@dataclass
class PromptScores:
    """One row a prompted mask.

    Attributes:
        best_of_three: IoU of the best of the three candidates of one click.
        top_scored: IoU of the candidate that the network itself ranks first.
        single: IoU of the single answer to one click.
        box: IoU of the single answer to the mask's box.
        corrected: IoU after one and after two correction clicks.
        predicted: Predicted IoU of the three candidates.
        true: Their true IoU.
    """

    best_of_three: list[float] = field(default_factory=list)
    top_scored: list[float] = field(default_factory=list)
    single: list[float] = field(default_factory=list)
    box: list[float] = field(default_factory=list)
    corrected: list[tuple[float, float]] = field(default_factory=list)
    predicted: list[float] = field(default_factory=list)
    true: list[float] = field(default_factory=list)

    def add(self, other: "PromptScores") -> None:
        """Appends the rows of another scene."""
        for row in fields(self):
            getattr(self, row.name).extend(getattr(other, row.name))


def validation_figures(network: SAM2Base, seeds: Iterable[int]) -> dict[str, float]:
    """Mean figures over the prompts of some scenes; the network is in evaluation mode."""
    scores = PromptScores()
    for seed in seeds:
        scores.add(score_scene(network, draw_scene(seed), np.random.default_rng([5, seed])))
    return prompt_figures(scores)


def prompt_figures(scores: PromptScores) -> dict[str, float]:
    """Mean IoU by kind of prompt, and the correlation of predicted with true IoU."""
    corrected = np.array(scores.corrected)
    return {
        "prompts": len(scores.box),
        "click_best_of_three": float(np.mean(scores.best_of_three)),
        "click_top_scored": float(np.mean(scores.top_scored)),
        "click_single": float(np.mean(scores.single)),
        "box": float(np.mean(scores.box)),
        "one_correction": float(corrected[:, 0].mean()),
        "two_corrections": float(corrected[:, 1].mean()),
        "pearson": float(np.corrcoef(scores.predicted, scores.true)[0, 1]),
    }


def score_scene(network: SAM2Base, scene: Scene, rng: np.random.Generator) -> PromptScores:
    """Prompts the network for up to eight masks of a scene.

    Clicked is a random pixel of the mask that is at least half as deep inside as its deepest one;
    each correction click lands on the deepest pixel of what is wrong, with the earlier answer (at
    first the top-scored one) as mask prompt.
    """
    masks = _asked_masks(scene, rng)
    scores = PromptScores()
    if not masks:
        return scores
    device = network.no_mem_embed.device
    wanted = torch.from_numpy(np.stack(masks)).to(device)
    clicks = torch.tensor([_inside_point(m, rng) for m in masks], device=device)[:, None]
    boxes = torch.from_numpy(np.stack([box_of(m) for m in masks])).to(device).reshape(-1, 2, 2)
    with torch.inference_mode():
        embedding = embed(network, normalise(torch.from_numpy(scene.image_hwc[None]).to(device)))
        labels = torch.ones(clicks.shape[:2], dtype=torch.int32, device=device)
        answer = _ask(network, embedding, clicks, labels)
        ious = _ious(answer.logits, wanted)
        rows = torch.arange(len(masks), device=device)
        top = 1 + answer.scores[:, 1:].argmax(dim=1)
        scores.best_of_three += ious[:, 1:].amax(dim=1).tolist()
        scores.top_scored += ious[rows, top].tolist()
        scores.single += ious[:, 0].tolist()
        scores.predicted += answer.scores[:, 1:].flatten().tolist()
        scores.true += ious[:, 1:].flatten().tolist()
        corners = torch.tensor([[2, 3]], dtype=torch.int32, device=device).expand(len(masks), 2)
        scores.box += _ious(_ask(network, embedding, boxes, corners).logits, wanted)[:, 0].tolist()
        previous = answer.logits[rows, top][:, None]
        steps = []
        for _ in range(2):
            clicks, labels = _with_correction(clicks, labels, previous, wanted)
            previous = _ask(network, embedding, clicks, labels, previous).logits[:, :1]
            steps.append(_ious(previous, wanted)[:, 0].tolist())
        scores.corrected += list(zip(*steps, strict=True))
    return scores


def _asked_masks(scene: Scene, rng: np.random.Generator) -> list[BoolMask]:
    """Objects and parts of a scene, at most eight of them, and the background now and then."""
    menu = MaskMenu(scene, LEAST_AREA_PX)
    masks = [menu.object_mask(k) for k in menu.object_ids] + [
        menu.part_mask(k) for k in menu.part_ids
    ]
    chosen = rng.permutation(len(masks))[:_PROMPTS_PER_SCENE]
    asked = [masks[int(k)] for k in chosen]
    if menu.has_background and rng.random() < 0.25:
        asked.append(menu.object_mask(0))
    return asked


def _inside_point(mask_hw: BoolMask, rng: np.random.Generator) -> tuple[float, float]:
    depth = inner_distance(mask_hw)
    ys, xs = np.nonzero(depth >= 0.5 * depth.max())
    k = int(rng.integers(len(xs)))
    return float(xs[k]), float(ys[k])


def _ask(
    network: SAM2Base,
    embedding: Embedding,
    points: Tensor,
    labels: Tensor,
    previous: Tensor | None = None,
) -> Decoded:
    picture = torch.zeros(len(points), dtype=torch.int64, device=points.device)
    return decode(network, embedding, picture, points, labels, previous)


def _full_size(logits_nmhw: Tensor, size: int) -> Tensor:
    return interpolate(logits_nmhw, size=(size, size), mode="bilinear", align_corners=False) > 0


def _ious(logits_nmhw: Tensor, wanted_nhw: Tensor) -> Tensor:
    answered = _full_size(logits_nmhw, wanted_nhw.shape[-1])
    common = (answered & wanted_nhw[:, None]).sum(dim=(2, 3))
    return common / (answered | wanted_nhw[:, None]).sum(dim=(2, 3)).clamp(min=1)


def _with_correction(
    clicks: Tensor, labels: Tensor, previous: Tensor, wanted_nhw: Tensor
) -> tuple[Tensor, Tensor]:
    answered = _full_size(previous, wanted_nhw.shape[-1])[:, 0].cpu().numpy()
    points, kinds = zip(
        *(_worst_point(a, w) for a, w in zip(answered, wanted_nhw.cpu().numpy(), strict=True)),
        strict=True,
    )
    more = torch.tensor(points, dtype=torch.float32, device=clicks.device)[:, None]
    kind = torch.tensor(kinds, dtype=torch.int32, device=clicks.device)[:, None]
    return torch.cat([clicks, more], dim=1), torch.cat([labels, kind], dim=1)


def _worst_point(
    answered_hw: NDArray[np.bool_], wanted_hw: BoolMask
) -> tuple[tuple[float, float], int]:
    """The deepest pixel of what was missed or of what was taken too much, whichever is deeper."""
    missed = inner_distance(wanted_hw & ~answered_hw)
    extra = inner_distance(answered_hw & ~wanted_hw)
    depth = missed if missed.max() >= extra.max() else extra
    if depth.max() == 0:
        depth = inner_distance(wanted_hw)
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return (float(x), float(y)), int(wanted_hw[y, x])


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
    figures = prompt_figures(scores)
    if counts:
        found, total, proposed = np.sum(counts, axis=0).tolist()
        figures |= {
            "automatic_objects": total,
            "automatic_found": found,
            "automatic_recall": found / max(total, 1),
            "automatic_masks_per_scene": proposed / len(counts),
        }
    return figures | coin_figures(_loaded(subject), subject.grid)


def coin_figures(network: SAM2Base, grid: Grid) -> dict[str, float]:
    """Counts the coins of scikit-image's grey picture that the automatic mode finds."""
    picture = coins_picture()
    masks = automatic_masks(network, picture, grid)
    return {"coins_found": count_found(masks, coin_masks(), COIN_IOU), "coins_masks": len(masks)}


_ROWS = (
    ("click, best of three: mean IoU", "click_best_of_three", 0.80),
    ("click, top-scored of three: mean IoU", "click_top_scored", 0.72),
    ("click, single mask: mean IoU", "click_single", None),
    ("box: mean IoU", "box", 0.85),
    ("after one correction click: mean IoU", "one_correction", None),
    ("after two correction clicks: mean IoU", "two_corrections", 0.85),
    ("predicted against true IoU: Pearson", "pearson", 0.6),
    (f"automatic: share of objects found at IoU {FOUND_IOU}", "automatic_recall", 0.7),
    (f"coins picture: coins of 24 found at IoU {COIN_IOU}", "coins_found", 18),
)


def markdown_table(figures: dict[str, float]) -> str:
    """Lays the figures out beside what was aimed at."""
    lines = ["| figure | measured | aim |", "|---|---|---|"]
    for label, key, aim in _ROWS:
        if key in figures:
            value = figures[key]
            text = f"{value:.3f}" if isinstance(value, float) else str(value)
            lines.append(f"| {label} | {text} | {'' if aim is None else aim} |")
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
