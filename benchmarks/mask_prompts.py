"""How much better a mask prompt comes back: `python -m benchmarks.mask_prompts --help`.

Objects of drawn scenes are roughened as a hurried hand or a coarse detector would, given to the
bundled network as mask prompts in several ways, and compared with the true mask before and after.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from infer_segment_anything_2.prompts import ObjectPrompt, PromptMask
from infer_segment_anything_2.sam2_engine.engine import Engine
from infer_segment_anything_2.sam2_engine.network.loading import load_model
from infer_segment_anything_2.sam2_engine.prompted.mask_prompts import with_support
from infer_segment_anything_2.sam2_engine.settings import MaskSupport, PredictionSettings
from training.opencv import cv2
from training.prompts import MaskMenu
from training.scenes import SCENE_SIZE_PX, draw_scene

Mask = npt.NDArray[np.bool_]

LEAST_AREA_PX = 300
ROUGHNESS = 0.25
OBJECTS_PER_SCENE = 4
FIRST_SEED = 5000
SCENE_HW = (SCENE_SIZE_PX, SCENE_SIZE_PX)


@dataclass(frozen=True)
class Way:
    """A way to put a mask to the network; without ``mask``, its support alone."""

    name: str
    support: MaskSupport
    mask: bool = True


def ways() -> list[Way]:
    """What is compared: the default, the parts it is made of, and other strengths of logits."""
    default = MaskSupport()
    bare = MaskSupport(logit=default.logit, box=False, point=False)
    return [
        Way("default", default),
        Way("box and point, no mask", default, mask=False),
        Way("mask, box, point", MaskSupport(logit=default.logit, box=True, point=True)),
        Way("mask, box", MaskSupport(logit=default.logit, box=True, point=False)),
        Way("mask, point", MaskSupport(logit=default.logit, box=False, point=True)),
        Way("mask alone", bare),
        *(
            Way(f"mask of +-{logit:g}, box, point", MaskSupport(logit=logit, box=True, point=True))
            for logit in (2.0, 5.0, 20.0, 32.0)
        ),
        Way("wider box", MaskSupport(logit=default.logit, box=True, point=True, margin=0.05)),
    ]


def roughen(
    mask_hw: Mask, rng: np.random.Generator, kind: str, roughness: float = ROUGHNESS
) -> Mask:
    """Spoils a mask: "coarse" cells, a "shrunk" or "grown" edge, a "wavy" edge, or "moved".

    Args:
        mask_hw: The true mask.
        rng: For "wavy" and "moved".
        kind: In which way.
        roughness: How far, as a part of the square root of the mask's area.
    """
    area = float(mask_hw.sum())
    step = max(2, round(roughness * np.sqrt(area)))
    as_u8 = mask_hw.astype(np.uint8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (step + 1 - step % 2, step + 1 - step % 2))
    if kind == "coarse":
        height, width = mask_hw.shape
        small = cv2.resize(
            as_u8 * 255, (width // step, height // step), interpolation=cv2.INTER_AREA
        )
        spoiled = cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST) > 127
    elif kind == "shrunk":
        spoiled = cv2.erode(as_u8, disc) > 0
    elif kind == "grown":
        spoiled = cv2.dilate(as_u8, disc) > 0
    elif kind == "moved":
        shift = rng.normal(0, 0.6 * step, 2)
        matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)
        spoiled = cv2.warpAffine(as_u8, matrix, mask_hw.shape[::-1]) > 0
    else:
        noise = cv2.GaussianBlur(rng.standard_normal(mask_hw.shape), (0, 0), 0.5 * step)
        soft = cv2.GaussianBlur(as_u8.astype(np.float64), (0, 0), 0.4 * step)
        spoiled = soft + 0.2 * np.clip(noise / noise.std(), -2, 2) > 0.5
    return np.asarray(spoiled, bool)


KINDS = ("coarse", "shrunk", "grown", "moved", "wavy")


def iou(one: Mask, other: Mask) -> float:
    """Intersection over union; 0 for two empty masks."""
    return float((one & other).sum() / max(1, (one | other).sum()))


def objects_of(seed: int) -> tuple[npt.NDArray[np.uint8], list[Mask]]:
    """The picture of a scene and some of its objects, as far as they are seen."""
    scene = draw_scene(seed)
    menu = MaskMenu(scene, LEAST_AREA_PX)
    chosen = np.random.default_rng(seed).permutation(menu.object_ids)[:OBJECTS_PER_SCENE]
    return scene.image_hwc, [menu.object_mask(int(k)) for k in chosen]


def measure(
    engine: Engine, n_scenes: int, compared: list[Way], roughness: float = ROUGHNESS
) -> Iterator[dict[str, object]]:
    """Yields one row per object, kind of roughness and way: IoU before and after."""
    for seed in range(FIRST_SEED, FIRST_SEED + n_scenes):
        picture, wanted = objects_of(seed)
        rng = np.random.default_rng(seed)
        image = engine.embed(picture)
        kinds = [KINDS[(seed + index) % len(KINDS)] for index in range(len(wanted))]
        rough = [
            roughen(mask, rng, kind, roughness) for mask, kind in zip(wanted, kinds, strict=True)
        ]
        usable = [index for index, mask in enumerate(rough) if mask.any()]
        for way in compared:
            if not usable:
                continue
            objects = [ObjectPrompt(mask=PromptMask(rough[index])) for index in usable]
            if not way.mask:
                supported = [with_support(prompt, SCENE_HW, way.support) for prompt in objects]
                objects = [replace(prompt, mask=None) for prompt in supported]
            settings = PredictionSettings(mask_support=way.support)
            answers = engine.predict(image, objects, settings).ranked[0]
            for index, answer in zip(usable, answers.to_dense(), strict=True):
                yield {
                    "way": way.name,
                    "kind": kinds[index],
                    "before": iou(rough[index], wanted[index]),
                    "after": iou(answer, wanted[index]),
                }


def mean(rows: list[dict[str, object]], column: str) -> float:
    """Mean of one column."""
    return float(np.mean([row[column] for row in rows]))


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=60)
    parser.add_argument("--roughness", type=float, default=ROUGHNESS)
    parser.add_argument("--weights", type=Path, help="another checkpoint of the same network")
    arguments = parser.parse_args()
    model = load_model("sam2_demo_nano", str(arguments.weights or ""), device=torch.device("cpu"))
    compared = ways()
    rows = list(measure(Engine(model), arguments.scenes, compared, arguments.roughness))
    print(f"{len(rows) // len(compared)} masks of {arguments.scenes} scenes; mean IoU")
    print("| way | before | after | better |")
    print("|---|---|---|---|")
    for way in compared:
        own = [row for row in rows if row["way"] == way.name]
        better = np.mean([row["after"] > row["before"] for row in own])  # type: ignore[operator]
        print(
            f"| {way.name} | {mean(own, 'before'):.3f} | {mean(own, 'after'):.3f} | {better:.0%} |"
        )
    for kind in KINDS:
        own = [row for row in rows if row["way"] == "default" and row["kind"] == kind]
        print(f"{kind}: {mean(own, 'before'):.3f} -> {mean(own, 'after'):.3f} ({len(own)} masks)")


if __name__ == "__main__":
    main()
