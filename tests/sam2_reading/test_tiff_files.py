from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from skimage import data

from infer_segment_anything_2.errors import ImageError
from infer_segment_anything_2.sam2_engine.image.rgb import to_rgb8
from infer_segment_anything_2.sam2_reading.picture_files import read_picture, read_picture_file

TWIN: npt.NDArray[np.uint8] = np.ascontiguousarray(data.astronaut()[::4, ::4])
DEEP: npt.NDArray[np.uint16] = TWIN.astype(np.uint16) * 12  # 0 to 3060, as of a sensor of 12 bits
INFRARED = np.full((*TWIN.shape[:2], 1), 40_000, np.uint16)


def write(path: Path, pixels: npt.NDArray[Any], **options: Any) -> Path:
    tifffile.imwrite(path, pixels, **options)
    return path


def planes(pixels_hwc: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.ascontiguousarray(pixels_hwc.transpose(2, 0, 1))


class TestLayouts:
    @pytest.mark.parametrize(
        "options",
        [
            pytest.param({}, id="pixels"),
            pytest.param({"planarconfig": "separate"}, id="planes"),
            pytest.param({"tile": (64, 64)}, id="tiles"),
            pytest.param({"planarconfig": "separate", "tile": (64, 64)}, id="tiled planes"),
            pytest.param({"rowsperstrip": 7}, id="strips"),
            pytest.param({"byteorder": ">"}, id="big-endian"),
            pytest.param({"bigtiff": True}, id="BigTIFF"),
            pytest.param({"bitspersample": 12}, id="packed 12 bits"),
            pytest.param({"photometric": "minisblack", "planarconfig": "contig"}, id="untagged"),
            pytest.param(
                {"photometric": "minisblack", "planarconfig": "separate"}, id="untagged planes"
            ),
            *(
                pytest.param({"compression": name}, id=name)
                for name in ("lzw", "zlib", "zstd", "lzma", "packbits", "jpeg2000")
            ),
            pytest.param({"compression": "lzw", "predictor": True}, id="lzw with predictor"),
        ],
    )
    def test_16_bit_colours_keep_every_bit(self, options: dict[str, Any], tmp_path: Path) -> None:
        in_planes = options.get("planarconfig") == "separate"
        pixels = planes(DEEP) if in_planes else DEEP
        path = write(tmp_path / "a.tif", pixels, **{"photometric": "rgb", **options})
        content = read_picture_file(path)
        assert content.pixels_hwc.dtype == np.uint16
        assert np.array_equal(content.pixels_hwc, DEEP)
        assert content.notes == ()
        assert np.abs(to_rgb8(content.pixels_hwc).astype(int) - TWIN).max() <= 1

    @pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "i4", "u4", "f2", "f4", "f8"])
    def test_every_type_of_number_is_read(self, dtype: str, tmp_path: Path) -> None:
        pixels = (TWIN // 2).astype(dtype) / (1 if dtype[0] in "iu" else 128)
        pixels = pixels.astype(dtype)
        read = read_picture(write(tmp_path / "a.tif", pixels, photometric="rgb"))
        assert read.dtype == np.dtype(dtype)
        assert np.array_equal(read, pixels)

    @pytest.mark.parametrize("dtype", ["?", "u1", "u2"])
    def test_white_may_be_stored_as_0(self, dtype: str, tmp_path: Path) -> None:
        grey = (TWIN[..., 0] > 128).astype(bool) if dtype == "?" else TWIN[..., 0].astype(dtype)
        stored = ~grey
        read = read_picture(write(tmp_path / "a.tif", stored, photometric="miniswhite"))
        assert np.array_equal(read, grey)

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_is_turned_upright_as_pillow_does(self, orientation: int, tmp_path: Path) -> None:
        tags = [(274, "H", 1, orientation, True)]
        deep = write(
            tmp_path / "a.tif", TWIN[:50].astype(np.uint16), photometric="rgb", extratags=tags
        )
        from PIL import Image, ImageOps

        shallow = Image.fromarray(TWIN[:50])
        shallow.getexif()[274] = orientation
        assert np.array_equal(read_picture(deep), np.asarray(ImageOps.exif_transpose(shallow)))


class TestBands:
    def test_alpha_stays_alpha(self, tmp_path: Path) -> None:
        pixels = np.concatenate([DEEP, INFRARED], axis=2)
        path = write(tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=["unassalpha"])
        content = read_picture_file(path)
        assert np.array_equal(content.pixels_hwc, pixels)
        assert content.notes == ()

    @pytest.mark.parametrize("photometric", ["rgb", "minisblack"])
    @pytest.mark.parametrize("planarconfig", ["contig", "separate"])
    @pytest.mark.parametrize("n_bands", [4, 8])
    def test_the_first_three_of_many_are_used_and_said(
        self, photometric: str, planarconfig: str, n_bands: int, tmp_path: Path
    ) -> None:
        others = np.repeat(INFRARED, n_bands - 3, axis=2)
        pixels = np.concatenate([DEEP, others], axis=2)
        if planarconfig == "separate":
            pixels = planes(pixels)
        options = {"extrasamples": ["unspecified"] * (n_bands - 3)} if photometric == "rgb" else {}
        path = write(
            tmp_path / "a.tif",
            pixels,
            photometric=photometric,
            planarconfig=planarconfig,
            **options,
        )
        content = read_picture_file(path)
        assert np.array_equal(content.pixels_hwc, DEEP)
        assert content.notes == (
            f"The picture has {n_bands} bands; the first three are used, as red, green and blue. "
            "To use others, write them to a file of three.",
        )

    def test_the_first_of_two_is_used_and_said(self, tmp_path: Path) -> None:
        path = write(
            tmp_path / "a.tif", DEEP[..., :2], photometric="minisblack", planarconfig="contig"
        )
        content = read_picture_file(path)
        assert np.array_equal(content.pixels_hwc, DEEP[..., 0])
        assert "has 2 bands; the first is used, as grey" in content.notes[0]


class TestPages:
    @pytest.mark.parametrize(
        "options",
        [
            pytest.param({}, id="pages"),
            pytest.param({"imagej": True, "metadata": {"axes": "ZYX"}}, id="ImageJ"),
            pytest.param({"ome": True, "metadata": {"axes": "ZYX"}}, id="OME"),
            pytest.param({"volumetric": True}, id="volume"),
        ],
    )
    def test_the_first_is_used_and_said(self, options: dict[str, Any], tmp_path: Path) -> None:
        stack = np.stack([DEEP[..., k] for k in range(3)])
        path = write(tmp_path / "a.tif", stack, photometric="minisblack", **options)
        content = read_picture_file(path)
        assert np.array_equal(content.pixels_hwc, DEEP[..., 0])
        (note,) = content.notes
        assert "3 pages" in note or "3 slices" in note

    def test_reduced_pictures_are_no_pages(self, tmp_path: Path) -> None:
        with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
            tiff.write(DEEP, photometric="rgb")
            tiff.write(np.ascontiguousarray(DEEP[::2, ::2]), photometric="rgb", subfiletype=1)
        assert read_picture_file(tmp_path / "a.tif").notes == ()


class TestMissingValues:
    @pytest.mark.parametrize(
        ("dtype", "nodata"), [("f4", -9999), ("f4", -3.4028234663852886e38), ("i2", 310), ("u2", 0)]
    )
    def test_are_hidden_by_the_files_own_word(
        self, dtype: str, nodata: float, tmp_path: Path
    ) -> None:
        heights = (TWIN[..., 0] + np.uint16(400)).astype(dtype)
        raster = heights.copy()
        raster[:40] = nodata
        tags = [(42113, "s", 0, repr(nodata), True)]
        content = read_picture_file(write(tmp_path / "a.tif", raster, extratags=tags))
        assert content.nodata == nodata
        assert "missing ones by the file's own word (31.2% of all)" in content.notes[0]
        levels = to_rgb8(content.pixels_hwc)
        expected = to_rgb8(np.ma.masked_array(heights, raster == raster[0, 0]))
        assert np.array_equal(levels[40:], expected[40:])
        assert levels[40:].max() == 255
        assert levels[:40].max() == 0

    def test_bytes_stay_as_they_are(self, tmp_path: Path) -> None:
        tags = [(42113, "s", 0, "0", True)]
        content = read_picture_file(
            write(tmp_path / "a.tif", TWIN, photometric="rgb", extratags=tags)
        )
        assert not isinstance(content.pixels_hwc, np.ma.MaskedArray)
        assert content.notes == ()


class TestGeoreference:
    SCALE = (33550, "d", 3, (10.0, 20.0, 0.0), True)
    TIE = (33922, "d", 6, (0.0, 0.0, 0.0, 500_000.0, 4_600_000.0, 0.0), True)

    @staticmethod
    def keys(*entries: tuple[int, int]) -> tuple[Any, ...]:
        numbers = [1, 1, 0, len(entries), *(n for k, v in entries for n in (k, 0, 1, v))]
        return (34735, "H", len(numbers), tuple(numbers), True)

    def test_is_read_as_rasterio_gives_it(self, tmp_path: Path) -> None:
        tags = [self.SCALE, self.TIE, self.keys((1024, 1), (1025, 1), (3072, 32631))]
        found = read_picture_file(write(tmp_path / "a.tif", DEEP, extratags=tags)).georeference
        assert found is not None
        assert found.affine == (10, 0, 500_000, 0, -20, 4_600_000)
        assert found.crs == "EPSG:32631"

    def test_a_pixels_middle_is_half_a_pixel_from_its_corner(self, tmp_path: Path) -> None:
        tags = [self.SCALE, self.TIE, self.keys((1025, 2), (2048, 4326))]
        found = read_picture_file(write(tmp_path / "a.tif", DEEP, extratags=tags)).georeference
        assert found is not None
        assert found.affine == (10, 0, 499_995, 0, -20, 4_600_010)
        assert found.crs == "EPSG:4326"

    def test_a_turned_map_has_its_matrix(self, tmp_path: Path) -> None:
        matrix = (1.0, 2.0, 0.0, 3.0, 4.0, -5.0, 0.0, 6.0, *[0.0] * 7, 1.0)
        tags = [(34264, "d", 16, matrix, True)]
        found = read_picture_file(write(tmp_path / "a.tif", DEEP, extratags=tags)).georeference
        assert found is not None
        assert found.affine == (1, 2, 3, 4, -5, 6)
        assert found.crs is None

    def test_other_pictures_lie_nowhere(self, tmp_path: Path) -> None:
        assert read_picture_file(write(tmp_path / "a.tif", DEEP)).georeference is None


class TestDamage:
    @pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
    @pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
    def test_half_a_file_is_refused(
        self, share: float, compression: str | None, tmp_path: Path
    ) -> None:
        path = write(
            tmp_path / "a.tif", DEEP, photometric="rgb", compression=compression, rowsperstrip=8
        )
        os.truncate(path, int(path.stat().st_size * share))
        with pytest.raises(ImageError, match=r"a\.tif (is no picture|cannot be read)"):
            read_picture(path)

    def test_deep_colours_that_cannot_be_decoded_are_refused_not_read_as_black(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = write(tmp_path / "a.tif", DEEP, photometric="rgb", compression="lzw")

        def no_decoder(*_: object) -> None:
            raise ValueError("LZW requires the 'imagecodecs' package")

        monkeypatch.setattr(tifffile.TiffPage, "asarray", no_decoder)
        with pytest.raises(ImageError, match="got: LZW requires the 'imagecodecs' package"):
            read_picture(path)


def test_colours_of_16_bits_that_are_read_with_8_are_told_of(tmp_path: Path) -> None:
    inks = np.full((20, 30, 4), 9000, np.uint16)
    deep = read_picture_file(write(tmp_path / "a.tif", inks, photometric="separated"))
    assert deep.pixels_hwc.dtype == np.uint8
    assert deep.notes == (
        "The picture has 16 bits per channel in CMYK colours, of which the upper 8 are read; to "
        "use all, convert it to RGB.",
    )
    plain = write(tmp_path / "b.tif", inks.astype(np.uint8), photometric="separated")
    assert read_picture_file(plain).notes == ()
