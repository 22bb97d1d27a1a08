"""The command ``page``: pictures and videos in the browser, to point and to tune."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from infer_segment_anything_2.errors import ImageError, ParameterError
from infer_segment_anything_2.parameters import ROWS, Parameters
from infer_segment_anything_2.sam2_batch.exit_codes import EXIT_DONE
from infer_segment_anything_2.sam2_batch.flag_values import folder
from infer_segment_anything_2.sam2_batch.formats import FORMATS, ExportOptions
from infer_segment_anything_2.sam2_batch.page_finding import find_page_files
from infer_segment_anything_2.sam2_batch.picture_finding import PictureFile
from infer_segment_anything_2.sam2_batch.result_folder import ResultFolder
from infer_segment_anything_2.sam2_batch.track_flags import TRACK_KEYS
from infer_segment_anything_2.sam2_reading.parameter_rows import Group
from infer_segment_anything_2.sam2_reading.picture_files import read_picture_file
from infer_segment_anything_2.sam2_results.outcome import Segmentation
from infer_segment_anything_2.sam2_web.desk import Desk, PagePicture
from infer_segment_anything_2.sam2_web.serving import LOOPBACK, serve
from infer_segment_anything_2.sam2_web.video_desk import VIDEO_SETTINGS

__all__ = ["PAGE_KEYS", "add_page_flags", "run_page"]

# What is prompted is the page's own business.
_GROUPS: frozenset[Group] = frozenset({"model", "everything", "cleanup"})
PAGE_KEYS = frozenset(row.key for row in ROWS if row.group in _GROUPS).union(VIDEO_SETTINGS)
"""The parameters that the page can be started with."""


def add_page_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of ``page`` that are no parameters."""
    parser.add_argument(
        "pictures",
        nargs="+",
        metavar="PICTURE",
        help="a picture, a video, a folder of both, or a pattern such as 'photos/**/*.jpg'",
    )
    group = parser.add_argument_group("Page")
    group.add_argument(
        "--out",
        type=folder,
        default=Path("sam2_results"),
        metavar="FOLDER",
        help="folder for results, and for what is remembered of each picture (default %(default)s)",
    )
    group.add_argument(
        "-r", "--recursive", action="store_true", help="search folders in folders too"
    )
    group.add_argument(
        "--as-video",
        action="store_true",
        help="the pictures of each folder that is named are the frames of one video",
    )
    group.add_argument(
        "--port", type=int, default=0, metavar="N", help="port of the page (default: a free one)"
    )
    group.add_argument(
        "--host",
        default=LOOPBACK,
        metavar="ADDRESS",
        help="the address by which other machines reach this one; needs --let-others-in",
    )
    group.add_argument(
        "--let-others-in",
        action="store_true",
        help="with --host: whoever on the network learns the page's address sees the pictures and "
        "can write results; nothing is encrypted",
    )
    group.add_argument(
        "--no-browser", action="store_true", help="only print the address, do not open it"
    )


def run_page(options: argparse.Namespace) -> int:
    """Runs ``page`` until Ctrl-C; returns the exit code."""
    if (options.host != LOOPBACK) != options.let_others_in:
        raise ParameterError(
            f"--host and --let-others-in go together, got --host {options.host} "
            f"{'with' if options.let_others_in else 'without'} --let-others-in; give both to let "
            "other machines see the page, or neither.",
            key="host",
        )
    pictures, videos = find_page_files(
        options.pictures,
        out=options.out,
        recursive=options.recursive,
        as_video=options.as_video,
        tell=_say,
    )
    files = {picture.name: picture for picture in pictures}
    given = {key: text for key in PAGE_KEYS if (text := getattr(options, key)) is not None}
    desk = Desk(
        [PagePicture(one.path, one.name, one.result_name) for one in pictures],
        Parameters.from_strings(given),
        lambda picture, found, formats: _write(options.out, files, picture, found, formats),
        options.out,
        videos,
        Parameters.from_strings({key: given[key] for key in given.keys() & TRACK_KEYS}),
    )
    _check_readable(desk)
    serve(
        desk,
        {name: kind.words for name, kind in FORMATS.items() if name != "coco-dataset"},
        host=options.host,
        port=options.port,
        open_browser=not options.no_browser,
    )
    return EXIT_DONE


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _check_readable(desk: Desk) -> None:
    """Refuses a call whose only file cannot be read; of many, the page tells it of each."""
    if len(desk.pictures) + len(desk.videos.videos) > 1:
        return
    if desk.videos.videos:
        desk.videos.shelf(0)
        return
    try:
        desk.picture(0)
    except ImageError as error:
        raise ImageError(f"{desk.pictures[0].path}: {error}") from error


def _write(
    out: Path,
    files: Mapping[str, PictureFile],
    picture: PagePicture,
    found: Segmentation,
    formats: Sequence[str],
) -> list[Path]:
    """Writes a picture's results as ``segment`` would, with the prompts as its own."""
    parameters = Parameters.from_strings(found.settings["parameters"])
    is_prompted = found.objects is not None
    results = ResultFolder(
        out,
        tuple(dict.fromkeys(formats)),
        ExportOptions(),
        replace(parameters, input_objects=""),
        own_prompts=is_prompted,
    )
    (settled,) = results.settle([files[picture.name]])
    located = replace(
        settled,
        objects=parameters.input_objects if is_prompted else None,
        georeference=read_picture_file(picture.path).georeference,
    )
    return results.write(located, found)
