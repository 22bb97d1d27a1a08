"""Trains the bundled model on drawn scenes; `python -m training.train --help`.

Every step depends on its number and the seed alone (scenes, prompts, correction clicks), so that a
run that was stopped and resumed goes on exactly as if it had not been. The learning rate warms up,
stays, and comes down along half a cosine over the last part of the run; until that part has begun,
`--steps` may be changed on resuming. On a machine that others use too, `--minutes` lets the clock
decide instead how far the run is: the rate is down to nothing after that time, whatever the steps.
"""

import argparse
import json
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from sam2.modeling.sam2_base import SAM2Base
from torch.multiprocessing.spawn import spawn
from torch.utils.data import DataLoader

from training.dataset import PromptDataset, SceneSource, collate
from training.evaluate import VALIDATION_SEEDS, validation_figures
from training.fetch_pictures import LABELLED_FOLDER
from training.muon import Muon
from training.network import build_network, load_weights, save_weights
from training.objective import PromptBatch, StepFigures, training_step
from training.opencv import cv2
from training.picture_bank import DEFAULT_FOLDER

_LOGGER = logging.getLogger("training")
_MODEL_DIR = Path(__file__).resolve().parent.parent / "infer_segment_anything_2" / "demo_model"

_STATE_FILE = "state.pt"
# Whoever puts a file of this name into the run folder ends the run after the step at hand, saved.
_STOP_FILE = "stop"


@dataclass(frozen=True)
class Settings:
    """One run. Counts of scenes and prompts are those of one process and step.

    `composites` and `photographs` are shares of the scenes; the others are drawn.
    """

    run_dir: Path
    config: Path = _MODEL_DIR / "sam2_demo_nano.yaml"
    start: Path | None = None
    bank: Path = DEFAULT_FOLDER
    labelled: Path = LABELLED_FOLDER
    composites: float = 0.3
    photographs: float = 0.45
    steps: int = 3450
    minutes: float = 0.0
    processes: int = 1
    workers: int = 0
    device: str = "cpu"
    scenes: int = 4
    clicks: int = 6
    boxes: int = 4
    first_corrections: int = 3
    second_corrections: int = 3
    learning_rate: float = 1e-3
    warmup_steps: int = 150
    decay_share: float = 0.5
    weight_decay: float = 0.02
    ema_decay: float = 0.998
    save_minutes: float = 4.0
    validate_minutes: float = 15.0
    validation_scenes: int = 60
    seed: int = 1

    def source(self, size_px: int) -> SceneSource:
        """Where scenes for an input of so many pixels come from."""
        return SceneSource(
            self.seed, self.composites, self.photographs, self.bank, self.labelled, size_px
        )


def learning_rate_at(step: int, done: float, settings: Settings) -> float:
    """Learning rate of a step: a ramp, a plateau, half a cosine down to nothing at the end.

    Args:
        step: Number of the step, from 0.
        done: Share of the run that is over, 0 to 1.
        settings: Of the run.
    """
    ramp = min((step + 1) / settings.warmup_steps, 1.0)
    descent = min(max(1 - (1 - done) / settings.decay_share, 0.0), 1.0)
    return settings.learning_rate * ramp * 0.5 * (1 + math.cos(math.pi * descent))


def make_optimisers(
    parameters: list[torch.nn.Parameter], learning_rate: float, weight_decay: float
) -> tuple[torch.optim.Optimizer, ...]:
    """Muon for the matrices, AdamW for everything else, at one learning rate.

    Muon's steps are scaled to the size of AdamW's, so that both share the schedule.
    """
    matrices = [p for p in parameters if p.ndim == 2 and min(p.shape) > 1]
    kernels = [p for p in parameters if p.ndim > 2]
    vectors = [p for p in parameters if p.ndim < 2 or (p.ndim == 2 and min(p.shape) == 1)]
    muon = Muon(matrices, lr=learning_rate, weight_decay=weight_decay)
    groups = [
        {"params": kernels, "weight_decay": weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return muon, torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.98))


class Trainer:
    """Network, optimiser, averaged weights and step count: all that a checkpoint holds."""

    def __init__(self, settings: Settings, rank: int = 0) -> None:
        self.settings = settings
        self.rank = rank
        self.step = 0
        self.done = 0.0
        self.stopping = False
        self._trained_s = 0.0
        self._resumed_at = time.monotonic()
        torch.manual_seed(settings.seed)
        self.network: SAM2Base = build_network(settings.config)
        if settings.start is not None:
            load_weights(self.network, settings.start)
        self.network.to(settings.device).train()
        self.trained = [p for p in self.network.parameters() if p.requires_grad]
        self.optimisers = make_optimisers(
            self.trained, settings.learning_rate, settings.weight_decay
        )
        self.average = {k: v.detach().clone() for k, v in self.network.state_dict().items()}

    def state(self) -> dict[str, Any]:
        """Everything that is needed to go on."""
        return {
            "step": self.step,
            "trained_s": self._elapsed_s(),
            "model": self.network.state_dict(),
            "average": self.average,
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Takes up a saved state."""
        self.step = int(state["step"])
        self._trained_s = float(state["trained_s"])
        self.network.load_state_dict(state["model"])
        self.average = {k: v.to(self.settings.device) for k, v in state["average"].items()}
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)

    def train_on(self, batch: PromptBatch) -> StepFigures:
        """Does one step and averages gradients with the other processes."""
        s = self.settings
        generator = torch.Generator().manual_seed(
            (s.seed * 1_000_003 + self.step) * s.processes + self.rank
        )
        corrections = (s.first_corrections, s.second_corrections)
        figures = training_step(self.network, batch, corrections, generator)
        self.network.zero_grad(set_to_none=True)
        figures.loss.backward()
        self._share_with_others()
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = learning_rate_at(self.step, self.done, s)
        torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
        for optimiser in self.optimisers:
            optimiser.step()
        self.step += 1
        self._update_average()
        return figures

    def _elapsed_s(self) -> float:
        return self._trained_s + time.monotonic() - self._resumed_at

    def _share_with_others(self) -> None:
        """Averages gradients over the processes, and with them the clock and the wish to stop."""
        s = self.settings
        done = self._elapsed_s() / (60 * s.minutes) if s.minutes else self.step / s.steps
        shared = torch.tensor([done, float((s.run_dir / _STOP_FILE).exists())])
        if s.processes > 1:
            gradients = [
                p.grad if p.grad is not None else torch.zeros_like(p) for p in self.trained
            ]
            flat = torch.cat([*(g.reshape(-1) for g in gradients), shared.to(s.device)])
            dist.all_reduce(flat)
            flat /= s.processes
            *parts, shared = flat.split([*(p.numel() for p in self.trained), 2])
            for p, part in zip(self.trained, parts, strict=True):
                p.grad = part.reshape(p.shape)
        self.done = float(shared[0])
        self.stopping = bool(shared[1] > 0) or self.done >= 1

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(self.settings.ema_decay, (1 + self.step) / (10 + self.step))
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - decay)

    def averaged_network(self) -> SAM2Base:
        """A second network with the averaged weights, for evaluation."""
        network = build_network(self.settings.config)
        network.load_state_dict(self.average)
        return network.to(self.settings.device).eval()


def save_state(state: dict[str, Any], path: Path) -> None:
    """Writes a checkpoint, whole or not at all."""
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


class _Logbook:
    """Averages figures between log lines, and decides by the clock when to save and to validate."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.rows: list[list[float]] = []
        now = time.monotonic()
        self.logged_at = self.saved_at = self.validated_at = now

    def note(self, figures: StepFigures) -> None:
        row = [float(figures.loss.detach()), figures.click_best_iou, figures.click_single_iou]
        self.rows.append([*row, figures.box_iou, figures.corrected_iou])
        if len(self.rows) == 50:
            self._log()
        settings, now = self.trainer.settings, time.monotonic()
        finished = self.trainer.step == settings.steps or self.trainer.done >= 1
        if now - self.saved_at > 60 * settings.save_minutes or finished or self.trainer.stopping:
            save_state(self.trainer.state(), settings.run_dir / _STATE_FILE)
            self.saved_at = time.monotonic()
        if now - self.validated_at > 60 * settings.validate_minutes or finished:
            self._validate()
            self.validated_at = time.monotonic()

    def _log(self) -> None:
        now = time.monotonic()
        loss, best, single, box, corrected = np.mean(self.rows, axis=0)
        _LOGGER.info(
            "step %d loss %.3f click best %.3f single %.3f box %.3f corrected %.3f "
            "lr %.2e %.2f s/step",
            *(self.trainer.step, loss, best, single, box, corrected),
            *(
                learning_rate_at(self.trainer.step, self.trainer.done, self.trainer.settings),
                (now - self.logged_at) / len(self.rows),
            ),
        )
        self.rows.clear()
        self.logged_at = now

    def _validate(self) -> None:
        run_dir = self.trainer.settings.run_dir
        network = self.trainer.averaged_network()
        seeds = VALIDATION_SEEDS[: self.trainer.settings.validation_scenes]
        row = {"step": self.trainer.step, **validation_figures(network, seeds)}
        with (run_dir / "metrics.jsonl").open("a") as lines:
            lines.write(json.dumps(row) + "\n")
        save_weights(network.state_dict(), run_dir / f"average_{self.trainer.step:06d}.pt")
        _LOGGER.info("validation %s", json.dumps(row))


def _own_process(rank: int, settings: Settings) -> None:
    """Sets up a process that does nothing but train."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if settings.device == "cpu":
        torch.set_num_threads(1)
    cv2.setNumThreads(1)
    run_process(rank, settings)


def run_process(rank: int, settings: Settings) -> None:
    """Trains in this process until the last step, from what the run folder holds."""
    if settings.processes > 1:
        rendezvous = (settings.run_dir / "rendezvous").resolve()
        dist.init_process_group(
            "gloo", f"file://{rendezvous}", rank=rank, world_size=settings.processes
        )
    trainer = Trainer(settings, rank)
    saved = settings.run_dir / _STATE_FILE
    if saved.exists():
        trainer.restore(torch.load(saved, map_location=settings.device, weights_only=True))
    if rank == 0:
        _LOGGER.info("from step %d with %s", trainer.step, asdict(settings))
    logbook = _Logbook(trainer) if rank == 0 else None
    for batch in _batches(trainer):
        figures = trainer.train_on(batch)
        if logbook is not None:
            logbook.note(figures)
        if trainer.stopping:
            break
    if settings.processes > 1:
        dist.destroy_process_group()


def _batches(trainer: Trainer) -> Iterator[PromptBatch]:
    settings = trainer.settings
    size_px = trainer.network.image_size
    source = settings.source(size_px)
    first, last = (
        step * settings.scenes * settings.processes for step in (trainer.step, settings.steps)
    )
    numbers = range(first + trainer.rank, last, settings.processes)
    dataset = PromptDataset(source, (settings.clicks, settings.boxes), numbers)
    loader = DataLoader(
        dataset,
        batch_size=settings.scenes,
        num_workers=settings.workers,
        collate_fn=collate,
        prefetch_factor=4 if settings.workers else None,
    )
    for batch in loader:
        yield PromptBatch(
            **{name: value.to(settings.device) for name, value in vars(batch).items()}
        )


def parse_settings(arguments: list[str] | None = None) -> Settings:
    """Reads the settings from the command line: one option for each field of `Settings`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds: dict[str, type] = {"run_dir": Path, "config": Path, "start": Path}
    kinds |= {"bank": Path, "labelled": Path}
    for name, field in Settings.__dataclass_fields__.items():
        kind = kinds.get(name) or type(field.default)
        option = "--" + name.replace("_", "-")
        if name == "run_dir":
            parser.add_argument(option, type=kind, required=True)
        else:
            parser.add_argument(
                option, type=kind, default=field.default, help=f"default {field.default}"
            )
    return Settings(**vars(parser.parse_args(arguments)))


def main() -> None:
    """Trains, or goes on training what lies in the run folder."""
    settings = parse_settings()
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    for leftover in ("rendezvous", _STOP_FILE):
        (settings.run_dir / leftover).unlink(missing_ok=True)
    if settings.processes == 1:
        _own_process(0, settings)
    else:
        spawn(_own_process, args=(settings,), nprocs=settings.processes)


if __name__ == "__main__":
    main()
