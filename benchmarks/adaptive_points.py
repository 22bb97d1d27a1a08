"""What adaptive points save and what they lose: `python -m benchmarks.adaptive_points --help`.

Each picture is searched with the whole grid, with the same grid and adaptive points, and, to
compare, with plain grids of fewer points and denser adaptive ones. Counted is, against the whole
grid:

* points: asked, as a share of the whole grid's.
* recall: masks of the whole grid that come out again with a mask IoU of at least 0.9.
* objects: drawn objects and parts that some mask shows with an IoU of at least 0.7.
* CPU time: of all threads, encoder and all, as a share; what other programs disturb least.

The drawn scenes are those of seeds that neither training nor the choice of the rule has seen.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.automatic_masks import describe_machine
from benchmarks.common import Image, load_picture, n_found, network_named
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet, Rle
from infer_segment_anything_2.sam2_engine.settings import GridSettings
from tests.networks import Generators
from training.dataset import enlarged
from training.scenes import draw_scene

SAME_IOU, OBJECT_IOU = 0.9, 0.7
# Of drawn objects and parts; in the enlarged scene, whose side is twice as long.
LEAST_OBJECT_PX = 400
SCENE_PX = 512
FIRST_SEED = 8200
PHOTOGRAPHS = ("astronaut", "chelsea", "coins", "rocket", "immunohistochemistry")
SCENES, PHOTOS = "drawn scenes", "photographs"


@dataclass(frozen=True)
class Sample:
    """A picture and what is known to be in it.

    Attributes:
        name: Of the picture.
        kind: Which mean it belongs to.
        image_rgb_hwc: uint8.
        objects: Masks of the drawn objects and parts; none for photographs.
    """

    name: str
    kind: str
    image_rgb_hwc: Image
    objects: tuple[Rle, ...] = ()


@dataclass(frozen=True)
class Row:
    """What one way gave on one picture.

    Attributes:
        way: The grid, in words.
        kind: Of the picture.
        name: Of the picture.
        points: Asked.
        all_points: Of the whole grid that it is compared with.
        masks: Found.
        same: Masks of the whole grid that were found again.
        all_masks: Of the whole grid.
        objects: Found.
        all_objects: That the whole grid finds.
        cpu_s: Seconds of all threads.
        all_cpu_s: Of the whole grid.
    """

    way: str
    kind: str
    name: str
    points: int
    all_points: int
    masks: int
    same: int
    all_masks: int
    objects: int
    all_objects: int
    cpu_s: float
    all_cpu_s: float


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--network", default="nano", help='"nano" or an official name')
    parser.add_argument("--scenes", type=int, default=20, help="drawn scenes")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument(
        "--photographs", nargs="*", default=PHOTOGRAPHS, help="files, or names in skimage.data"
    )
    parser.add_argument("--points-per-side", type=int, default=32)
    parser.add_argument("--plain", type=int, nargs="*", default=[], help="plain grids of this side")
    parser.add_argument("--denser", type=int, nargs="*", default=[], help="adaptive ones")
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0 leaves its own number")
    parser.add_argument("--output", type=Path, help="JSON with each picture")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    generators = Generators(network_named(arguments.network))
    side = arguments.points_per_side
    grid = GridSettings(points_per_side=side)
    ways = [(f"{side} x {side}, adaptive", replace(grid, adaptive_points=True))]
    ways += [(f"{n} x {n}", replace(grid, points_per_side=n)) for n in arguments.plain]
    ways += [
        (f"{n} x {n}, adaptive", GridSettings(points_per_side=n, adaptive_points=True))
        for n in arguments.denser
    ]
    rows: list[Row] = []
    for sample in samples(arguments):
        rows += compare(generators, sample, grid, ways)
        print("\n".join(told(row) for row in rows[-len(ways) :]), flush=True)
        if arguments.output:  # also of a run that is ended early
            report = {"machine": describe_machine(), "rows": [asdict(row) for row in rows]}
            arguments.output.parent.mkdir(parents=True, exist_ok=True)
            arguments.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"\n{describe_machine()}\n\n{table(rows, side)}")


def samples(arguments: argparse.Namespace) -> Iterator[Sample]:
    """The pictures, scenes and photographs in turns."""
    names = list(arguments.photographs)
    for number in range(max(arguments.scenes, len(names))):
        if number < arguments.scenes:
            yield drawn(arguments.first_seed + number)
        if number < len(names):
            yield Sample(names[number], PHOTOS, _in_colour(load_picture(names[number], 0.0)))


def drawn(seed: int) -> Sample:
    """A drawn scene in the bundled network's size, with its objects and parts."""
    scene = enlarged(draw_scene(seed), SCENE_PX)
    masks = [
        ids_hw == number
        for ids_hw in (scene.object_ids_hw, scene.part_ids_hw)
        for number in np.unique(ids_hw[ids_hw > 0])
    ]
    large = [mask for mask in masks if np.count_nonzero(mask) >= LEAST_OBJECT_PX]
    return Sample(
        f"scene {seed}", SCENES, scene.image_hwc, tuple(Rle.from_mask(mask) for mask in large)
    )


def _in_colour(picture: Image) -> Image:
    return np.stack([picture] * 3, axis=-1) if picture.ndim == 2 else picture


def compare(
    generators: Generators,
    sample: Sample,
    grid: GridSettings,
    ways: Sequence[tuple[str, GridSettings]],
) -> list[Row]:
    """Searches a picture with the whole grid and in the other ways."""
    (whole, whole_points), whole_s = timed(generators, sample, grid)
    rows = []
    for way, settings in ways:
        (masks, points), seconds = timed(generators, sample, settings)
        rows.append(
            Row(
                way,
                sample.kind,
                sample.name,
                points,
                whole_points,
                len(masks),
                n_found(masks, whole.rles, SAME_IOU),
                len(whole),
                n_found(masks, sample.objects, OBJECT_IOU),
                n_found(whole, sample.objects, OBJECT_IOU),
                seconds,
                whole_s,
            )
        )
    return rows


def timed(
    generators: Generators, sample: Sample, settings: GridSettings
) -> tuple[tuple[MaskSet, int], float]:
    """The masks and the number of points of a run, and its CPU seconds."""
    start = time.process_time()
    result = generators.ours(sample.image_rgb_hwc, settings)
    return (result.masks, result.filter_counts.points), time.process_time() - start


def told(row: Row) -> str:
    """One picture in one line."""
    return (
        f"{row.name}: {row.way}: {row.points} points, {row.same} of {row.all_masks} masks, "
        f"{row.objects} objects instead of {row.all_objects}, {row.cpu_s:.2f} s instead of "
        f"{row.all_cpu_s:.2f} s"
    )


def table(rows: Sequence[Row], side: int) -> str:
    """Means and sums over the pictures of a kind."""
    lines = [
        f"Compared with {side} x {side}, all points:",
        "",
        "| pictures | grid | points (least, most) | masks found again | the worst picture "
        "| other masks | objects found | CPU time |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for kind in (SCENES, PHOTOS):
        for way in dict.fromkeys(row.way for row in rows):
            some = [row for row in rows if (row.kind, row.way) == (kind, way)]
            if some:
                lines.append(f"| {len(some)} {kind} | {way} | {_figures(some)} |")
    return "\n".join(lines)


def _figures(rows: Sequence[Row]) -> str:
    """The cells of a line."""
    shares = [row.points / row.all_points for row in rows]
    same, wanted = sum(row.same for row in rows), sum(row.all_masks for row in rows)
    worst = min(rows, key=lambda row: row.same / row.all_masks if row.all_masks else 1.0)
    objects, all_objects = (
        sum(getattr(row, key) for row in rows) for key in ("objects", "all_objects")
    )
    seconds, all_seconds = (
        sum(getattr(row, key) for row in rows) for key in ("cpu_s", "all_cpu_s")
    )
    return " | ".join(
        [
            f"{np.mean(shares):.0%} ({min(shares):.0%}, {max(shares):.0%})",
            f"{same / max(wanted, 1):.1%} of {wanted}",
            f"{worst.same} of {worst.all_masks}",
            f"{sum(row.masks for row in rows) - same}",
            f"{objects} instead of {all_objects}" if all_objects else "-",
            f"{seconds / all_seconds:.0%} ({seconds:.0f} s of {all_seconds:.0f} s)",
        ]
    )


if __name__ == "__main__":
    main()
