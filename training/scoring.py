"""Asks a network about known masks in every way that is measured, and reckons the figures."""

from dataclasses import dataclass, field, fields

import numpy as np
import torch
from numpy.typing import NDArray
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor
from torch.nn.functional import interpolate

from infer_segment_anything_2.sam2_engine.image.preprocessing import network_input
from training.network import Decoded, Embedding, decode, embed
from training.prompts import BoolMask, MaskMenu, box_of, inner_distance
from training.scenes import Scene

LEAST_AREA_PX = 150
_PROMPTS_PER_SCENE = 8


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
        """Appends the rows of another picture."""
        for row in fields(self):
            getattr(self, row.name).extend(getattr(other, row.name))


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
    """Prompts the network for up to eight masks of a scene; see `score_masks`."""
    return score_masks(network, scene.image_hwc, _asked_masks(scene, rng), rng)


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


def score_masks(
    network: SAM2Base,
    image_hwc: NDArray[np.uint8],
    masks: list[BoolMask],
    rng: np.random.Generator,
) -> PromptScores:
    """Prompts the network for masks of a picture.

    Clicked is a random pixel of the mask that is at least half as deep inside as its deepest one;
    each correction click lands on the deepest pixel of what is wrong, with the earlier answer (at
    first the top-scored one) as mask prompt.

    Args:
        network: In evaluation mode.
        image_hwc: RGB, uint8, of any size.
        masks: HxW masks to ask for.
        rng: Source of the clicks.
    """
    if not masks:
        return PromptScores()
    with torch.inference_mode():
        examinee = _Examinee(network, image_hwc)
        clicks = torch.tensor([_inside_point(m, rng) for m in masks])[:, None]
        return examinee.answers(np.stack(masks), clicks)


class _Examinee:
    """A network that has seen a picture; points are in the picture's pixels."""

    def __init__(self, network: SAM2Base, image_hwc: NDArray[np.uint8]) -> None:
        self.network = network
        self.device = network.no_mem_embed.device
        pixels = network_input(image_hwc, network.image_size)
        self.embedding: Embedding = embed(network, pixels.to(self.device))
        height, width = image_hwc.shape[:2]
        self.size = (height, width)
        self.scale = network.image_size / torch.tensor([width, height], dtype=torch.float32)

    def ask(self, points: Tensor, labels: Tensor, previous: Tensor | None = None) -> Decoded:
        picture = torch.zeros(len(points), dtype=torch.int64, device=self.device)
        scaled = (points * self.scale).to(self.device)
        return decode(
            self.network, self.embedding, picture, scaled, labels.to(self.device), previous
        )

    def masks(self, logits_nmhw: Tensor) -> Tensor:
        full = interpolate(logits_nmhw, size=self.size, mode="bilinear", align_corners=False)
        return (full > 0).cpu()

    def ious(self, logits_nmhw: Tensor, wanted_nhw: Tensor) -> Tensor:
        answered = self.masks(logits_nmhw)
        common = (answered & wanted_nhw[:, None]).sum(dim=(2, 3))
        return common / (answered | wanted_nhw[:, None]).sum(dim=(2, 3)).clamp(min=1)

    def answers(self, masks_nhw: BoolMask, clicks: Tensor) -> PromptScores:
        """Asks by click, by box, and twice by a correction."""
        wanted = torch.from_numpy(masks_nhw)
        labels = torch.ones(clicks.shape[:2], dtype=torch.int32)
        answer = self.ask(clicks, labels)
        ious = self.ious(answer.logits, wanted)
        rows = torch.arange(len(wanted))
        top = 1 + answer.scores[:, 1:].argmax(dim=1).cpu()
        boxes = torch.from_numpy(np.stack([box_of(m) for m in masks_nhw])).reshape(-1, 2, 2)
        corners = torch.tensor([[2, 3]], dtype=torch.int32).expand(len(wanted), 2)
        previous = answer.logits[rows, top][:, None]
        steps = []
        for _ in range(2):
            answered = self.masks(previous)[:, 0].numpy()
            clicks, labels = _with_correction(clicks, labels, answered, masks_nhw)
            previous = self.ask(clicks, labels, previous).logits[:, :1]
            steps.append(self.ious(previous, wanted)[:, 0].tolist())
        return PromptScores(
            best_of_three=ious[:, 1:].amax(dim=1).tolist(),
            top_scored=ious[rows, top].tolist(),
            single=ious[:, 0].tolist(),
            box=self.ious(self.ask(boxes, corners).logits, wanted)[:, 0].tolist(),
            corrected=list(zip(*steps, strict=True)),
            predicted=answer.scores[:, 1:].flatten().tolist(),
            true=ious[:, 1:].flatten().tolist(),
        )


def _inside_point(mask_hw: BoolMask, rng: np.random.Generator) -> tuple[float, float]:
    depth = inner_distance(mask_hw)
    ys, xs = np.nonzero(depth >= 0.5 * depth.max())
    k = int(rng.integers(len(xs)))
    return float(xs[k]), float(ys[k])


def _with_correction(
    clicks: Tensor, labels: Tensor, answered_nhw: BoolMask, wanted_nhw: BoolMask
) -> tuple[Tensor, Tensor]:
    pairs = zip(answered_nhw, wanted_nhw, strict=True)
    points, kinds = zip(*(_worst_point(a, w) for a, w in pairs), strict=True)
    more = torch.tensor(points, dtype=torch.float32)[:, None]
    kind = torch.tensor(kinds, dtype=torch.int32)[:, None]
    return torch.cat([clicks, more], dim=1), torch.cat([labels, kind], dim=1)


def _worst_point(answered_hw: BoolMask, wanted_hw: BoolMask) -> tuple[tuple[float, float], int]:
    """The deepest pixel of what was missed or of what was taken too much, whichever is deeper."""
    missed = inner_distance(wanted_hw & ~answered_hw)
    extra = inner_distance(answered_hw & ~wanted_hw)
    depth = missed if missed.max() >= extra.max() else extra
    if depth.max() == 0:
        depth = inner_distance(wanted_hw)
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return (float(x), float(y)), int(wanted_hw[y, x])
