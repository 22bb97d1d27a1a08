"""The command line: pictures to files of masks, and the weights, without Ikomia.

All flags but those of files are made from the parameter rows, so they are the same as in Ikomia.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType

from infer_segment_anything_2.errors import (
    CheckpointError,
    DependencyError,
    ParameterError,
    PromptError,
    SegmentAnythingError,
)
from infer_segment_anything_2.parameters import ROWS, Parameters
from infer_segment_anything_2.request import raise_first, text_errors
from infer_segment_anything_2.sam2_batch.done_marks import Fingerprint
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
from infer_segment_anything_2.sam2_batch.page_command import run_page
from infer_segment_anything_2.sam2_batch.picture_finding import PictureFile, find_pictures
from infer_segment_anything_2.sam2_batch.prompts_file import (
    read_prompts,
    refuse_prompts_of_all,
    with_prompts,
)
from infer_segment_anything_2.sam2_batch.result_folder import ResultFolder
from infer_segment_anything_2.sam2_batch.tables import run_results, run_tables, wants_tables
from infer_segment_anything_2.sam2_batch.terminal import Progress, duration, log_shown, not_shown
from infer_segment_anything_2.sam2_batch.track_command import run_track
from infer_segment_anything_2.sam2_reading.object_entries import objects_from_entries
from infer_segment_anything_2.sam2_reading.tiff_files import georeference_of
from infer_segment_anything_2.segmentation import Segmenter

__all__ = ["main"]

_LOGGER = logging.getLogger("ikomia.infer_segment_anything_2")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: The words after the program's name; those of this process if None.

    Returns:
        The exit code; see the help text.
    """
    try:
        options = make_parser(_COMMANDS).parse_args(arguments)
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
    if wants_tables(options):
        return run_tables(options, parameters, _prompted)
    pictures = find_pictures(
        options.pictures,
        out=options.out,
        recursive=options.recursive,
        tell=lambda line: None if options.quiet else _say(line),
    )
    wanted = [name for names in options.format or [["coco"]] for name in names]
    export_options = ExportOptions(options.affine, options.crs, options.opacity)
    _check_map(export_options, wanted, pictures)
    if options.prompts is not None:
        pictures = _prompted(pictures, options.prompts, parameters)
    results = ResultFolder(
        options.out,
        tuple(dict.fromkeys(wanted)),
        export_options,
        parameters,
        own_prompts=options.prompts is not None,
    )
    if not options.overwrite:
        results.check()
    pictures = results.settle(pictures)
    undone = pictures
    if not options.overwrite:
        undone = [picture for picture in pictures if not results.has(picture)]
        if len(undone) < len(pictures) and not options.quiet:
            print(f"{len(pictures) - len(undone)} of {len(pictures)} pictures were done before")
    exit_code = _segment_all(undone, results, options) if undone else EXIT_DONE
    data_set = results.finish()
    if data_set is not None and not options.quiet:
        print(f"All pictures of the folder together: {data_set}")
    return exit_code


def _track(options: argparse.Namespace) -> int:
    return run_track(options, _parameters(options))


_COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = MappingProxyType(
    {
        "segment": _segment,
        "track": _track,
        "page": run_page,
        "results": run_results,
        "models": run_models,
    }
)


def _check_map(
    options: ExportOptions, formats: Sequence[str], pictures: Sequence[PictureFile]
) -> None:
    """Refuses what would put pictures where they do not lie."""
    if "geojson" not in formats:
        return
    if (
        options.crs
        and options.affine is None
        and not any(georeference_of(picture.path) for picture in pictures)
    ):
        raise ParameterError(
            f"--crs {options.crs} needs the transform from pixels to its coordinates, got none, "
            "and no picture that brings its own; give --affine A,B,C,D,E,F too, or leave --crs "
            "out.",
            key="crs",
            value=options.crs,
        )
    if options.affine is not None and len(pictures) > 1:
        raise ParameterError(
            f"--affine is the place of one picture on the map, got {len(pictures)} pictures, which "
            "would all lie there; leave it out for GeoTIFFs, which bring their own, or run the "
            "pictures one by one.",
            key="affine",
        )


def _prompted(
    pictures: Sequence[PictureFile], path: Path, parameters: Parameters
) -> list[PictureFile]:
    """The pictures with the prompts that a file has for each."""
    refuse_prompts_of_all(parameters, "--prompts")
    prompted, unknown = with_prompts(pictures, read_prompts(path), path)
    for picture in prompted:
        try:
            objects_from_entries(picture.objects or "")
        except PromptError as error:
            raise PromptError(f"{path}, {picture.name}: {error}", key=error.key) from error
    if unknown:
        _LOGGER.warning(
            "%d of the pictures in %s are none of the given ones, such as %s",
            len(unknown),
            path,
            unknown[0],
        )
    return prompted


def _parameters(options: argparse.Namespace) -> Parameters:
    """The parameters of the flags; prompts are read once here, before anything is loaded."""
    given = {row.key: getattr(options, row.key, None) for row in ROWS}
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
    segmenter = Segmenter(asks_again=False)
    begun_s = time.monotonic()
    # Before there are bars: a download draws its own, if none is to be told of it.
    segmenter.load(parameters, not_shown if options.quiet else None)
    if options.overwrite:
        results.forget(pictures)
    results.prepare()
    failures = 0
    with Progress(len(pictures), quiet=options.quiet) as progress:
        for picture in pictures:
            progress.begin(picture)
            picture_begun_s = time.monotonic()
            write = partial(results.write, content=Fingerprint.of(picture.path))
            done = segment_picture(
                picture, segmenter, parameters, write, progress.show_stage, results.check_place
            )
            progress.end()
            _tell(done, time.monotonic() - picture_begun_s, progress, verbose=options.verbose)
            failures += done.error is not None
        progress.tell(
            f"{len(pictures) - failures} done, {failures} failed, in {results.folder}, "
            f"{duration(time.monotonic() - begun_s)}"
        )
    return EXIT_SOME_FAILED if failures else EXIT_DONE


def _tell(done: PictureDone, took_s: float, progress: Progress, *, verbose: bool) -> None:
    """Says what became of a picture."""
    if done.error is not None:
        progress.complain(f"{done.picture.path}: {done.error}")
        return
    for note in done.notes:
        progress.complain(f"{done.picture.path}: {note}")
    progress.tell(f"{done.picture.name}: {done.headline}, {duration(took_s)}")
    if verbose:
        if done.summary != done.headline:
            progress.tell(f"  {done.summary}")
        progress.tell(f"  -> {', '.join(map(str, done.paths))}")
