"""What was given counts beside a preset, whatever its value."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import pytest

from infer_segment_anything_2.parameters import PRESETS, ROWS, Parameters

THOROUGH = PRESETS["thorough"]


def used(parameters: Parameters, *keys: str) -> list[object]:
    """The values that a run uses."""
    return [parameters.with_preset().value_of(key) for key in keys]


class TestPreset:
    @pytest.mark.parametrize(
        "parameters",
        [
            pytest.param(
                Parameters.from_strings({"preset": "thorough", "points_per_side": "32"}), id="texts"
            ),
            pytest.param(Parameters(preset="thorough", points_per_side=32), id="built"),
            pytest.param(
                Parameters.from_strings(
                    {"preset": "thorough"}, Parameters.from_strings({"points_per_side": "32"})
                ),
                id="one after the other",
            ),
            pytest.param(
                Parameters.from_strings(
                    {"cuda": "off"}, Parameters(preset="thorough", points_per_side=32)
                ),
                id="with a change of something else",
            ),
        ],
    )
    def test_leaves_a_default_that_was_given(self, parameters: Parameters) -> None:
        again = Parameters.from_strings(parameters.to_strings())
        for values in (
            parameters,
            parameters.with_preset(),
            copy.deepcopy(parameters),
            pickle.loads(pickle.dumps(parameters)),
            again,
            Parameters.from_strings(again.to_strings()),
        ):
            assert used(values, "points_per_side", "crop_n_layers", "iou_thresh") == [32, 1, 0.7]
        assert used(again, *THOROUGH) == used(parameters, *THOROUGH)

    def test_sets_what_was_not_given(self) -> None:
        for values in (
            Parameters(preset="thorough"),
            Parameters.from_strings({"preset": "thorough"}),
            replace(Parameters(), preset="thorough"),
            # A map of everything, as hosts and old workflows have it, says nothing of defaults.
            Parameters.from_strings({**Parameters().to_strings(), "preset": "thorough"}),
        ):
            assert used(values, *THOROUGH) == list(THOROUGH.values())
            assert values.to_strings()["preset"] == "thorough"

    def test_sets_again_what_was_taken_back(self) -> None:
        given = Parameters.from_strings({"preset": "fast", "points_per_side": "32"})
        assert used(given, "points_per_side") == [32]
        taken_back = Parameters.from_strings({"points_per_side": ""}, given)
        assert used(taken_back, "points_per_side") == [16]

    @pytest.mark.parametrize("key", ["iou_thres", "iou_thresh"])
    def test_leaves_a_value_given_under_its_other_name(self, key: str) -> None:
        values = Parameters.from_strings({"preset": "thorough", key: "0.8"})
        assert used(values, "iou_thresh", "iou_thres") == [0.8, 0.8]


class TestGiven:
    def test_is_what_was_set(self) -> None:
        assert Parameters().given == frozenset()
        assert Parameters(cuda=True).given == {"cuda"}
        assert Parameters.from_strings({"cuda": "True", "input_box": ""}).given == {"cuda"}
        assert Parameters("sam2_demo_nano").given == {"model_name"}

    def test_is_no_part_of_equality(self) -> None:
        assert Parameters(cuda=True) == Parameters()
        assert hash(Parameters(cuda=True)) == hash(Parameters())

    def test_of_a_full_map_is_what_differs(self) -> None:
        full = {row.key: row.format(row.default) for row in ROWS} | {"points_per_side": "8"}
        assert Parameters.from_strings(full).given == {"points_per_side"}

    def test_either_name_of_one_value_sets_both(self) -> None:
        built = Parameters(iou_thres=0.5)
        assert (built.iou_thresh, built.given) == (0.5, frozenset({"iou_thres", "iou_thresh"}))
