from pathlib import Path

import numpy as np
import pytest
import torch
from sam2.modeling.sam2_base import SAM2Base

from infer_segment_anything_2.parameters import DEMO_MODEL_NAME, Parameters
from infer_segment_anything_2.segmentation import Segmenter
from training.clips import Clip, draw_clip
from training.evaluate_tracking import TrackScores, boundary_f, score_clip
from training.network import build_network, decode, embed, normalise
from training.picture_bank import Bank
from training.tracking import prepare_memory, trainable
from training.train import make_optimisers
from training.train_memory import (
    PooledClip,
    draw_lesson,
    frames_at,
    jaccard,
    lesson_loss,
    pooled_clip,
)


@pytest.fixture(scope="module")
def network(small_config: Path) -> SAM2Base:
    torch.manual_seed(1)
    built = build_network(small_config)
    trainable(built)
    return built


@pytest.fixture(scope="module")
def pooled(network: SAM2Base, small_bank: Bank) -> PooledClip:
    encoded = pooled_clip(network, draw_clip(3, small_bank, 3, network.image_size))
    prepare_memory(network, encoded.features)
    return encoded


class TestDrawClip:
    def test_depends_on_its_seed_alone(self, small_bank: Bank) -> None:
        first, again = (draw_clip(3, small_bank, 2, 96) for _ in range(2))
        assert np.array_equal(first.images_thwc, again.images_thwc)
        assert np.array_equal(first.object_ids_thw, again.object_ids_thw)

    def test_objects_move(self, small_bank: Bank) -> None:
        clip = draw_clip(4, small_bank, 2, 96)
        assert clip.objects >= 2
        assert int(clip.object_ids_thw.max()) <= clip.objects
        assert not np.array_equal(*clip.object_ids_thw)


class TestLesson:
    @pytest.mark.parametrize(
        "by_mask", [pytest.param(True, id="mask"), pytest.param(False, id="box")]
    )
    def test_a_step_changes_the_memory_and_no_picture(
        self, network: SAM2Base, pooled: PooledClip, by_mask: bool
    ) -> None:
        pixels = normalise(torch.from_numpy(pooled.clip.images_thwc[:1]))
        question = (torch.zeros(1, dtype=torch.int64), torch.full((1, 1, 2), 40.0))
        label = torch.ones(1, 1, dtype=torch.int32)

        def picture_answer() -> torch.Tensor:
            with torch.inference_mode():
                return decode(network, embed(network, pixels), *question, label).logits

        before = picture_answer()
        memory = network.memory_encoder.out_proj.weight.detach().clone()
        free = [p for p in network.parameters() if p.requires_grad]
        lesson = draw_lesson([pooled], np.random.default_rng(1), frames=2, objects=2)
        loss, overlap = lesson_loss(network, lesson, 1.0, by_mask=by_mask)
        loss.backward()
        for optimiser in make_optimisers(free, 1e-2, weight_decay=0.0):
            optimiser.step()
            optimiser.zero_grad()
        assert 0 <= overlap <= 1
        assert torch.equal(picture_answer(), before)
        assert not torch.equal(network.memory_encoder.out_proj.weight, memory)


class TestScoreClip:
    def test_gives_a_row_an_object_and_frame(self, pooled: PooledClip) -> None:
        clip: Clip = pooled.clip
        parameters = Parameters(model_name=DEMO_MODEL_NAME, cuda=False)
        scores = score_clip(Segmenter(asks_again=False), parameters, clip)
        later_frames = len(clip.images_thwc) - 1
        assert len(scores.j) > 0 and len(scores.j) % later_frames == 0
        assert len(scores.j) == len(scores.f) == len(scores.presence) == len(scores.switched)
        assert 0 <= scores.figures()["j_and_f"] <= 1


class TestTrackScores:
    def test_tell_a_mask_that_went_over_to_another_object(self) -> None:
        wanted_nhw = np.zeros((2, 20, 20), bool)
        wanted_nhw[0, :, :8] = wanted_nhw[1, :, 12:] = True
        scores = TrackScores()
        scores.add(wanted_nhw, wanted_nhw, np.ones(2, bool))
        scores.add(np.stack([wanted_nhw[1], wanted_nhw[1]]), wanted_nhw, np.ones(2, bool))
        assert scores.switched == [False, False, True, False]
        assert scores.figures()["identity_switched"] == 0.25


class TestJaccard:
    def test_two_empty_masks_agree(self) -> None:
        empty, full = torch.zeros(1, 4, 4, dtype=torch.bool), torch.ones(1, 4, 4, dtype=torch.bool)
        assert jaccard(empty, empty).item() == 1
        assert jaccard(empty, full).item() == 0


class TestBoundaryF:
    def test_a_small_shift_is_within_tolerance_and_a_large_one_is_not(self) -> None:
        masks = [np.zeros((100, 100), bool) for _ in range(3)]
        for mask, left in zip(masks, (20, 21, 50), strict=True):
            mask[20:60, left : left + 30] = True
        assert boundary_f(masks[0], masks[1]) == pytest.approx(1)
        assert boundary_f(masks[0], masks[2]) < 0.5

    def test_nothing_against_something_is_wrong(self) -> None:
        empty, full = np.zeros((9, 9), bool), np.ones((9, 9), bool)
        assert boundary_f(empty, empty) == 1
        assert boundary_f(empty, full) == 0


class TestFramesAt:
    def test_lessons_grow(self) -> None:
        assert [frames_at(done, 2, 6) for done in (0, 0.6, 0.9)] == [2, 4, 6]
        assert [frames_at(done, 5, 6) for done in (0, 0.6, 0.9)] == [5, 5, 6]
