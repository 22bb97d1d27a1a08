"""What travels to the page: a description as JSON, then the masks' run lengths as they are.

Layout: uint32 length of the JSON in bytes, the JSON padded with spaces to a multiple of four, then
the column-major run lengths of all masks as little-endian uint32, one mask after the other. The
JSON names for each mask how many there are.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet
from infer_segment_anything_2.sam2_results.outcome import Segmentation
from infer_segment_anything_2.sam2_results.painting import colours_of
from infer_segment_anything_2.sam2_results.records import records

__all__ = ["packed"]


def packed(
    found: Segmentation, took_ms: float, *, notes: Sequence[str] = (), alone: bool = False
) -> bytes:
    """Writes what came out for a picture, or a frame of a video, as the page reads it.

    Args:
        found: What came out.
        took_ms: How long it took.
        notes: What is to be said beside its own notes.
        alone: In a video, whether the frame was asked without those before it.
    """
    sets = [masks for masks in found.ranked if len(masks)]
    runs = [rle.counts.astype("<u4", copy=False).tobytes() for masks in sets for rle in masks.rles]
    counts = found.filter_counts
    head = {
        "headline": found.headline,
        "summary": found.summary,
        "notes": [*notes, *found.notes],
        "tookMs": round(took_ms, 1),
        "lostTo": None if counts is None else counts.lost_to(),
        "proposed": None if counts is None else counts.proposed,
        "largestLoss": None if counts is None else counts.largest_loss(),
        "ranks": [_described(masks, found) for masks in sets],
        "tracks": _tracks(found),
        "alone": alone,
    }
    text = json.dumps(head, allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    return b"".join((struct.pack("<I", len(text)), text, *runs))


def _tracks(found: Segmentation) -> list[dict[str, Any]]:
    """The objects of a video's frame, those that are absent among them; none in a picture."""
    if found.video is None:
        return []
    return [
        {"id": one.track_id, "state": one.state, "presence": round(one.presence, 3)}
        for one in found.video.tracks
    ]


def _described(masks: MaskSet, found: Segmentation) -> list[dict[str, Any]]:
    """One dict per mask: what the page tells of it, and the number of its run lengths."""
    colours = colours_of(masks, found.objects)
    rows = records(masks, found.objects)
    return [
        {
            "object": row["object"],
            "track": None if found.video is None else found.video.tracks[row["object"]].track_id,
            "iou": row["predicted_iou"],
            "stability": row["stability_score"],
            "area": row["area"],
            "box": np.asarray(masks.boxes_xyxy_px[index]).tolist(),
            "colour": np.asarray(colours[index]).tolist(),
            "runs": len(masks.rles[index].counts),
        }
        for index, row in enumerate(rows)
    ]
