from __future__ import annotations

import builtins
import gc
import logging
import pickle
import random
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.torch_version import TorchVersion

from infer_segment_anything_2.errors import (
    DamagedCheckpointError,
    DependencyError,
    DeviceError,
    MismatchedCheckpointError,
    ParameterError,
)
from infer_segment_anything_2.sam2_engine.network import building, state_dicts
from infer_segment_anything_2.sam2_engine.network import loading as model_loading
from infer_segment_anything_2.sam2_engine.network.architectures import check_fit, identify_network
from infer_segment_anything_2.sam2_engine.network.building import build_network
from infer_segment_anything_2.sam2_engine.network.loading import LoadedModel, load_model
from infer_segment_anything_2.sam2_engine.network.state_dicts import read_state_dict, warn_of_gaps
from infer_segment_anything_2.sam2_engine.weights.checkpoints import CHECKPOINTS, Checkpoint
from infer_segment_anything_2.sam2_engine.weights.finding import find_weights

REPOSITORY = Path(__file__).parents[3]
CPU = torch.device("cpu")
NANO = CHECKPOINTS["sam2_demo_nano"]
PATCH = "image_encoder.trunk.patch_embed.proj.weight"
Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def nano_tensors() -> Tensors:
    """The demo network with float32 numbers of its own, so that it is no official file."""
    tensors = read_state_dict(find_weights("sam2_demo_nano").path)
    return {name: tensor.float() + 0.25 for name, tensor in tensors.items()}


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., str]:
    """Saves anything as a checkpoint and gives its path."""

    def save_content(content: object, **options: Any) -> str:
        path = tmp_path / "mine.pt"
        torch.save(content, path, **options)
        return str(path)

    return save_content


def load_own(model_path: str) -> LoadedModel:
    return load_model("", model_path, device=CPU)


def assert_holds(model: LoadedModel, tensors: Tensors) -> None:
    loaded = model.network.state_dict()
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(loaded[name], tensor.float()), name


class TestBuildNetwork:
    @pytest.mark.parametrize("row", CHECKPOINTS.values(), ids=lambda row: row.name)
    def test_gives_each_network_its_size_and_tensors_tell_it(self, row: Checkpoint) -> None:
        network = build_network(row)
        assert sum(numbers.numel() for numbers in network.parameters()) == row.parameter_count
        assert identify_network(network.state_dict(), Path("x.pt")) is row

    def test_is_still_and_chooses_no_mask_itself(self) -> None:
        network = build_network(NANO)
        assert not any(module.training for module in network.modules())
        assert not any(numbers.requires_grad for numbers in network.parameters())
        assert not network.sam_mask_decoder.dynamic_multimask_via_stability

    def test_copies_nothing_to_a_gpu(self) -> None:
        with building._NoSideEffects():
            assert torch.ones(2).to("cuda").device == CPU

    def test_says_how_to_get_sam2(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "sam2.modeling.sam2_base", None)
        with pytest.raises(DependencyError) as caught:
            build_network(NANO)
        assert str(caught.value).startswith(
            "The package sam2 cannot be used: expected sam2 1.1.0 to import, got "
            "ModuleNotFoundError: "
        )
        assert str(caught.value).endswith("Run: pip install sam2==1.1.0")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sam2.1_hiera_tiny", "sam2_hiera_tiny"])
def test_network_is_metas(name: str, save: Callable[..., str]) -> None:
    """Same official-format file, same picture, same features to the last bit."""
    from hydra import initialize_config_module
    from hydra.core.global_hydra import GlobalHydra
    from sam2.build_sam import build_sam2

    row = CHECKPOINTS[name]
    # Importing sam2 as Meta means it initialises Hydra, importing it as we do does not.
    is_initialised = GlobalHydra.instance().is_initialized()
    hydra = (
        nullcontext() if is_initialised else initialize_config_module("sam2", version_base="1.2")
    )
    with hydra, torch.random.fork_rng():
        torch.manual_seed(3)
        metas = build_sam2(row.config, device="cpu", apply_postprocessing=False)
        image_bchw = torch.randn(1, 3, 256, 256)  # smaller than usual, to be quick
    path = save({"model": metas.state_dict()})
    ours = load_own(path)
    assert ours.architecture is row
    assert ours.version == row.version
    assert_holds(ours, metas.state_dict())
    with torch.inference_mode():
        expected = metas.forward_image(image_bchw)
        got = ours.network.forward_image(image_bchw)
    for level in range(3):
        assert torch.equal(got["backbone_fpn"][level], expected["backbone_fpn"][level])
        assert torch.equal(got["vision_pos_enc"][level], expected["vision_pos_enc"][level])


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
        (tmp_path / "mine.safetensors").write_bytes(b"")
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


class TestMismatch:
    def test_lists_what_is_missing_unexpected_and_misshapen(
        self, nano_tensors: Tensors, save: Callable[..., str]
    ) -> None:
        tensors = dict(nano_tensors)
        del tensors["no_mem_embed"]
        tensors["head.weight"] = torch.zeros(3)
        tensors["no_obj_ptr"] = torch.zeros(1, 7)
        path = save({"model": tensors})
        with pytest.raises(MismatchedCheckpointError) as caught:
            load_own(path)
        assert caught.value.missing == ("no_mem_embed",)
        assert caught.value.unexpected == ("head.weight",)
        assert str(caught.value) == (
            f"The weights in {path} fit none of the known SAM 2 networks: expected all tensors "
            f"of one of {', '.join(CHECKPOINTS)}, got a file of which its nearest network is "
            "sam2_demo_nano, and that does not fit. Save the whole network, video part included, "
            "as Meta's training does. Tensors 1 missing: no_mem_embed; 1 unexpected: head.weight; "
            "1 of another shape: no_obj_ptr (1x7 float32 instead of 1x128 float32)."
        )

    def test_message_is_short_and_attributes_are_complete(
        self, nano_tensors: Tensors, save: Callable[..., str]
    ) -> None:
        encoder = {n: t for n, t in nano_tensors.items() if n.startswith("image_encoder.")}
        with pytest.raises(MismatchedCheckpointError, match=r" missing: .*, \.\.\.") as caught:
            load_own(save(encoder))
        assert set(caught.value.missing) == nano_tensors.keys() - encoder.keys()
        assert len(str(caught.value)) < 1500

    def test_names_an_unknown_encoder(self) -> None:
        tensors = {PATCH: torch.zeros(64, 3, 7, 7), "image_encoder.trunk.blocks.0.x": torch.ones(1)}
        with pytest.raises(MismatchedCheckpointError, match="64 wide and 1 blocks deep"):
            identify_network(tensors, Path("x.pt"))

    def test_names_weights_of_something_else(self) -> None:
        tensors = {"image_encoder.patch_embed.proj.weight": torch.zeros(768, 3, 16, 16)}
        with pytest.raises(MismatchedCheckpointError, match="no SAM 2 image encoder") as caught:
            identify_network(tensors, Path("sam_vit_b.pt"))
        assert caught.value.missing == (PATCH,)
        assert caught.value.unexpected == tuple(tensors)

    def test_refuses_integers_for_weights(
        self, nano_tensors: Tensors, save: Callable[..., str]
    ) -> None:
        tensors = nano_tensors | {PATCH: nano_tensors[PATCH].char()}
        with pytest.raises(MismatchedCheckpointError, match="int8 instead of"):
            load_own(save(tensors))

    def test_of_the_2_0_network_under_2_1_names_the_two_tensors(self) -> None:
        row = CHECKPOINTS["sam2_hiera_tiny"]
        tensors = dict(build_network(row).state_dict())
        tensors["no_obj_embed_spatial"] = torch.zeros(1, 64)
        newer = identify_network(tensors, Path("x.pt"))
        assert newer.name == "sam2.1_hiera_tiny"
        with pytest.raises(MismatchedCheckpointError) as caught:
            check_fit(build_network(newer), tensors, newer, Path("x.pt"))
        assert caught.value.missing == ("obj_ptr_tpos_proj.weight", "obj_ptr_tpos_proj.bias")


@pytest.mark.parametrize(
    ("name", "version", "warns"),
    [
        ("mine.pt", "2.5.1+cu121", True),
        ("mine.pt", "2.9.1", True),
        ("mine.pt", "2.10.0", False),
        ("mine.pt", "3.0.0a0+git1234", False),
        ("mine.safetensors", "2.5.1", False),
    ],
)
def test_reader_with_known_gaps_is_told_of(
    name: str, version: str, warns: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    records: list[logging.LogRecord] = []
    monkeypatch.setattr(state_dicts._logger, "handle", records.append)
    warn_of_gaps(Path(name), TorchVersion(version))
    assert [record.levelno for record in records] == [logging.WARNING] * warns


class RunsWhenUnpickled:
    """Writes a file while it is being loaded, as malicious code would do worse."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return builtins.open, (str(self.trace), "w")


class TestDamage:
    @pytest.mark.parametrize("format_", ["zip", "legacy", "plain pickle", "in a state dict"])
    def test_code_in_a_file_is_refused_and_not_run(
        self, format_: str, tmp_path: Path, nano_tensors: Tensors
    ) -> None:
        trace = tmp_path / "trace"
        path = tmp_path / "evil.pt"
        evil = {"model": RunsWhenUnpickled(trace)}
        if format_ == "plain pickle":
            path.write_bytes(pickle.dumps(evil))
        elif format_ == "in a state dict":
            torch.save({"model": nano_tensors, "extra": RunsWhenUnpickled(trace)}, path)
        else:
            torch.save(evil, path, _use_new_zipfile_serialization=format_ == "zip")
        with pytest.raises(DamagedCheckpointError, match="refused because loading them could run"):
            load_own(str(path))
        assert not trace.exists()

    def test_the_trap_works(self, tmp_path: Path) -> None:
        trace = tmp_path / "trace"
        pickle.loads(pickle.dumps(RunsWhenUnpickled(trace))).close()
        assert trace.exists()

    @pytest.mark.parametrize("name", ["mine.pt", "mine.safetensors"])
    @pytest.mark.parametrize(
        "content",
        [
            pytest.param(b"", id="empty"),
            pytest.param(b"<html>Please log in</html>", id="web page"),
            pytest.param(b"PK\x03\x04 and nothing more", id="zip by its first bytes"),
            pytest.param(random.Random(1).randbytes(10_000), id="noise"),
        ],
    )
    def test_file_of_another_kind_is_refused(
        self, content: bytes, name: str, tmp_path: Path
    ) -> None:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DamagedCheckpointError, match="cannot be read: expected"):
            load_own(str(tmp_path / name))

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.999])
    def test_half_a_file_is_refused(
        self, share: float, nano_tensors: Tensors, save: Callable[..., str]
    ) -> None:
        path = Path(save({"model": nano_tensors}))
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(DamagedCheckpointError, match="cannot be read"):
            load_own(str(path))

    @pytest.mark.parametrize("zipped", [True, False])
    def test_changed_bytes_give_tensors_or_our_error(
        self, zipped: bool, tmp_path: Path, save: Callable[..., str]
    ) -> None:
        small = {PATCH: torch.zeros(4, 3, 7, 7), "b": torch.ones(3).half()}
        path = Path(save({"model": small}, _use_new_zipfile_serialization=zipped))
        content = path.read_bytes()
        noise = random.Random(4)
        refused = 0
        for _ in range(300):
            changed = bytearray(content)
            for _ in range(noise.randrange(1, 9)):
                changed[noise.randrange(len(changed))] = noise.randrange(256)
            path.write_bytes(changed)
            try:
                assert all(isinstance(t, torch.Tensor) for t in read_state_dict(path).values())
            except DamagedCheckpointError:
                refused += 1
        assert 0 < refused < 300

    @pytest.mark.parametrize(
        ("content", "got"),
        [
            pytest.param(torch.zeros(3), "got a Tensor", id="tensor"),
            pytest.param({}, "got an empty dictionary", id="empty"),
            pytest.param({"model": {}}, "got an empty dictionary", id="empty model"),
            pytest.param({"model": {"epoch": 3}}, "got a int under 'epoch'", id="no tensor"),
            pytest.param({"model": {3: torch.ones(1)}}, "got a Tensor under '3'", id="no name"),
            pytest.param([torch.zeros(3)], "got a list", id="list"),
        ],
    )
    def test_content_without_named_tensors_is_refused(
        self, content: object, got: str, save: Callable[..., str]
    ) -> None:
        with pytest.raises(DamagedCheckpointError, match=f"holds no tensors by name.*{got}"):
            load_own(save(content))

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_weights_that_are_no_numbers_are_refused(
        self, value: float, nano_tensors: Tensors, save: Callable[..., str]
    ) -> None:
        spoilt = nano_tensors | {"no_obj_ptr": torch.full((1, 128), value)}
        with pytest.raises(DamagedCheckpointError, match="1 tensors, first in no_obj_ptr"):
            load_own(save(spoilt))


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

        def counting_build(row: Checkpoint) -> Any:
            built.append(row)
            return build_network(row)

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


PREPARATIONS = {
    "hydra unused": "hydra = None",
    "hydra in use": """
import pathlib, tempfile
from hydra import compose, initialize_config_dir
folder = tempfile.mkdtemp()
pathlib.Path(folder, 'theirs.yaml').write_text('answer: 42')
initialize_config_dir(folder, version_base='1.3', job_name='theirs')
hydra = GlobalHydra.instance().hydra
assert hydra is not None
""",
}


@pytest.mark.parametrize("preparation", PREPARATIONS.values(), ids=PREPARATIONS)
def test_process_is_left_as_it_was(preparation: str) -> None:
    """In a fresh process, as ``import sam2`` does its work only once."""
    code = f"""
import logging, random, sys, warnings
import numpy, torch
from hydra.core.global_hydra import GlobalHydra
from hydra.core.singleton import Singleton
from omegaconf.basecontainer import BaseContainer
import infer_segment_anything_2.sam2_engine.network.loading as model_loading
{preparation}
def state():
    root = logging.getLogger()
    return (
        GlobalHydra.instance().hydra,
        dict(Singleton._instances),
        dict(BaseContainer._resolvers),
        list(warnings.filters), warnings.showwarning,
        root.level, list(root.handlers), logging.root.manager.disable,
        torch.get_rng_state().tolist(), random.getstate(), str(numpy.random.get_state()),
        torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled(),
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32,
        torch.get_float32_matmul_precision(), torch.is_autocast_enabled('cpu'),
    )
before = state()
assert 'sam2' not in sys.modules
model = model_loading.load_model('sam2_demo_nano', device=torch.device('cpu'))
assert 'sam2' in sys.modules
for number, (was, now) in enumerate(zip(before, state(), strict=True)):
    assert was == now, (number, was, now)
assert GlobalHydra.instance().hydra is hydra
if hydra is not None:
    assert compose('theirs').answer == 42
print('unchanged')
"""
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert run.stdout == "unchanged\n", run.stderr


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
class TestOnGpu:
    def test_network_lies_there(self) -> None:
        model = load_model("sam2_demo_nano", device=torch.device("cuda"))
        assert model.device == torch.device("cuda", torch.cuda.current_device())
        assert {numbers.device for numbers in model.network.parameters()} == {model.device}
        assert load_model("sam2_demo_nano", device=model.device) is model
