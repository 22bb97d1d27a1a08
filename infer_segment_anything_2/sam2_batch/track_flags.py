"""The flags of ``track`` that are no parameters, and those parameters that it knows."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from infer_segment_anything_2.parameters import ROWS
from infer_segment_anything_2.sam2_batch.flag_values import folder, fraction, names_of
from infer_segment_anything_2.sam2_batch.track_formats import TRACK_FORMATS

__all__ = ["TRACK_KEYS", "add_track_flags", "track_formats_listed"]

# What is of single pictures, and of a detector in front.
_OF_NO_VIDEO = frozenset(
    {
        *("input_size_percent", "multimask_output", "refine"),
        *("new_objects", "match_iou", "redetect_every"),
        "masklet_folder",  # --format masklets is the same
    }
)
TRACK_KEYS = frozenset(row.key for row in ROWS) - _OF_NO_VIDEO
"""The parameters that change how the command line tracks a video."""

_FRAMES_PER_SECOND = 25.0


def add_track_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the video, and the flags of files."""
    parser.add_argument(
        "video",
        metavar="VIDEO",
        help="a video file, a folder of numbered pictures, an address such as rtsp://..., or the "
        "number of a camera",
    )
    group = parser.add_argument_group("Files")
    group.add_argument(
        "--format",
        action="append",
        type=names_of(TRACK_FORMATS),
        metavar="NAME[,NAME...]",
        help="what to write, one or several of the formats below (default masklets)",
    )
    group.add_argument(
        "--out",
        type=folder,
        default=Path("sam2_results"),
        metavar="FOLDER",
        help="folder for it (default %(default)s)",
    )
    group.add_argument(
        "--overwrite", action="store_true", help="track again what is done, with these settings"
    )
    group.add_argument(
        "--both-ways",
        action="store_true",
        help="track each object from its first prompt back to the first frame, too",
    )
    group.add_argument(
        "--frames",
        dest="frame_count",
        type=_count,
        metavar="N",
        help="track the first N frames only, such as of a camera (default: all)",
    )
    group.add_argument(
        "--fps",
        type=_rate,
        default=_FRAMES_PER_SECOND,
        metavar="X",
        help="frames per second of a folder of pictures (default %(default)g); a file has its own",
    )
    group.add_argument(
        "--opacity",
        type=fraction,
        default=0.5,
        help="for overlay: 0 = only outlines, 1 = masks hide the picture (default %(default)s)",
    )
    group.add_argument("-q", "--quiet", action="store_true", help="say nothing but what failed")
    group.add_argument("-v", "--verbose", action="store_true", help="tell more of what is done")


def track_formats_listed() -> str:
    """The formats, a line each, for the help text."""
    lines = [f"  {name + ':':<15}{kind.words}\n" for name, kind in TRACK_FORMATS.items()]
    return "formats:\n" + "".join(lines)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, got {text!r}")
    return int(text)


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not (math.isfinite(rate) and rate > 0):
        raise argparse.ArgumentTypeError(f"expected a number above 0 such as 25, got {text!r}")
    return rate
