"""Prompts of each picture from a detector's file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infer_segment_anything_2.errors import ParameterError
from infer_segment_anything_2.sam2_batch.picture_finding import PictureFile
from infer_segment_anything_2.sam2_batch.prompts_file import read_prompts, with_prompts

COCO = {
    "images": [
        {"id": 7, "file_name": "a.png", "width": 9, "height": 9},
        {"id": 3, "file_name": "below/b.png"},
        {"id": 4, "file_name": "empty.png"},
    ],
    "annotations": [
        {"image_id": 3, "bbox": [1, 2, 3, 4], "category_id": 5, "score": 0.9},
        {"image_id": 7, "bbox": [10, 20, 30.5, 40], "category_id": 6},
        {"image_id": 3, "bbox": [0, 0, 2, 2]},
    ],
    "categories": [{"id": 5, "name": "mug"}, {"id": 6, "name": "cup"}],
}
FOUND: dict[str, Any] = {
    "a.png": [{"box": [10, 20, 40.5, 60], "category": "cup"}],
    "below/b.png": [{"box": [1, 2, 4, 6], "category": "mug"}, {"box": [0, 0, 2, 2]}],
    "empty.png": [],
}
TABLE = """\
path,x1,y1,x2,y2,category
below/b.png,1,2,4,6,mug
a.png,10,20,40.5,60,cup
below/b.png,0,0,2,2,
empty.png,,,,,
"""


def file_of(folder: Path, content: object) -> Path:
    path = folder / "prompts"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def pictures(folder: Path, *names: str) -> list[PictureFile]:
    return [PictureFile(folder / name, name, name) for name in names]


class TestReadPrompts:
    @pytest.mark.parametrize(
        "content",
        [
            pytest.param(COCO, id="coco"),
            pytest.param(TABLE, id="table"),
            pytest.param(TABLE.replace(",", ";"), id="semicolons"),
            pytest.param(TABLE.replace(",", "\t").replace("\n", "\r\n"), id="tabs"),
            pytest.param("\ufeff" + TABLE, id="byte-order-mark"),
            pytest.param(
                TABLE.replace("path,x1,y1,x2,y2,category", "Filename, XMin,ymin,xmax,ymax,class"),
                id="other-names",
            ),
            pytest.param(TABLE.replace("below/", "below\\"), id="backslashes"),
        ],
    )
    def test_takes_a_detectors_boxes(self, content: object, tmp_path: Path) -> None:
        assert read_prompts(file_of(tmp_path, content)) == FOUND

    def test_takes_clicks(self, tmp_path: Path) -> None:
        path = file_of(tmp_path, "file,x,y\na.png,5,6\na.png,-0.5,1\n")
        assert read_prompts(path) == {"a.png": [{"points": [[5, 6]]}, {"points": [[-0.5, 1]]}]}

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            pytest.param([{"image_id": 1, "bbox": [1, 2, 3, 4]}], "bare list", id="results"),
            pytest.param({"images": []}, "must be COCO JSON: .*'annotations'", id="no-annotations"),
            pytest.param("{", "must be COCO JSON", id="half"),
            pytest.param(
                {**COCO, "annotations": [{"image_id": 9, "bbox": [1, 2, 3, 4]}]},
                "must be COCO JSON",
                id="unknown-picture",
            ),
            pytest.param(
                {**COCO, "annotations": [{"image_id": 3, "bbox": [1, 2, 3]}]},
                "must be COCO JSON",
                id="three-numbers",
            ),
            pytest.param(
                {**COCO, "annotations": [{"image_id": 3, "bbox": [1, 2, 3, float("nan")]}]},
                "not finite",
                id="nan",
            ),
            pytest.param("", "must be a table with the columns", id="empty"),
            pytest.param("path,x1,y1\na,1,2\n", r"columns 'path, x1, y1'", id="half-a-box"),
            pytest.param(TABLE.replace("40.5", "wide"), "Line 3 of the prompts", id="words"),
            pytest.param(TABLE.replace("40.5", "inf"), "Line 3 .* not finite", id="infinite"),
            pytest.param(TABLE.replace("40.5", ""), "Line 3 of the prompts", id="three-of-four"),
        ],
    )
    def test_says_what_it_expected(self, content: object, message: str, tmp_path: Path) -> None:
        with pytest.raises(ParameterError, match=message):
            read_prompts(file_of(tmp_path, content))

    def test_says_that_there_is_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(ParameterError, match="The file of --prompts cannot be read"):
            read_prompts(tmp_path / "none.csv")


class TestWithPrompts:
    @pytest.mark.parametrize(
        "name",
        [
            pytest.param("below/a.png", id="below-the-folder"),
            pytest.param("./below/a.png", id="with-a-dot"),
            pytest.param("{folder}/below/a.png", id="whole-path"),
            pytest.param("a.png", id="file-name"),
            pytest.param("/other/machine/a.png", id="file-name-of-another-path"),
        ],
    )
    def test_finds_the_picture(self, name: str, tmp_path: Path) -> None:
        prompts: dict[str, Any] = {name.format(folder=tmp_path): FOUND["a.png"]}
        found, unknown = with_prompts(
            pictures(tmp_path, "below/a.png", "b.png"), prompts, tmp_path / "elsewhere" / "prompts"
        )
        assert [json.loads(picture.objects or "") for picture in found] == [FOUND["a.png"], []]
        assert unknown == []

    def test_finds_it_from_the_folder_of_the_file(self, tmp_path: Path) -> None:
        given = pictures(tmp_path / "photos", "a.png", "below/a.png")
        found, _ = with_prompts(given, {"photos/a.png": FOUND["a.png"]}, tmp_path / "prompts")
        assert json.loads(found[0].objects or "") == FOUND["a.png"]

    def test_tells_of_names_that_are_no_picture(self, tmp_path: Path) -> None:
        given = pictures(tmp_path, "a.png")
        assert with_prompts(given, FOUND, tmp_path / "prompts")[1] == ["below/b.png", "empty.png"]

    def test_refuses_a_name_of_two_pictures(self, tmp_path: Path) -> None:
        given = pictures(tmp_path, "x/a.png", "y/a.png")
        with pytest.raises(ParameterError, match=r"'a\.png' fit 2 pictures"):
            with_prompts(given, FOUND, tmp_path / "prompts")

    @pytest.mark.parametrize("prompts", [FOUND, {}])
    def test_refuses_prompts_of_none_of_the_pictures(
        self, prompts: dict[str, Any], tmp_path: Path
    ) -> None:
        with pytest.raises(ParameterError, match=r"such as 'c\.png', got (those of 'a\.png'|none)"):
            with_prompts(pictures(tmp_path, "c.png"), prompts, tmp_path / "prompts")
