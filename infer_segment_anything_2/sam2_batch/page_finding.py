"""The pictures and videos that the command ``page`` names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from infer_segment_anything_2.errors import ImageError
from infer_segment_anything_2.sam2_batch.picture_finding import (
    PictureFile,
    find_files,
    find_pictures,
    is_picture,
)
from infer_segment_anything_2.sam2_batch.result_names import result_names
from infer_segment_anything_2.sam2_batch.video_finding import find_video
from infer_segment_anything_2.sam2_reading.video_files import VideoFile
from infer_segment_anything_2.sam2_web.video_desk import PageVideo

__all__ = ["VIDEO_ENDINGS", "PageFiles", "find_page_files"]

VIDEO_ENDINGS = frozenset(
    {
        *(".3gp", ".asf", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"),
        *(".mts", ".mxf", ".ogv", ".vob", ".webm", ".wmv"),
    }
)
"""Of files that are taken for videos; what is in them is seen when they are opened."""

_FRAMES_PER_SECOND = 25.0  # seen nowhere: the page counts frames, not seconds


class PageFiles(NamedTuple):
    """What the page offers."""

    pictures: list[PictureFile]
    videos: list[PageVideo]


def find_page_files(
    named: Sequence[str],
    *,
    out: Path,
    recursive: bool,
    as_video: bool,
    tell: Callable[[str], None],
) -> PageFiles:
    """Finds pictures and videos.

    Args:
        named: Files, folders, or patterns; see :func:`.picture_finding.find_pictures`.
        out: Where results go; what lies there is no input of folders and patterns.
        recursive: Take what is below a folder's own folders too.
        as_video: Each name is a folder whose pictures are the frames of one video.
        tell: Called with one line that says what was passed over, where there was something.

    Raises:
        ImageError: Nothing was found under one of the names.
    """
    if as_video:
        return PageFiles([], [_frames_in(text) for text in named])
    found: dict[Path, str] = {}
    pictured = []
    for text in named:
        files = find_files(text, out=out, recursive=recursive)
        videos = {path: name for path, name in files if path.suffix.lower() in VIDEO_ENDINGS}
        found.update(videos)
        # One that holds videos only is no mistake; else `find_pictures` tells what is wrong.
        if not videos or any(is_picture(path) for path, _ in files):
            pictured.append(text)
    pictures = find_pictures(
        pictured, out=out, recursive=recursive, tell=tell, others=VIDEO_ENDINGS
    )
    names = result_names([*(one.name for one in pictures), *found.values()])[len(pictures) :]
    return PageFiles(
        pictures,
        [
            PageVideo(path, name, result_name, partial(VideoFile, str(path)))
            for (path, name), result_name in zip(found.items(), names, strict=True)
        ],
    )


def _frames_in(text: str) -> PageVideo:
    path = Path(text)
    if not path.is_dir():
        raise ImageError(
            f"--as-video takes folders of numbered pictures, got {text!r}, which is none; give a "
            "folder, or leave --as-video out."
        )
    found = find_video(text, _FRAMES_PER_SECOND)
    return PageVideo(path, path.name or text, found.name, lambda: found.video)
