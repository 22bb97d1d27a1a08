"""The nine sets of weights: what they are, where they lie, and whether they are unharmed.

Importing this module loads neither torch nor sam2: parameters and the form use the names and texts.

A file is looked for in this order:

1. ``model_path``, a user's own file (:func:`find_weights`);
2. the folder named by the environment variable ``SAM2_CHECKPOINT_DIR``;
3. torch hub's checkpoint folder, shared with other programs;
4. Meta's server, or the mirror whose base address stands in ``SAM2_CHECKPOINT_URL``
   (:mod:`.download`). What comes from there is stored in the first folder that is set.

The small demo network travels with the plugin and is found in the plugin's own folder.

Every file under an official name is compared with the official SHA-256 before it is used. That
takes a second or two for the large ones, so the hash is remembered for the life of the process
under the file's path, size and time of change. A file that fails is never replaced behind the
user's back: it may be the only copy of someone's fine-tuned weights under an official name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from infer_segment_anything_2.errors import ParameterError, nearest

__all__ = ["CHECKPOINTS", "CHECKPOINT_NAMES", "Checkpoint", "get_checkpoint"]


@dataclass(frozen=True)
class Checkpoint:
    """One set of weights.

    Attributes:
        name: What users choose it by.
        file_name: Name of the weights file.
        url_path: What follows the base address, "" for weights that travel with the plugin.
        size_bytes: Size of the file.
        size_is_certain: False where the size has one source only; then the hash alone decides.
        sha256: Lower-case hexadecimal hash of the whole file.
        licence: SPDX name of the weights' licence.
        parameter_count: Numbers in the network, image and video parts together.
        version: "2.0" or "2.1": they differ in two tensors of the video part and in training.
        encoder_width: Channels of the image encoder's first stage; with ``encoder_blocks`` and
            ``version`` it tells the networks apart.
        encoder_blocks: Transformer blocks of the image encoder.
        config: The network's description: a path inside the sam2 package, or inside this plugin
            for weights that travel with it.
        advice: One sentence on what to choose it for.
    """

    name: str
    file_name: str
    url_path: str
    size_bytes: int
    sha256: str
    parameter_count: int
    version: str
    encoder_width: int
    encoder_blocks: int
    config: str
    advice: str
    licence: str = "Apache-2.0"
    size_is_certain: bool = True

    @property
    def is_bundled(self) -> bool:
        """Whether the weights travel with the plugin."""
        return not self.url_path


# Sizes and hashes were compared over at least two unrelated public sources each, save for the size
# of 2.1 tiny. Parameter counts are those of the networks that Meta's configs build.
_ROWS = (
    Checkpoint(
        name="sam2.1_hiera_tiny",
        file_name="sam2.1_hiera_tiny.pt",
        url_path="092824/sam2.1_hiera_tiny.pt",
        size_bytes=156_008_466,
        size_is_certain=False,
        sha256="7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69",
        parameter_count=38_962_498,
        version="2.1",
        encoder_width=96,
        encoder_blocks=12,
        config="configs/sam2.1/sam2.1_hiera_t.yaml",
        advice="The fastest of the full models and the one to start with, above all without a GPU.",
    ),
    Checkpoint(
        name="sam2.1_hiera_small",
        file_name="sam2.1_hiera_small.pt",
        url_path="092824/sam2.1_hiera_small.pt",
        size_bytes=184_416_285,
        sha256="6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38",
        parameter_count=46_060_354,
        version="2.1",
        encoder_width=96,
        encoder_blocks=16,
        config="configs/sam2.1/sam2.1_hiera_s.yaml",
        advice="A little slower than tiny and a little better, still usable without a GPU.",
    ),
    Checkpoint(
        name="sam2.1_hiera_base_plus",
        file_name="sam2.1_hiera_base_plus.pt",
        url_path="092824/sam2.1_hiera_base_plus.pt",
        size_bytes=323_606_802,
        sha256="a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5",
        parameter_count=80_850_178,
        version="2.1",
        encoder_width=112,
        encoder_blocks=24,
        config="configs/sam2.1/sam2.1_hiera_b+.yaml",
        advice="The middle way between speed and quality on a GPU.",
    ),
    Checkpoint(
        name="sam2.1_hiera_large",
        file_name="sam2.1_hiera_large.pt",
        url_path="092824/sam2.1_hiera_large.pt",
        size_bytes=898_083_611,
        sha256="2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318",
        parameter_count=224_446_642,
        version="2.1",
        encoder_width=144,
        encoder_blocks=48,
        config="configs/sam2.1/sam2.1_hiera_l.yaml",
        advice="The best masks and the longest wait: for a GPU, or for few pictures that matter.",
    ),
    Checkpoint(
        name="sam2_hiera_tiny",
        file_name="sam2_hiera_tiny.pt",
        url_path="072824/sam2_hiera_tiny.pt",
        size_bytes=155_906_050,
        sha256="65b50056e05bcb13694174f51bb6da89c894b57b75ccdf0ba6352c597c5d1125",
        parameter_count=38_945_986,
        version="2.0",
        encoder_width=96,
        encoder_blocks=12,
        config="configs/sam2/sam2_hiera_t.yaml",
        advice="First release of tiny, only for repeating older results: prefer 2.1.",
    ),
    Checkpoint(
        name="sam2_hiera_small",
        file_name="sam2_hiera_small.pt",
        url_path="072824/sam2_hiera_small.pt",
        size_bytes=184_309_650,
        sha256="95949964d4e548409021d47b22712d5f1abf2564cc0c3c765ba599a24ac7dce3",
        parameter_count=46_043_842,
        version="2.0",
        encoder_width=96,
        encoder_blocks=16,
        config="configs/sam2/sam2_hiera_s.yaml",
        advice="First release of small, only for repeating older results: prefer 2.1.",
    ),
    Checkpoint(
        name="sam2_hiera_base_plus",
        file_name="sam2_hiera_base_plus.pt",
        url_path="072824/sam2_hiera_base_plus.pt",
        size_bytes=323_493_298,
        sha256="d0bb7f236400a49669ffdd1be617959a8b1d1065081789d7bbff88eded3a8071",
        parameter_count=80_833_666,
        version="2.0",
        encoder_width=112,
        encoder_blocks=24,
        config="configs/sam2/sam2_hiera_b+.yaml",
        advice="First release of base+, only for repeating older results: prefer 2.1.",
    ),
    Checkpoint(
        name="sam2_hiera_large",
        file_name="sam2_hiera_large.pt",
        url_path="072824/sam2_hiera_large.pt",
        size_bytes=897_952_466,
        sha256="7442e4e9b732a508f80e141e7c2913437a3610ee0c77381a66658c3a445df87b",
        parameter_count=224_430_130,
        version="2.0",
        encoder_width=144,
        encoder_blocks=48,
        config="configs/sam2/sam2_hiera_l.yaml",
        advice="First release of large, only for repeating older results: prefer 2.1.",
    ),
    Checkpoint(
        name="sam2_demo_nano",
        file_name="sam2_demo_nano.pt",
        url_path="",
        size_bytes=8_173_214,
        sha256="462f6d12c0470b1b56490c773b0a9790767b621f034d8395c9ac2b354ac70101",
        parameter_count=4_028_258,
        version="2.1",
        encoder_width=32,
        encoder_blocks=7,
        config="demo_model/sam2_demo_nano.yaml",
        advice=(
            "A small demo model, here at once and without network: for trying out the plugin, "
            "not for real work."
        ),
    ),
)

CHECKPOINTS: Mapping[str, Checkpoint] = MappingProxyType({row.name: row for row in _ROWS})
"""All weights by name, in the order in which a user should see them."""

CHECKPOINT_NAMES: tuple[str, ...] = tuple(CHECKPOINTS)


def get_checkpoint(name: str) -> Checkpoint:
    """The row of that name.

    Raises:
        ParameterError: There is none; the message names the nearest and all others.
    """
    row = CHECKPOINTS.get(name)
    if row is None:
        similar = nearest(name, CHECKPOINT_NAMES)
        hint = f" Did you mean '{similar}'?" if similar else ""
        raise ParameterError(
            f"Model name '{name}' is unknown: expected one of {', '.join(CHECKPOINT_NAMES)}.{hint}",
            key="model_name",
            value=name,
        )
    return row
