from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from infer_segment_anything_2.errors import ImageError
from infer_segment_anything_2.sam2_batch.picture_finding import find_pictures
from infer_segment_anything_2.sam2_engine.image.rgb import to_rgb8
from infer_segment_anything_2.sam2_reading.picture_files import read_picture

ORIENTATION = 0x0112  # EXIF's tag


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def names_of(folder: Path, *named: str, recursive: bool = False) -> list[str]:
    found = find_pictures([str(folder / name) for name in named], recursive=recursive)
    return [picture.name for picture in found]


class TestFindPictures:
    def test_takes_a_file_whatever_its_ending(self, tmp_path: Path) -> None:
        touch(tmp_path, "picture.dat")
        assert names_of(tmp_path, "picture.dat") == ["picture.dat"]

    def test_takes_pictures_of_a_folder_in_order(self, tmp_path: Path) -> None:
        touch(tmp_path, "b.JPG", "a.png", "notes.txt", ".hidden.png", "below/c.png")
        assert names_of(tmp_path, "") == ["a.png", "b.JPG"]

    def test_takes_folders_in_folders_when_asked(self, tmp_path: Path) -> None:
        touch(tmp_path, "b.jpg", "below/a.png", "below/deep/c.tif")
        assert names_of(tmp_path, "", recursive=True) == [
            "b.jpg",
            "below/a.png",
            "below/deep/c.tif",
        ]

    def test_takes_patterns(self, tmp_path: Path) -> None:
        touch(tmp_path, "a1.png", "a2.png", "b.png", "below/a3.png")
        assert names_of(tmp_path, "a?.png") == ["a1.png", "a2.png"]
        assert names_of(tmp_path, "**/a*.png") == ["a1.png", "a2.png", "a3.png"]

    def test_takes_a_file_with_a_pattern_in_its_name(self, tmp_path: Path) -> None:
        touch(tmp_path, "a[1].png")
        assert names_of(tmp_path, "a[1].png") == ["a[1].png"]

    def test_takes_each_picture_once(self, tmp_path: Path) -> None:
        touch(tmp_path, "a.png", "b.png")
        assert names_of(tmp_path, "b.png", "", "*.png") == ["b.png", "a.png"]

    def test_results_are_named_after_the_picture(self, tmp_path: Path) -> None:
        touch(tmp_path, "a.b.png", "below/a.png")
        found = find_pictures([str(tmp_path)], recursive=True)
        assert [picture.result_name for picture in found] == ["a.b", "below/a"]

    def test_results_keep_the_ending_where_only_that_tells_pictures_apart(
        self, tmp_path: Path
    ) -> None:
        touch(tmp_path, "a.jpg", "A.png", "b.png")
        found = find_pictures([str(tmp_path)])
        assert sorted(picture.result_name for picture in found) == ["A_png", "a_jpg", "b"]

    def test_refuses_two_pictures_whose_results_have_one_name(self, tmp_path: Path) -> None:
        touch(tmp_path, "x/a.png", "y/a.png")
        with pytest.raises(ImageError, match="would all be named 'a_png'"):
            find_pictures([str(tmp_path / "x" / "a.png"), str(tmp_path / "y" / "a.png")])

    @pytest.mark.parametrize("name", ["nowhere.png", "*.png", "empty"])
    def test_says_what_it_did_not_find(self, name: str, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        with pytest.raises(ImageError, match=r"There is no picture '.*'; give picture files"):
            find_pictures([str(tmp_path / name)])

    def test_leaves_earlier_results_out(self, tmp_path: Path) -> None:
        touch(tmp_path, "a.png", "out/a_overlay.png", "out/below/b.png")
        found = find_pictures([str(tmp_path)], out=tmp_path / "out", recursive=True)
        assert [picture.name for picture in found] == ["a.png"]

    def test_refuses_to_mix_results_with_pictures(self, tmp_path: Path) -> None:
        touch(tmp_path, "a.png")
        with pytest.raises(ImageError, match="choose another folder for the results"):
            find_pictures([str(tmp_path)], out=tmp_path)

    def test_a_single_file_may_have_its_results_beside_it(self, tmp_path: Path) -> None:
        touch(tmp_path, "a.png")
        assert len(find_pictures([str(tmp_path / "a.png")], out=tmp_path)) == 1


class TestReadPicture:
    @pytest.mark.parametrize(
        ("pixels", "ending"),
        [
            pytest.param(np.arange(60, dtype=np.uint8).reshape(4, 5, 3), "png", id="rgb"),
            pytest.param(np.arange(80, dtype=np.uint8).reshape(4, 5, 4), "png", id="rgb-alpha"),
            pytest.param(np.arange(20, dtype=np.uint8).reshape(4, 5), "png", id="grey"),
            pytest.param(np.arange(20).reshape(4, 5) % 2 == 0, "png", id="black-and-white"),
            pytest.param(np.arange(20, dtype=np.uint16).reshape(4, 5) * 999, "png", id="16-bit"),
            pytest.param(np.arange(20, dtype=np.uint16).reshape(4, 5) * 9, "tif", id="16-bit-tif"),
            pytest.param(np.arange(20, dtype=np.float32).reshape(4, 5) / 7, "tif", id="float"),
        ],
    )
    def test_gives_what_was_written(self, pixels: np.ndarray, ending: str, tmp_path: Path) -> None:
        Image.fromarray(pixels).save(tmp_path / f"a.{ending}")
        read = read_picture(tmp_path / f"a.{ending}")
        assert read.dtype == pixels.dtype
        assert np.array_equal(read, pixels)

    @pytest.mark.parametrize(("mode", "ending"), [("P", "png"), ("CMYK", "tif"), ("YCbCr", "tif")])
    def test_makes_rgb_of_other_colour_spaces(self, mode: str, ending: str, tmp_path: Path) -> None:
        picture = Image.new("RGB", (6, 4), (200, 40, 30))
        (picture.quantize() if mode == "P" else picture.convert(mode)).save(
            tmp_path / f"a.{ending}"
        )
        assert np.abs(read_picture(tmp_path / f"a.{ending}") - [200.0, 40, 30]).max() < 10

    def test_turns_the_picture_upright(self, tmp_path: Path) -> None:
        sideways = np.zeros((20, 40, 3), np.uint8)
        sideways[:, :20] = 255
        exif = Image.Exif()
        exif[ORIENTATION] = 6  # the right side of the stored picture is the upper one's bottom
        Image.fromarray(sideways).save(tmp_path / "a.jpg", exif=exif)
        read = read_picture(tmp_path / "a.jpg")
        assert read.shape == (40, 20, 3)
        assert read[:15].min() > 200
        assert read[-15:].max() < 50

    def test_takes_the_first_frame(self, tmp_path: Path) -> None:
        frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
        frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
        assert read_picture(tmp_path / "a.gif")[0, 0].tolist() == [255, 0, 0]

    def test_every_result_is_one_that_the_engine_takes(self, tmp_path: Path) -> None:
        for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
            Image.new(mode, (6, 4)).save(tmp_path / "a.png")
            assert to_rgb8(read_picture(tmp_path / "a.png")).shape == (4, 6, 3)

    @pytest.mark.parametrize(
        "content",
        [
            pytest.param(b"", id="empty"),
            pytest.param(b"no picture at all", id="text"),
            pytest.param(b"\x89PNG\r\n\x1a\n" + b"\0" * 40, id="broken-head"),
        ],
    )
    def test_refuses_what_is_no_picture(self, content: bytes, tmp_path: Path) -> None:
        (tmp_path / "a.png").write_bytes(content)
        with pytest.raises(ImageError, match=r"a\.png (is no picture|cannot be read)"):
            read_picture(tmp_path / "a.png")

    def test_refuses_half_a_picture(self, tmp_path: Path) -> None:
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (99, 99, 3), np.uint8)).save(
            tmp_path / "a.png"
        )
        os.truncate(tmp_path / "a.png", 9000)
        with pytest.raises(ImageError, match="cannot be read"):
            read_picture(tmp_path / "a.png")

    @pytest.mark.parametrize(
        "side", [b"\x00\x00\x00\x01", b"\xff\xff\xff\x7f"], ids=["wide", "wider"]
    )
    def test_refuses_a_damaged_heads_huge_size(self, side: bytes, tmp_path: Path) -> None:
        Image.new("RGB", (9, 9)).save(tmp_path / "a.bmp")
        content = bytearray((tmp_path / "a.bmp").read_bytes())
        content[18:22] = side  # the width
        (tmp_path / "a.bmp").write_bytes(content)
        with pytest.raises(ImageError, match=r"a\.bmp (says that it has more|cannot be read)"):
            read_picture(tmp_path / "a.bmp")

    def test_reads_large_pictures_and_leaves_pillows_limit_as_it_was(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
        Image.new("L", (30, 30)).save(tmp_path / "a.png")
        assert read_picture(tmp_path / "a.png").shape == (30, 30)
        assert Image.MAX_IMAGE_PIXELS == 10
