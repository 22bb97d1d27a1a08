"""Meta's network, built without a trace."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from infer_segment_anything_2.errors import (
    DependencyError,
)
from infer_segment_anything_2.sam2_engine.network import building
from infer_segment_anything_2.sam2_engine.network.architectures import identify_network
from infer_segment_anything_2.sam2_engine.network.building import build_network
from infer_segment_anything_2.sam2_engine.weights.checkpoints import CHECKPOINTS, Checkpoint
from tests.conftest import REPOSITORY
from tests.sam2_engine.network.own_weights import CPU, NANO, assert_holds, load_own


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
