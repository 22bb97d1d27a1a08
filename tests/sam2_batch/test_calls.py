"""Calls of the command line from end to end: what is typed, and what is said and written."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import shapely
import tifffile
from PIL import Image

from infer_segment_anything_2.sam2_batch.command_line import main
from infer_segment_anything_2.sam2_batch.flags import make_parser
from infer_segment_anything_2.sam2_batch.result_names import CLASSES_NAME, DATASET_NAME, DONE_NAME

POINT = ("--point", "20,20")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def picture(path: Path, width: int = 60) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.full((40, width, 3), 40, np.uint8)
    image[8:30, 10:40] = (220, 180, 60)
    Image.fromarray(image).save(path)
    return path


def geotiff(path: Path, image_hwc: np.ndarray, *, left: int, epsg: int | None) -> Path:
    """Pixels of 10 x 10, the upper left corner at (left, 4,000,000)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tags = [
        (33550, "d", 3, (10.0, 10.0, 0.0), False),
        (33922, "d", 6, (0.0, 0.0, 0.0, float(left), 4e6, 0.0), False),
    ]
    if epsg is not None:
        keys = (1, 1, 0, 2, 1024, 0, 1, 1, 3072, 0, 1, epsg)
        tags.append((34735, "H", len(keys), keys, False))
    tifffile.imwrite(path, image_hwc, photometric="rgb", extratags=tags)
    return path


def segment(*words: str | Path) -> int:
    return main(["segment", *map(str, words), "--model-name", "sam2_demo_nano", "--no-cuda"])


def widths_in(out: Path) -> list[int]:
    files = [path for path in out.rglob("*.json") if not path.name.startswith("sam2_")]
    return sorted(json.loads(path.read_text())["images"][0]["width"] for path in files)


class TestTwoFolders:
    def test_of_pictures_of_one_name_do_not_meet(self, tmp_path: Path, out: Path) -> None:
        picture(tmp_path / "monday" / "1.png", 60)
        picture(tmp_path / "tuesday" / "1.png", 70)
        for folder in ("monday", "tuesday"):
            assert segment(tmp_path / folder, *POINT, "--out", out) == 0
        assert widths_in(out) == [60, 70]

    def test_a_picture_replaced_under_its_name_is_segmented(
        self, tmp_path: Path, out: Path
    ) -> None:
        for width in (60, 70):
            picture(tmp_path / "in" / "1.png", width)
            assert segment(tmp_path / "in", *POINT, "--out", out) == 0
        assert widths_in(out) == [70]


class TestNames:
    def test_like_those_of_results_do_not_meet(self, tmp_path: Path, out: Path) -> None:
        names = ("cat", "cat_polygons", "cat_rank2")
        for index, name in enumerate(names):
            picture(tmp_path / "in" / f"{name}.png", 60 + 10 * index)
        flags = (*POINT, "--multimask-output", "--format", "coco,coco-polygons", "--out", out)
        assert segment(tmp_path / "in", *flags) == 0
        assert widths_in(out) == [60] * 6 + [70] * 6 + [80] * 6

    def test_of_given_pictures_are_never_overwritten(self, tmp_path: Path) -> None:
        given = [picture(tmp_path / f"{name}.png") for name in ("cat", "cat_overlay")]
        before = [path.read_bytes() for path in given]
        assert segment(*given, *POINT, "--format", "overlay", "--out", tmp_path) == 0
        assert [path.read_bytes() for path in given] == before


class TestNegativeNumbers:
    @pytest.mark.parametrize(
        ("words", "key", "expected"),
        [
            (("--box", "-5,10,60,80"), "box", [[-5, 10, 60, 80]]),
            (("--box", "-.5,1e1,60,80"), "box", [[-0.5, 10, 60, 80]]),
            (("--point", "-0.5,10"), "point", [(-0.5, 10, 1)]),
            (("--point", "-1e-1,10,0"), "point", [(-0.1, 10, 0)]),
            (("--affine", "-1,0,5,0,1,7"), "affine", (-1, 0, 5, 0, 1, 7)),
            (("--input-point", "-3,4"), "input_point", "-3,4"),
            (("--input-box", "-3 4 5 6"), "input_box", "-3 4 5 6"),
            (("--mask-threshold", "-1e0"), "mask_threshold", "-1e0"),
            (("--mask-threshold", "-inf"), "mask_threshold", "-inf"),
        ],
    )
    def test_are_values(self, words: tuple[str, ...], key: str, expected: object) -> None:
        parser = make_parser({})
        assert getattr(parser.parse_args(["segment", *words, "a.png"]), key) == expected
        assert getattr(parser.parse_args(["segment", "a.png", *words]), key) == expected

    def test_reach_the_prompts_own_rules(
        self, tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = picture(tmp_path / "a.png")
        assert segment(path, "--box", "-5,3,30,30", "--out", out) == 0
        assert "clipped to [0, 3, 30, 30]" in capsys.readouterr().err

    def test_after_two_dashes_are_names(self) -> None:
        parser = make_parser({})
        assert parser.parse_args(["segment", "--", "-5.png"]).pictures == ["-5.png"]


class TestMaps:
    def test_a_reference_system_without_a_transform_is_refused(
        self, tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = picture(tmp_path / "a.png")
        flags = (*POINT, "--format", "geojson", "--crs", "EPSG:32631", "--out", out)
        assert segment(path, *flags) == 2
        assert "--crs EPSG:32631 needs the transform" in capsys.readouterr().err
        assert not out.exists()

    def test_geotiffs_lie_where_they_say(self, tmp_path: Path, out: Path) -> None:
        image = np.array(Image.open(picture(tmp_path / "a.png", 40)))
        for name, left in (("west", 500_000), ("east", 500_400)):
            geotiff(tmp_path / "in" / f"{name}.tif", image, left=left, epsg=32631)
        flags = ("--box", "0,0,40,40", "--format", "geojson", "--out", out)
        assert segment(tmp_path / "in", *flags) == 0
        bounds = {}
        for name in ("west", "east"):
            found = json.loads((out / f"{name}.geojson").read_text())
            assert found["crs"]["properties"]["name"] == "EPSG:32631"
            (feature,) = found["features"]
            bounds[name] = shapely.from_geojson(json.dumps(feature["geometry"])).bounds
        west, east = bounds["west"], bounds["east"]
        assert 500_000 <= west[0] < west[2] <= 500_400 <= east[0] < east[2] <= 500_800
        assert 3_999_600 <= west[1] < west[3] <= 4_000_000

    @pytest.mark.parametrize(
        ("epsg", "crs", "expected"),
        [
            pytest.param(None, "EPSG:25832", "EPSG:25832", id="that-names-none"),
            pytest.param(32631, "epsg:32631", "EPSG:32631", id="that-names-the-same"),
            pytest.param(32631, "EPSG:25832", None, id="that-names-another"),
        ],
    )
    def test_a_reference_system_for_a_geotiff(
        self,
        epsg: int | None,
        crs: str,
        expected: str | None,
        tmp_path: Path,
        out: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        image = np.array(Image.open(picture(tmp_path / "a.png", 40)))
        path = geotiff(tmp_path / "a.tif", image, left=500_000, epsg=epsg)
        flags = (*POINT, "--format", "geojson", "--crs", crs, "--out", out)
        assert segment(path, *flags) == (0 if expected else 1)
        if expected is None:
            assert "lies in EPSG:32631 by its own word" in capsys.readouterr().err
            assert not (out / "a.geojson").exists()
        else:
            found = json.loads((out / "a.geojson").read_text())
            assert found["crs"]["properties"]["name"] == expected

    def test_a_tiff_without_a_place_needs_a_transform(
        self, tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = picture(tmp_path / "a.tif")
        flags = (*POINT, "--format", "geojson", "--crs", "EPSG:32631", "--out", out)
        assert segment(path, *flags) == 2
        assert "--crs EPSG:32631 needs the transform" in capsys.readouterr().err
        assert not out.exists()

    def test_of_several_tiffs_the_one_without_a_place_fails(
        self, tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        image = np.array(Image.open(picture(tmp_path / "in" / "a.tif", 40)))
        geotiff(tmp_path / "in" / "b.tif", image, left=500_000, epsg=32631)
        flags = (*POINT, "--format", "geojson", "--crs", "EPSG:32631", "--out", out)
        assert segment(tmp_path / "in", *flags) == 1
        assert "a.tif: The reference system EPSG:32631 needs" in capsys.readouterr().err
        assert [path.name for path in out.glob("*.geojson")] == ["b.geojson"]

    def test_one_transform_for_several_pictures_is_refused(
        self, tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for name in ("a", "b"):
            picture(tmp_path / "in" / f"{name}.png")
        flags = (*POINT, "--format", "geojson", "--affine", "1,0,0,0,-1,0", "--out", out)
        assert segment(tmp_path / "in", *flags) == 2
        assert "--affine is the place of one picture" in capsys.readouterr().err


class TestPromptsOfEachPicture:
    def test_make_a_data_set(
        self, tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for name in ("a", "b", "c"):
            picture(tmp_path / "in" / f"{name}.png")
        table = tmp_path / "boxes.csv"
        table.write_text(
            "path,x1,y1,x2,y2,category\na.png,-2,8,40,30,mug\nb.png,10,8,40,30,cup\n"
            "b.png,10,8,40,30,mug\nz.png,1,1,2,2,mug\n"
        )
        flags = ("--prompts", table, "--format", "coco-dataset,yolo", "--out", out)
        assert segment(tmp_path / "in", *flags) == 0
        shown = capsys.readouterr()
        assert re.search(r"^b\.png: 2 objects, predicted IoU", shown.out, re.MULTILINE)
        assert "1 of the pictures in" in shown.err
        dataset = json.loads((out / DATASET_NAME).read_text())
        names = {category["id"]: category["name"] for category in dataset["categories"]}
        assert [
            (annotation["image_id"], names[annotation["category_id"]])
            for annotation in dataset["annotations"]
        ] == [(1, "mug"), (2, "cup"), (2, "mug")]
        assert len(dataset["images"]) == 3
        assert (out / CLASSES_NAME).read_text().endswith('  0: "mug"\n  1: "cup"\n')

        table.write_text(table.read_text().replace("b.png,10", "b.png,12"))
        capsys.readouterr()
        assert segment(tmp_path / "in", *flags) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == "2 of 3 pictures were done before"
        assert lines[1].startswith("b.png: 2 objects")

    def test_are_not_mixed_with_those_of_all(
        self, tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = picture(tmp_path / "a.png")
        assert segment(path, *POINT, "--prompts", "boxes.csv", "--out", out) == 2
        assert "--prompts gives each picture its own prompts" in capsys.readouterr().err

    def test_are_other_settings_than_none(self, tmp_path: Path, out: Path) -> None:
        path = picture(tmp_path / "a.png")
        (tmp_path / "boxes.csv").write_text("path,x1,y1,x2,y2\na.png,10,8,40,30\n")
        everything = ("--points-per-side", "2")
        assert segment(path, *everything, "--out", out) == 0
        assert segment(path, *everything, "--prompts", tmp_path / "boxes.csv", "--out", out) == 2


class TestWords:
    @pytest.mark.parametrize(
        ("words", "advice"),
        [
            (("--iou_thresh", "0.5"), "did you mean --iou-thresh?"),
            (("--iou_thresh=0.5",), "did you mean --iou-thresh?"),
            (("--points-per-sid", "4"), "did you mean --points-per-side?"),
            (("--boxs", "-1,2,3,4"), "did you mean --box?"),
            (("--recursiv",), "did you mean --recursive?"),
            (("--format", "coca"), "did you mean coco?"),
        ],
    )
    def test_misspelt_get_the_nearest(
        self,
        words: tuple[str, ...],
        advice: str,
        out: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        assert segment("a.png", *words, "--out", out) == 2
        assert advice in capsys.readouterr().err

    def test_of_help_are_the_programs_own(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["segment", "--help"]) == 0
        assert capsys.readouterr().out.startswith("usage: infer-segment-anything-2 segment PICTURE")

    def test_tell_more_when_asked(
        self, tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = picture(tmp_path / "a.png")
        flags = ("--points-per-side", "2", "--iou-thresh", "0", "--stability-score-thresh", "0")
        assert segment(path, *flags, "--out", out) == 0
        plain = capsys.readouterr().out.splitlines()
        assert re.fullmatch(r"a\.png: \d+ masks?, \d+\.\d s", plain[0])
        assert len(plain) == 2
        assert segment(path, *flags, "--out", out, "--overwrite", "-v") == 0
        told = capsys.readouterr().out
        assert "  4 points, " in told
        assert f"  -> {out / 'a.json'}" in told


class TestFolderOfResults:
    def test_that_cannot_be_written_is_found_before_anything_is_computed(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for name in ("a", "b"):
            picture(tmp_path / "in" / f"{name}.png")
        (tmp_path / "file").write_text("no folder")
        assert segment(tmp_path / "in", *POINT, "--out", tmp_path / "file" / "out") == 2
        shown = capsys.readouterr()
        assert shown.err.count("Cannot write") == 1
        assert shown.out == ""

    def test_holds_a_list_that_the_run_can_read(self, tmp_path: Path, out: Path) -> None:
        path = picture(tmp_path / "a.png")
        assert segment(path, *POINT, "--out", out) == 0
        (line,) = [line for line in (out / DONE_NAME).read_text().splitlines() if '"done"' in line]
        assert json.loads(line)["done"]["source"] == str(path)
