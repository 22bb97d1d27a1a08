import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from training.dataset import PromptDataset, collate
from training.network import build_network
from training.objective import PromptBatch, draw_correction, mask_errors, true_ious
from training.train import (
    Settings,
    Trainer,
    learning_rate_at,
    parse_settings,
    run_process,
)


@pytest.fixture
def settings(tmp_path: Path, small_config: Path) -> Settings:
    return Settings(
        run_dir=tmp_path,
        config=small_config,
        steps=2,
        scenes=1,
        clicks=2,
        boxes=2,
        first_corrections=1,
        second_corrections=1,
        warmup_steps=1,
        validation_scenes=1,
        learning_rate=5e-4,
        composites=0.0,
        photographs=0.0,
    )


def first_batch(trainer: Trainer) -> PromptBatch:
    s = trainer.settings
    source = s.source(trainer.network.image_size)
    return collate([PromptDataset(source, (s.clicks, s.boxes), range(1))[0]])


class TestTrainer:
    def test_steps_on_one_batch_lower_its_loss(self, settings: Settings) -> None:
        trainer = Trainer(settings)
        batch = first_batch(trainer)
        losses = []
        for _ in range(4):
            trainer.step = 0  # the same correction clicks and learning rate each time
            losses.append(float(trainer.train_on(batch).loss.detach()))
        assert losses[-1] < 0.9 * losses[0]

    def test_leaves_the_memory_of_earlier_frames_alone(self, settings: Settings) -> None:
        trainer = Trainer(settings)
        before = copy.deepcopy(trainer.network.state_dict())
        trainer.train_on(first_batch(trainer))
        after = trainer.network.state_dict()
        changed = {k.split(".")[0] for k in before if not torch.equal(before[k], after[k])}
        assert changed == {
            "image_encoder",
            "sam_prompt_encoder",
            "sam_mask_decoder",
            "no_mem_embed",
        }


class TestRunProcess:
    def test_stopped_and_resumed_run_equals_an_unbroken_one(self, settings: Settings) -> None:
        states = []
        run_dir = settings.run_dir
        for name in ("unbroken", "stopped"):
            settings = replace(settings, run_dir=run_dir / name)
            settings.run_dir.mkdir()
            stop = settings.run_dir / "stop"
            if name == "stopped":
                stop.touch()
                run_process(0, settings)
                stop.unlink()
                halfway = torch.load(settings.run_dir / "state.pt", weights_only=True)
                assert halfway["step"] == 1
            run_process(0, settings)
            states.append(torch.load(settings.run_dir / "state.pt", weights_only=True))
        assert states[0]["step"] == states[1]["step"] == 2
        for part in ("model", "average"):
            for key, value in states[0][part].items():
                assert torch.equal(value, states[1][part][key]), key

    def test_last_step_leaves_figures_and_averaged_weights(
        self, settings: Settings, tmp_path: Path
    ) -> None:
        run_process(0, settings)
        assert "click_best_of_three" in (tmp_path / "metrics.jsonl").read_text()
        saved = torch.load(tmp_path / "average_000002.pt", weights_only=True)["model"]
        assert {v.dtype for v in saved.values()} == {torch.float16}


class TestMinutes:
    def test_the_clock_ends_a_run_with_the_rate_at_nothing(
        self, settings: Settings, tmp_path: Path
    ) -> None:
        run_process(0, replace(settings, steps=50, minutes=1e-6))
        state = torch.load(tmp_path / "state.pt", weights_only=True)
        assert state["step"] == 1
        assert state["optimisers"][0]["param_groups"][0]["lr"] == pytest.approx(0)


class TestLearningRateAt:
    def test_ramps_stays_and_comes_down_to_nothing(self, tmp_path: Path) -> None:
        settings = Settings(run_dir=tmp_path, steps=100, warmup_steps=10, decay_share=0.5)
        rates = [learning_rate_at(step, step / 100, settings) for step in range(101)]
        assert rates[0] == pytest.approx(settings.learning_rate / 10)
        assert rates[10] == rates[50] == settings.learning_rate
        assert rates[75] == pytest.approx(settings.learning_rate / 2)
        assert rates[100] == pytest.approx(0)


class TestParseSettings:
    def test_reads_every_kind_of_option(self) -> None:
        settings = parse_settings(["--run-dir", "x", "--steps", "7", "--start", "y.pt"])
        assert settings.run_dir == Path("x")
        assert settings.start == Path("y.pt")
        assert settings.steps == 7
        assert settings.learning_rate == Settings(run_dir=Path("x")).learning_rate


class TestBuildNetwork:
    def test_upscaling_equals_the_transposed_convolution(self, tmp_path: Path) -> None:
        layer = build_network(Settings(run_dir=tmp_path).config).sam_mask_decoder.output_upscaling[
            0
        ]
        x = torch.randn(2, layer.in_channels, 5, 7, generator=torch.Generator().manual_seed(1))
        expected = torch.nn.functional.conv_transpose2d(x, layer.weight, layer.bias, stride=2)
        torch.testing.assert_close(layer(x), expected)


class TestMaskErrors:
    def test_right_answer_costs_less_than_empty_and_full_ones(self) -> None:
        mask = torch.zeros(1, 16, 16)
        mask[0, 4:9, 4:9] = 1
        logits = torch.stack([mask[0] * 20 - 10, mask[0] * 0 - 10, mask[0] * 0 + 10])[None]
        right, empty, full = mask_errors(logits, mask)[0].tolist()
        assert right < 0.01
        assert right < empty < full


class TestTrueIous:
    def test_counts_cells(self) -> None:
        mask = torch.zeros(1, 4, 4)
        mask[0, :2] = 1
        answer = torch.full((1, 1, 4, 4), -1.0)
        answer[0, 0, 0] = 1
        assert true_ious(answer, mask).item() == pytest.approx(0.5)


class TestDrawCorrection:
    def test_clicks_into_what_was_missed(self) -> None:
        mask = torch.zeros(1, 8, 8)
        mask[0, 2:6, 2:6] = 1
        point, label = draw_correction(
            torch.full((1, 8, 8), -5.0), mask, 4.0, torch.Generator().manual_seed(1)
        )
        assert label.tolist() == [1]
        assert bool(((point >= 7.5) & (point <= 23.5)).all())

    def test_clicks_into_what_was_taken_too_much(self) -> None:
        mask = torch.zeros(1, 8, 8)
        mask[0, :, :4] = 1
        point, label = draw_correction(
            torch.full((1, 8, 8), 5.0), mask, 4.0, torch.Generator().manual_seed(1)
        )
        assert label.tolist() == [0]
        assert point[0, 0] >= 15.5
