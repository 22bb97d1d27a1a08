from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from infer_segment_anything_2.sam2_engine.image import embedding_cache
from infer_segment_anything_2.sam2_engine.image.embedding_cache import (
    EmbeddingCache,
    PictureDigests,
    image_digest,
    tensor_bytes,
)


def value_of(nbytes: int) -> tuple[torch.Tensor]:
    return (torch.zeros(nbytes, dtype=torch.uint8),)


@dataclass(frozen=True)
class Features:
    whole: torch.Tensor
    parts: tuple[torch.Tensor, ...]
    name: str = "features"


class TestImageDigest:
    def test_same_pixels_give_same_digest(self) -> None:
        image = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
        assert image_digest(image) == image_digest(image.copy())

    @pytest.mark.parametrize("place", [(0, 0, 0), (25, 31, 1), (49, 59, 2)])
    def test_one_pixel_changed_in_place_gives_another(self, place: tuple[int, int, int]) -> None:
        image = np.zeros((50, 60, 3), np.uint8)
        before = image_digest(image)
        image[place] ^= 1
        assert image_digest(image) != before
        image[place] ^= 1
        assert image_digest(image) == before

    def test_shape_counts(self) -> None:
        image = np.zeros((4, 6, 3), np.uint8)
        assert image_digest(image) != image_digest(image.reshape(6, 4, 3))

    def test_memory_order_does_not(self) -> None:
        image = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
        assert image_digest(np.asfortranarray(image)) == image_digest(image)


class TestPictureDigests:
    @pytest.mark.parametrize("limit_bytes", [0, 10**9])
    def test_are_those_of_the_pixels_whatever_was_seen_before(self, limit_bytes: int) -> None:
        rng = np.random.default_rng(0)
        digests = PictureDigests(limit_bytes)
        tall = rng.integers(0, 256, (900, 700, 3), dtype=np.uint8)  # more than is compared at once
        last_changed = tall.copy()
        last_changed[-1, -1, -1] ^= 1
        pictures = [
            tall,
            tall.copy(),
            last_changed,
            tall.reshape(700, 900, 3),
            np.asfortranarray(tall),
            tall[::2, ::-1],
            np.zeros((1, 1, 3), np.uint8),
        ]
        for place in rng.integers(0, len(pictures), 30):
            assert digests.of(pictures[place]) == image_digest(pictures[place])

    def test_see_a_pixel_that_changed_in_place(self) -> None:
        digests, image = PictureDigests(), np.zeros((50, 60, 3), np.uint8)
        before = digests.of(image)
        image[49, 59, 2] ^= 1
        assert digests.of(image) == image_digest(image) != before

    def test_hash_a_picture_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        digests, image = PictureDigests(), np.zeros((50, 60, 3), np.uint8)
        new_digests = iter(["first", "second"])
        monkeypatch.setattr(embedding_cache, "image_digest", lambda _: next(new_digests))
        assert [digests.of(image.copy()) for _ in range(3)] == ["first"] * 3


class TestTensorBytes:
    def test_counts_tensors_at_any_depth(self) -> None:
        features = Features(torch.zeros(10), (torch.zeros(3, dtype=torch.float64), torch.zeros(1)))
        assert tensor_bytes(features) == 40 + 24 + 4
        assert tensor_bytes((features, "text", None)) == 68

    def test_counts_shared_memory_once_and_whole(self) -> None:
        whole = torch.zeros(100)
        assert tensor_bytes(Features(whole[:10], (whole[5:], whole.view(10, 10)))) == 400

    def test_nothing_takes_nothing(self) -> None:
        assert tensor_bytes("text") == tensor_bytes(()) == 0


class TestEmbeddingCache:
    def test_gives_back_what_was_put(self) -> None:
        cache: EmbeddingCache[tuple[torch.Tensor]] = EmbeddingCache(100)
        value = value_of(10)
        cache.put("a", value)
        assert cache.get("a") is value
        assert cache.get("b") is None

    def test_never_holds_more_than_its_limit(self) -> None:
        cache: EmbeddingCache[tuple[torch.Tensor]] = EmbeddingCache(100)
        for index in range(50):
            cache.put(str(index), value_of(index))
            assert cache.nbytes <= 100
        assert cache.get("49") is not None
        assert cache.get("48") is not None
        assert cache.get("47") is None

    def test_least_recently_used_goes_first(self) -> None:
        cache: EmbeddingCache[tuple[torch.Tensor]] = EmbeddingCache(30)
        for key in "abc":
            cache.put(key, value_of(10))
        assert cache.get("a") is not None  # now the latest
        cache.put("d", value_of(10))
        assert cache.get("b") is None
        assert [key for key in "acd" if cache.get(key) is not None] == ["a", "c", "d"]

    def test_same_key_replaces(self) -> None:
        cache: EmbeddingCache[tuple[torch.Tensor]] = EmbeddingCache(30)
        cache.put("a", value_of(30))
        latest = value_of(20)
        cache.put("a", latest)
        assert cache.get("a") is latest
        assert cache.nbytes == 20

    def test_value_larger_than_the_whole_is_not_kept_and_drops_no_other(self) -> None:
        cache: EmbeddingCache[tuple[torch.Tensor]] = EmbeddingCache(30)
        cache.put("a", value_of(10))
        cache.put("b", value_of(31))
        assert cache.get("b") is None
        assert cache.get("a") is not None

    def test_outgrown_value_is_forgotten(self) -> None:
        cache: EmbeddingCache[tuple[torch.Tensor]] = EmbeddingCache(30)
        cache.put("a", value_of(10))
        cache.put("a", value_of(31))
        assert cache.get("a") is None
        assert cache.nbytes == 0

    def test_clear_drops_everything(self) -> None:
        cache: EmbeddingCache[tuple[torch.Tensor]] = EmbeddingCache(30)
        cache.put("a", value_of(10))
        cache.clear()
        assert cache.get("a") is None
        assert cache.nbytes == 0

    def test_threads_may_share_it(self) -> None:
        cache: EmbeddingCache[tuple[torch.Tensor]] = EmbeddingCache(100)

        def work(seed: int) -> int:
            random = np.random.default_rng(seed)
            seen = 0
            for _ in range(500):
                size = int(random.integers(1, 40))
                cache.put(str(size), value_of(size))
                assert cache.nbytes <= 100
                found = cache.get(str(int(random.integers(1, 40))))
                seen += found is not None
            return seen

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(work, range(8))) > 0
        for size in range(1, 40):
            found = cache.get(str(size))
            assert found is None or found[0].numel() == size
