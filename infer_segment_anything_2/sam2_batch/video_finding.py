"""The video that a command line names: a file, a folder of frames, an address, a camera."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from infer_segment_anything_2.errors import ImageError
from infer_segment_anything_2.sam2_batch.done_marks import Fingerprint, digest_of
from infer_segment_anything_2.sam2_batch.picture_finding import picture_endings
from infer_segment_anything_2.sam2_reading.video_files import Camera, FrameFolder, Video, VideoFile

__all__ = ["FoundVideo", "find_video", "in_natural_order"]

_NUMBER = re.compile(r"(\d+)")


@dataclass(frozen=True)
class FoundVideo:
    """A video to work on.

    Attributes:
        video: Where its frames come from.
        name: What the names of its results begin with.
        source: Its absolute path; "" where what comes from it cannot be known beforehand.
        content: Of its file; None for a folder.
        frames_digest: Of the names, sizes and times of a folder's frames, "" for a file.
    """

    video: Video
    name: str
    source: str = ""
    content: Fingerprint | None = None
    frames_digest: str = ""


def find_video(text: str, frames_per_second: float) -> FoundVideo:
    """Opens what a user names.

    Args:
        text: The path of a file or of a folder of pictures, an address such as "rtsp://...", or the
            number of a camera. A file of that name comes before a camera.
        frames_per_second: Of a folder's pictures.

    Raises:
        DependencyError: What reads it is not installed.
        ImageError: There is no such thing, or no frame in it.
    """
    if "://" in text:
        return FoundVideo(VideoFile(text), Path(urlsplit(text).path).stem or "stream")
    try:
        path = Path(text).expanduser()
    except RuntimeError:  # "~nobody/..."
        path = Path(text)
    if path.is_dir():
        files = _frames_in(path)
        stamps = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        return FoundVideo(
            FrameFolder(text, files, frames_per_second),
            path.resolve().name or "frames",
            str(path.resolve()),
            frames_digest=digest_of(stamps),
        )
    if path.is_file():
        return FoundVideo(
            VideoFile(str(path)), path.stem, str(path.resolve()), Fingerprint.of(path)
        )
    if text.isdecimal():
        return FoundVideo(Camera(int(text)), f"camera{int(text)}")
    raise ImageError(
        f"There is no video {text!r}, expected a video file, a folder of numbered pictures, an "
        "address such as rtsp://... or the number of a camera; correct the path."
    )


def in_natural_order(names: Sequence[str]) -> list[str]:
    """Names as people count: "frame2" before "frame10".

    >>> in_natural_order(["f10.png", "f2.png", "f1.png"])
    ['f1.png', 'f2.png', 'f10.png']
    """
    return sorted(names, key=_parts)


def _parts(name: str) -> list[tuple[int, str]]:
    parts = _NUMBER.split(name)
    # Texts at even places, numbers at odd ones; the name itself decides between "1" and "01".
    numbered = [(int(part), "") if k % 2 else (0, part) for k, part in enumerate(parts)]
    return [*numbered, (0, name)]


def _frames_in(folder: Path) -> list[Path]:
    names = [
        file.name
        for file in folder.iterdir()
        if file.suffix.lower() in picture_endings()
        and not file.name.startswith(".")
        and file.is_file()
    ]
    if not names:
        raise ImageError(
            f"The folder {folder} holds no frame, expected numbered pictures such as 00000.jpg, "
            "00001.jpg, ..., got none; give the folder in which they lie."
        )
    return [folder / name for name in in_natural_order(names)]
