"""What a closer look is worth: `python -m benchmarks.zoom --help`.

The bundled network, or another of its kind, is asked for objects whose outlines are known
(`benchmarks/outlined.py`), with and without windows around them. Masks are compared by IoU, by the
F-score of the boundary (3 pixels), and by encodings. What ``auto`` gives is put together: the
answer of the window where it looks closer, else the first one.

    prompts   boxes and clicks on the photographs that training never sees
    drawn     boxes on large drawn pictures, by the objects' size in pixels
    sharpen   masks of everything mode that meet an object, on photographs and drawn scenes

Progress goes to standard error. What ``--output`` names is written after every picture, and
``--tables`` prints what such files hold: a run that was cut short is not lost.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.outlined import (
    SIZES_PX,
    KnownPicture,
    Outlined,
    boundary_f,
    drawn_picture,
    drawn_scene,
    iou,
    outlined_photographs,
    size_class,
)
from infer_segment_anything_2.prompts import ObjectPrompt, PointXy
from infer_segment_anything_2.sam2_engine.decoder.mask_decoder import FastMaskDecoder
from infer_segment_anything_2.sam2_engine.engine import Engine
from infer_segment_anything_2.sam2_engine.everything.sharpening import Answers, sharpened
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet, Rle
from infer_segment_anything_2.sam2_engine.network.loading import LoadedModel, load_model
from infer_segment_anything_2.sam2_engine.prompted.looking import Embed, Looking
from infer_segment_anything_2.sam2_engine.prompted.windows import is_small
from infer_segment_anything_2.sam2_engine.settings import (
    GridSettings,
    PredictionSettings,
    ZoomRule,
)
from training.network import build_network, load_weights
from training.prompts import inner_distance

_BUNDLED = Path(__file__).resolve().parents[1] / "infer_segment_anything_2" / "demo_model"
_RULES: tuple[ZoomRule, ...] = ("off", "always")
# Bounds of the longer side as a part of the picture's.
_PARTS = (1 / 16, 1 / 8, 1 / 4, 3 / 8, 1 / 2, 1.0)
_PART_NAMES = ("1/16", "1/8", "1/4", "3/8", "1/2", "1")
# Seeds of drawn pictures lie so far apart.
_SEEDS_OF_A_PICTURE = 100
# Lenient enough to find some objects on most photographs.
_GRID = GridSettings(
    points_per_side=16, pred_iou_thresh=0.6, stability_score_thresh=0.8, duplicates="mask"
)
# A mask is of an object from this IoU on.
_SAME_IOU = 0.5


@dataclass(frozen=True)
class Answer:
    """One object, before and after the closer look.

    Attributes:
        group: What it was asked for with, and on which pictures.
        part: Its longer side as a part of the picture's.
        length_px: Its longer side.
        is_thin: Whether it is nowhere wider than a fifth of that.
        is_closer: Whether ``auto``, or ``sharpen``, looks closer at it.
        iou: With the outline, before and after.
        boundary: F-score of the boundaries, before and after.
        encodings: Of its whole picture before and after; counted with one of its objects.
    """

    group: str
    part: float
    length_px: float
    is_thin: bool
    is_closer: bool
    iou: tuple[float, float]
    boundary: tuple[float, float]
    encodings: tuple[int, int] = (0, 0)

    @property
    def figures(self) -> tuple[float, ...]:
        """IoU before, under the rule and after, then the boundary's."""
        return tuple(
            figure
            for before, after in (self.iou, self.boundary)
            for figure in (before, after if self.is_closer else before, after)
        )


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


def _ask(
    model: LoadedModel,
    picture: KnownPicture,
    prompts: Sequence[ObjectPrompt],
    rule: ZoomRule,
    *,
    several: bool,
) -> list[Rle]:
    """The best mask of each object, by an engine that remembers nothing yet."""
    engine = Engine(model)
    prediction = engine.predict(
        engine.embed(picture.image_rgb_hwc),
        prompts,
        PredictionSettings(zoom=rule, multimask_output=several),
        image_rgb_hwc=picture.image_rgb_hwc,
    )
    return [
        max((masks.rles[index] for masks in prediction.ranked), key=lambda rle: iou(rle, known.rle))
        for index, known in enumerate(picture.objects)
    ]


def _asked(
    model: LoadedModel,
    counting: Counting,
    group: str,
    picture: KnownPicture,
    prompts: Sequence[ObjectPrompt],
    *,
    several: bool = False,
) -> Iterator[Answer]:
    found, spent = [], []
    for rule in _RULES:
        before = counting.encodings
        found.append(_ask(model, picture, prompts, rule, several=several))
        spent.append(counting.encodings - before)
    image_hw = (picture.image_rgb_hwc.shape[0], picture.image_rgb_hwc.shape[1])
    closer = [
        prompt.box_xyxy_px is not None and is_small(prompt.box_xyxy_px, image_hw)
        for prompt in prompts
    ]
    yield from _compared(group, picture.objects, closer, (found[0], found[1]), (spent[0], spent[1]))


def _compared(
    group: str,
    objects: Sequence[Outlined],
    closer: Sequence[bool],
    found: tuple[Sequence[Rle], Sequence[Rle]],
    spent: tuple[int, int],
) -> Iterator[Answer]:
    for known, is_closer, first, second in zip(objects, closer, *found, strict=True):
        yield Answer(
            group,
            known.part,
            known.length_px,
            known.is_thin,
            is_closer,
            (iou(first, known.rle), iou(second, known.rle)),
            (boundary_f(first, known.rle), boundary_f(second, known.rle)),
            spent,
        )
        spent = (0, 0)


def prompted_photographs(model: LoadedModel, counting: Counting) -> Iterator[list[Answer]]:
    """Every object of every photograph, by its box and by a click."""
    for picture in outlined_photographs():
        rng = np.random.default_rng([6, len(picture.objects)])
        boxes = [ObjectPrompt(box_xyxy_px=known.box_xyxy_px) for known in picture.objects]
        clicks = [ObjectPrompt(points_xy_px=(_click(known, rng),)) for known in picture.objects]
        yield [
            *_asked(model, counting, "box", picture, boxes),
            *_asked(model, counting, "click", picture, clicks),
            *_asked(model, counting, "click, best of three", picture, clicks, several=True),
        ]


def _click(known: Outlined, rng: np.random.Generator) -> PointXy:
    """A random pixel at least half as deep inside as the deepest one, as `training.scoring`."""
    depth = inner_distance(known.rle.decode())
    ys, xs = np.nonzero(depth >= 0.5 * depth.max())
    chosen = int(rng.integers(len(xs)))
    return float(xs[chosen]), float(ys[chosen])


def prompted_drawings(
    model: LoadedModel, counting: Counting, arguments: argparse.Namespace
) -> Iterator[list[Answer]]:
    """Objects of drawn pictures by their boxes."""
    for number in range(arguments.scenes):
        for size in arguments.megapixels:
            seed = arguments.seed + _SEEDS_OF_A_PICTURE * number
            picture = drawn_picture(size, seed, arguments.objects)
            boxes = [ObjectPrompt(box_xyxy_px=known.box_xyxy_px) for known in picture.objects]
            yield list(_asked(model, counting, f"box, {size:g} megapixels", picture, boxes))


def found_and_sharpened(
    model: LoadedModel, counting: Counting, arguments: argparse.Namespace
) -> Iterator[list[Answer]]:
    """The masks of everything mode that meet an object, and what is answered for each.

    Larger masks than `sharpen` would take are asked for too, to see where it stops being worth it.
    """
    for picture in outlined_photographs():
        yield list(_sharpened(model, counting, "photographs", picture))
    for number in range(arguments.scenes):
        for size in arguments.sharpen_megapixels:
            picture = drawn_scene(size, arguments.seed + number)
            yield list(_sharpened(model, counting, f"drawn, {size:g} megapixels", picture))


def _sharpened(
    model: LoadedModel, counting: Counting, group: str, picture: KnownPicture
) -> Iterator[Answer]:
    engine = Engine(model)
    masks = engine.generate(picture.image_rgb_hwc, _GRID).masks
    objects, places = _met(picture, masks)
    if not objects:
        return
    chosen = masks.select(places)
    everywhere = replace(chosen, crop_boxes_xywh_px=chosen.crop_boxes_xywh_px * 4)
    looking = Looking(
        FastMaskDecoder(model.network),
        _forgetful(engine),
        picture.image_rgb_hwc,
        _GRID.of_sharpening(),
        one_by_one=True,
    )
    before = counting.encodings
    after, _ = sharpened(looking, everywhere, Answers())
    spent = (0, counting.encodings - before)
    closer = [
        is_small((left, top, right + 1, bottom + 1), chosen.image_hw)
        for left, top, right, bottom in chosen.boxes_xyxy_px.tolist()
    ]
    yield from _compared(group, objects, closer, (chosen.rles, after.rles), spent)


def _forgetful(engine: Engine) -> Embed:
    """Encodes windows, and remembers none."""
    return lambda window_rgb_hwc, _: engine.embed(window_rgb_hwc, remember=False)


def _met(picture: KnownPicture, masks: MaskSet) -> tuple[list[Outlined], list[int]]:
    """The objects that a mask meets, each with the place of the mask that is nearest to it."""
    objects, places = [], []
    for known in picture.objects:
        left, top, right, bottom = known.box_xyxy_px
        lefts, tops, rights, bottoms = masks.boxes_xyxy_px.T
        meets = (lefts <= right) & (left <= rights) & (tops <= bottom) & (top <= bottoms)
        rated = [(iou(masks.rles[place], known.rle), place) for place in np.flatnonzero(meets)]
        likeness, place = max(rated, default=(0.0, 0))
        if likeness >= _SAME_IOU:
            objects.append(known)
            places.append(int(place))
    return objects, places


def _part_of(answer: Answer) -> tuple[int, str]:
    place = int(np.searchsorted(_PARTS, answer.part - 1e-9))
    return place, f"up to {_PART_NAMES[place]} of the picture"


def _pixels_of(answer: Answer) -> tuple[int, str]:
    place = size_class(answer.length_px) or 0
    return place, f"{SIZES_PX[place]} to {SIZES_PX[place + 1]} px"


def table(answers: Sequence[Answer], *, by_pixels: bool) -> str:
    """Means by group and by the objects' size; thin ones once more."""
    lines = [
        "| asked | objects | IoU off | auto | always | boundary off | auto | always "
        "| encodings off / always |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    rows: dict[tuple[str, tuple[int, str]], list[Answer]] = defaultdict(list)
    for answer in answers:
        rows[answer.group, (-1, "all")].append(answer)
        rows[answer.group, _pixels_of(answer) if by_pixels else _part_of(answer)].append(answer)
        if answer.is_thin:
            rows[answer.group, (len(_PARTS), "thin")].append(answer)
    for (group, (place, called)), found in sorted(rows.items()):
        figures = np.array([answer.figures for answer in found]).mean(axis=0)
        spent = np.array([answer.encodings for answer in found]).sum(axis=0)
        told = f"{spent[0]} / {spent[1]}" if place < 0 else ""
        means = " | ".join(f"{figure:.3f}" for figure in figures)
        lines.append(f"| {group} | {called} ({len(found)}) | {means} | {told} |")
    return "\n".join(lines)


def _print(name: str, answers: Sequence[Answer]) -> None:
    print(f"\n{name}\n\n{table(answers, by_pixels=name == 'drawn')}", flush=True)


def _print_earlier(paths: Sequence[Path]) -> None:
    """The tables of what earlier runs wrote, all together."""
    kept: dict[str, list[Answer]] = defaultdict(list)
    for path in paths:
        for name, answers in json.loads(path.read_text(encoding="utf-8")).items():
            kept[name] += [Answer(**answer) for answer in answers]
    for name, found in kept.items():
        _print(name, found)


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", type=Path, default=_BUNDLED, help="folder of weights and config")
    parser.add_argument("--only", choices=("prompts", "drawn", "sharpen"), help="one of the parts")
    parser.add_argument("--scenes", type=int, default=2, help="drawn pictures of each size")
    parser.add_argument(
        "--objects", type=int, default=12, help="of each class of sizes in a drawn picture, at most"
    )
    parser.add_argument(
        "--seed", type=int, default=9006, help="of the first drawn picture; 9006 has large objects"
    )
    parser.add_argument(
        "--megapixels", type=float, nargs="+", default=[3, 12, 50], help="of the part drawn"
    )
    parser.add_argument(
        "--sharpen-megapixels", type=float, nargs="*", default=[1, 12], help="of the part sharpen"
    )
    parser.add_argument("--output", type=Path, help="a JSON file for every single answer")
    parser.add_argument(
        "--tables", type=Path, nargs="+", help="print what such files hold, and ask nothing"
    )
    arguments = parser.parse_args()
    if arguments.tables:
        _print_earlier(arguments.tables)
        return
    model = load(arguments.model)
    counting = Counting(model)
    parts: dict[str, Iterator[list[Answer]]] = {
        "prompts": prompted_photographs(model, counting),
        "drawn": prompted_drawings(model, counting, arguments),
        "sharpen": found_and_sharpened(model, counting, arguments),
    }
    kept: dict[str, list[Answer]] = {}
    start_s = time.monotonic()
    with torch.inference_mode():
        for name in [arguments.only] if arguments.only else parts:
            kept[name] = []
            for number, answers in enumerate(parts[name], 1):
                kept[name] += answers
                told = f"{name}: picture {number}, {len(answers)} answers"
                print(f"{told}, {time.monotonic() - start_s:.0f} s", file=sys.stderr, flush=True)
                if arguments.output is not None:
                    plain = {part: list(map(asdict, found)) for part, found in kept.items()}
                    arguments.output.write_text(json.dumps(plain, indent=1), encoding="utf-8")
            _print(name, kept[name])


if __name__ == "__main__":
    main()
