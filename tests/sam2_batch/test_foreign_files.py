"""Files in the folder of results that no run wrote: they stay as they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.sam2_batch.calls import POINT, segment


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    (folder / "below").mkdir(parents=True)
    for name in ("a.png", "below/b.png"):
        Image.new("RGB", (64, 48), (200, 80, 40)).save(folder / name)
    return folder


def mine(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")


def contents(*paths: Path) -> set[str]:
    return {path.read_text() for path in paths}


class TestForeignFiles:
    def test_are_not_overwritten_and_results_are_found_again(
        self, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "out"
        theirs = (out / "a.json", out / "A_overlay.PNG", out / "below" / "b.txt")
        mine(*theirs)
        flags = (*POINT, "-r", "--format", "coco,yolo", "--out", out)
        assert segment(pictures, *flags) == 0
        assert contents(*theirs) == {"mine"}
        assert json.loads((out / "a_png.json").read_text())["images"][0]["file_name"] == "a.png"
        assert (out / "below" / "b_png.txt").is_file()
        capsys.readouterr()
        assert segment(pictures, *flags) == 0
        assert "2 of 2 pictures were done before" in capsys.readouterr().out
        assert segment(pictures, *flags, "--overwrite") == 0
        assert contents(*theirs) == {"mine"}
        assert not (out / "a_2.json").exists()

    def test_of_a_folder_with_a_results_name_are_left_alone(
        self, pictures: Path, tmp_path: Path
    ) -> None:
        theirs = tmp_path / "out" / "a_masks" / "0001.png"
        mine(theirs)
        flags = (*POINT, "--format", "masks", "--out", tmp_path / "out")
        assert segment(pictures / "a.png", *flags) == 0
        assert contents(theirs) == {"mine"}
        assert (tmp_path / "out" / "a_png_masks" / "masks.csv").is_file()

    def test_a_data_set_of_somebody_else_is_refused_before_anything_is_computed(
        self, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "out"
        mine(out / "dataset.json")
        flags = (*POINT, "--format", "coco-dataset", "--out", out)
        assert segment(pictures / "a.png", *flags) == 2
        assert f"would overwrite {out / 'dataset.json'}" in capsys.readouterr().err
        assert [path.name for path in out.iterdir()] == ["dataset.json"]
        (out / "dataset.json").unlink()
        assert segment(pictures / "a.png", *flags) == 0
        assert segment(pictures / "below" / "b.png", *flags) == 0  # now it is ours

    def test_what_a_killed_run_left_is_not_foreign(self, pictures: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        flags = (*POINT, "--out", out)
        assert segment(pictures / "a.png", *flags) == 0
        done = out / "sam2_done.jsonl"
        lines = done.read_text().splitlines(keepends=True)
        done.write_text("".join(line for line in lines if '"done"' not in line))
        (out / "a.json").write_text("half")
        assert segment(pictures / "a.png", *flags) == 0
        assert sorted(path.name for path in out.glob("*.json")) == ["a.json", "sam2_settings.json"]
        assert json.loads((out / "a.json").read_text())["annotations"]


class TestOut:
    @pytest.mark.parametrize("out", ["~no-such-user-here/x", "~no-such-user-here"])
    def test_in_an_unknown_home_is_a_wrong_call(
        self,
        out: str,
        pictures: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert segment(pictures, *POINT, "--out", out) == 2
        assert f"got '{out}' in the home of a user who has none here" in capsys.readouterr().err
        assert [path.name for path in tmp_path.iterdir()] == ["in"]

    def test_in_the_own_home_goes_there(
        self, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        (tmp_path / "home").mkdir()
        assert segment(pictures / "a.png", *POINT, "--out", "~/x") == 0
        assert (tmp_path / "home" / "x" / "a.json").is_file()
