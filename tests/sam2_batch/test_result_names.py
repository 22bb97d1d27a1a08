"""No two files of a folder of results have one name, whatever the pictures are called."""

from __future__ import annotations

import itertools
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infer_segment_anything_2.errors import ImageError
from infer_segment_anything_2.sam2_batch.formats import FORMATS
from infer_segment_anything_2.sam2_batch.result_names import (
    CLASSES_NAME,
    DATASET_NAME,
    DONE_NAME,
    RANK_ENDINGS,
    SETTINGS_NAME,
    TakenNames,
    result_names,
)

OF_THE_RUN = (SETTINGS_NAME, DONE_NAME, CLASSES_NAME, DATASET_NAME)
ACCENT = "caf\N{LATIN SMALL LETTER E WITH ACUTE}"


def files_of(result_name: str) -> set[str]:
    """All that may be written for a picture, as a file system without case has it."""
    written = {
        f"{result_name}{rank}{kind.ending}{inner}"
        for kind in FORMATS.values()
        for rank in RANK_ENDINGS
        for inner in (("masks.csv", "0001.png") if kind.ending.endswith("/") else ("",))
    }
    folded = {unicodedata.normalize("NFC", name).lower() for name in written}
    # Windows drops dots and spaces at the end of a folder's name.
    return {"/".join(part.rstrip(". ") for part in name.split("/")) for name in folded}


def assert_apart(results: list[str]) -> None:
    owned = [*map(files_of, results), set(OF_THE_RUN)]
    for some, others in itertools.combinations(owned, 2):
        assert not some & others
        for one, other in itertools.product(some, others):
            assert not one.startswith(f"{other}/")
            assert not other.startswith(f"{one}/")


class TestResultNames:
    @pytest.mark.parametrize(
        "names",
        [
            pytest.param(["cat.png", "cat_polygons.png", "cat_rank2.png"], id="endings-of-results"),
            pytest.param(["cat_polygons.png", "cat.png"], id="the-longer-one-first"),
            pytest.param(["cat.png", "cat_rank2_labels.png"], id="rank-and-format"),
            pytest.param(["cat.png", "cat_polygons.png", "cat_polygons_png.png"], id="chain"),
            pytest.param(["cat.png", "cat.jpg", "cat_png.png"], id="endings"),
            pytest.param(["cat.png", "Cat.png", "CAT.PNG"], id="case"),
            pytest.param(["Cat/a.png", "cat/a.png"], id="case-of-folders"),
            pytest.param(
                [f"{ACCENT}.png", unicodedata.normalize("NFD", f"{ACCENT}.png")], id="accents"
            ),
            pytest.param(["sam2_settings.png", "dataset.png", "sam2_done.png"], id="of-the-run"),
            pytest.param(["cat.png", "cat_masks/0001.png", "cat_masks/masks.png"], id="in-masks"),
            pytest.param(["cat_masks/masks.png", "cat.png"], id="in-masks-first"),
            pytest.param(["cat.png", "cat.json/dog.png"], id="a-folder-like-a-file"),
            pytest.param(["sam2_settings.json/dog.png"], id="a-folder-like-a-file-of-the-run"),
            pytest.param(["b./a.png", "b/a.png", "b /a.png"], id="dots-and-spaces-at-the-end"),
            pytest.param(["..png", "below/..png", "below.png"], id="only-dots"),
        ],
    )
    def test_keep_all_files_apart(self, names: list[str]) -> None:
        results = result_names(names)
        assert len({result.lower() for result in results}) == len(names)
        assert_apart(results)

    @given(
        st.lists(
            st.from_regex(
                r"(?:[Aa]|a_masks|a\.json)(?:/a)?(?:_polygons|_rank2|_masks|_png|_2)?\.(?:png|PNG|gif)",
                fullmatch=True,
            ),
            unique=True,
            max_size=8,
        )
    )
    def test_keep_any_files_apart(self, names: list[str]) -> None:
        assert_apart(result_names(names))

    def test_are_plain_where_nothing_meets(self) -> None:
        names = ["a_polygons.png", "b.c.jpg", "below/a.png", "below/b_masks.png"]
        assert result_names(names) == ["a_polygons", "b.c", "below/a", "below/b_masks"]

    def test_of_one_path_in_two_folders_are_refused(self) -> None:
        with pytest.raises(ImageError, match="would all be named 'a_png'"):
            result_names(["a.png", "a.png"])


class TestTakenNames:
    def test_no_result_overwrites_a_file_that_is_there(self) -> None:
        taken = TakenNames(["photos/cat_overlay.png"])
        assert taken.choose("photos/cat.png") == "photos/cat_png"
        assert taken.choose("photos/dog.png") == "photos/dog"
