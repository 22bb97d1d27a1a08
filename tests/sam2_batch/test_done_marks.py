"""What counts as done: the picture itself, its content, its settings; and the file that says so."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO

from infer_segment_anything_2.errors import ExportError, ParameterError
from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.prompts import ObjectPrompt
from infer_segment_anything_2.sam2_batch.done_marks import Fingerprint
from infer_segment_anything_2.sam2_batch.formats import ExportOptions
from infer_segment_anything_2.sam2_batch.picture_finding import PictureFile, find_pictures
from infer_segment_anything_2.sam2_batch.result_folder import ResultFolder
from infer_segment_anything_2.sam2_batch.result_names import (
    CLASSES_NAME,
    DATASET_NAME,
    DONE_NAME,
    SETTINGS_NAME,
)
from infer_segment_anything_2.sam2_engine.masks.mask_set import Rle
from infer_segment_anything_2.sam2_results.outcome import Segmentation
from tests.sam2_batch.test_result_folder import segmentation

# pycocotools 2.0 has not followed numpy 2 here.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def put(path: Path, content: bytes = b"one") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def results_in(out: Path, *formats: str, **values: object) -> ResultFolder:
    options = ExportOptions(
        **{key: values.pop(key) for key in ("opacity", "crs", "affine") if key in values}  # type: ignore[arg-type]
    )
    parameters = Parameters(**values)  # type: ignore[arg-type]
    return ResultFolder(out, formats or ("coco",), options, parameters)


def found_in(folder: Path, results: ResultFolder) -> list[PictureFile]:
    return results.settle(find_pictures([str(folder)], recursive=True))


def run(
    folder: Path, results: ResultFolder, found: Segmentation | None = None
) -> list[PictureFile]:
    """What the command line does; returns the pictures that were not done before."""
    results.check()
    undone = [picture for picture in found_in(folder, results) if not results.has(picture)]
    if undone:
        results.prepare()
    for picture in undone:
        results.write(picture, segmentation(1, 0, 0) if found is None else found)
    results.finish()
    return undone


def named(found: Segmentation, *categories: str) -> Segmentation:
    objects = tuple(ObjectPrompt(((1, 1),), (1,), category=name) for name in categories)
    masks = found.ranked[0].select(np.zeros(len(categories), int))
    masks = replace(masks, object_index=np.arange(len(categories)))
    return replace(found, objects=objects, ranked=(masks, *found.ranked[1:]))


class TestAnotherPicture:
    def test_of_the_same_name_in_another_folder_has_results_of_its_own(
        self, tmp_path: Path, out: Path
    ) -> None:
        put(tmp_path / "monday" / "1.png")
        put(tmp_path / "tuesday" / "1.png")  # with the same content, too
        run(tmp_path / "monday", results_in(out))
        before = (out / "1.json").stat().st_mtime_ns
        (second,) = run(tmp_path / "tuesday", results_in(out))
        assert second.result_name == "1_png"
        assert (out / "1.json").stat().st_mtime_ns == before
        for folder in ("monday", "tuesday"):
            assert run(tmp_path / folder, results_in(out)) == []

    @pytest.mark.parametrize("content", [b"two", b"another size"])
    def test_put_in_its_place_is_not_done(self, content: bytes, tmp_path: Path, out: Path) -> None:
        path = put(tmp_path / "in" / "1.png")
        run(path.parent, results_in(out, "coco", "csv"))
        status = path.stat()
        other = put(tmp_path / "other", content)
        os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
        other.replace(path)
        (again,) = run(path.parent, results_in(out))
        assert again.result_name == "1"
        assert not (out / "1.csv").exists()  # that of the picture before

    def test_put_there_while_the_first_was_segmented_is_not_done(
        self, tmp_path: Path, out: Path
    ) -> None:
        path = put(tmp_path / "in" / "1.png")
        results = results_in(out)
        (picture,) = found_in(path.parent, results)
        before = Fingerprint.of(path)
        put(path, b"two")
        results.write(picture, segmentation(1, 0, 0), before)
        assert not results.has(picture)

    def test_of_a_link_is_that_of_the_link(self, tmp_path: Path, out: Path) -> None:
        put(tmp_path / "real.png")
        (tmp_path / "in").mkdir()
        for name in ("a.png", "b.png"):
            (tmp_path / "in" / name).symlink_to(tmp_path / "real.png")
        results = results_in(out)
        for name in ("a.png", "b.png"):
            (picture,) = results.settle(find_pictures([str(tmp_path / "in" / name)]))
            picture = replace(picture, path=tmp_path / "in" / name)
            assert not results.has(picture)
            results.write(picture, segmentation(1, 0, 0))
        assert {path.name for path in out.glob("*.json")} == {"a.json", "b.json", SETTINGS_NAME}


class TestTheSamePicture:
    def test_touched_is_done(self, tmp_path: Path, out: Path) -> None:
        path = put(tmp_path / "in" / "1.png")
        run(path.parent, results_in(out))
        os.utime(path, ns=(1, 1))
        assert run(path.parent, results_in(out)) == []

    def test_moved_is_done_and_keeps_its_results(self, tmp_path: Path, out: Path) -> None:
        put(tmp_path / "in" / "1.png")
        run(tmp_path / "in", results_in(out))
        (tmp_path / "in").rename(tmp_path / "archive")
        assert run(tmp_path / "archive", results_in(out)) == []
        assert run(tmp_path / "archive", results_in(out, "csv")) != []
        assert (out / "1.csv").exists()

    def test_is_not_done_when_its_files_are_gone(self, tmp_path: Path, out: Path) -> None:
        put(tmp_path / "in" / "1.png")
        run(tmp_path / "in", results_in(out))
        (out / "1.json").unlink()
        assert len(run(tmp_path / "in", results_in(out))) == 1

    def test_keeps_formats_of_earlier_runs(self, tmp_path: Path, out: Path) -> None:
        put(tmp_path / "in" / "1.png")
        run(tmp_path / "in", results_in(out))
        run(tmp_path / "in", results_in(out, "csv"))
        assert run(tmp_path / "in", results_in(out, "coco", "csv")) == []

    def test_with_other_prompts_of_its_own_is_not_done(self, tmp_path: Path, out: Path) -> None:
        put(tmp_path / "in" / "1.png")
        results = results_in(out)
        (picture,) = found_in(tmp_path / "in", results)
        picture = replace(picture, objects='[{"box": [1, 1, 3, 3]}]')
        results.write(picture, segmentation(1, 0, 0))
        assert results.has(picture)
        assert not results.has(replace(picture, objects="[]"))


class TestSettings:
    def test_of_a_part_done_over_leave_the_others_undone(self, tmp_path: Path, out: Path) -> None:
        for name in ("a", "b"):
            put(tmp_path / "in" / f"{name}.png")
        run(tmp_path / "in", results_in(out))
        over = results_in(out, use_m2m=True)
        (first, _) = found_in(tmp_path / "in", over)
        over.forget([first])
        over.write(first, segmentation(1, 0, 0))
        assert [picture.name for picture in run(tmp_path / "in", over)] == ["b.png"]
        with pytest.raises(ParameterError, match="use_m2m was 'True' and is 'False'"):
            run(tmp_path / "in", results_in(out))

    def test_that_a_format_does_not_use_are_no_others(self, tmp_path: Path, out: Path) -> None:
        put(tmp_path / "in" / "1.png")
        run(tmp_path / "in", results_in(out, opacity=0.2))
        assert run(tmp_path / "in", results_in(out, opacity=0.7, crs="EPSG:4326")) == []
        run(tmp_path / "in", results_in(out, "overlay", opacity=0.7))
        with pytest.raises(ParameterError, match=r"opacity was 0\.7 and is 0\.9"):
            results_in(out, "overlay", opacity=0.9).check()

    def test_done_over_leave_no_file_of_the_earlier_ones(self, tmp_path: Path, out: Path) -> None:
        put(tmp_path / "in" / "1.png")
        run(tmp_path / "in", results_in(out, "coco", "masks"), segmentation(3, 2, 2))
        over = results_in(out, use_m2m=True)
        over.forget(found_in(tmp_path / "in", over))
        run(tmp_path / "in", over)
        left = {path.relative_to(out).as_posix() for path in out.rglob("*")}
        assert left == {"1.json", DONE_NAME, SETTINGS_NAME}


class TestFile:
    def test_is_whole_lines_after_a_run_was_killed(self, tmp_path: Path, out: Path) -> None:
        for name in ("a", "b"):
            put(tmp_path / "in" / f"{name}.png")
        run(tmp_path / "in", results_in(out))
        path = out / DONE_NAME
        path.write_bytes(path.read_bytes()[:-30])
        assert [picture.name for picture in run(tmp_path / "in", results_in(out))] == ["b.png"]
        for line in path.read_text().splitlines():
            json.loads(line)

    @pytest.mark.parametrize("line", ["{", "[]", '{"done": {}}', '{"other": 1}', "\0"])
    def test_that_cannot_be_read_is_said_to_be_so(self, line: str, out: Path) -> None:
        put(out / DONE_NAME, f"{line}\n".encode())
        with pytest.raises(ExportError, match=r"list of what is done in .* cannot be read"):
            results_in(out).settle([])

    def test_holds_names_that_are_no_text(self, tmp_path: Path, out: Path) -> None:
        try:
            put(Path(os.fsdecode(os.fsencode(tmp_path) + b"/in/\xff\n.png")))
        except OSError:
            pytest.skip("this file system takes no such name")
        assert len(run(tmp_path / "in", results_in(out))) == 1
        assert run(tmp_path / "in", results_in(out)) == []


class TestClasses:
    def test_keep_their_numbers_over_pictures_and_runs(self, tmp_path: Path, out: Path) -> None:
        formats = ("yolo", "coco")
        for name, categories in (("a", ("mug", "cup")), ("b", ("cup", "jar", "mug"))):
            put(tmp_path / name / f"{name}.png")
            found = named(segmentation(1, 0, 0), *categories)
            run(tmp_path / name, results_in(out, *formats), found)
        numbers = [line.split()[0] for line in (out / "b.txt").read_text().splitlines()]
        assert numbers == ["1", "2", "0"]
        annotations = json.loads((out / "b.json").read_text())["annotations"]
        assert [annotation["category_id"] for annotation in annotations] == [2, 3, 1]
        listed = (out / CLASSES_NAME).read_text()
        assert listed.endswith('nc: 3\nnames:\n  0: "mug"\n  1: "cup"\n  2: "jar"\n')

    def test_follow_a_list_that_is_there_and_keep_what_else_it_says(
        self, tmp_path: Path, out: Path
    ) -> None:
        put(tmp_path / "in" / "a.png")
        put(out / CLASSES_NAME, b"path: here\nnames:\n- jar\n- mug\nnc: 2\ntrain: images # all\n")
        found = named(segmentation(1, 0, 0), "mug", 'a "b": c')
        run(tmp_path / "in", results_in(out, "yolo"), found)
        numbers = [line.split()[0] for line in (out / "a.txt").read_text().splitlines()]
        assert numbers == ["1", "2"]
        assert (out / CLASSES_NAME).read_text() == (
            "path: here\ntrain: images # all\nnc: 3\nnames:\n"
            '  0: "jar"\n  1: "mug"\n  2: "a \\"b\\": c"\n'
        )

    @pytest.mark.parametrize("content", ["names: 3", "names: {0: a, 2: b}", "- a", "a: [", "\0"])
    def test_of_a_list_that_cannot_be_read_are_refused(
        self, content: str, tmp_path: Path, out: Path
    ) -> None:
        put(out / CLASSES_NAME, content.encode())
        with pytest.raises(ExportError, match=r"The classes in .* cannot be read"):
            results_in(out, "yolo").prepare()

    def test_in_another_order_than_the_results_are_refused(self, tmp_path: Path, out: Path) -> None:
        put(tmp_path / "in" / "a.png")
        run(tmp_path / "in", results_in(out), named(segmentation(1, 0, 0), "mug", "cup"))
        put(out / CLASSES_NAME, b"names: [cup, mug]")
        with pytest.raises(ExportError, match="must be in the order of those of the results"):
            results_in(out, "yolo").prepare()


class TestDataSet:
    def test_holds_all_pictures_with_ids_of_their_own(self, tmp_path: Path, out: Path) -> None:
        for name in ("a", "b"):
            put(tmp_path / "in" / f"{name}.png")
        results = results_in(out, "coco-dataset")
        run(tmp_path / "in", results, named(segmentation(1, 0, 0), "mug", "cup"))
        put(tmp_path / "in" / "aa.png")
        put(tmp_path / "other" / "b.png")
        again = results_in(out, "coco-dataset")
        run(tmp_path / "in", again, named(segmentation(1, 0, 0), "cup", "jar"))
        run(tmp_path / "other", again, named(segmentation(1, 0, 0), "jar"))
        read = COCO(str(out / DATASET_NAME))
        names = {image["id"]: image["file_name"] for image in read.dataset["images"]}
        assert names == {
            1: "a.png",
            2: str(tmp_path / "in" / "b.png"),
            3: "aa.png",
            4: str(tmp_path / "other" / "b.png"),
        }
        annotations = read.dataset["annotations"]
        assert [annotation["id"] for annotation in annotations] == list(range(1, 8))
        classes = {category["id"]: category["name"] for category in read.dataset["categories"]}
        assert [
            (annotation["image_id"], classes[annotation["category_id"]])
            for annotation in annotations
        ] == [(1, "mug"), (1, "cup"), (2, "mug"), (2, "cup"), (3, "cup"), (3, "jar"), (4, "jar")]
        assert all(read.annToMask(annotation).all() for annotation in annotations)

    def test_leaves_out_what_is_of_other_settings_or_gone(self, tmp_path: Path, out: Path) -> None:
        for name in ("a", "b", "c"):
            put(tmp_path / "in" / f"{name}.png")
        run(tmp_path / "in", results_in(out, "coco-dataset"))
        over = results_in(out, "coco-dataset", use_m2m=True)
        pictures = found_in(tmp_path / "in", over)
        over.forget(pictures[:2])
        for picture in pictures[:2]:
            over.write(picture, segmentation(1, 0, 0))
        (out / "a.json").unlink()
        over.finish()
        images = json.loads((out / DATASET_NAME).read_text())["images"]
        assert [(image["id"], image["file_name"]) for image in images] == [(2, "b.png")]

    def test_leaves_out_masks_without_a_pixel(self, tmp_path: Path, out: Path) -> None:
        put(tmp_path / "in" / "a.png")
        found = segmentation(2, 0, 0)
        empty = Rle.from_mask(np.zeros(found.ranked[0].image_hw, bool))
        masks = replace(found.ranked[0], rles=(empty, found.ranked[0].rles[1]))
        found = replace(found, ranked=(masks, *found.ranked[1:]))
        run(tmp_path / "in", results_in(out, "coco-dataset"), found)
        (only,) = json.loads((out / DATASET_NAME).read_text())["annotations"]
        assert min(only["bbox"][2:]) > 0

    def test_of_pictures_without_masks_is_a_data_set(self, tmp_path: Path, out: Path) -> None:
        put(tmp_path / "in" / "a.png")
        run(tmp_path / "in", results_in(out, "coco-dataset"), segmentation(0, 0, 0))
        read = COCO(str(out / DATASET_NAME))
        assert len(read.getImgIds()) == 1
        assert read.getAnnIds() == []
