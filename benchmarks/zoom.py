"""What a closer look is worth: `python -m benchmarks.zoom --help`.

The bundled network, or another of its kind, is asked for the outlined objects of the photographs
that training never sees (`training/photographs.py`), by their boxes and by a click. Off, auto and
always are compared by IoU, by the F-score of the boundary (3 pixels), and by encodings.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np
import numpy.typing as npt
import torch

from infer_segment_anything_2.prompts import BoxXyxy, ObjectPrompt
from infer_segment_anything_2.sam2_engine.engine import Engine
from infer_segment_anything_2.sam2_engine.network.loading import LoadedModel, load_model
from infer_segment_anything_2.sam2_engine.settings import PredictionSettings, ZoomRule
from training.network import build_network, load_weights
from training.opencv import cv2
from training.photographs import photographs
from training.prompts import box_of, inner_distance

Mask = npt.NDArray[np.bool_]

_BUNDLED = Path(__file__).resolve().parents[1] / "infer_segment_anything_2" / "demo_model"
_BOUNDARY_PX = 3
_RULES: tuple[ZoomRule, ...] = get_args(ZoomRule)
_SIZES = (0.125, 0.25, 0.5, 1.0)


@dataclass(frozen=True)
class Answer:
    """One object asked for in one way.

    Attributes:
        part: The object's longer side as a part of the picture's.
        prompt: "box", "click" (one answer), or "click, best of three".
        rule: Of the zoom.
        iou: With the outline.
        boundary: F-score of the boundaries, which count as met within 3 pixels.
    """

    part: float
    prompt: str
    rule: ZoomRule
    iou: float
    boundary: float


def load(folder: Path) -> LoadedModel:
    """The network of a folder, which holds weights and config."""
    network = build_network(folder / "sam2_demo_nano.yaml")
    load_weights(network, folder / "sam2_demo_nano.pt")
    network.eval().requires_grad_(False)
    return replace(load_model("sam2_demo_nano", device=torch.device("cpu")), network=network)


class Counting:
    """Counts what a network encodes."""

    def __init__(self, model: LoadedModel) -> None:
        self.encodings = 0
        model.network.image_encoder.register_forward_hook(self._count)

    def _count(self, *_: object) -> None:
        self.encodings += 1


def iou(answered: Mask, wanted: Mask) -> float:
    """Intersection over union."""
    return float((answered & wanted).sum() / max((answered | wanted).sum(), 1))


def boundary_f(answered: Mask, wanted: Mask) -> float:
    """F-score of the boundaries, with a tolerance of 3 pixels."""
    edges = [_edge(mask) for mask in (answered, wanted)]
    if not all(edge.any() for edge in edges):
        return 0.0
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _BOUNDARY_PX + 1,) * 2)
    wide = [cv2.dilate(edge.astype(np.uint8), disc) > 0 for edge in edges]
    precision, recall = edges[0][wide[1]].sum() / edges[0].sum(), edges[1][wide[0]].sum()
    recall = recall / edges[1].sum()
    return float(2 * precision * recall / max(precision + recall, 1e-9))


def _edge(mask: Mask) -> Mask:
    inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    edge: Mask = mask & ~inner
    return edge


def _ask(
    model: LoadedModel,
    image: npt.NDArray[np.uint8],
    prompts: Sequence[ObjectPrompt],
    rule: ZoomRule,
    *,
    several: bool = False,
) -> list[list[Mask]]:
    """Masks of each object by rank, by an engine that remembers nothing yet."""
    engine = Engine(model)
    prediction = engine.predict(
        engine.embed(image),
        prompts,
        PredictionSettings(zoom=rule, multimask_output=several),
        image_rgb_hwc=image,
    )
    return [
        [masks.rles[index].decode() for masks in prediction.ranked] for index in range(len(prompts))
    ]


def answers(model: LoadedModel, counting: Counting) -> Iterator[tuple[Answer, int]]:
    """Every object of every photograph; with the encodings of its whole photograph."""
    for photograph in photographs():
        image, wanted = photograph.image_hwc, list(photograph.masks.values())
        height, width = image.shape[:2]
        rng = np.random.default_rng([6, len(wanted)])
        boxes = [ObjectPrompt(box_xyxy_px=_box(mask)) for mask in wanted]
        clicks = [ObjectPrompt(points_xy_px=(_click(mask, rng),)) for mask in wanted]
        ways = (("box", boxes, False), ("click", clicks, False), ("best of three", clicks, True))
        for name, prompts, several in ways:
            for rule in _RULES:
                before = counting.encodings
                found = _ask(model, image, prompts, rule, several=several)
                spent = counting.encodings - before
                for masks, truth, boxed in zip(found, wanted, boxes, strict=True):
                    x1, y1, x2, y2 = boxed.box_xyxy_px or (0.0,) * 4
                    _, best = max((iou(mask, truth), rank) for rank, mask in enumerate(masks))
                    part = max((x2 - x1) / width, (y2 - y1) / height)
                    scores = iou(masks[best], truth), boundary_f(masks[best], truth)
                    yield Answer(part, name, rule, *scores), spent
                    spent = 0


def _box(mask: Mask) -> BoxXyxy:
    x1, y1, x2, y2 = map(float, box_of(mask))
    return x1, y1, x2, y2


def _click(mask: Mask, rng: np.random.Generator) -> tuple[float, float]:
    """A random pixel at least half as deep inside as the deepest one, as `training.scoring`."""
    depth = inner_distance(mask)
    ys, xs = np.nonzero(depth >= 0.5 * depth.max())
    chosen = int(rng.integers(len(xs)))
    return float(xs[chosen]), float(ys[chosen])


def table(rows: Sequence[tuple[Answer, int]]) -> str:
    """Means by prompt, by rule and by the objects' size."""
    lines = [
        "| prompt | objects | zoom | IoU | boundary F | encodings |",
        "|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[str, str, ZoomRule], list[tuple[Answer, int]]] = defaultdict(list)
    for answer, spent in rows:
        size = next(size for size in _SIZES if answer.part <= size + 1e-9)
        for group in ("all", f"up to {size:g} of the picture"):
            groups[answer.prompt, group, answer.rule].append((answer, spent))
    for (prompt, group, rule), found in sorted(groups.items()):
        mean_iou = np.mean([answer.iou for answer, _ in found])
        mean_f = np.mean([answer.boundary for answer, _ in found])
        encodings = str(sum(spent for _, spent in found)) if group == "all" else ""
        lines.append(
            f"| {prompt} | {group} ({len(found)}) | {rule} | {mean_iou:.3f} | {mean_f:.3f} "
            f"| {encodings} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=_BUNDLED, help="folder of weights and config")
    arguments = parser.parse_args()
    model = load(arguments.model)
    with torch.inference_mode():
        print(table(list(answers(model, Counting(model)))))


if __name__ == "__main__":
    main()
