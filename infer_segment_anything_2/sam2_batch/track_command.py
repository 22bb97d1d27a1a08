"""The command ``track``: objects through a video, to files."""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial

from infer_segment_anything_2.errors import ExportError, ParameterError, PromptError
from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.sam2_batch.done_marks import settings_of
from infer_segment_anything_2.sam2_batch.exit_codes import (
    EXIT_DONE,
    EXIT_INTERRUPTED,
    EXIT_SOME_FAILED,
    EXIT_WRONG_CALL,
)
from infer_segment_anything_2.sam2_batch.terminal import FrameProgress, duration, not_shown
from infer_segment_anything_2.sam2_batch.track_flags import TRACK_KEYS
from infer_segment_anything_2.sam2_batch.track_folder import TrackFolder
from infer_segment_anything_2.sam2_batch.track_formats import (
    check_formats,
    frame_writers,
    write_finished,
)
from infer_segment_anything_2.sam2_batch.track_run import TrackRequest, VideoDone, track_video
from infer_segment_anything_2.sam2_batch.video_finding import FoundVideo, find_video
from infer_segment_anything_2.segmentation import Segmenter

__all__ = ["run_track"]


def run_track(options: argparse.Namespace, parameters: Parameters) -> int:
    """Runs ``track``; returns the exit code.

    Args:
        options: The flags.
        parameters: Those among them that are parameters.

    Raises:
        SegmentAnythingError: The call is wrong, or the weights cannot be had; nothing was done.
    """
    is_prompted = parameters.input_point or parameters.input_box or parameters.input_objects
    if not is_prompted and (parameters.video_mode != "track" or options.both_ways):
        raise ParameterError(
            "Nothing is prompted, expected what to track, got no --point, --box or --objects; give "
            "one, such as --box 10,20,80,90, or follow all that is found in the first frame, "
            "forwards, by --video-mode track.",
            key="input_box",
        )
    found = find_video(options.video, options.fps)
    if options.both_ways and found.video.is_live:
        raise ParameterError(
            f"--both-ways needs a video that has an end, got {found.video.name}, which goes on "
            "while it is read; record it first, or leave --both-ways out.",
            key="both_ways",
        )
    formats = [name for names in options.format or [["masklets"]] for name in names]
    folder = TrackFolder(
        options.out,
        tuple(dict.fromkeys(formats)),
        _settings(options, parameters, found),
        options.opacity,
    )
    if not options.overwrite and folder.has(found):
        if not options.quiet:
            print(f"{found.video.name} was done before")
        return EXIT_DONE
    return _track(found, folder, options, parameters)


def _settings(
    options: argparse.Namespace, parameters: Parameters, found: FoundVideo
) -> dict[str, object]:
    """What decides how results look, in JSON types."""
    texts = settings_of(parameters)
    return {
        **{key: text for key, text in texts.items() if key in TRACK_KEYS},
        "both_ways": options.both_ways,
        "frame_count": options.frame_count,
        "fps": options.fps if found.frames_digest else None,
    }


def _track(
    found: FoundVideo, folder: TrackFolder, options: argparse.Namespace, parameters: Parameters
) -> int:
    video, paths = found.video, folder.paths_of(found)
    name = folder.name_of(found)
    segmenter = Segmenter(asks_again=False)
    segmenter.load(parameters, not_shown if options.quiet else None)
    folder.begin(found)
    done = VideoDone()
    begun_s = time.monotonic()
    with (
        FrameProgress(options.frame_count or video.stated_count, quiet=options.quiet) as progress,
        frame_writers(paths, done, options.opacity) as writers,
    ):
        request = TrackRequest(
            parameters,
            both_ways=options.both_ways,
            frame_count=options.frame_count,
            check_ids=partial(check_formats, folder.formats),
            tell=lambda note: progress.complain(f"{video.name}: {note}"),
        )
        track_video(video, segmenter, request, done, writers, progress.count)
    took_s = time.monotonic() - begun_s
    try:
        if done.times_s:
            write_finished(paths, done, name)
    except ExportError as error:
        done.error = done.error or error
    return _told(found, folder, done, took_s, options)


def _told(
    found: FoundVideo,
    folder: TrackFolder,
    done: VideoDone,
    took_s: float,
    options: argparse.Namespace,
) -> int:
    """Says what became of the video, and marks it as done if it is."""
    n_frames = len(done.times_s)
    kept = f"; the files in {folder.folder} hold the {n_frames} frames before" if n_frames else ""
    if done.error is not None:
        sys.stderr.write(f"error: {done.error}{kept}\n")
        is_wrong_call = isinstance(done.error, PromptError) and not n_frames
        return EXIT_WRONG_CALL if is_wrong_call else EXIT_SOME_FAILED
    if done.was_stopped:
        sys.stderr.write(f"Stopped at frame {n_frames}{kept}. The same command starts anew.\n")
        return EXIT_INTERRUPTED
    folder.finish(found, done.image_hw)
    if not options.quiet:
        objects = f"{len(done.sightings)} object{'s' if len(done.sightings) != 1 else ''}"
        print(
            f"{found.video.name}: {objects} in {n_frames} frames, {duration(took_s)}, "
            f"{n_frames / max(took_s, 1e-9):.1f} frames per second, in {folder.folder}"
        )
        if options.verbose:
            print(f"  -> {', '.join(map(str, folder.paths_of(found).values()))}")
    return EXIT_DONE
