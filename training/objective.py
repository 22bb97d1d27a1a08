"""What the network is asked and how its answers are judged: a training step up to the loss."""

from dataclasses import dataclass

import torch
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor
from torch.nn.functional import (
    avg_pool2d,
    binary_cross_entropy_with_logits,
    interpolate,
    smooth_l1_loss,
)

from training.network import Decoded, Embedding, decode, embed, normalise

# Cells (of 64x64) added to the area that a mask's cross-entropy is divided by: small masks count
# about as much as large ones, yet a single cell is not blown up.
_AREA_FLOOR = 48.0
_MEAN_SHARE = 0.05
_KEEP_MASK_PROMPT = 0.75
_CORRECTION_WEIGHT = 0.5
_MASK_PROMPT_WEIGHT = 0.4
# How far a mask prompt strays from the mask: standard deviation of its shift, most of its blur.
_ROUGH_SHIFT_CELLS = 1.5
_ROUGH_BLUR_CELLS = 3


@dataclass(frozen=True)
class PromptBatch:
    """Prompts on B pictures, C clicks and R boxes on each; prompts of one picture lie together.

    Attributes:
        images_bhwc: RGB, uint8.
        clicks_n12: (B*C)x1x2 points in pixels.
        click_masks_nhw: (B*C)x128x128 covered shares, 0 to 1.
        click_others_nhw: The other mask at the point; all zero where there is none.
        boxes_n22: (B*R)x2x2 corners in pixels.
        box_masks_nhw: (B*R)x128x128 covered shares, 0 to 1.
    """

    images_bhwc: Tensor
    clicks_n12: Tensor
    click_masks_nhw: Tensor
    click_others_nhw: Tensor
    boxes_n22: Tensor
    box_masks_nhw: Tensor


@dataclass
class _Questions:
    """Prompts of one kind while they collect correction clicks."""

    picture_of_n: Tensor
    points_nkx2: Tensor
    labels_nk: Tensor
    masks_nhw: Tensor

    def some(self, keep: int, pictures: int) -> "_Questions":
        """Keeps the first `keep` prompts of every picture."""
        each = len(self.picture_of_n) // pictures
        rows = torch.arange(len(self.picture_of_n), device=self.picture_of_n.device).reshape(
            pictures, each
        )
        rows = rows[:, :keep].reshape(-1)
        return _Questions(
            self.picture_of_n[rows],
            self.points_nkx2[rows],
            self.labels_nk[rows],
            self.masks_nhw[rows],
        )


@dataclass
class StepFigures:
    """Loss of a step, to be differentiated, and the means to report."""

    loss: Tensor
    click_best_iou: float
    click_single_iou: float
    box_iou: float
    corrected_iou: float


def training_step(
    network: SAM2Base, batch: PromptBatch, correct: tuple[int, int], generator: torch.Generator
) -> StepFigures:
    """Asks about all prompts of a batch, then twice about some of them with a correction click.

    Args:
        network: The network.
        batch: Prompts and answers.
        correct: How many clicks (and half as many boxes) of a picture get a first and a second
            correction.
        generator: Source of the correction clicks.

    Returns:
        The loss and the mean IoU of the answers.
    """
    embedding = embed(network, normalise(batch.images_bhwc))
    pictures = len(batch.images_bhwc)
    clicks = _questions(batch.clicks_n12, 1, batch.click_masks_nhw, pictures)
    boxes = _questions(batch.boxes_n22, 2, batch.box_masks_nhw, pictures)

    click_answer = _ask(network, embedding, clicks)
    click_loss, click_ious = _click_loss(
        click_answer, batch.click_masks_nhw, batch.click_others_nhw
    )
    box_answer = _ask(network, embedding, boxes)
    box_loss, box_ious = _known_object_loss(box_answer, batch.box_masks_nhw, candidates=0.3)
    loss = click_loss + box_loss + _mask_prompt_loss(network, embedding, boxes, generator)

    corrected = []
    chosen = 1 + click_answer.scores[:, 1:].argmax(dim=1)
    rounds = [(clicks, _pick(click_answer.logits, chosen)), (boxes, box_answer.logits[:, :1])]
    for keep in filter(None, correct):
        following = []
        for kind, (questions, previous) in enumerate(rounds):
            kept = max(keep // (1 + kind), 1)
            answered, asked, part = _correct(
                network, embedding, questions, previous, kept, pictures, generator
            )
            loss = loss + _CORRECTION_WEIGHT * part[0]
            corrected.append(part[1][:, 0].mean())
            following.append((asked, answered.logits[:, :1]))
        rounds = following
    return StepFigures(
        loss=loss,
        click_best_iou=float(click_ious[:, 1:].amax(dim=1).mean()),
        click_single_iou=float(click_ious[:, 0].mean()),
        box_iou=float(box_ious[:, 0].mean()),
        corrected_iou=float(torch.stack(corrected).mean()) if corrected else 0.0,
    )


def _questions(
    points_nkx2: Tensor, first_label: int, masks_nhw: Tensor, pictures: int
) -> _Questions:
    n, k = points_nkx2.shape[:2]
    labels = torch.arange(
        first_label, first_label + k, device=points_nkx2.device, dtype=torch.int32
    )
    picture_of_n = torch.arange(pictures, device=points_nkx2.device).repeat_interleave(
        n // pictures
    )
    return _Questions(picture_of_n, points_nkx2, labels.expand(n, k), masks_nhw)


def _mask_prompt_loss(
    network: SAM2Base, embedding: Embedding, questions: _Questions, generator: torch.Generator
) -> Tensor:
    """Asks for one mask a picture by a rough copy of it and no point, as a tracked object is."""
    asked = questions.some(1, len(embedding.features))
    size = network.sam_prompt_encoder.mask_input_size[-1]
    rough = rough_logits(_to_size(asked.masks_nhw, size), generator)
    n = len(rough)
    nowhere = torch.zeros((n, 1, 2), device=rough.device)
    no_label = torch.full((n, 1), -1, device=rough.device, dtype=torch.int32)
    answer = decode(network, embedding, asked.picture_of_n, nowhere, no_label, rough)
    loss, _ = _known_object_loss(answer, asked.masks_nhw, candidates=0.3)
    return _MASK_PROMPT_WEIGHT * loss


def rough_logits(masks_nhw: Tensor, generator: torch.Generator) -> Tensor:
    """Makes mask prompts out of right answers: shifted, swollen or shrunk, and blurred.

    Args:
        masks_nhw: Covered shares, 0 to 1.
        generator: CPU generator.

    Returns:
        Nx1xhxw logits; where they are above zero differs from the masks by some cells.
    """
    rough = torch.empty_like(masks_nhw)
    for k, mask in enumerate(masks_nhw):
        dy, dx = (torch.randn(2, generator=generator) * _ROUGH_SHIFT_CELLS).round().int().tolist()
        width = 1 + 2 * int(torch.randint(0, _ROUGH_BLUR_CELLS + 1, (), generator=generator))
        level = float(torch.empty(()).uniform_(0.3, 0.7, generator=generator))
        moved = torch.roll(mask, (dy, dx), dims=(0, 1))
        blurred = avg_pool2d(moved[None, None], width, 1, width // 2, count_include_pad=False)
        rough[k] = blurred[0, 0] - level
    strength = torch.empty(len(rough)).uniform_(6, 30, generator=generator).to(rough.device)
    return (rough * strength[:, None, None])[:, None]


def _ask(network: SAM2Base, embedding: Embedding, questions: _Questions) -> Decoded:
    return decode(
        network, embedding, questions.picture_of_n, questions.points_nkx2, questions.labels_nk
    )


def _pick(logits_nmhw: Tensor, which_n: Tensor) -> Tensor:
    return logits_nmhw[torch.arange(len(which_n), device=which_n.device), which_n][:, None]


def _correct(
    network: SAM2Base,
    embedding: Embedding,
    questions: _Questions,
    previous_n1hw: Tensor,
    keep: int,
    pictures: int,
    generator: torch.Generator,
) -> tuple[Decoded, _Questions, tuple[Tensor, Tensor]]:
    """Adds a click in the wrong region of some earlier answers and asks again."""
    each = len(questions.picture_of_n) // pictures
    keep = min(keep, each)
    earlier = previous_n1hw.detach().unflatten(0, (pictures, each))[:, :keep].flatten(0, 1)
    kept = questions.some(keep, pictures)
    cell_px = network.image_size / earlier.shape[-1]
    point, label = draw_correction(
        earlier[:, 0], _to_size(kept.masks_nhw, earlier.shape[-1]), cell_px, generator
    )
    asked = _Questions(
        kept.picture_of_n,
        torch.cat([kept.points_nkx2, point[:, None]], dim=1),
        torch.cat([kept.labels_nk, label[:, None]], dim=1),
        kept.masks_nhw,
    )
    use = torch.rand(len(earlier), generator=generator).to(earlier.device) < _KEEP_MASK_PROMPT
    answered = decode(
        network, embedding, asked.picture_of_n, asked.points_nkx2, asked.labels_nk, earlier, use
    )
    return answered, asked, _known_object_loss(answered, kept.masks_nhw, candidates=0.15)


def draw_correction(
    logits_nhw: Tensor, masks_nhw: Tensor, cell_px: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draws a click among the wrongly answered cells of each mask.

    Cells whose neighbours are wrong too are preferred, as people click into the middle of an error.

    Args:
        logits_nhw: Earlier answers.
        masks_nhw: Right answers on the same cells, covered shares.
        cell_px: Width of a cell in pixels.
        generator: CPU generator.

    Returns:
        Nx2 points in pixels and N labels: 1 where something was missed, 0 where too much was taken.
        Without any error the click falls on a cell of the mask.
    """
    n, _, width = logits_nhw.shape
    wanted = masks_nhw > 0.5
    wrong = (logits_nhw > 0) != wanted
    weight = avg_pool2d(wrong.float()[:, None], 3, stride=1, padding=1)[:, 0] ** 2 * wrong
    weight = weight + 1e-6 * masks_nhw + 1e-12
    cells = torch.multinomial(weight.flatten(1).cpu(), 1, generator=generator)[:, 0].to(
        logits_nhw.device
    )
    label = wanted.flatten(1)[torch.arange(n, device=cells.device), cells].to(torch.int32)
    jitter = torch.rand((n, 2), generator=generator).to(logits_nhw.device)
    corner = torch.stack([cells % width, cells // width], dim=1)
    return ((corner + jitter) * cell_px - 0.5).float(), label


def _to_size(masks_nhw: Tensor, size: int) -> Tensor:
    return avg_pool2d(masks_nhw, masks_nhw.shape[-1] // size)


def _click_loss(answer: Decoded, masks_nhw: Tensor, others_nhw: Tensor) -> tuple[Tensor, Tensor]:
    """One of three candidates has to fit the mask, one the other mask at the point, if any."""
    size = answer.logits.shape[-1]
    errors = mask_errors(answer.logits, _to_size(masks_nhw, size))
    has_other = others_nhw.flatten(1).any(dim=1)
    ious = true_ious(answer.logits, masks_nhw)
    best = errors[:, 1:].amin(dim=1).sum()
    target = ious.clone()
    if bool(has_other.any()):
        other_logits, other_masks = answer.logits[has_other], others_nhw[has_other]
        best = (
            best + mask_errors(other_logits[:, 1:], _to_size(other_masks, size)).amin(dim=1).sum()
        )
        target[has_other, 1:] = torch.maximum(
            ious[has_other, 1:], true_ious(other_logits, other_masks)[:, 1:]
        )
    n = len(errors)
    loss = best / n + _MEAN_SHARE * errors[:, 1:].mean() + 0.5 * errors[:, 0].mean()
    return loss + _score_loss(answer, target), ious


def _known_object_loss(
    answer: Decoded, masks_nhw: Tensor, candidates: float
) -> tuple[Tensor, Tensor]:
    """The single mask has to fit; the best candidate counts a little."""
    errors = mask_errors(answer.logits, _to_size(masks_nhw, answer.logits.shape[-1]))
    ious = true_ious(answer.logits, masks_nhw)
    loss = errors[:, 0].mean() + candidates * errors[:, 1:].amin(dim=1).mean()
    return loss + _score_loss(answer, ious), ious


def _score_loss(answer: Decoded, ious_nm: Tensor) -> Tensor:
    present = binary_cross_entropy_with_logits(answer.presence, torch.ones_like(answer.presence))
    return 5 * smooth_l1_loss(answer.scores, ious_nm, beta=0.3) + 0.01 * present


def mask_errors(logits_nmhw: Tensor, masks_nhw: Tensor) -> Tensor:
    """Cross-entropy over the mask's own area plus dice loss.

    Args:
        logits_nmhw: M answers to each of N prompts.
        masks_nhw: Right answers on the same cells, covered shares from 0 to 1.

    Returns:
        NxM errors.
    """
    wanted = masks_nhw[:, None].expand_as(logits_nmhw)
    entropy = binary_cross_entropy_with_logits(logits_nmhw, wanted, reduction="none").sum(
        dim=(2, 3)
    )
    area = masks_nhw.sum(dim=(1, 2))[:, None]
    shares = logits_nmhw.sigmoid()
    overlap = (shares * wanted).sum(dim=(2, 3))
    dice = 1 - (2 * overlap + 1) / (shares.sum(dim=(2, 3)) + area + 1)
    return entropy / (area + _AREA_FLOOR) + dice


@torch.no_grad()
def true_ious(logits_nmhw: Tensor, masks_nhw: Tensor) -> Tensor:
    """NxM IoU of the answers, scaled to the masks' size and cut at zero, with the masks."""
    size = masks_nhw.shape[-1]
    answered = interpolate(logits_nmhw, size=(size, size), mode="bilinear", align_corners=False) > 0
    wanted = (masks_nhw > 0.5)[:, None]
    common = (answered & wanted).sum(dim=(2, 3))
    either = (answered | wanted).sum(dim=(2, 3))
    return common / either.clamp(min=1)
