"""Masklets in files, read back by readers that are not ours."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from infer_segment_anything_2.errors import ExportError
from infer_segment_anything_2.sam2_engine.masks.mask_set import Rle
from infer_segment_anything_2.sam2_engine.tracking.masklets import Masklets, Sighting
from infer_segment_anything_2.video_exports import (
    ClipFacts,
    frame_masks,
    write_boxes,
    write_coco_video,
    write_davis,
    write_masklets,
    write_mots,
)

HW = (20, 30)
TIMES_S = (0.0, 0.04, 0.2)
CAR, DOG = 1, 3
FACTS = ClipFacts("clip", HW, TIMES_S, {CAR: "car", DOG: "dog"})


def block(left: int, top: int, width: int, height: int) -> np.ndarray:
    mask_hw = np.zeros(HW, bool)
    mask_hw[top : top + height, left : left + width] = True
    return mask_hw


# The car is seen throughout; the dog comes in frame 1, over the car, and is gone in frame 2.
CAR_MASKS = [block(2 + k, 3, 12, 9) for k in range(3)]
DOG_MASK = block(8, 6, 4, 10)


def seen(mask_hw: np.ndarray, kind: str = "tracked") -> Sighting:
    y, x = np.nonzero(mask_hw)
    box = (int(x.min()), int(y.min()), int(x.max()), int(y.max()))
    return Sighting(kind, 2.5, Rle.from_mask(mask_hw), box, 0.75)  # type: ignore[arg-type]


@pytest.fixture
def masklets() -> Masklets:
    return Masklets(
        HW,
        {
            CAR: {
                k: seen(mask, "tracked" if k else "prompted") for k, mask in enumerate(CAR_MASKS)
            },
            DOG: {
                1: seen(DOG_MASK, "prompted"),
                2: Sighting("absent", -3.0, None, None, float("nan")),
            },
        },
    )


def decoded(rle: dict[str, object]) -> np.ndarray:
    mask_hw: np.ndarray = coco_mask.decode({**rle, "counts": str(rle["counts"]).encode()})
    return mask_hw.astype(bool)


class TestMasklets:
    def test_every_frame_and_object_is_there(self, tmp_path: Path, masklets: Masklets) -> None:
        write_masklets(tmp_path / "m.json", masklets, FACTS)
        content = json.loads((tmp_path / "m.json").read_text())
        assert content["masklet_id"] == [CAR, DOG]
        assert content["video_frame_count"] == len(content["masklet"]) == 3
        assert (content["video_height"], content["video_width"]) == HW
        for frame, (car, dog) in enumerate(content["masklet"]):
            assert np.array_equal(decoded(car), CAR_MASKS[frame])
            assert np.array_equal(decoded(dog), DOG_MASK if frame == 1 else np.zeros(HW, bool))
        assert content["masklet_first_appeared_frame"] == [0, 1]
        assert content["masklet_presence"] == [[2.5, None], [2.5, 2.5], [2.5, -3.0]]
        assert content["frame_times"] == list(TIMES_S)


class TestCocoVideo:
    def test_an_absent_object_is_none(self, tmp_path: Path, masklets: Masklets) -> None:
        write_coco_video(tmp_path / "v.json", masklets, FACTS)
        content = json.loads((tmp_path / "v.json").read_text())
        (video,) = content["videos"]
        assert video["length"] == len(video["file_names"]) == 3
        car, dog = content["annotations"]
        assert [one is None for one in dog["segmentations"]] == [True, False, True]
        assert [one is None for one in dog["bboxes"]] == [True, False, True]
        for frame, rle in enumerate(car["segmentations"]):
            assert np.array_equal(decoded(rle), CAR_MASKS[frame])
            readable = {**rle, "counts": rle["counts"].encode()}
            assert car["bboxes"][frame] == coco_mask.toBbox(readable).tolist()
            assert car["areas"][frame] == coco_mask.area(readable)
        names = {one["id"]: one["name"] for one in content["categories"]}
        assert [names[one["category_id"]] for one in (car, dog)] == ["car", "dog"]


class TestMots:
    def test_masks_share_no_pixel(self, tmp_path: Path, masklets: Masklets) -> None:
        write_mots(tmp_path / "m.txt", masklets, FACTS)
        rows = [line.split(" ") for line in (tmp_path / "m.txt").read_text().splitlines()]
        assert [(int(row[0]), int(row[1]), int(row[2])) for row in rows] == [
            (0, 1001, 1),
            (1, 1001, 1),
            (1, 3003, 3),
            (2, 1001, 1),
        ]
        masks = [
            decoded({"size": [int(row[3]), int(row[4])], "counts": row[5]}).astype(int)
            for row in rows
        ]
        assert np.array_equal(masks[1] == 1, CAR_MASKS[1] & ~DOG_MASK)
        assert np.array_equal(masks[2] == 1, DOG_MASK)
        assert np.array_equal(masks[0] == 1, CAR_MASKS[0])

    def test_an_id_that_does_not_fit_is_refused(self, tmp_path: Path, masklets: Masklets) -> None:
        far = Masklets(HW, {1000: masklets.by_object[CAR]})
        with pytest.raises(ExportError, match="ids from 0 to 999, got 1000"):
            write_mots(tmp_path / "m.txt", far, FACTS)
        assert not (tmp_path / "m.txt").exists()


class TestDavis:
    def test_the_value_of_a_pixel_is_the_object_s_id(
        self, tmp_path: Path, masklets: Masklets
    ) -> None:
        write_davis(tmp_path, masklets, FACTS)
        assert sorted(file.name for file in tmp_path.iterdir()) == [
            f"{number:05d}.png" for number in range(3)
        ]
        with Image.open(tmp_path / "00001.png") as picture:
            assert picture.mode == "P"
            ids_hw = np.asarray(picture)
            palette = np.array(picture.getpalette()).reshape(-1, 3)
        assert np.array_equal(ids_hw == DOG, DOG_MASK)
        assert np.array_equal(ids_hw == CAR, CAR_MASKS[1] & ~DOG_MASK)
        # The first colours of DAVIS: black, dark red, dark green, dark yellow.
        assert palette[:4].tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]]

    def test_frames_of_a_longer_video_are_removed_and_other_files_stay(
        self, tmp_path: Path, masklets: Masklets
    ) -> None:
        for name in ("00007.png", "notes.txt", "cover.png"):
            (tmp_path / name).write_bytes(b"")
        write_davis(tmp_path, masklets, FACTS)
        assert not (tmp_path / "00007.png").exists()
        assert (tmp_path / "notes.txt").exists()
        assert (tmp_path / "cover.png").exists()


class TestBoxes:
    def test_a_row_per_frame_and_object(self, tmp_path: Path, masklets: Masklets) -> None:
        write_boxes(tmp_path / "b.csv", masklets, FACTS)
        with (tmp_path / "b.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [(row["frame"], row["object_id"], row["state"]) for row in rows] == [
            ("0", "1", "prompted"),
            ("1", "1", "tracked"),
            ("1", "3", "prompted"),
            ("2", "1", "tracked"),
            ("2", "3", "absent"),
        ]
        assert [rows[2][key] for key in ("x1", "y1", "x2", "y2", "area")] == [
            *("8", "6", "11", "15", "40")
        ]
        assert [rows[4][key] for key in ("x1", "area", "predicted_iou")] == ["", "0", ""]
        assert [float(row["time_s"]) for row in rows] == [0, 0.04, 0.04, 0.2, 0.2]


def test_the_masks_of_a_frame_know_their_objects(masklets: Masklets) -> None:
    assert frame_masks(masklets, 1).object_index.tolist() == [CAR, DOG]
    assert frame_masks(masklets, 2).object_index.tolist() == [CAR]
