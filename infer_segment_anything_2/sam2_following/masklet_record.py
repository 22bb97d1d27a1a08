"""The masks of all frames of a followed video, kept as run lengths until they are written."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from infer_segment_anything_2.sam2_engine.tracking.masklets import Masklets, Sighting
from infer_segment_anything_2.sam2_following.frame_following import Followed
from infer_segment_anything_2.video_exports import ClipFacts, write_masklets

__all__ = ["MaskletRecord"]

_NAMELESS = "video"
_FILE_ENDING = "_masklets.json"


@dataclass
class _Clip:
    """One video, as far as it was followed."""

    source: str
    folder: Path
    image_hw: tuple[int, int]
    by_object: dict[int, dict[int, Sighting]] = field(default_factory=dict)
    categories: dict[int, str] = field(default_factory=dict)
    n_frames: int = 0
    is_written: bool = True


class MaskletRecord:
    """Collects one video after the other; a file a video. Safe to be written by another thread.

    Two videos of one name get files of different names, as long as this object lives.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._clip: _Clip | None = None
        self._source_by_path: dict[Path, str] = {}

    def begin(self, source: str, folder: str, image_hw: tuple[int, int]) -> None:
        """Starts a video; the one before should be written by then.

        Args:
            source: The file or address that it is from, "" where that is not known.
            folder: Where its file is to be; "" keeps nothing.
            image_hw: Height and width of its frames in pixels.
        """
        with self._lock:
            self._clip = _Clip(source, Path(folder).expanduser(), image_hw) if folder else None

    def forget(self) -> None:
        """Lets go of the video; it should be written by then."""
        with self._lock:
            self._clip = None

    def add(self, number: int, followed: Followed) -> None:
        """Takes in a frame; one that was there before is replaced."""
        with self._lock:
            clip = self._clip
            if clip is None:
                return
            for seen in clip.by_object.values():
                seen.pop(number, None)
            for one, new in Masklets.of({number: followed.tracked}).by_object.items():
                clip.by_object.setdefault(one, {}).update(new)
            for one, known in followed.state.names.items():
                clip.categories[one] = known.category
            clip.n_frames = max(clip.n_frames, number + 1)
            clip.is_written = False

    def write(self) -> Path | None:
        """Writes what has come since the last writing.

        Returns:
            The file; None where there is nothing new.

        Raises:
            ExportError: It cannot be written. Nothing is lost: it may be tried again.
        """
        with self._lock:
            clip = self._clip
            if clip is None or clip.is_written:
                return None
            path = self._path_for(clip)
            seen = {
                one: dict(sorted(clip.by_object[one].items())) for one in sorted(clip.by_object)
            }
            unknown_times = (None,) * clip.n_frames  # the host does not tell
            write_masklets(
                path,
                Masklets(clip.image_hw, seen),
                ClipFacts(_name_of(clip.source), clip.image_hw, unknown_times, clip.categories),
            )
            clip.is_written = True
            return path

    def _path_for(self, clip: _Clip) -> Path:
        name, number = _name_of(clip.source), 1
        while True:
            tail = f"-{number}" if number > 1 else ""
            path = clip.folder / f"{name}{tail}{_FILE_ENDING}"
            if self._source_by_path.setdefault(path, clip.source) == clip.source:
                return path
            number += 1


def _name_of(source: str) -> str:
    return Path(source).stem or _NAMELESS
