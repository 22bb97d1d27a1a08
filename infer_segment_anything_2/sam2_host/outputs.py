"""From masks to the host's outputs: the only place that knows its IO classes' ways.

The host merges the masks of an instance output with a bitwise OR of 8-bit class indices, which
mixes labels where masks overlap and ends at 255. And its automatic saving names files by task and
input only, so that outputs of one type overwrite each other. The classes here paint from the
masks themselves, and save under names of their own.

While a video runs, the host puts its own video class in the place of every output that is a
picture, and its own picture class when it is over: :func:`restored` makes ours of that again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ikomia import core, dataprocess
from ikomia.dataprocess.io.datadictIO import DataDictIO
from PIL import Image

from infer_segment_anything_2.errors import ImageError
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet
from infer_segment_anything_2.sam2_engine.masks.rle import draw
from infer_segment_anything_2.sam2_results.outcome import Segmentation
from infer_segment_anything_2.sam2_results.painting import paint_labels, paint_overlay

__all__ = [
    "MOST_HOST_BYTES",
    "InstanceMasksIO",
    "LabelPictureIO",
    "PictureIO",
    "RecordsIO",
    "numbered",
    "overlay_rgba",
    "painted",
    "restored",
    "show_labels",
]

MOST_HOST_BYTES = 4 * 2**30
"""What the masks of one run may take in the host: 350 of 12 megapixels."""

# A thing, in the host's words, as opposed to background stuff.
_THING = 0
# What belongs to a mask, in the masks that the host keeps.
_WHITE = 255
# Of a layer: what is made of so many lines of a large picture stays in the processor's cache.
_ROWS_AT_ONCE = 64


class InstanceMasksIO(dataprocess.CInstanceSegmentationIO):
    """Instance masks of one rank.

    Attributes:
        masks: What is shown, None before the first run.
        colours_rgb: The colour of each mask, N x 3; None before the first run.
        rank: 1 for the best masks, 2 and 3 for the further proposals.
    """

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.masks: MaskSet | None = None
        self.colours_rgb: npt.NDArray[np.uint8] | None = None
        self.rank = rank
        self.name = "Masks" if rank == 1 else f"Masks, rank {rank}"
        self.description = (
            "The best mask of each object."
            if rank == 1
            else f"The mask of rank {rank} of each object, when multimask_output is on."
        )

    def show(
        self,
        task_name: str,
        masks: MaskSet,
        categories: Sequence[str],
        colours_rgb: npt.NDArray[np.uint8],
        limit_bytes: int = MOST_HOST_BYTES,
    ) -> int:
        """Replaces the content.

        Args:
            task_name: The name of the task that made the masks.
            masks: One instance each, the first ones first where not all fit.
            categories: The class name of each mask.
            colours_rgb: The colour of each mask, N x 3.
            limit_bytes: The host keeps every mask at the picture's size; so many bytes of it.

        Returns:
            How many masks did not fit. They are in ``masks`` all the same, and so painted.
        """
        height, width = masks.image_hw
        self.clear_data()
        self.init(task_name, 0, width, height)
        names = list(dict.fromkeys(categories))
        colours = colours_rgb.tolist()
        room = max(1, limit_bytes // (height * width))
        for index, category in enumerate(categories[:room]):
            x1, y1, x2, y2 = masks.boxes_xyxy_px[index].tolist()
            self.add_object(
                index,
                _THING,
                names.index(category),
                category,
                float(masks.predicted_iou[index]),
                float(x1),
                float(y1),
                float(x2 - x1 + 1),
                float(y2 - y1 + 1),
                draw(masks.rles[index].counts, masks.image_hw, _WHITE),
                colours[index],
            )
        # Last: adding the first object clears what was there.
        self.masks, self.colours_rgb = masks, colours_rgb
        return max(0, len(masks) - room)

    def clear_data(self) -> None:
        """Forgets the masks."""
        self.masks = self.colours_rgb = None
        super().clear_data()

    def save(self, path: str) -> None:
        """Saves as JSON; a further rank puts its number into the name, and saves only masks."""
        if self.rank == 1:
            super().save(str(_own_frame(path)))
        elif self.masks is not None and len(self.masks) > 0:
            super().save(str(_renamed(_own_frame(path), f"_rank{self.rank}")))


class LabelPictureIO(dataprocess.CImageIO):
    """A picture of labels: one integer per mask, 0 = background.

    Attributes:
        masks: What is shown, None before the first run.
        colours_rgb: The colour of each mask, N x 3; None before the first run.
    """

    def __init__(self) -> None:
        super().__init__(core.IODataType.IMAGE_LABEL, "Labels")
        self.masks: MaskSet | None = None
        self.colours_rgb: npt.NDArray[np.uint8] | None = None
        self.description = "One integer per mask, the smaller on top, 0 = background."

    def clear_data(self) -> None:
        """Forgets the labels."""
        self.masks = self.colours_rgb = None
        super().clear_data()

    def save(self, path: str) -> None:
        """Saves as PNG of 8 or 16 bits, beside the picture that has the name ``path``."""
        labels_hw = self.get_image()
        if labels_hw is not None:
            widest = np.uint8 if labels_hw.max(initial=0) <= np.iinfo(np.uint8).max else np.uint16
            Image.fromarray(labels_hw.astype(widest)).save(_renamed(Path(path), "_labels", ".png"))


class PictureIO(dataprocess.CImageIO):
    """The picture; paints our own masks over itself without mixing them."""

    def __init__(self) -> None:
        super().__init__(core.IODataType.IMAGE, "Picture")
        self.description = "The picture, as 8-bit RGB."

    def get_image_with_mask(self, masks_io: Any) -> npt.NDArray[np.uint8]:
        """Paints masks over the picture.

        Args:
            masks_io: One of this task's mask or label outputs, or any other that the host knows.
        """
        if getattr(masks_io, "masks", None) is None and self.get_image() is not None:
            by_host: npt.NDArray[np.uint8] = super().get_image_with_mask(masks_io)
            return by_host
        return painted(self.get_image(), masks_io)


class RecordsIO(DataDictIO):
    """One record per mask, and what the run did, as a data dict."""

    def __init__(self) -> None:
        super().__init__()
        self.name = "Records"
        self.description = "One COCO-style record per mask, and a summary of the run."

    def show(self, data: dict[str, Any]) -> None:
        """Replaces the content; JSON types only."""
        self.data = data

    def clear_data(self) -> None:
        """Forgets the records, and leaves those that were handed out to whoever has them."""
        self.data = {}

    def save(self, path: str) -> None:
        """Saves as JSON beside the masks that have the name ``path``."""
        super().save(str(_renamed(_own_frame(path), "_records", ".json")))


def restored(host_io: Any, own_class: type[PictureIO | LabelPictureIO], *, auto_save: bool) -> Any:
    """Our own output for the one that the host put in its place, ours where it is still there.

    During a video it stays the host's, which can write videos; it only gets our name back.

    Args:
        host_io: What is there now.
        own_class: What should be there.
        auto_save: Whether the host is to save it.
    """
    own = own_class()
    if isinstance(host_io, own_class):
        return host_io
    if host_io.data_type != own.data_type:
        host_io.name, host_io.description = own.name, own.description
        return host_io
    own.auto_save = auto_save
    own.copy_static_data(host_io)
    return own


def show_labels(
    output: dataprocess.CImageIO,
    masks: MaskSet,
    colours_rgb: npt.NDArray[np.uint8],
    labels_hw: npt.NDArray[np.integer] | None = None,
) -> None:
    """Replaces the content of the label output, whichever class it is of now.

    Args:
        output: Ours, or the host's during a video.
        masks: One label each.
        colours_rgb: The colour of each mask, N x 3.
        labels_hw: The masks as ``paint_labels`` paints them, where that is done already.
    """
    output.set_image(paint_labels(masks) if labels_hw is None else labels_hw)
    if isinstance(output, LabelPictureIO):
        output.masks, output.colours_rgb = masks, colours_rgb
    else:
        # Video formats change pixels a little, which makes other labels of labels. The records are
        # saved for every frame.
        output.auto_save = False


def numbered(
    labels_hw: npt.NDArray[np.integer], segmentation: Segmentation
) -> npt.NDArray[np.integer]:
    """Labels of masks as labels of objects, where these have numbers: in a tracked video."""
    if segmentation.video is None:
        return labels_hw
    tracks, owners = segmentation.video.tracks, segmentation.ranked[0].object_index
    numbers = np.array([0, *(tracks[owner].track_id for owner in owners)])
    numbered_hw: npt.NDArray[np.integer] = numbers.astype(np.min_scalar_type(numbers.max()))[
        labels_hw
    ]
    return numbered_hw


def painted(
    image_rgb_hwc: npt.NDArray[np.uint8] | None, masks_io: InstanceMasksIO | LabelPictureIO
) -> npt.NDArray[np.uint8]:
    """A picture with the masks of an output over it, each in its own colour, the smaller on top.

    Raises:
        ImageError: There is no picture: nothing was run yet, or the run failed.
    """
    if image_rgb_hwc is None:
        raise ImageError(
            "There is no result to paint yet, expected one of a run; run the workflow first, and "
            "look at its error if it failed."
        )
    masks = masks_io.masks
    if masks is None:
        return image_rgb_hwc.copy()
    return paint_overlay(image_rgb_hwc, masks, colours_rgb=masks_io.colours_rgb)


def overlay_rgba(
    masks: MaskSet,
    colours_rgb: npt.NDArray[np.uint8],
    labels_hw: npt.NDArray[np.integer] | None = None,
) -> npt.NDArray[np.uint8]:
    """The masks as a layer for Studio: H x W x 4 uint8, transparent where there is none.

    Args:
        masks: What is shown.
        colours_rgb: The colour of each mask, N x 3.
        labels_hw: The masks as ``paint_labels`` paints them, where that is done already.
    """
    colours = np.zeros((len(masks) + 1, 4), np.uint8)
    colours[1:, :3] = colours_rgb
    colours[1:, 3] = 255
    if labels_hw is None:
        labels_hw = paint_labels(masks)
    layer_hw = np.zeros(labels_hw.shape, np.uint32)  # all four bytes of a pixel at once
    if len(masks):
        left, top = masks.boxes_xyxy_px[:, :2].min(axis=0).astype(int)
        right, bottom = masks.boxes_xyxy_px[:, 2:].max(axis=0).astype(int)
        seen = slice(top, bottom + 1), slice(left, right + 1)
        _colour(labels_hw[seen], colours.view(np.uint32)[:, 0], layer_hw[seen])
    return layer_hw.view(np.uint8).reshape(*labels_hw.shape, 4)


def _colour(
    labels_hw: npt.NDArray[np.integer],
    colours: npt.NDArray[np.uint32],
    layer_hw: npt.NDArray[np.uint32],
) -> None:
    """Writes the colour of each label; of a single mask, as after a click, in half the time."""
    if len(colours) == 2:  # the background's 0, and one
        np.multiply(labels_hw, colours[1], out=layer_hw)
        return
    for top in range(0, len(labels_hw), _ROWS_AT_ONCE):
        rows = slice(top, top + _ROWS_AT_ONCE)
        layer_hw[rows] = colours.take(labels_hw[rows])


def _renamed(path: Path, suffix: str, extension: str | None = None) -> Path:
    """The path with something put behind the name, before the extension."""
    return path.with_name(path.stem + suffix + (path.suffix if extension is None else extension))


def _own_frame(path: str) -> Path:
    """The path of a video's frame under a number that no other frame has.

    The host saves each frame as "<output>_<index>/<number>.json" and puts them together when the
    video is over; but behind another task the number is the same for all frames.
    """
    asked = Path(path)
    is_frame = re.fullmatch(r"\d{6}", asked.stem) and re.search(r"_\d$", asked.parent.name)
    if not is_frame or not any(asked.parent.glob(f"{asked.stem}*")):
        return asked
    return asked.with_stem(f"{sum(1 for _ in asked.parent.iterdir()):06d}")
