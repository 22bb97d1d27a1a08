"""The command ``results``: what a run's tables hold, checked, listed and converted."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from infer_segment_anything_2.errors import ExportError, ParameterError, counted
from infer_segment_anything_2.sam2_batch.cluster.coco_merging import write_merged_coco
from infer_segment_anything_2.sam2_batch.cluster.expanding import EXPANDABLE, expand
from infer_segment_anything_2.sam2_batch.cluster.folders import Folder, is_url, open_folder
from infer_segment_anything_2.sam2_batch.cluster.run_settings import remembered_parameters
from infer_segment_anything_2.sam2_batch.cluster.shard_plan import Plan, Shard
from infer_segment_anything_2.sam2_batch.cluster.shard_tables import (
    MASKS,
    PICTURES,
    done_names,
    read_rows,
)
from infer_segment_anything_2.sam2_batch.exit_codes import EXIT_DONE, EXIT_SOME_FAILED

__all__ = ["run_results"]


def run_results(options: argparse.Namespace) -> int:
    """Runs ``results``; returns the exit code.

    Raises:
        SegmentAnythingError: The folder is none of a run, or a file cannot be read or written.
    """
    folder = open_folder(options.out if is_url(options.out) else str(Path(options.out)))
    remembered_parameters(folder)  # says so if this is no run
    if (options.expand is None) != (options.to is None):
        raise ParameterError(
            "--expand and --to go together: what to write, and the folder for it; give both."
        )
    if options.errors:
        return _list_errors(folder)
    if options.coco is not None:
        n_images, n_annotations = write_merged_coco(folder, options.coco)
        sys.stdout.write(
            f"{counted(n_images, 'image')}, {counted(n_annotations, 'annotation')}: "
            f"{options.coco}\n"
        )
        return EXIT_DONE
    if options.expand is not None:
        return _expand(folder, options)
    return _check(folder)


def _list_errors(folder: Folder) -> int:
    n_failed = 0
    for file_name in sorted(done_names(folder)):
        for row in read_rows(folder, PICTURES, file_name, ["path", "error_kind", "error"]):
            if row["error"] is not None:
                n_failed += 1
                sys.stdout.write(f"{row['path']}\t{row['error_kind']}\t{row['error']}\n")
    # Beside the list, which is for other programs too.
    sys.stderr.write(f"{counted(n_failed, 'picture')} failed\n")
    return EXIT_DONE


def _expand(folder: Folder, options: argparse.Namespace) -> int:
    formats = [name.strip() for name in options.expand.split(",")]
    for name in formats:
        if name not in EXPANDABLE:
            raise ParameterError(
                f"--expand makes {', '.join(EXPANDABLE)} from tables, got {name!r}; name some of "
                "these."
            )
    n_written, n_failed = 0, 0
    for path, error in expand(folder, formats, options.to, options.only):
        if error is not None:
            sys.stderr.write(f"{path}: {error}\n")
        n_failed += error is not None
        n_written += error is None
    sys.stdout.write(
        f"{counted(n_written, 'picture')} written, {n_failed} failed, in {options.to}\n"
    )
    return EXIT_SOME_FAILED if n_failed else EXIT_DONE


def _check(folder: Folder) -> int:
    """Counts all rows, and compares the tables with the plan and with each other."""
    plan = Plan(folder)
    shards, done = plan.shards(), done_names(folder)
    counts: Counter[str] = Counter()
    troubles: list[str] = []
    for shard in shards:
        if shard.file_name in done:
            troubles += _compare(folder, plan, shard, counts)
    counts["planned"] = sum(shard.n_pictures for shard in shards)
    n_done = sum(shard.file_name in done for shard in shards)
    strange = done - {shard.file_name for shard in shards}
    troubles += [f"{PICTURES}/{name} belongs to no shard of the plan" for name in sorted(strange)]
    sys.stdout.write(
        f"{counts['pictures']} of {counted(counts['planned'], 'picture')} in {n_done} of "
        f"{counted(len(shards), 'shard')}: {counts['pictures'] - counts['failed']} done, "
        f"{counts['failed']} failed, {counted(counts['masks'], 'mask')}\n"
    )
    for line in troubles:
        sys.stderr.write(f"{line}\n")
    if troubles:
        sys.stderr.write(
            f"Remove the {PICTURES}/ files of these shards and run the same command again.\n"
        )
    return EXIT_SOME_FAILED if troubles or n_done < len(shards) else EXIT_DONE


def _compare(folder: Folder, plan: Plan, shard: Shard, counts: Counter[str]) -> Sequence[str]:
    """Adds a shard to the counts; gives a line for each thing that is not as it should be."""
    name = shard.file_name
    try:
        rows = read_rows(folder, PICTURES, name, ["path", "n_masks", "error"])
        masks = read_rows(folder, MASKS, name, ["path"])
    except ExportError as error:
        return [str(error)]
    planned = [picture.path for picture in plan.pictures_of(shard)]
    counts["pictures"] += len(rows)
    counts["failed"] += sum(row["error"] is not None for row in rows)
    counts["masks"] += len(masks)
    troubles = []
    if sorted(row["path"] for row in rows) != planned:
        troubles.append(f"{PICTURES}/{name} has other pictures than the plan has")
    told = {row["path"]: row["n_masks"] for row in rows if row["n_masks"]}
    counted = Counter(row["path"] for row in masks)
    if told != dict(counted):
        troubles.append(f"{MASKS}/{name} has other numbers of masks than {PICTURES}/{name} says")
    return troubles
