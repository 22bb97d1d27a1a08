"""The mask input, drawn polygons and picture files in a real Ikomia workflow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from imagecodecs import jpeg2k_encode, png_encode
from skimage import data

from infer_segment_anything_2.sam2_engine.image.rgb import to_rgb8
from infer_segment_anything_2.sam2_reading.picture_files import read_picture

NewWorkflow = Callable[..., tuple[Any, Any]]

pytestmark = pytest.mark.ikomia

EVERYTHING = {"points_per_side": 4, "iou_thresh": 0.0, "stability_score_thresh": 0.0}


class TestMaskInput:
    def test_is_not_filled_by_a_picture_source(
        self, new_workflow: NewWorkflow, photo: np.ndarray
    ) -> None:
        workflow, task = new_workflow(**EVERYTHING)
        workflow.run_on(array=photo)
        assert not task.get_input(2).is_data_available()
        assert "16 points" in task.get_output(5).data["summary"]

    def test_prompts_an_object(self, new_workflow: NewWorkflow, photo: np.ndarray) -> None:
        workflow, task = new_workflow()
        mask = np.zeros((64, 64), np.uint8)
        mask[5:25, 22:34] = 255
        task.get_input(2).set_image(mask)
        workflow.run_on(array=photo)
        (record,) = task.get_output(5).data["masks"]
        assert record["prompt"]["mask"]["size"] == [64, 64]
        assert task.get_output(1).get_object_count() == 1


class TestDrawnPolygon:
    def test_is_where_everything_is_searched_for(
        self, new_workflow: NewWorkflow, photo: np.ndarray
    ) -> None:
        from ikomia import core

        workflow, task = new_workflow(**EVERYTHING)
        corners = [(0, 0), (64, 0), (64, 128), (0, 128)]
        polygon = core.CGraphicsPolygon([core.CPointF(x, y) for x, y in corners])
        task.get_input(1).set_items([polygon])
        workflow.run_on(array=photo)
        data_of_run = task.get_output(5).data
        assert "8 points" in data_of_run["summary"]
        assert all(record["point_coords"][0][0] < 64 for record in data_of_run["masks"])


GREY = np.ascontiguousarray(data.astronaut()[::4, ::4, 1])
COLOURS = np.ascontiguousarray(data.astronaut()[::4, ::4]).astype(np.uint16) * 12
HEIGHTS = GREY.astype(np.float32) / 10 + 300
HEIGHTS_WITH_A_GAP = np.where(np.arange(128)[:, None] < 40, np.float32(-9999), HEIGHTS)
ALPHA = np.full((128, 128, 1), 40_000, np.uint16)


class TestPictureFiles:
    """What the host reads of a file, and what the command line does, is one picture."""

    @pytest.mark.parametrize(
        ("pixels", "options"),
        [
            pytest.param(COLOURS, {}, id="16-bit colours"),
            pytest.param(COLOURS, {"tile": (64, 64)}, id="tiles"),
            pytest.param(COLOURS, {"byteorder": ">"}, id="big-endian"),
            pytest.param(COLOURS, {"bigtiff": True}, id="BigTIFF"),
            pytest.param(COLOURS, {"compression": "lzw", "predictor": True}, id="lzw"),
            pytest.param(COLOURS, {"compression": "zstd"}, id="zstd"),
            pytest.param(COLOURS, {"bitspersample": 12}, id="packed 12 bits"),
            pytest.param(
                np.concatenate([COLOURS, ALPHA], axis=2),
                {"extrasamples": ["unspecified"]},
                id="RGBN",
            ),
            pytest.param(COLOURS.astype(np.float32) / 3060, {}, id="float colours"),
            pytest.param(HEIGHTS, {"photometric": "minisblack"}, id="heights"),
            pytest.param(HEIGHTS_WITH_A_GAP, {"photometric": "minisblack"}, id="a gap"),
            pytest.param(
                HEIGHTS_WITH_A_GAP,
                {"photometric": "minisblack", "extratags": [(42113, "s", 0, "-9999", True)]},
                id="a gap that the file tells of",
            ),
            pytest.param(np.stack([COLOURS, COLOURS[::-1]]), {}, id="pages"),
        ],
    )
    def test_of_a_tiff(self, pixels: np.ndarray, options: dict[str, Any], tmp_path: Path) -> None:
        tifffile.imwrite(tmp_path / "a.tif", pixels, **{"photometric": "rgb", **options})
        self.assert_both_doors_give_one_picture(tmp_path / "a.tif")

    def test_of_a_png_of_16_bits(self, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(png_encode(COLOURS))
        self.assert_both_doors_give_one_picture(tmp_path / "a.png")

    def test_of_a_jpeg_2000_of_16_bits(self, tmp_path: Path) -> None:
        (tmp_path / "a.jp2").write_bytes(jpeg2k_encode(COLOURS, level=0, reversible=True))
        self.assert_both_doors_give_one_picture(tmp_path / "a.jp2")

    def test_of_a_ppm_of_16_bits(self, tmp_path: Path) -> None:
        (tmp_path / "a.ppm").write_bytes(b"P6 128 128 4095\n" + COLOURS.astype(">u2").tobytes())
        self.assert_both_doors_give_one_picture(tmp_path / "a.ppm")

    @staticmethod
    def assert_both_doors_give_one_picture(path: Path) -> None:
        from ikomia.dataio import CDataImageIO

        seen = to_rgb8(read_picture(path))
        assert np.array_equal(to_rgb8(np.asarray(CDataImageIO(str(path)).read())), seen)
        assert seen[50:].std() > 40  # neither flat nor black


class TestPicturePath:
    def test_a_deep_file_is_segmented_as_the_command_line_sees_it(
        self, new_workflow: NewWorkflow, tmp_path: Path
    ) -> None:
        tifffile.imwrite(tmp_path / "a.tif", HEIGHTS_WITH_A_GAP)
        workflow, task = new_workflow(input_point="[60, 80]")
        workflow.run_on(path=str(tmp_path / "a.tif"))
        expected = to_rgb8(read_picture(tmp_path / "a.tif"))
        assert np.array_equal(task.get_output(0).get_image(), expected)

    @pytest.mark.parametrize(
        ("options", "is_said"),
        [
            pytest.param({"planarconfig": "separate"}, True, id="planes"),
            pytest.param({"planarconfig": "contig"}, False, id="pixels"),
        ],
    )
    def test_a_file_that_the_host_takes_for_noise_is_named(
        self,
        options: dict[str, Any],
        is_said: bool,
        new_workflow: NewWorkflow,
        tmp_path: Path,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        planar = options["planarconfig"] == "separate"
        pixels = np.ascontiguousarray(COLOURS.transpose(2, 0, 1)) if planar else COLOURS
        tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", **options)
        workflow, _ = new_workflow(input_point="[60, 80]")
        workflow.run_on(path=str(tmp_path / "a.tif"))
        assert ("Ikomia does not read the bands of" in caplog.text) == is_said
