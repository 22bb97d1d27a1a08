"""What is prompted in which frame, and which track each prompt is about.

A host shows the same prompts on every frame. They count once: at the frame that they are for; what
is new among them later counts when it comes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import count

from infer_segment_anything_2.errors import PromptError
from infer_segment_anything_2.prompts import ObjectPrompt

__all__ = ["Asked", "check_frames", "due_at", "in_time", "missed", "names_of", "with_ids"]


@dataclass(frozen=True)
class Asked:
    """The prompts of a video that have counted already.

    Attributes:
        done: Those prompts.
        next_id: The smallest id that no object ever had.
    """

    done: frozenset[ObjectPrompt] = frozenset()
    next_id: int = 1


def due_at(
    frame: int, prompts: Iterable[ObjectPrompt], done: Set[ObjectPrompt], prompt_frame: int
) -> list[ObjectPrompt]:
    """The prompts that count at a frame.

    Args:
        frame: Its number, from 0 at the first of the video.
        prompts: All that are there, of this frame or others.
        done: Those that counted before.
        prompt_frame: The frame of prompts that name none.
    """
    due = []
    for prompt in prompts:
        at = prompt_frame if prompt.frame is None else prompt.frame
        # One that is new behind its frame was drawn just now; one that names its frame is past.
        is_late = prompt.frame is None and frame > at
        if prompt not in done and (frame == at or is_late):
            due.append(prompt)
    return due


def missed(
    frame: int, prompts: Iterable[ObjectPrompt], done: Set[ObjectPrompt]
) -> list[ObjectPrompt]:
    """The prompts that name a frame which was over before they counted."""
    return [
        prompt
        for prompt in prompts
        if prompt.frame is not None and prompt.frame < frame and prompt not in done
    ]


def with_ids(due: Sequence[ObjectPrompt], asked: Asked) -> tuple[dict[int, ObjectPrompt], Asked]:
    """Gives each prompt the id of its object: its own, or the next that is free.

    Returns:
        The prompts by id, and what has been asked then.

    Raises:
        PromptError: Two prompts of the frame are for one object.
    """
    given = [prompt.track_id for prompt in due if prompt.track_id is not None]
    for number in given:
        if given.count(number) > 1:
            raise PromptError(
                f"Two prompts of one frame are for the object with the id {number}, expected one; "
                "put the points and the box into one entry, or give each object an id of its own.",
                key="input_objects",
            )
    free = (number for number in count(asked.next_id) if number not in given)
    by_id = {next(free) if prompt.track_id is None else prompt.track_id: prompt for prompt in due}
    following = max([asked.next_id - 1, *by_id]) + 1
    return by_id, Asked(asked.done | frozenset(due), following)


def in_time(prompts: Iterable[ObjectPrompt], prompt_frame: int) -> list[ObjectPrompt]:
    """All prompts with their frames and their objects' ids, in the order of frames.

    Args:
        prompts: Of one video.
        prompt_frame: The frame of those that name none.

    Raises:
        PromptError: Two prompts of one frame are for one object.
    """
    by_frame: dict[int, list[ObjectPrompt]] = {}
    for prompt in prompts:
        at = prompt_frame if prompt.frame is None else prompt.frame
        by_frame.setdefault(at, []).append(prompt)
    asked = Asked()
    settled = []
    for at in sorted(by_frame):
        by_id, asked = with_ids(by_frame[at], asked)
        settled += [replace(one, frame=at, track_id=number) for number, one in by_id.items()]
    return settled


def check_frames(prompts: Iterable[ObjectPrompt], n_frames: int | None) -> None:
    """Refuses prompts for frames that the video does not have, as far as that is known.

    Raises:
        PromptError: One is for a frame behind the last.
    """
    for prompt in prompts:
        if n_frames and prompt.frame is not None and prompt.frame >= n_frames:
            raise PromptError(
                f"{prompt.name or 'A prompt'} is for frame {prompt.frame}, but the video has "
                f"{n_frames} frames, 0 to {n_frames - 1}; correct its frame.",
                key=prompt.key,
            )


def names_of(
    known: Mapping[int, ObjectPrompt], by_id: Mapping[int, ObjectPrompt]
) -> dict[int, ObjectPrompt]:
    """What is known of each object: its last class name and colour."""
    names = dict(known)
    for number, prompt in by_id.items():
        before = names.get(number)
        names[number] = ObjectPrompt(
            category=prompt.category or (before.category if before else ""),
            colour_rgb=prompt.colour_rgb or (before.colour_rgb if before else None),
        )
    return names
