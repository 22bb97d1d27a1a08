"""The command line: pictures to files of masks, and the weights, without Ikomia.

All flags but those of files are made from the parameter rows, so they are the same as in Ikomia.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from infer_segment_anything_2.errors import (
    CheckpointError,
    DependencyError,
    ParameterError,
    SegmentAnythingError,
)
from infer_segment_anything_2.parameters import ROWS, Parameters
from infer_segment_anything_2.request import raise_first, text_errors
from infer_segment_anything_2.sam2_batch.exit_codes import (
    EXIT_DONE,
    EXIT_INTERRUPTED,
    EXIT_NO_NETWORK,
    EXIT_SOME_FAILED,
    EXIT_WRONG_CALL,
    complain,
)
from infer_segment_anything_2.sam2_batch.flags import make_parser
from infer_segment_anything_2.sam2_batch.folder_run import PictureDone, segment_picture
from infer_segment_anything_2.sam2_batch.formats import ExportOptions
from infer_segment_anything_2.sam2_batch.models import run_models
from infer_segment_anything_2.sam2_batch.picture_finding import PictureFile, find_pictures
from infer_segment_anything_2.sam2_batch.result_folder import ResultFolder
from infer_segment_anything_2.sam2_batch.terminal import Progress, log_shown
from infer_segment_anything_2.segmentation import Segmenter

if TYPE_CHECKING:
    from infer_segment_anything_2.segmentation import Segmenter

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: The words after the program's name; those of this process if None.

    Returns:
        The exit code; see the help text.
    """
    try:
        options = make_parser(_segment, run_models).parse_args(arguments)
    except SystemExit as leaving:  # argparse has said what is wrong, or printed the help
        return leaving.code if isinstance(leaving.code, int) else EXIT_WRONG_CALL
    try:
        with log_shown(verbose=options.verbose):
            command: Callable[[argparse.Namespace], int] = options.command
            return command(options)
    except (CheckpointError, DependencyError) as error:
        return complain(error, EXIT_NO_NETWORK)
    except SegmentAnythingError as error:
        return complain(error, EXIT_WRONG_CALL)
    except KeyboardInterrupt:
        sys.stderr.write("Stopped; the same command goes on from there.\n")
        return EXIT_INTERRUPTED


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _segment(options: argparse.Namespace) -> int:
    parameters = _parameters(options)
    pictures = find_pictures(
        options.pictures,
        out=options.out,
        recursive=options.recursive,
        tell=lambda line: None if options.quiet else _say(line),
    )
    wanted = [name for names in options.format or [["coco"]] for name in names]
    export_options = ExportOptions(options.affine, options.crs, options.opacity)
    results = ResultFolder(options.out, tuple(dict.fromkeys(wanted)), export_options, parameters)
    if not options.overwrite:
        results.check()
        undone = [picture for picture in pictures if not results.has(picture)]
        if len(undone) < len(pictures) and not options.quiet:
            print(f"{len(pictures) - len(undone)} of {len(pictures)} pictures were done before")
        pictures = undone
    return _segment_all(pictures, results, options) if pictures else EXIT_DONE


def _parameters(options: argparse.Namespace) -> Parameters:
    """The parameters of the flags; prompts are read once here, before anything is loaded."""
    given = {row.key: getattr(options, row.key) for row in ROWS}
    texts = {key: _from_file(str(value)) for key, value in given.items() if value is not None}
    for keys, short, values in (
        (("input_point", "input_point_label"), "--point", options.point),
        (("input_box",), "--box", options.box),
    ):
        if values and not texts.keys().isdisjoint(keys):
            raise ParameterError(
                f"Both {short} and --{keys[0].replace('_', '-')} (or its labels) were given; "
                "they are two forms of one prompt, use one of them.",
                key=keys[0],
            )
    if options.point:
        texts["input_point"] = str([[x, y] for x, y, _ in options.point])
        texts["input_point_label"] = str([label for _, _, label in options.point])
    if options.box:
        texts["input_box"] = str(options.box)
    parameters = Parameters.from_strings(texts)
    raise_first(text_errors(parameters))
    return parameters


def _from_file(value: str) -> str:
    """The value itself, or for "@FILE" what stands in that file."""
    if not value.startswith("@"):
        return value
    try:
        return Path(value[1:]).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: "~nobody/..."
        raise ParameterError(
            f"The file of {value!r} cannot be read: {error}; give the path of a text file behind "
            "the @.",
            value=value,
        ) from error


def _segment_all(
    pictures: Sequence[PictureFile], results: ResultFolder, options: argparse.Namespace
) -> int:
    parameters = results.parameters
    segmenter = Segmenter()
    failures = 0
    segmenter.load(parameters)  # before there are bars: a download draws its own
    if options.overwrite:
        results.forget(pictures)
    with Progress(len(pictures), quiet=options.quiet) as progress:
        for picture in pictures:
            progress.begin(picture)
            done = segment_picture(
                picture, segmenter, parameters, results.write, progress.show_stage
            )
            progress.end()
            _tell(done, progress)
            failures += done.error is not None
    return EXIT_SOME_FAILED if failures else EXIT_DONE


def _tell(done: PictureDone, progress: Progress) -> None:
    """Says what became of a picture."""
    path = done.picture.path
    if done.error is not None:
        progress.complain(f"{path}: {done.error}")
        return
    for note in done.notes:
        progress.complain(f"{path}: {note}")
    progress.tell(f"{path}: {done.summary} -> {', '.join(map(str, done.paths))}")
