"""What a training run sees: scene after scene with its prompts, each from its number alone."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from training.composites import draw_composite
from training.objective import PromptBatch
from training.opencv import cv2
from training.photograph_scenes import draw_photograph
from training.picture_bank import load_bank
from training.prompts import ScenePrompts, draw_prompts
from training.scenes import SCENE_SIZE_PX, Scene, draw_scene

# Scenes below this seed are for evaluation only.
FIRST_TRAINING_SEED = 1_000_000


@dataclass(frozen=True)
class SceneSource:
    """Where scenes come from.

    Attributes:
        seed: Of the run.
        composites: Share of scenes that are made of real pictures.
        photographs: Share of scenes that are photographs; what is left is drawn.
        bank: Folder of the real pictures.
        labelled: Folder of photographs with a teacher's masks.
        size_px: Side of the network's input.
    """

    seed: int
    composites: float
    photographs: float
    bank: Path
    labelled: Path
    size_px: int

    def scene(self, number: int, rng: np.random.Generator) -> Scene:
        """Draws the scene of a number.

        Drawn scenes are drawn as small as evaluation's or as large as the input, and enlarged:
        users' pictures are of all sizes too.
        """
        seed = FIRST_TRAINING_SEED + self.seed * 100_000_000 + number
        kind = rng.random()
        if kind < self.composites:
            return draw_composite(seed, load_bank(self.bank), self.size_px)
        if kind < self.composites + self.photographs:
            return draw_photograph(seed, self.labelled, self.size_px)
        smallest = min(SCENE_SIZE_PX, self.size_px)
        return enlarged(
            draw_scene(seed, int(rng.integers(smallest, self.size_px + 1))), self.size_px
        )


def enlarged(scene: Scene, size_px: int) -> Scene:
    """Scales a scene and its masks to a side of so many pixels."""
    size = (size_px, size_px)

    def ids(ids_hw: Any) -> Any:
        return cv2.resize(ids_hw, size, interpolation=cv2.INTER_NEAREST_EXACT)

    image = cv2.resize(scene.image_hwc, size, interpolation=cv2.INTER_LINEAR)
    return replace(
        scene,
        image_hwc=image,
        object_ids_hw=ids(scene.object_ids_hw),
        part_ids_hw=ids(scene.part_ids_hw),
    )


class PromptDataset(Dataset[ScenePrompts]):
    """Scenes of one process, from some step on, with their prompts; drawn when asked for.

    Args:
        source: Of the scenes.
        prompts: Clicks and boxes on each scene.
        numbers: Numbers of this process's scenes.
    """

    def __init__(self, source: SceneSource, prompts: tuple[int, int], numbers: range) -> None:
        self.source = source
        self.prompts = prompts
        self.numbers = numbers

    def __len__(self) -> int:
        """Scenes left until the last step."""
        return len(self.numbers)

    def __getitem__(self, index: int) -> ScenePrompts:
        """Draws the scene at a place in what is left."""
        number = self.numbers[index]
        rng = np.random.default_rng([self.source.seed, number])
        return draw_prompts(self.source.scene(number, rng), rng, *self.prompts)


def collate(scenes: list[ScenePrompts]) -> PromptBatch:
    """Puts the prompts of several scenes into one batch."""

    def stacked(arrays: list[Any]) -> Tensor:
        return torch.from_numpy(np.concatenate(arrays))

    return PromptBatch(
        images_bhwc=torch.from_numpy(np.stack([s.image_hwc for s in scenes])),
        clicks_n12=stacked([s.clicks_nx2 for s in scenes])[:, None],
        click_masks_nhw=stacked([s.click_masks_nhw for s in scenes]).float() / 255,
        click_others_nhw=stacked([s.click_others_nhw for s in scenes]).float() / 255,
        boxes_n22=stacked([s.boxes_nx4 for s in scenes]).reshape(-1, 2, 2),
        box_masks_nhw=stacked([s.box_masks_nhw for s in scenes]).float() / 255,
    )
