"""The guard against pictures that kill the process: who died at what.

A note, ``attempts/000017.json``, is put when a shard is begun and removed when it is done. Where
one is found, whoever began that shard before has died. From then on each picture is named in the
note before it is begun; one that was named at two deaths is condemned, which is at its third.
"""

from __future__ import annotations

import json
from collections import Counter

from infer_segment_anything_2.errors import ExportError
from infer_segment_anything_2.sam2_batch.cluster.folders import Folder
from infer_segment_anything_2.sam2_batch.cluster.shard_plan import Shard
from infer_segment_anything_2.sam2_batch.cluster.shard_tables import done_names

__all__ = ["Attempts", "forget_attempts", "forget_done_attempts"]

_FOLDER = "attempts"
_DEATHS_TO_CONDEMN = 2


class Attempts:
    """The note of a shard.

    Args:
        folder: Of the run.
        shard: Which one.
    """

    def __init__(self, folder: Folder, shard: Shard) -> None:
        self._folder = folder
        self._name = f"{_FOLDER}/{shard.number:06d}.json"
        self._attempt = 1
        self._deaths: Counter[str] = Counter()
        self._named = ""

    def begin(self) -> None:
        """Counts the deaths before, and puts the note of this attempt.

        Raises:
            ExportError: The note cannot be read or written.
        """
        text = self._folder.read(self._name)
        if text is not None:
            try:
                note = json.loads(text)
                self._attempt = note["attempt"] + 1
                self._deaths = Counter(note["deaths"])
                named = note["at"]
            except (ValueError, KeyError, TypeError) as error:
                raise ExportError(
                    f"The note {self._folder.place}/{self._name} must be of an earlier attempt, "
                    f"got: {error!r}; remove it."
                ) from error
            if named:
                self._deaths[named] += 1
        self._put()

    def before(self, path: str) -> None:
        """Tells that a picture is begun."""
        if self._attempt > 1:
            self.blame(path)

    def blame(self, path: str) -> None:
        """Names the picture that is to blame if this process ends now."""
        self._named = path
        self._put()

    def has_condemned(self, path: str) -> bool:
        """Whether a picture is passed over, as the process died at it again and again."""
        return self._deaths[path] >= _DEATHS_TO_CONDEMN

    def end(self) -> None:
        """Removes the note: the shard is done, or was left on purpose."""
        self._folder.remove(self._name)

    def _put(self) -> None:
        note = {"attempt": self._attempt, "at": self._named, "deaths": dict(self._deaths)}
        self._folder.put_text(self._name, json.dumps(note) + "\n")


def forget_done_attempts(folder: Folder) -> None:
    """Removes the notes of shards that are done: whoever did them died before it could."""
    notes = folder.names(_FOLDER)
    done = done_names(folder) if notes else ()  # a bucket's list of all shards is long
    for name in notes:
        if name.replace(".json", ".parquet") in done:
            folder.remove(f"{_FOLDER}/{name}")


def forget_attempts(folder: Folder) -> None:
    """Removes all notes: whoever was at work was stopped on purpose."""
    for name in folder.names(_FOLDER):
        folder.remove(f"{_FOLDER}/{name}")
