"""The clip of the demo is what it says: real textures that move, with their truth."""

from __future__ import annotations

import itertools

import numpy as np

from scripts.demo_clip import draw_clip

N_FRAMES = 24
CLIP = draw_clip(N_FRAMES)


def test_both_objects_move_and_are_seen_throughout() -> None:
    assert len(CLIP.frames) == N_FRAMES
    for masks in CLIP.truth:
        areas = [int(mask_hw.sum()) for mask_hw in masks]
        assert min(areas) > 0.3 * max(areas) > 300
        middles = [np.argwhere(mask_hw).mean(axis=0) for mask_hw in masks]
        steps = [np.hypot(*(two - one)) for one, two in itertools.pairwise(middles)]
        assert np.hypot(*(middles[-1] - middles[0])) > 60
        assert max(steps) < 15


def test_one_passes_before_the_other() -> None:
    behind, front = CLIP.truth
    assert not any((one & other).any() for one, other in zip(behind, front, strict=True))
    areas = [int(mask_hw.sum()) for mask_hw in behind]
    assert min(areas) < max(areas)
    assert len({int(mask_hw.sum()) for mask_hw in front}) == 1


def test_the_truth_is_where_pixels_move_with_the_object() -> None:
    front = CLIP.truth[1]
    pixels = [frame[mask_hw] for frame, mask_hw in zip(CLIP.frames, front, strict=True)]
    assert all(np.array_equal(pixels[0], other) for other in pixels)
    nothing_hw = ~np.any([mask_hw for masks in CLIP.truth for mask_hw in masks], axis=0)
    assert all(np.array_equal(CLIP.frames[0][nothing_hw], f[nothing_hw]) for f in CLIP.frames)
    # Real texture: no object is of one colour.
    assert pixels[0].std(axis=0).min() > 20
