"""The command line: pictures to files of masks, and the weights, without Ikomia.

All flags but those of files are made from the parameter rows, so they are the same as in Ikomia.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from infer_segment_anything_2.errors import (
    CheckpointError,
    DependencyError,
    DeviceError,
    ExportError,
    ImageError,
    ParameterError,
    PromptError,
    SegmentAnythingError,
)
from infer_segment_anything_2.parameters import ROWS, Parameters
from infer_segment_anything_2.prompts import PromptMask
from infer_segment_anything_2.sam2_batch.flags import make_parser
from infer_segment_anything_2.sam2_batch.formats import ExportOptions
from infer_segment_anything_2.sam2_batch.picture_finding import PictureFile, find_pictures
from infer_segment_anything_2.sam2_batch.result_folder import ResultFolder
from infer_segment_anything_2.sam2_batch.terminal import Progress, log_shown
from infer_segment_anything_2.sam2_engine.weights.checkpoints import (
    CHECKPOINT_NAMES,
    CHECKPOINTS,
    Checkpoint,
    get_checkpoint,
)
from infer_segment_anything_2.sam2_engine.weights.finding import (
    checkpoint_folders,
    find_weights,
    locate_checkpoint,
)
from infer_segment_anything_2.sam2_reading.object_entries import MaskSource, objects_from_entries
from infer_segment_anything_2.sam2_reading.picture_files import read_picture_file
from infer_segment_anything_2.sam2_reading.prompt_text import objects_from_text

if TYPE_CHECKING:
    from infer_segment_anything_2.segmentation import Segmenter

__all__ = ["main"]

EXIT_DONE = 0
EXIT_SOME_FAILED = 1
EXIT_WRONG_CALL = 2
EXIT_NO_NETWORK = 3
EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: The words after the program's name; those of this process if None.

    Returns:
        The exit code; see the help text.
    """
    try:
        options = make_parser(_segment, _models).parse_args(arguments)
    except SystemExit as leaving:  # argparse has said what is wrong, or printed the help
        return leaving.code if isinstance(leaving.code, int) else EXIT_WRONG_CALL
    try:
        with log_shown(verbose=options.verbose):
            command: Callable[[argparse.Namespace], int] = options.command
            return command(options)
    except (CheckpointError, DependencyError) as error:
        return _complain(error, EXIT_NO_NETWORK)
    except SegmentAnythingError as error:
        return _complain(error, EXIT_WRONG_CALL)
    except KeyboardInterrupt:
        sys.stderr.write("Stopped; the same command goes on from there.\n")
        return EXIT_INTERRUPTED


def _complain(error: SegmentAnythingError, exit_code: int) -> int:
    sys.stderr.write(f"error: {error}\n")
    return exit_code


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _segment(options: argparse.Namespace) -> int:
    parameters = _parameters(options)
    pictures = find_pictures(
        options.pictures,
        out=options.out,
        recursive=options.recursive,
        tell=lambda line: None if options.quiet else _tell(line),
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
    objects_from_text(parameters.input_point, parameters.input_point_label, parameters.input_box)
    objects_from_entries(parameters.input_objects, _unread_mask)
    return parameters


def _from_file(value: str) -> str:
    """The value itself, or for "@FILE" what stands in that file."""
    if not value.startswith("@"):
        return value
    try:
        return Path(value[1:]).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise ParameterError(
            f"The file of {value!r} cannot be read: {error}; give the path of a text file behind "
            "the @.",
            value=value,
        ) from error


def _unread_mask(_: MaskSource) -> PromptMask:
    """Stands for a mask prompt while the texts are looked through; it is read with the picture."""
    return PromptMask(np.ones((1, 1), bool))


def _segment_all(
    pictures: Sequence[PictureFile], results: ResultFolder, options: argparse.Namespace
) -> int:
    parameters = results.parameters
    segmenter = _load_segmenter()
    failures = 0
    with Progress(len(pictures), quiet=options.quiet) as progress:
        segmenter.load(parameters, progress.show_stage)
        if options.overwrite:
            results.forget(pictures)
        for picture in pictures:
            progress.begin(picture)
            try:
                content = read_picture_file(picture.path)
                found = segmenter.segment(
                    content.pixels_hwc, parameters, on_progress=progress.show_stage
                )
                found = replace(found, notes=(*content.notes, *found.notes))
                paths = results.write(picture, found)
            except (ImageError, PromptError, DeviceError, ExportError) as error:
                failures += 1
                progress.complain(f"{picture.path}: {error}")
                continue
            finally:
                progress.end()
            for note in found.notes:
                progress.complain(f"{picture.path}: {note}")
            progress.tell(f"{picture.path}: {found.summary} -> {', '.join(map(str, paths))}")
    return EXIT_SOME_FAILED if failures else EXIT_DONE


def _load_segmenter() -> Segmenter:
    # Only here: help, lists and a run with nothing left to do need no torch.
    try:
        from infer_segment_anything_2.segmentation import Segmenter
    except ImportError as error:
        raise DependencyError(
            f"A package that the network needs does not load: {error}; install what "
            "requirements.txt names, at least: pip install torch torchvision sam2==1.1.0"
        ) from error
    return Segmenter()


def _models(options: argparse.Namespace) -> int:
    rows = [get_checkpoint(name) for name in options.names]
    if options.action == "fetch":
        if not rows:
            raise ParameterError(f"Name what to fetch: {', '.join(CHECKPOINT_NAMES)}.")
        for row in rows:
            print(f"{row.name}: {find_weights(row.name).path}")
        return EXIT_DONE
    if options.action == "check":
        return _check(rows)
    for row in rows or CHECKPOINTS.values():
        print(f"{row.name:<24}{row.size_bytes / 1e6:>7.1f} MB  {_whereabouts(row)}")
        print(f"    {row.advice}")
    return EXIT_DONE


def _check(rows: Sequence[Checkpoint]) -> int:
    """Compares weights with their hashes, all before it tells by its code that one is not right."""
    exit_code = EXIT_DONE
    for row in rows or CHECKPOINTS.values():
        try:
            path = locate_checkpoint(row)
        except CheckpointError as error:
            exit_code = _complain(error, EXIT_NO_NETWORK)
            continue
        if path is not None:
            print(f"{row.name}: unharmed, {path}")
        elif rows:
            exit_code = EXIT_NO_NETWORK
            print(f"{row.name}: not here")
    return exit_code


def _whereabouts(row: Checkpoint) -> str:
    """Where weights lie, by the look of it; nothing is read."""
    if row.is_bundled:
        return "comes with the plugin"
    for folder in checkpoint_folders():
        if (folder / row.file_name).is_file():
            return f"here, {folder / row.file_name}"
    return "not here, fetched when first used"
