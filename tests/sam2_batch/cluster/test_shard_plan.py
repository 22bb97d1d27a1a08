"""Which picture belongs to which shard."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infer_segment_anything_2.errors import ExportError, ParameterError
from infer_segment_anything_2.sam2_batch.cluster import shard_plan
from infer_segment_anything_2.sam2_batch.cluster.folders import LocalFolder
from infer_segment_anything_2.sam2_batch.cluster.shard_plan import Plan, read_picture_list
from infer_segment_anything_2.sam2_batch.cluster.sources import SourcePicture

PATHS = st.lists(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12),
    min_size=1,
    max_size=30,
    unique=True,
)


def sources(paths: list[str]) -> list[SourcePicture]:
    return [SourcePicture(path, path, "1 2", None) for path in paths]


def planned(folder: Path) -> dict[int, list[str]]:
    plan = Plan(LocalFolder(folder))
    return {
        shard.number: [picture.path for picture in plan.pictures_of(shard)]
        for shard in plan.shards()
    }


class TestPlan:
    @given(paths=PATHS, size=st.integers(1, 8), data=st.data())
    @settings(max_examples=25)
    def test_has_every_picture_once_whatever_the_order(
        self,
        paths: list[str],
        size: int,
        data: st.DataObject,
        tmp_path_factory: pytest.TempPathFactory,
    ) -> None:
        first, second = (tmp_path_factory.mktemp("plan") for _ in range(2))
        Plan(LocalFolder(first)).add(sources(paths), size)
        Plan(LocalFolder(second)).add(sources(data.draw(st.permutations(paths))), size)
        shards = planned(first)
        assert sorted(path for members in shards.values() for path in members) == sorted(paths)
        assert planned(second) == shards
        assert (first / "plan" / "0000.parquet").read_bytes() == (
            second / "plan" / "0000.parquet"
        ).read_bytes()

    def test_leaves_shards_alone_when_pictures_come(self, tmp_path: Path) -> None:
        plan = Plan(LocalFolder(tmp_path))
        plan.add(sources([f"a{k}" for k in range(20)]), 5)
        before = planned(tmp_path)
        plan.add(sources([f"b{k}" for k in range(7)]), 5)
        after = planned(tmp_path)
        assert {number: after[number] for number in before} == before
        new = [path for number in after.keys() - before.keys() for path in after[number]]
        assert sorted(new) == [f"b{k}" for k in range(7)]

    def test_goes_on_in_a_further_part(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(shard_plan, "_SHARDS_PER_PART", 3)
        Plan(LocalFolder(tmp_path)).add(sources([f"a{k}" for k in range(40)]), 5)
        assert len(list((tmp_path / "plan").iterdir())) == 3
        shards = planned(tmp_path)
        assert sorted(shards) == list(range(len(shards)))
        assert sum(map(len, shards.values())) == 40

    def test_keeps_what_it_knows_of_a_picture(self, tmp_path: Path) -> None:
        picture = SourcePicture("s3://b/ü.png", "ü.png", "7 tag", '[{"box": [1, 2, 3, 4]}]')
        Plan(LocalFolder(tmp_path)).add([picture], 5)
        assert list(Plan(LocalFolder(tmp_path)).pictures()) == [picture]

    def test_that_is_damaged_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "plan").mkdir()
        (tmp_path / "plan" / "0000.parquet").write_bytes(b"no plan")
        with pytest.raises(ExportError, match=r"plan/0000.parquet must be a part of the plan"):
            Plan(LocalFolder(tmp_path)).shards()


class TestPictureList:
    def test_brings_paths_and_prompts_each_once(self, tmp_path: Path) -> None:
        table = pa.table(
            {
                "path": ["/a/x.png", "s3://b/y.png", "/a/x.png"],
                "input_objects": ["[1]", None, "[2]"],
            }
        )
        pq.write_table(table, tmp_path / "keys.parquet")
        found = {
            picture.path: (picture.name, picture.objects)
            for picture in read_picture_list(str(tmp_path / "keys.parquet"))
        }
        assert found == {"/a/x.png": ("x.png", "[2]"), "s3://b/y.png": ("y.png", "[]")}

    def test_without_a_column_of_paths_is_told(self, tmp_path: Path) -> None:
        pq.write_table(pa.table({"key": ["a"]}), tmp_path / "keys.parquet")
        with pytest.raises(ParameterError, match="with the column path"):
            read_picture_list(str(tmp_path / "keys.parquet"))
