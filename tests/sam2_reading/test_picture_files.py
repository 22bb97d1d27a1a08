from __future__ import annotations

import os
import struct
from pathlib import Path
from zlib import compress, crc32

import numpy as np
import pytest
from imagecodecs import jpeg2k_encode, png_encode
from PIL import Image

from infer_segment_anything_2.errors import ImageError
from infer_segment_anything_2.sam2_batch.picture_finding import find_pictures
from infer_segment_anything_2.sam2_engine.image.rgb import to_rgb8
from infer_segment_anything_2.sam2_reading.picture_files import read_picture, read_picture_file

ORIENTATION = 0x0112  # EXIF's tag


def png_of_16_bits(pixels_hwc: np.ndarray, *, is_interlaced: bool) -> bytes:
    """A PNG of big-endian values, unfiltered; interlaced (Adam7) on request."""
    if not is_interlaced:
        return bytes(png_encode(pixels_hwc))

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc32(kind + body))

    starts_and_steps = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4)]
    starts_and_steps += [(2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    lines = b""
    for top, left, down, across in starts_and_steps:
        for row in pixels_hwc[top::down, left::across]:
            lines += b"\0" + row.astype(">u2").tobytes() if row.size else b""
    height, width, channels = pixels_hwc.shape
    kind = {2: 4, 3: 2, 4: 6}[channels]
    head = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 1)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


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

    def test_finds_all_that_can_be_read(self, tmp_path: Path) -> None:
        names = [f"a{ending}" for ending in (".avif", ".jfif", ".jpe", ".jp2", ".mpo", ".tga")]
        names += ["a.gif", "a.pcx", "a.ome.tif", "a.btf"]
        touch(tmp_path, *names, "a.pdf", "a.eps", "a.mpg", "a.h5")
        assert names_of(tmp_path, "") == sorted(names)

    def test_counts_what_is_no_picture(self, tmp_path: Path) -> None:
        touch(tmp_path, "a.png", "b.MOV", "c.txt", "d.txt", "noending", ".e.txt", "out/a.json")
        lines: list[str] = []
        find_pictures([str(tmp_path)], out=tmp_path / "out", recursive=True, tell=lines.append)
        assert lines == ["4 files are no pictures and were skipped: .mov, .txt, no ending"]

    def test_says_nothing_where_all_are_pictures(self, tmp_path: Path) -> None:
        touch(tmp_path, "a.png", ".e.txt")
        lines: list[str] = []
        find_pictures([str(tmp_path)], tell=lines.append)
        assert lines == []

    def test_two_links_to_one_file_are_two_pictures(self, tmp_path: Path) -> None:
        touch(tmp_path, "elsewhere/a.png")
        (tmp_path / "in").mkdir()
        for name in ("x.png", "y.png"):
            (tmp_path / "in" / name).symlink_to(tmp_path / "elsewhere" / "a.png")
        assert names_of(tmp_path, "in") == ["x.png", "y.png"]
        assert names_of(tmp_path, "in/x.png", "in/y.png") == ["x.png", "y.png"]

    @pytest.mark.parametrize("named", ["", "*.png", "broken.png"])
    def test_a_link_to_nothing_is_a_picture_that_cannot_be_read(
        self, named: str, tmp_path: Path
    ) -> None:
        (tmp_path / "broken.png").symlink_to("gone.png")
        (picture,) = find_pictures([str(tmp_path / named)])
        with pytest.raises(ImageError, match=r"broken\.png is a link to gone\.png, where there is"):
            read_picture(picture.path)

    def test_links_to_folders_are_followed_but_not_round(self, tmp_path: Path) -> None:
        touch(tmp_path, "a.png", "b/c.png", "elsewhere/d.png")
        folder = tmp_path / "in"
        folder.mkdir()
        touch(folder, "a.png", "b/c.png")
        (folder / "link").symlink_to(tmp_path / "elsewhere")
        for number in range(20):
            (folder / "b" / f"round{number}").symlink_to(folder)
        assert names_of(folder, "", recursive=True) == ["a.png", "b/c.png", "link/d.png"]
        assert names_of(folder, "**/*.png") == ["a.png", "c.png"]

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

    @pytest.mark.parametrize("channels", [2, 3, 4])
    @pytest.mark.parametrize("is_interlaced", [False, True])
    def test_reads_16_bits_of_a_png(
        self, channels: int, is_interlaced: bool, tmp_path: Path
    ) -> None:
        pixels = np.random.default_rng(0).integers(0, 65536, (9, 11, channels), np.uint16)
        (tmp_path / "a.png").write_bytes(png_of_16_bits(pixels, is_interlaced=is_interlaced))
        read = read_picture(tmp_path / "a.png")
        assert read.dtype == np.uint16
        assert np.array_equal(read, pixels)

    @pytest.mark.parametrize("brightest", [4095, 65535])
    def test_reads_16_bits_of_a_ppm(self, brightest: int, tmp_path: Path) -> None:
        pixels = np.random.default_rng(0).integers(0, 4096, (9, 11, 3), np.uint16)
        head = b"P6\n# made by a scanner\n11 9\n%d\n" % brightest
        (tmp_path / "a.ppm").write_bytes(head + pixels.astype(">u2").tobytes())
        assert np.array_equal(read_picture(tmp_path / "a.ppm"), pixels)

    def test_refuses_half_a_ppm_of_16_bits(self, tmp_path: Path) -> None:
        (tmp_path / "a.ppm").write_bytes(b"P6 11 9 65535\n" + bytes(99))
        with pytest.raises(ImageError, match="cannot be read"):
            read_picture(tmp_path / "a.ppm")

    @pytest.mark.parametrize("n_bits", [12, 16])
    def test_reads_all_bits_of_a_jpeg_2000(self, n_bits: int, tmp_path: Path) -> None:
        pixels = np.random.default_rng(0).integers(0, 2**n_bits, (40, 50, 3), np.uint16)
        content = jpeg2k_encode(pixels, level=0, reversible=True, bitspersample=n_bits)
        (tmp_path / "a.jp2").write_bytes(content)
        assert np.array_equal(read_picture(tmp_path / "a.jp2"), pixels)

    @pytest.mark.parametrize("ending", ["gif", "webp", "png", "tif"])
    def test_says_that_the_first_of_several_is_used(self, ending: str, tmp_path: Path) -> None:
        frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue", "lime")]
        frames[0].save(tmp_path / f"a.{ending}", save_all=True, append_images=frames[1:])
        content = read_picture_file(tmp_path / f"a.{ending}")
        assert np.abs(content.pixels_hwc[0, 0, :3] - [255.0, 0, 0]).max() < 9
        (note,) = content.notes
        assert note in (
            "The file holds 3 pictures; the first is used.",
            "The file holds 3 pages; the first is used.",
        )

    def test_a_camera_file_with_a_preview_has_nothing_to_say(self, tmp_path: Path) -> None:
        picture = Image.new("RGB", (8, 8), "red")
        picture.save(tmp_path / "a.mpo", save_all=True, append_images=[picture.reduce(2)])
        assert read_picture_file(tmp_path / "a.mpo").notes == ()

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
