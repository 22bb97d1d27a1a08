"""What becomes of one picture, without a terminal or a folder of results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from infer_segment_anything_2.errors import (
    CheckpointError,
    ExportError,
    ImageError,
    PromptError,
    SegmentAnythingError,
)
from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.sam2_batch.folder_run import segment_picture
from infer_segment_anything_2.sam2_batch.picture_finding import PictureFile
from infer_segment_anything_2.sam2_results.outcome import Segmentation
from infer_segment_anything_2.segmentation import Segmenter

BOX = Parameters(model_name="sam2_demo_nano", cuda=False, input_box="[40, 30, 8, 6]")


@pytest.fixture
def picture(tmp_path: Path) -> PictureFile:
    path = tmp_path / "a.png"
    image_rgb_hwc = np.full((48, 64, 3), 40, np.uint8)
    image_rgb_hwc[8:28, 10:38] = (220, 180, 60)
    Image.fromarray(image_rgb_hwc).save(path)
    return PictureFile(path, "a.png", "a")


def nowhere(_picture: PictureFile, _found: Segmentation) -> list[Path]:
    return []


class TestSegmentPicture:
    def test_tells_what_was_found_and_where_it_went(
        self, picture: PictureFile, segmenter: Segmenter, capfd: pytest.CaptureFixture[str]
    ) -> None:
        written: list[tuple[PictureFile, int]] = []

        def write(of: PictureFile, found: Segmentation) -> list[Path]:
            written.append((of, len(found.ranked[0])))
            return [Path("there"), Path("and there")]

        done = segment_picture(picture, segmenter, BOX, write)
        assert written == [(picture, 1)]
        assert done.picture is picture
        assert done.summary.startswith("1 ")
        assert done.paths == (Path("there"), Path("and there"))
        assert "corners swapped" in done.notes[0]
        assert done.error is None
        assert capfd.readouterr() == ("", "")

    def test_what_cannot_be_written_is_not_computed(self, picture: PictureFile) -> None:
        class Idle(Segmenter):
            def segment(self, *_: object, **__: object) -> Segmentation:
                raise AssertionError("computed")

        def check(of: PictureFile) -> None:
            raise ExportError(f"no place for {of.name}")

        done = segment_picture(picture, Idle(), BOX, nowhere, check=check)
        assert str(done.error) == "no place for a.png"

    @pytest.mark.parametrize(
        ("content", "box", "kind"),
        [
            pytest.param(b"no picture", "[8, 6, 40, 30]", ImageError, id="picture"),
            pytest.param(None, "[800, 600, 900, 700]", PromptError, id="prompt"),
        ],
    )
    def test_a_failure_is_an_outcome(
        self,
        content: bytes | None,
        box: str,
        kind: type[SegmentAnythingError],
        picture: PictureFile,
        segmenter: Segmenter,
    ) -> None:
        if content is not None:
            picture.path.write_bytes(content)
        parameters = Parameters(model_name="sam2_demo_nano", cuda=False, input_box=box)
        done = segment_picture(picture, segmenter, parameters, nowhere)
        assert isinstance(done.error, kind)
        assert (done.summary, done.paths, done.notes) == ("", (), ())

    def test_results_that_cannot_be_written_are_an_outcome(
        self, picture: PictureFile, segmenter: Segmenter
    ) -> None:
        def full(_picture: PictureFile, _found: Segmentation) -> list[Path]:
            raise ExportError("The disk is full.")

        done = segment_picture(picture, segmenter, BOX, full)
        assert isinstance(done.error, ExportError)

    def test_missing_weights_end_the_run(self, picture: PictureFile, tmp_path: Path) -> None:
        # They would be missing for the next picture too.
        damaged = tmp_path / "weights.pt"
        damaged.write_bytes(b"damaged")
        parameters = Parameters(model_path=str(damaged), cuda=False, input_box="[8, 6, 40, 30]")
        with pytest.raises(CheckpointError):
            segment_picture(picture, Segmenter(), parameters, nowhere)
