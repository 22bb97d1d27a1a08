from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from infer_segment_anything_2.errors import (
    DependencyError,
    DeviceError,
    ParameterError,
)
from infer_segment_anything_2.sam2_engine.network import loading as model_loading
from infer_segment_anything_2.sam2_engine.network.building import build_network
from infer_segment_anything_2.sam2_engine.network.loading import LoadedModel, load_model
from infer_segment_anything_2.sam2_engine.network.state_dicts import read_state_dict
from infer_segment_anything_2.sam2_engine.weights.checkpoints import Checkpoint
from infer_segment_anything_2.sam2_engine.weights.finding import find_weights
from tests.sam2_engine.network.own_weights import CPU, NANO, Tensors, assert_holds, load_own


class TestBundledModel:
    def test_loads_in_float32(self) -> None:
        model = load_model("sam2_demo_nano", device=CPU)
        assert model.architecture is NANO
        assert model.digest == NANO.sha256
        assert {numbers.dtype for numbers in model.network.parameters()} == {torch.float32}
        assert_holds(model, read_state_dict(find_weights("sam2_demo_nano").path))


class TestOwnWeights:
    @pytest.mark.parametrize(
        "wrap",
        [
            pytest.param(lambda tensors: {"model": tensors, "epoch": 3}, id="model"),
            pytest.param(lambda tensors: {"state_dict": tensors}, id="state_dict"),
            pytest.param(lambda tensors: tensors, id="bare"),
            pytest.param(
                lambda tensors: {f"module.{name}": t for name, t in tensors.items()}, id="module."
            ),
            pytest.param(
                lambda tensors: {
                    "state_dict": {f"module._orig_mod.{name}": t for name, t in tensors.items()}
                },
                id="compiled and parallel",
            ),
            pytest.param(
                lambda tensors: {"model": {name: t.double() for name, t in tensors.items()}},
                id="float64",
            ),
        ],
    )
    def test_load_however_they_were_saved(
        self, wrap: Callable[[Tensors], Any], nano_tensors: Tensors, save: Callable[..., str]
    ) -> None:
        model = load_own(save(wrap(nano_tensors)))
        assert model.architecture is NANO
        assert model.weights.checkpoint is None
        assert_holds(model, nano_tensors)

    @pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16])
    def test_halves_are_widened(
        self, precision: torch.dtype, nano_tensors: Tensors, save: Callable[..., str]
    ) -> None:
        halves = {name: tensor.to(precision) for name, tensor in nano_tensors.items()}
        model = load_own(save({"model": halves}))
        assert {numbers.dtype for numbers in model.network.parameters()} == {torch.float32}
        assert_holds(model, halves)

    def test_load_from_the_old_file_format(
        self, nano_tensors: Tensors, save: Callable[..., str]
    ) -> None:
        path = save({"model": nano_tensors}, _use_new_zipfile_serialization=False)
        assert_holds(load_own(path), nano_tensors)

    def test_load_from_safetensors(self, nano_tensors: Tensors, tmp_path: Path) -> None:
        from safetensors.torch import save_file

        save_file(nano_tensors, tmp_path / "mine.safetensors")
        assert_holds(load_own(str(tmp_path / "mine.safetensors")), nano_tensors)

    def test_need_safetensors_for_safetensors(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "mine.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
        monkeypatch.setitem(sys.modules, "safetensors", None)
        with pytest.raises(DependencyError, match=r"Run: pip install safetensors$"):
            load_own(str(tmp_path / "mine.safetensors"))

    def test_that_are_not_there_are_a_parameter_error(self) -> None:
        with pytest.raises(ParameterError, match="No weights file lies at model_path"):
            load_own("/nowhere/mine.pt")

    def test_outlive_their_file(self, nano_tensors: Tensors, save: Callable[..., str]) -> None:
        path = Path(save({"model": nano_tensors}))
        model = load_own(str(path))
        path.write_bytes(bytes(path.stat().st_size))
        assert_holds(model, nano_tensors)


def test_full_device_is_told_of(
    nano_tensors: Tensors, save: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def has_no_room(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 MiB.\nAnd more.")

    monkeypatch.setattr(torch.nn.Module, "to", has_no_room)
    with pytest.raises(DeviceError) as caught:
        load_own(save(nano_tensors))
    assert str(caught.value) == (
        "The device 'cpu' has too little free memory for sam2_demo_nano: expected 15 MiB for its "
        "weights alone. Choose a smaller model, close what else uses the device, or set cuda to "
        "False. PyTorch says: CUDA out of memory. Tried to allocate 2 MiB."
    )


class TestSharing:
    def test_same_weights_device_and_precision_are_one_object(self) -> None:
        first = load_model("sam2_demo_nano", device=CPU)
        assert load_model("sam2_demo_nano", device=CPU) is first
        assert load_model("sam2_demo_nano", str(first.weights.path), device=CPU) is first

    def test_another_precision_is_another_object(self) -> None:
        first = load_model("sam2_demo_nano", device=CPU)
        other = load_model("sam2_demo_nano", device=CPU, precision=torch.bfloat16)
        assert other is not first
        assert (first.precision, other.precision) == (torch.float32, torch.bfloat16)

    def test_threads_load_once(
        self, nano_tensors: Tensors, save: Callable[..., str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = save({"model": nano_tensors})
        built: list[Checkpoint] = []

        def counting_build(row: Checkpoint, *image_size_px: int | None) -> Any:
            built.append(row)
            return build_network(row, *image_size_px)

        monkeypatch.setattr(model_loading, "build_network", counting_build)
        barrier = threading.Barrier(4)

        def load(_: int) -> LoadedModel:
            barrier.wait(30)
            return load_own(path)

        with ThreadPoolExecutor(4) as pool:
            models = list(pool.map(load, range(4)))
        assert len({id(model) for model in models}) == 1
        assert len(built) == 1

    def test_memory_is_given_back_with_the_last_user(
        self, nano_tensors: Tensors, save: Callable[..., str]
    ) -> None:
        path = save({"model": nano_tensors})
        model = load_own(path)
        network = weakref.ref(model.network)
        del model
        gc.collect()
        assert network() is None
        assert_holds(load_own(path), nano_tensors)

    def test_changed_file_is_loaded_anew(
        self, nano_tensors: Tensors, save: Callable[..., str]
    ) -> None:
        before = load_own(save({"model": nano_tensors}))
        changed = {name: tensor + 1 for name, tensor in nano_tensors.items()}
        after = load_own(save({"model": changed}))
        assert after is not before
        assert_holds(after, changed)
        assert_holds(before, nano_tensors)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
class TestOnGpu:
    def test_network_lies_there(self) -> None:
        model = load_model("sam2_demo_nano", device=torch.device("cuda"))
        assert model.device == torch.device("cuda", torch.cuda.current_device())
        assert {numbers.device for numbers in model.network.parameters()} == {model.device}
        assert load_model("sam2_demo_nano", device=model.device) is model
