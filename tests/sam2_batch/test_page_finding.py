"""Which pictures and videos the command ``page`` offers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from infer_segment_anything_2.errors import ImageError
from infer_segment_anything_2.sam2_batch.command_line import main
from infer_segment_anything_2.sam2_batch.page_finding import PageFiles, find_page_files
from tests.video_clips import write_clip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures and two videos, one of each in a folder below, and what is neither."""
    below = tmp_path / "in" / "below"
    below.mkdir(parents=True)
    for place in (below.parent, below):
        Image.new("RGB", (8, 8)).save(place / "cat.png")
        write_clip(place / "cat.mp4", [np.zeros((16, 16, 3), np.uint8)] * 2)
    (below.parent / "notes.txt").write_text("neither")
    return below.parent


def find(
    *named: object, recursive: bool = False, as_video: bool = False
) -> tuple[PageFiles, list[str]]:
    said: list[str] = []
    found = find_page_files(
        [str(one) for one in named],
        out=Path("results"),
        recursive=recursive,
        as_video=as_video,
        tell=said.append,
    )
    return found, said


def test_a_folder_gives_both_and_says_what_is_neither(folder: Path) -> None:
    found, said = find(folder)
    assert [one.name for one in found.pictures] == ["cat.png"]
    assert [(one.name, one.result_name) for one in found.videos] == [("cat.mp4", "cat_mp4")]
    assert said == ["1 file is no picture and was skipped: .txt"]
    found, _ = find(folder, recursive=True)
    assert [one.name for one in found.videos] == ["below/cat.mp4", "cat.mp4"]


def test_files_patterns_and_folders_of_videos_only_are_taken(folder: Path) -> None:
    (folder / "cat.png").unlink()
    for named in (folder, folder / "cat.mp4", folder / "*.mp4"):
        found, _ = find(named)
        assert found.pictures == []
        (video,) = found.videos
        assert video.path == folder / "cat.mp4"
        assert video.open().stated_count == 2
    found, _ = find(folder, folder / "cat.mp4", folder / "below" / "cat.png")
    assert (len(found.pictures), len(found.videos)) == (1, 1)


def test_a_folder_of_frames_is_a_video_on_demand(folder: Path) -> None:
    found, _ = find(folder, as_video=True)
    assert found.pictures == []
    assert found.videos[0].open().stated_count == 1
    with pytest.raises(ImageError, match="--as-video takes folders"):
        find(folder / "cat.mp4", as_video=True)


def test_nothing_found_is_told(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="There is no picture"):
        find(tmp_path)


def test_a_call_with_a_broken_video_alone_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"no video")
    assert main(["page", str(tmp_path / "clip.mp4"), "--no-browser"]) == 2
    assert "cannot be opened" in capsys.readouterr().err
