"""The nine sets of weights: what they are, where they lie, and whether they are unharmed.

Importing this module loads neither torch nor sam2: parameters and the form use the names and texts.

A file is looked for in this order:

1. ``model_path``, a user's own file (:func:`find_weights`);
2. the folder named by the environment variable ``SAM2_CHECKPOINT_DIR``;
3. torch hub's checkpoint folder, shared with other programs;
4. Meta's server, or the mirror whose base address stands in ``SAM2_CHECKPOINT_URL``
   (:mod:`.checkpoint_download`). What comes from there is stored in the first folder that is set.

The small demo network travels with the plugin and is found in the plugin's own folder.

Every file under an official name is compared with the official SHA-256 before it is used. That
takes a second or two for the large ones, so the hash is remembered for the life of the process
under the file's path, size and time of change. A file that fails is never replaced behind the
user's back: it may be the only copy of someone's fine-tuned weights under an official name.
"""

from __future__ import annotations

import difflib
import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from infer_segment_anything_2 import PLUGIN_FOLDER
from infer_segment_anything_2.errors import CheckpointError, DamagedCheckpointError, ParameterError

__all__ = [
    "CHECKPOINTS",
    "CHECKPOINT_NAMES",
    "Checkpoint",
    "DownloadProgress",
    "WeightsFile",
    "checkpoint_folders",
    "checkpoint_url",
    "find_weights",
    "get_checkpoint",
    "locate_checkpoint",
    "manual_instructions",
    "sha256_of_file",
    "verify_checkpoint",
]

META_BASE_URL = "https://dl.fbaipublicfiles.com/segment_anything_2"
_HASH_BLOCK_BYTES = 1 << 20

DownloadProgress = Callable[[int, int], None]
"""Called with (bytes there, bytes in all); may raise ``CancelledError`` to stop."""


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
        size_bytes=8_149_757,
        sha256="ea613e6db525170fd5c5682f00fa798b0f31d8c8c08f7f98bb0e03a8fe6a634a",
        parameter_count=4_028_258,
        version="2.1",
        encoder_width=32,
        encoder_blocks=7,
        config="demo_model/sam2_demo_nano.yaml",
        advice=(
            "A demo model trained on drawn scenes, here at once and without network: for trying "
            "out the plugin, not for real work."
        ),
    ),
)

CHECKPOINTS: Mapping[str, Checkpoint] = MappingProxyType({row.name: row for row in _ROWS})
"""All weights by name, in the order in which a user should see them."""

CHECKPOINT_NAMES: tuple[str, ...] = tuple(CHECKPOINTS)


@dataclass(frozen=True)
class WeightsFile:
    """A weights file that is there and can be loaded.

    Attributes:
        path: Where it lies.
        sha256: Hash of its content, which identifies the weights.
        checkpoint: The row whose official file this is, None for other weights.
    """

    path: Path
    sha256: str
    checkpoint: Checkpoint | None


def get_checkpoint(name: str) -> Checkpoint:
    """The row of that name.

    Raises:
        ParameterError: There is none; the message names the nearest and all others.
    """
    row = CHECKPOINTS.get(name)
    if row is None:
        near = difflib.get_close_matches(name, CHECKPOINT_NAMES, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise ParameterError(
            f"Model name '{name}' is unknown: expected one of {', '.join(CHECKPOINT_NAMES)}.{hint}",
            key="model_name",
            value=name,
        )
    return row


def find_weights(
    name: str, model_path: str = "", *, progress: DownloadProgress | None = None
) -> WeightsFile:
    """The weights to use: the user's own file where one is named, else the official one.

    Looks, verifies and downloads in the order of the module's description.

    Args:
        name: Name of a checkpoint; not looked at when ``model_path`` is given.
        model_path: Path of a user's own weights, "" for none. ``~`` is the home folder.
        progress: Told of the download's progress, if there is one; may raise ``CancelledError``.

    Raises:
        ParameterError: The name is unknown, or no file lies at ``model_path``.
        DownloadError: The weights are nowhere and could not be fetched.
        DamagedCheckpointError: A file under the official name has other content.
        CancelledError: ``progress`` asked to stop; what was downloaded is kept.
    """
    if model_path:
        return _users_file(model_path)
    row = get_checkpoint(name)
    path = locate_checkpoint(row)
    if path is None:
        if row.is_bundled:
            raise CheckpointError(
                f"The weights of the bundled model '{row.name}' are missing: expected "
                f"{_bundled_path(row)}, found no such file. Install the plugin again."
            )
        # Only here: the download's packages are not needed by those who have the file.
        from infer_segment_anything_2.sam2_engine.weights.download import fetch_checkpoint

        path = fetch_checkpoint(row, checkpoint_folders()[0], progress=progress)
    return WeightsFile(path, row.sha256, row)


def locate_checkpoint(row: Checkpoint) -> Path | None:
    """Path of the verified official file on this machine, None when it is nowhere.

    Raises:
        DamagedCheckpointError: The first file under the official name has other content.
    """
    if row.is_bundled:
        candidates = [_bundled_path(row)]
    else:
        candidates = [folder / row.file_name for folder in checkpoint_folders()]
    for path in candidates:
        if path.is_file():
            verify_checkpoint(row, path)
            return path
    return None


def checkpoint_folders() -> tuple[Path, ...]:
    """The folders that are searched, best first; the first is where downloads go.

    The second follows the rules of ``torch.hub.get_dir()`` without importing torch.
    """
    cache_folder = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    torch_home = os.environ.get("TORCH_HOME", str(Path(cache_folder) / "torch"))
    hub_folder = _expand_user(torch_home) / "hub" / "checkpoints"
    own_folder = os.environ.get("SAM2_CHECKPOINT_DIR", "").strip()
    if own_folder:
        return _expand_user(own_folder), hub_folder
    return (hub_folder,)


def checkpoint_url(row: Checkpoint) -> str:
    """Address of the official file, on the mirror of ``SAM2_CHECKPOINT_URL`` where that is set."""
    base_url = os.environ.get("SAM2_CHECKPOINT_URL", "").strip() or META_BASE_URL
    return f"{base_url.rstrip('/')}/{row.url_path}"


def manual_instructions(row: Checkpoint, folder: Path) -> str:
    """How to bring the file here by hand, with everything needed to find and check it."""
    return (
        f"To put it there by hand: fetch {checkpoint_url(row)} on a machine with network access "
        f"({row.size_bytes} bytes, SHA-256 {row.sha256}) and copy it, under the name "
        f"{row.file_name}, into the folder {folder}. The environment variable SAM2_CHECKPOINT_DIR "
        "names another folder, SAM2_CHECKPOINT_URL another server."
    )


def verify_checkpoint(row: Checkpoint, path: Path) -> None:
    """Compare a file with the official one: the size where it is certain, and the hash.

    Raises:
        DamagedCheckpointError: It differs, or cannot be read.
    """
    try:
        size_bytes = path.stat().st_size
    except OSError as error:
        raise _unreadable(path, error) from error
    sha256 = ""
    if size_bytes == row.size_bytes or not row.size_is_certain:
        sha256 = sha256_of_file(path)
        if sha256 == row.sha256:
            return
    got = f"{size_bytes} bytes" + (f" with SHA-256 {sha256}" if sha256 else "")
    remedy = (
        "Install the plugin again."
        if row.is_bundled
        else "Delete it to have it downloaded anew. If these are your own weights, give the file "
        "another name and put its path into the parameter model_path."
    )
    raise DamagedCheckpointError(
        f"The file {path} is not the official {row.file_name}: expected {row.size_bytes} bytes "
        f"with SHA-256 {row.sha256}, got {got}. {remedy}"
    )


_sha256_by_file: dict[tuple[str, int, int], str] = {}


def sha256_of_file(path: Path) -> str:
    """Lower-case hexadecimal SHA-256 of a file, remembered until its size or time changes.

    Raises:
        DamagedCheckpointError: It cannot be read.
    """
    try:
        key = _file_key(path)
        known = _sha256_by_file.get(key)
        if known is not None:
            return known
        digest = hashlib.sha256()
        with path.open("rb") as stream:
            while block := stream.read(_HASH_BLOCK_BYTES):
                digest.update(block)
    except OSError as error:
        raise _unreadable(path, error) from error
    # Under the key from before the reading: a file that changed meanwhile has another one by now.
    _sha256_by_file[key] = digest.hexdigest()
    return digest.hexdigest()


def _file_key(path: Path) -> tuple[str, int, int]:
    status = path.stat()
    return str(path.absolute()), status.st_size, status.st_mtime_ns


def _users_file(model_path: str) -> WeightsFile:
    try:
        path = _expand_user(model_path)
        is_file = path.is_file()
    except (OSError, ValueError):  # a name too long, or with a zero byte in it
        is_file = False
    if not is_file:
        raise ParameterError(
            f"No weights file lies at model_path '{model_path[:500]}': expected the path of a .pt, "
            ".pth or .safetensors file, got one that is not there or is a folder. Correct the "
            "path, or leave model_path empty to use the model of model_name.",
            key="model_path",
            value=model_path,
        )
    sha256 = sha256_of_file(path)
    official = next((row for row in _ROWS if row.sha256 == sha256), None)
    return WeightsFile(path, sha256, official)


def _bundled_path(row: Checkpoint) -> Path:
    return PLUGIN_FOLDER / "demo_model" / row.file_name


def _expand_user(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:  # "~name" of somebody unknown: then it is a plain name, as in os.path
        return Path(text)


def _unreadable(path: Path, error: OSError) -> DamagedCheckpointError:
    return DamagedCheckpointError(
        f"The weights file {path} cannot be read: expected a readable file, got {error}. Check "
        "the file's permissions and the disk."
    )
