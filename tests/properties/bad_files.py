"""Picture files of any content."""

from __future__ import annotations

import io
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from infer_segment_anything_2.errors import ImageError
from infer_segment_anything_2.sam2_reading.picture_files import read_picture
from tests.properties.bad_pictures import judge_picture
from tests.properties.judging import VALID, Area, told_well


@dataclass(frozen=True)
class FileCase:
    """A picture file of a kind, damaged: cut off at a part of it, some bytes replaced."""

    kind: str
    kept: float
    replaced: list[tuple[float, int]]
    mode: str = "RGB"

    def make(self) -> bytes:
        """The content."""
        levels = np.random.default_rng(0).integers(0, 256, (9, 13, 4), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(levels).convert(self.mode).save(buffer, self.kind)
        content = bytearray(buffer.getvalue())
        for place, value in self.replaced:
            content[min(int(place * len(content)), len(content) - 1)] = value
        return bytes(content[: round(self.kept * len(content))])


_FILES = st.one_of(
    st.binary(max_size=60),
    st.builds(
        FileCase,
        st.sampled_from(["PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "PPM", "JPEG2000"]),
        st.just(1.0) | st.floats(0, 1, allow_subnormal=False),
        st.lists(
            st.tuples(
                st.floats(0, 1, allow_subnormal=False) | st.floats(0, 0.1, allow_subnormal=False),
                st.integers(0, 255),
            ),
            max_size=6,
        ),
        st.sampled_from(["RGB", "L"]),
    ),
)


def judge_file(case: object) -> str:
    """Any content of a picture file."""
    content = case.make() if isinstance(case, FileCase) else case
    assert isinstance(content, bytes)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        path.write_bytes(content)
        try:
            picture = read_picture(path)
        except ImageError as error:
            return told_well(error)
    # Huge sizes in a damaged head are what the file says; not worth the time here.
    return VALID if picture.size > 10**6 else judge_picture(picture)


FILE_AREAS = (Area("picture files of any content", _FILES, judge_file, 800),)
