"""A run whose results are two tables: plan, hand out shards here or on Ray, tell what became."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TextIO

import pyarrow.parquet as pq

from infer_segment_anything_2.errors import (
    DependencyError,
    ParameterError,
    SegmentAnythingError,
    counted,
    first_line,
)
from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.sam2_batch.cluster.attempts import (
    forget_attempts,
    forget_done_attempts,
)
from infer_segment_anything_2.sam2_batch.cluster.folders import Folder, is_url, open_folder
from infer_segment_anything_2.sam2_batch.cluster.run_settings import check_settings, run_settings
from infer_segment_anything_2.sam2_batch.cluster.shard_plan import Plan, Shard, read_picture_list
from infer_segment_anything_2.sam2_batch.cluster.shard_tables import (
    PICTURES,
    done_names,
    read_rows,
)
from infer_segment_anything_2.sam2_batch.cluster.shard_work import Order, ShardWorker
from infer_segment_anything_2.sam2_batch.cluster.sources import SourcePicture, find_sources
from infer_segment_anything_2.sam2_batch.cluster.tally import Tally, TooManyFailedError
from infer_segment_anything_2.sam2_batch.exit_codes import EXIT_DONE, EXIT_SOME_FAILED, complain
from infer_segment_anything_2.sam2_batch.picture_finding import PictureFile
from infer_segment_anything_2.sam2_batch.prompts_file import refuse_prompts_of_all

__all__ = ["run_tables"]

Prompted = Callable[[Sequence[PictureFile], Path, Parameters], list[PictureFile]]
"""Gives pictures the prompts that a file has for each."""


def run_tables(options: argparse.Namespace, parameters: Parameters, prompted: Prompted) -> int:
    """Runs ``segment`` with tables as its result; gives the exit code.

    Raises:
        SegmentAnythingError: The call is wrong, or nothing can be done at all.
    """
    if options.on == "ray":
        _check_ray()
    out = str(options.out) if is_url(str(options.out)) else os.path.abspath(options.out)  # noqa: PTH100
    folder = open_folder(out)
    plan = Plan(folder)
    sources: list[SourcePicture] = []
    # Jobs that do some shards each take the plan as it is: all of them must see the same.
    if options.only_shards is None or not plan.shards():
        sources = _sources(options, out, parameters, prompted)
    settings = run_settings(parameters, own_prompts=_own_prompts(options))
    digest = check_settings(folder, settings)
    plan.add(_new(sources, plan), options.shard_size)
    shards = _chosen(plan.shards(), options.only_shards)
    if options.plan_only:
        _say(options, f"{_counted(shards)} are planned in {folder.place}")
        return EXIT_DONE
    order = Order(
        out, parameters, digest, settings["weights_sha256"], retry_failed=options.retry_failed
    )
    undone = _undone(shards, folder, options)
    forget_done_attempts(folder)
    if not undone:
        again = "" if options.retry_failed else " --retry-failed does again what failed."
        _say(
            options,
            f"Nothing is left to do in {folder.place}.{again}\n{_how_to_ask(folder)}",
        )
        return EXIT_DONE
    return _run(order, undone, folder, options)


def _run(order: Order, shards: Sequence[Shard], folder: Folder, options: argparse.Namespace) -> int:
    n_pictures = sum(shard.n_pictures for shard in shards)
    with Tally(
        n_pictures, options.max_failed, quiet=options.quiet, verbose=options.verbose
    ) as tally:
        try:
            if options.on == "ray":
                _on_ray(order, shards, folder, options, tally)
            else:
                worker = ShardWorker(order)
                for shard in shards:
                    done = worker.do(shard, lambda _row: tally.show_one())
                    tally.add(done, is_shown=True)
        except TooManyFailedError as error:
            return complain(error, EXIT_SOME_FAILED)
    forget_done_attempts(folder)
    _say(
        options,
        f"{counted(tally.n_done, 'picture')} done, {tally.n_failed} failed, "
        f"{counted(tally.n_masks, 'mask')}, in {folder.place}, {tally.took}\n{_how_to_ask(folder)}",
    )
    return EXIT_SOME_FAILED if tally.n_failed else EXIT_DONE


def _on_ray(
    order: Order,
    shards: Sequence[Shard],
    folder: Folder,
    options: argparse.Namespace,
    tally: Tally,
) -> None:
    from infer_segment_anything_2.sam2_batch.cluster.on_ray import RayChoices, run_on_ray

    address = options.ray_address or ("auto" if os.environ.get("RAY_ADDRESS") else "local")
    choices = RayChoices(address, options.workers, options.cpus_per_worker, options.gpus_per_worker)
    try:
        run_on_ray(order, shards, choices, tally.add)
    except (KeyboardInterrupt, SegmentAnythingError):
        # The workers were stopped, they did not die of their pictures.
        with suppress(KeyboardInterrupt, SegmentAnythingError):
            forget_attempts(folder)
        raise


def _check_ray() -> None:
    """Looks for Ray before pictures are listed, which may take long."""
    try:
        import ray.data  # noqa: F401
    except ImportError as error:
        raise DependencyError(
            f"--on ray needs the package ray, which does not load ({first_line(error)}); run: "
            'pip install "ray[data]>=2.60" "pyarrow>=17" fsspec'
        ) from error


def _sources(
    options: argparse.Namespace, out: str, parameters: Parameters, prompted: Prompted
) -> list[SourcePicture]:
    """The pictures that the call names, with their own prompts if they have some."""
    if options.list is not None:
        if _own_prompts(options):
            refuse_prompts_of_all(parameters, "--list")
        return read_picture_list(str(options.list))
    found = find_sources(
        options.pictures,
        out=out,
        recursive=options.recursive,
        tell=lambda line: _say(options, line, sys.stderr),
    )
    if options.prompts is None:
        return found
    files = [PictureFile(Path(picture.path), picture.name, "") for picture in found]
    files = prompted(files, options.prompts, parameters)
    return [
        replace(picture, objects=file.objects) for picture, file in zip(found, files, strict=True)
    ]


def _own_prompts(options: argparse.Namespace) -> bool:
    if options.list is None:
        return options.prompts is not None
    with suppress(Exception):  # reading it whole says what is wrong
        return "input_objects" in pq.read_schema(str(options.list)).names
    return False


def _new(sources: Sequence[SourcePicture], plan: Plan) -> list[SourcePicture]:
    """Those pictures that are not planned yet.

    Raises:
        ParameterError: One that is planned has other prompts now.
    """
    if not sources:
        return []
    planned = {picture.path: picture.objects for picture in plan.pictures()}
    for picture in sources:
        if picture.path in planned and planned[picture.path] != picture.objects:
            raise ParameterError(
                f"The prompts of {picture.path} are others than those that this run was planned "
                "with; give the same, or another place for the results."
            )
    return [picture for picture in sources if picture.path not in planned]


def _chosen(shards: list[Shard], wanted: Sequence[range] | None) -> list[Shard]:
    if wanted is None:
        return shards
    chosen = [shard for shard in shards if any(shard.number in numbers for numbers in wanted)]
    if not chosen:
        raise ParameterError(
            f"--only-shards must name shards of this run, which has 0-{shards[-1].number}, got "
            "none of them.",
            key="only_shards",
        )
    return chosen


def _undone(shards: Sequence[Shard], folder: Folder, options: argparse.Namespace) -> list[Shard]:
    done = done_names(folder)
    undone = [shard for shard in shards if shard.file_name not in done]
    if len(undone) < len(shards):
        before = [shard for shard in shards if shard.file_name in done]
        left = f", {_counted(undone)} are left" if undone else ""
        _say(options, f"{_counted(before)} were done before{left}")
    if not options.retry_failed:
        return undone
    return undone + [
        shard
        for shard in shards
        if shard.file_name in done
        and any(
            row["error_kind"] is not None
            for row in read_rows(folder, PICTURES, shard.file_name, ["error_kind"])
        )
    ]


def _counted(shards: Sequence[Shard]) -> str:
    n_pictures = sum(shard.n_pictures for shard in shards)
    return f"{counted(n_pictures, 'picture')} in {counted(len(shards), 'shard')}"


def _how_to_ask(folder: Folder) -> str:
    place = folder.place
    return (
        "Ask the tables, for example with DuckDB:\n"
        f"  select path, count(*) from '{place}/masks/*.parquet' where predicted_iou > 0.9 group "
        "by path\n"
        f"  select path, error from '{place}/pictures/*.parquet' where error is not null\n"
        f"or with: infer-segment-anything-2 results {place} --errors"
    )


def _say(options: argparse.Namespace, words: str, stream: TextIO | None = None) -> None:
    if not options.quiet:
        (stream or sys.stdout).write(f"{words}\n")
