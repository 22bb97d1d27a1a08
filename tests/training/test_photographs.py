import json
from pathlib import Path

import numpy as np
import pytest

from training.fetch_pictures import EVALUATION_PACKAGES, TRAINING_PACKAGES
from training.photographs import mask_of, photographs

OUTLINES = Path(__file__).resolve().parents[2] / "training" / "photographs" / "outlines.json"


class TestMaskOf:
    def test_a_second_polygon_inside_is_a_hole(self) -> None:
        square = [[2.0, 2.0], [12.0, 2.0], [12.0, 12.0], [2.0, 12.0]]
        hole = [[5.0, 5.0], [9.0, 5.0], [9.0, 9.0], [5.0, 9.0]]
        mask = mask_of([square, hole], (16, 16))
        assert mask[3, 3]
        assert not mask[7, 7]


class TestPhotographs:
    def test_there_are_sixty_objects_in_twelve_pictures(self) -> None:
        entries = json.loads(OUTLINES.read_text())
        assert len(entries) >= 12
        assert sum(len(entry["objects"]) for entry in entries.values()) >= 60

    def test_none_comes_from_a_package_that_training_sees(self) -> None:
        packages = {entry["package"] for entry in json.loads(OUTLINES.read_text()).values()}
        assert not packages & set(TRAINING_PACKAGES)
        assert {p for p in packages if not p.isidentifier()} <= set(EVALUATION_PACKAGES)

    def test_pictures_of_installed_packages_are_those_of_the_outlines(self, tmp_path: Path) -> None:
        read = []
        with pytest.raises(FileNotFoundError, match="make training-pictures"):
            for photograph in photographs(tmp_path):
                read.append(photograph.name)
                for name, mask in photograph.masks.items():
                    assert mask.shape == photograph.image_hwc.shape[:2]
                    assert mask.sum() > 300, name
                assert np.ptp(photograph.image_hwc) > 100
        assert read
