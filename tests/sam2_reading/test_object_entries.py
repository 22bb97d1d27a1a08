"""`input_objects`: what is understood, and what the errors say."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pycocotools import mask as coco

from infer_segment_anything_2.errors import ImageError, PromptError
from infer_segment_anything_2.parameters import stringify
from infer_segment_anything_2.prompts import ObjectPrompt, PromptMask
from infer_segment_anything_2.sam2_reading.object_entries import MaskSource, objects_from_entries

# pycocotools 2.0 has not followed numpy 2 here.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

MASK = PromptMask(np.eye(3, dtype=bool))


class Masks:
    """Takes note of what was asked for."""

    def __init__(self) -> None:
        self.asked: list[MaskSource] = []

    def __call__(self, source: MaskSource) -> PromptMask:
        self.asked.append(source)
        return MASK


def read(text: object) -> list[ObjectPrompt]:
    return objects_from_entries(stringify({"input_objects": text})["input_objects"], Masks())


class TestWhatIsUnderstood:
    @pytest.mark.parametrize("text", ["", "  ", "None", "[]"])
    def test_nothing(self, text: str) -> None:
        assert read(text) == []

    def test_ragged_objects_with_any_mix(self) -> None:
        first, second, third = read(
            [
                {"box": [1, 2, 30, 40], "category": "cat"},
                {"points": [[5, 6], [7, 8.5], [9, 10]], "labels": [1, 0, 1]},
                {"mask": "a/b.png", "points": [3, 4], "box": [[0, 0, 9, 9]]},
            ]
        )
        assert first == ObjectPrompt(
            box_xyxy_px=(1, 2, 30, 40),
            category="cat",
            key="input_objects",
            name="Object 1 of input_objects",
        )
        assert second.points_xy_px == ((5, 6), (7, 8.5), (9, 10))
        assert second.labels == (1, 0, 1)
        assert second.box_xyxy_px is None
        assert third.points_xy_px == ((3, 4),)
        assert third.labels == (1,)
        assert third.box_xyxy_px == (0, 0, 9, 9)
        assert third.mask == MASK

    @pytest.mark.parametrize(
        "text",
        [
            pytest.param('[{"box": [1, 2, 3, 4]}]', id="JSON"),
            pytest.param('{"box": [1, 2, 3, 4]}', id="a single object"),
            pytest.param("[{'box': [1, 2, 3, 4]}]", id="Python"),
            pytest.param("[{'box': (1, 2, 3, 4), 'points': None}]", id="tuples and None"),
            pytest.param("({'box': [[1, 2, 3, 4]]},)", id="a tuple of nested boxes"),
            pytest.param("[{'box': array([1., 2., 3., 4.], dtype=float32)}]", id="numpy's array"),
            pytest.param("[{'box': [np.float32(1.0), np.int64(2), 3, 4]}]", id="numpy's numbers"),
            pytest.param([{"box": np.array([1, 2, 3, 4])}], id="an array itself"),
        ],
    )
    def test_both_ways_of_writing(self, text: object) -> None:
        assert [prompt.box_xyxy_px for prompt in read(text)] == [(1, 2, 3, 4)]

    def test_masks_of_all_three_kinds(self) -> None:
        masks = Masks()
        encoded = coco.encode(np.asfortranarray(np.eye(5, dtype=np.uint8)))
        as_text = {**encoded, "counts": encoded["counts"].decode()}
        entries: list[object] = [
            {"mask": "some/picture.png"},
            {"mask": as_text},
            {"mask": encoded},
            {"mask": {"size": [2, 3], "counts": [1, 2, 3]}},
        ]
        for text in (stringify({"objects": entries})["objects"], repr(entries)):
            masks.asked.clear()
            objects_from_entries(text, masks)
            assert masks.asked == [
                MaskSource(path="some/picture.png"),
                MaskSource(image_hw=(5, 5), counts=as_text["counts"]),
                MaskSource(image_hw=(5, 5), counts=as_text["counts"]),
                MaskSource(image_hw=(2, 3), counts=(1, 2, 3)),
            ]


class TestErrors:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("[{", "input_objects must be a list of objects such as .* look for a missing quote"),
            ("7", "input_objects must be a list of objects .* between \\[ and \\]"),
            ("[[1, 2, 3, 4]]", "Object 1 of input_objects must be a dict"),
            ('[{"box": [1,2,3,4]}, {}]', "Object 2 of .* must have a box, points or a mask"),
            ('[{"labels": [1]}]', "Object 1 .* must have a box, points or a mask"),
            ('[{"bbox": [1,2,3,4]}]', "Object 1 .* got 'bbox'; did you mean 'box'\\?"),
            ('[{"box": [1, 2, 3]}]', "Object 1 .* its box as finite numbers"),
            ('[{"box": []}]', "Object 1 .* its box as finite numbers"),
            ('[{"box": [1, 2, 3, NaN]}]', "Object 1 .* its box as finite numbers"),
            ('[{"box": [1, 2, 3, true]}]', "Object 1 .* its box as finite numbers"),
            ('[{"box": {"x": 1}}]', "Object 1 .* its box as finite numbers"),
            ('[{"points": [[1, 2], [3]]}]', "Object 1 .* its points as finite numbers"),
            ('[{"points": "here"}]', "Object 1 .* its points as finite numbers"),
            ('[{"points": [[1, 2]], "labels": [2]}]', "labels of 1 .* or 0"),
            ('[{"points": [[1, 2]], "labels": ["1"]}]', "labels of 1 .* or 0"),
            ('[{"points": [[1, 2]], "labels": [1, 0]}]', "one label per point \\(1\\)"),
            ('[{"points": [[1, 2]], "category": ["cat"]}]', "category as text"),
            ('[{"mask": {"size": [2, 2]}}]', "mask as COCO run lengths"),
            ('[{"mask": [[0, 1], [1, 0]]}]', "mask as COCO run lengths"),
            ('[{"mask": {"size": [2], "counts": "22"}}]', "size of its mask"),
            ('[{"mask": {"size": [0, 2], "counts": "22"}}]', "size of its mask"),
            ('[{"mask": {"size": [99999, 99999], "counts": "22"}}]', "size of its mask"),
            ('[{"mask": {"size": [2, 2], "counts": "~"}}]', "counts as COCO writes them"),
            ('[{"mask": {"size": [2, 2], "counts": "2o"}}]', "counts as COCO writes them"),
            ('[{"mask": {"size": [2, 2], "counts": ""}}]', "counts as COCO writes them"),
            ('[{"mask": {"size": [2, 2], "counts": [1, -1]}}]', "counts as COCO writes them"),
        ],
    )
    def test_name_the_entry_and_what_is_wrong(self, text: str, message: str) -> None:
        with pytest.raises(PromptError, match=message) as caught:
            read(text)
        assert caught.value.key == "input_objects"

    @pytest.mark.parametrize("error", [ImageError("no picture."), ValueError("no runs.")])
    def test_of_a_mask_become_those_of_its_entry(self, error: Exception) -> None:
        def refuse(source: MaskSource) -> PromptMask:
            raise error

        text = json.dumps([{"box": [1, 2, 3, 4]}, {"mask": "x.png"}])
        with pytest.raises(PromptError, match=r"Object 2 .* unusable mask: no "):
            objects_from_entries(text, refuse)

    def test_of_deep_nesting(self) -> None:
        with pytest.raises(PromptError, match="must be a list of objects"):
            read("[" * 100_000)
