from pathlib import Path

import numpy as np

from training.coins import N_COINS, coin_masks, coins_picture
from training.dataset import FIRST_TRAINING_SEED
from training.evaluate import (
    TEST_SEEDS,
    VALIDATION_SEEDS,
    Grid,
    automatic_masks,
    count_found,
    markdown_table,
    validation_figures,
)
from training.network import build_network


def square(y: int, x: int, side: int) -> np.ndarray:
    mask = np.zeros((20, 20), bool)
    mask[y : y + side, x : x + side] = True
    return mask


class TestCountFound:
    def test_counts_each_wanted_mask_once(self) -> None:
        answers = [square(0, 0, 6), square(0, 0, 6), square(10, 10, 6)]
        assert count_found(answers, [square(0, 0, 6), square(10, 10, 7)], 0.9) == 1

    def test_threshold_is_reached_at_equality(self) -> None:
        half = square(0, 0, 4)
        half[2:] = False
        assert count_found([half], [square(0, 0, 4)], 0.5) == 1
        assert count_found([half], [square(0, 0, 4)], 0.51) == 0

    def test_nothing_proposed_finds_nothing(self) -> None:
        assert count_found([], [square(0, 0, 4)], 0.5) == 0


class TestCoinMasks:
    def test_gives_the_coins_of_the_picture(self) -> None:
        masks = np.stack(coin_masks())
        assert masks.shape == (N_COINS, *coins_picture().shape[:2])
        assert masks.sum(axis=0).max() == 1


class TestSeeds:
    def test_no_scene_is_used_for_two_purposes(self) -> None:
        assert not set(TEST_SEEDS) & set(VALIDATION_SEEDS)
        assert max(*TEST_SEEDS, *VALIDATION_SEEDS) < FIRST_TRAINING_SEED
        assert len(TEST_SEEDS) == 200


class TestMarkdownTable:
    def test_sets_figures_beside_aims(self) -> None:
        table = markdown_table({"box": 0.5, "photograph_box": 0.4, "coins_found": 3})
        assert "| drawn scenes: box: mean IoU | 0.500 | 0.86 |" in table
        assert "| photographs: box: mean IoU | 0.400 | 0.8 |" in table
        assert "| 3 | 22 |" in table


class TestValidationFigures:
    def test_gives_shares(self, small_config: Path) -> None:
        network = build_network(small_config).eval()
        figures = validation_figures(network, range(1000, 1002))
        assert figures["prompts"] > 2
        assert all(0 <= figures[key] <= 1 for key in figures if key not in ("prompts", "pearson"))


class TestAutomaticMasks:
    def test_masks_have_the_size_of_the_picture(self, small_config: Path) -> None:
        network = build_network(small_config).eval()
        grid = Grid(points_per_side=2, pred_iou_thresh=0.0, stability_score_thresh=0.0)
        picture = np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)
        masks = automatic_masks(network, picture, grid)
        assert all(mask.shape == (40, 60) for mask in masks)
