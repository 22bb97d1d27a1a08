"""Tracking, ours beside Meta's video predictor: `python -m benchmarks.tracking --help`.

Both get the same frames as tensors and the same boxes on the first one, and go through the clip in
turns, frame by frame, so that a busy machine is busy for both. Times are CPU time, from the picture
to the masks in its size (Meta's: logits; ours: run lengths). Memory is what the next frame needs:
our state's tensors; Meta's frames and outputs. Beside each time: whether the masks are equal.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any, NamedTuple

import torch
from sam2.modeling.sam2_base import SAM2Base

from infer_segment_anything_2.prompts import ObjectPrompt
from infer_segment_anything_2.sam2_engine.hardware.openmp import full_teams
from infer_segment_anything_2.sam2_engine.image.embedding import embed_image
from infer_segment_anything_2.sam2_engine.settings import TrackingSettings
from infer_segment_anything_2.sam2_engine.tracking.object_memory import TrackerState
from infer_segment_anything_2.sam2_engine.tracking.tracker import Tracker
from tests.blobs import blob_network
from tests.networks import nano_network
from tests.videos import MetaTracker, clip

_MIB = 2**20


class Row(NamedTuple):
    """What was measured for a number of objects."""

    n_objects: int
    meta_ms: float
    our_ms: float
    largest_difference: float
    wrong_pixels: int
    bytes_at: dict[int, tuple[int, int]]


def boxes(n_objects: int, height: int, width: int) -> dict[int, ObjectPrompt]:
    """Boxes on a lattice."""
    side = min(height, width) / 4
    found = {}
    for number in range(n_objects):
        left = (number * 0.618 % 1) * (width - side)
        top = (number * 0.382 % 1) * (height - side)
        found[number] = ObjectPrompt(box_xyxy_px=(left, top, left + side, top + side))
    return found


def meta_bytes(state: dict[str, Any]) -> int:
    """Bytes of the frames and outputs that Meta's predictor holds."""
    tensors = [state["images"]]
    for outputs in state["output_dict_per_obj"].values():
        for kind in outputs.values():
            for output in kind.values():
                tensors += [one for one in output.values() if isinstance(one, torch.Tensor)]
    return sum(one.nbytes for one in tensors)


@full_teams()
def measure(network: SAM2Base, n_objects: int, n_frames: int, settings: TrackingSettings) -> Row:
    """Both trackers through one clip, in turns."""
    frames = clip(n_frames, 384, 512)
    height, width = frames[0].shape[:2]
    prompts = boxes(n_objects, height, width)
    start = time.process_time()
    theirs = MetaTracker(network, frames)  # which makes the network's input of all frames
    input_seconds = (time.process_time() - start) / n_frames
    tracker, state = Tracker(network), TrackerState()
    seconds: dict[str, list[float]] = {"meta": [], "ours": []}
    largest, wrong = 0.0, 0
    bytes_at: dict[int, tuple[int, int]] = {}
    for number, frame in enumerate(frames):
        start = time.process_time()
        if number == 0:
            for object_id, prompt in prompts.items():
                theirs.prompt(0, object_id, prompt)
        else:
            theirs.propagate(start_frame_idx=number, max_frame_num_to_track=0)
        middle = time.process_time()
        tracked = tracker.track(
            lambda frame=frame: embed_image(network, frame),  # type: ignore[misc]
            (height, width),
            state,
            prompts if number == 0 else {},
            settings,
        )
        end = time.process_time()
        state = tracked.state
        if number > 1:  # the first two encode Meta's memory and warm up
            seconds["meta"].append(middle - start + input_seconds)
            seconds["ours"].append(end - middle)
            for index in range(n_objects):
                outputs = theirs.state["output_dict_per_obj"][index]
                wanted = outputs["non_cond_frame_outputs"][number]["pred_masks"][0, 0]
                found = tracked.low_res_logits[index]
                largest = max(largest, float((wanted - found).abs().max()))
                wrong += int(((wanted > 0) != (found > 0)).sum())
        if number + 1 in (20, 200):
            bytes_at[number + 1] = (meta_bytes(theirs.state), state.nbytes)
    meta_ms, our_ms = (1000 * statistics.median(seconds[side]) for side in ("meta", "ours"))
    return Row(n_objects, meta_ms, our_ms, largest, wrong, bytes_at)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--network", default="sam2_demo_nano", help="or an official name")
    parser.add_argument("--objects", type=int, nargs="+", default=[1, 5, 20])
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch-objects", type=int, default=TrackingSettings().batch_objects)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    is_nano = arguments.network == "sam2_demo_nano"
    network = nano_network() if is_nano else blob_network(arguments.network)
    settings = TrackingSettings(batch_objects=arguments.batch_objects, frame_count=arguments.frames)
    print("| objects | Meta ms | here ms | times faster | logits differ | pixels differ | memory |")
    print("|---|---|---|---|---|---|---|")
    for n_objects in arguments.objects:
        row = measure(network, n_objects, arguments.frames, settings)
        memory = ", ".join(
            f"frame {frame}: {meta / _MIB:.1f} / {ours / _MIB:.2f} MiB"
            for frame, (meta, ours) in row.bytes_at.items()
        )
        print(
            f"| {n_objects} | {row.meta_ms:.0f} | {row.our_ms:.0f} "
            f"| {row.meta_ms / row.our_ms:.2f} | {row.largest_difference:.1e} "
            f"| {row.wrong_pixels} | {memory} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
