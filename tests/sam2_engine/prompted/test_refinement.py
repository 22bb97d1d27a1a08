"""Which earlier answer an object goes on from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage import data

from infer_segment_anything_2.prompts import ObjectPrompt
from infer_segment_anything_2.sam2_engine.decoder.mask_decoder import FastMaskDecoder
from infer_segment_anything_2.sam2_engine.image.embedding import embed_image
from infer_segment_anything_2.sam2_engine.prompted.prediction import predict
from infer_segment_anything_2.sam2_engine.prompted.refinement import Answered, starts_for
from infer_segment_anything_2.sam2_engine.settings import PredictionSettings
from tests.networks import meta_predictor, nano_network

BOX = (0.0, 0.0, 9.0, 9.0)
ONE = ObjectPrompt(((1, 2),), (1,))
BOXED = ObjectPrompt(((3, 4),), (1,), BOX)
START = torch.full((4, 4), -1.0)
ANSWERED = Answered(
    "picture", (ONE, BOXED), (None, START), torch.stack([torch.zeros(4, 4), torch.ones(4, 4)])
)


def start(prompt: ObjectPrompt) -> torch.Tensor | None:
    (found,) = starts_for([prompt], "picture", ANSWERED)
    return found


class TestStartsFor:
    @pytest.mark.parametrize(
        ("prompt", "answer"),
        [
            pytest.param(ObjectPrompt(((1, 2), (5, 5)), (1, 0)), 0, id="a further point"),
            pytest.param(ObjectPrompt(((5, 5), (1, 2)), (0, 1)), 0, id="in any order"),
            pytest.param(ObjectPrompt(((3, 4), (5, 5)), (1, 1), BOX), 1, id="with a box"),
        ],
    )
    def test_goes_on_from_the_answer(self, prompt: ObjectPrompt, answer: int) -> None:
        found = start(prompt)
        assert found is not None
        assert found.eq(answer).all()

    @pytest.mark.parametrize(
        "prompt",
        [
            pytest.param(ObjectPrompt(((1, 3), (5, 5)), (1, 1)), id="another point"),
            pytest.param(ObjectPrompt(((1, 2), (5, 5)), (0, 1)), id="another label"),
            pytest.param(ObjectPrompt(((3, 4), (5, 5)), (1, 1), (0, 0, 8, 9)), id="another box"),
        ],
    )
    def test_starts_anew(self, prompt: ObjectPrompt) -> None:
        assert start(prompt) is None

    def test_gives_the_same_question_the_same_start(self) -> None:
        assert starts_for([ONE, BOXED], "picture", ANSWERED) == [None, START]

    def test_starts_anew_on_another_picture_and_at_first(self) -> None:
        assert starts_for([ONE, BOXED], "another", ANSWERED) == [None, None]
        assert starts_for([ONE], "picture", None) == [None]


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is:FutureWarning")
class TestGoingOn:
    def test_equals_metas_predictor_with_its_low_resolution_masks(self) -> None:
        network = nano_network()
        image = np.ascontiguousarray(data.coffee()[:402:3, ::3])
        points = ((120.0, 80.0), (20.0, 30.0))
        predictor = meta_predictor(network)
        predictor.set_image(image)
        three, scores, logits = predictor.predict(
            np.array(points[:1]), np.array([1]), multimask_output=True
        )
        best = int(scores.argmax())
        theirs, _, _ = predictor.predict(
            np.array(points),
            np.array([1, 0]),
            mask_input=logits[best][None],
            multimask_output=False,
        )
        prefer_stable = bool(network.sam_mask_decoder.dynamic_multimask_via_stability)
        decoder = FastMaskDecoder(network)
        prepared = decoder.prepare(embed_image(network, image))
        ask = (decoder, prepared)
        first = predict(*ask, [ObjectPrompt(points[:1], (1,))], PredictionSettings(True))
        assert np.count_nonzero(first.ranked[0].to_dense()[0] != three[best].astype(bool)) <= 2
        second = predict(
            *ask,
            [ObjectPrompt(points, (1, 0)), ObjectPrompt(points[:1], (1,))],
            PredictionSettings(prefer_stable=prefer_stable),
            start_logits=[first.low_res_logits_nhw[0], None],
        )
        mine = second.ranked[0].to_dense()[0]
        assert np.count_nonzero(mine != theirs[0].astype(bool)) <= 2
