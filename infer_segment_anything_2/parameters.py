"""The parameters: one typed row each, from which everything else is derived.

The host keeps parameters as a map of strings. A field of :class:`Parameters` declares one: its
type, default, range and words. Parsing, writing back, Studio's form, the command line, the
README's table and the tests all read the rows, so a parameter is added in one place.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field, fields, replace
from pathlib import PurePath
from typing import Any, Literal, get_args, get_type_hints

from infer_segment_anything_2.errors import ParameterError, nearest, quoted, shortened
from infer_segment_anything_2.prompts import plain_values
from infer_segment_anything_2.sam2_engine.settings import (
    CleaningSettings,
    ComponentRule,
    DuplicateRule,
    GridSettings,
    MemoryRule,
    OverlapRule,
    Precision,
    PredictionSettings,
    TileSettings,
    TrackingSettings,
    ZoomRule,
)
from infer_segment_anything_2.sam2_engine.weights.checkpoints import CHECKPOINT_NAMES
from infer_segment_anything_2.sam2_reading.parameter_rows import (
    Group,
    Kind,
    ParameterRow,
    Value,
    is_unset,
)

__all__ = [
    "DEMO_MODEL_NAME",
    "MODEL_NAMES",
    "PRESETS",
    "ROWS",
    "Parameters",
    "check_names",
    "stringify",
]

DEMO_MODEL_NAME = "sam2_demo_nano"
MODEL_NAMES = CHECKPOINT_NAMES

Preset = Literal["fast", "balanced", "thorough"]

# What each preset sets, where the parameter was not given.
PRESETS: dict[Preset, dict[str, Value]] = {
    "fast": {"points_per_side": 16},
    "balanced": {},
    "thorough": {
        "points_per_side": 64,
        "crop_n_layers": 1,
        "crop_n_points_downscale_factor": 2,
        "iou_thresh": 0.7,
        "iou_thres": 0.7,
        "stability_score_thresh": 0.92,
        "stability_score_offset": 0.7,
    },
}

VideoMode = Literal["auto", "track", "frames"]
TrackSize = Literal["full", "768", "512", "256"]
NewObjects = Literal["first", "unmatched", "every"]

_MOST_PIXELS = 2_000_000_000
_MOST_FRAMES = 1_000_000_000


def _row(default: Value, *, group: Group, label: str, words: str, **facts: Any) -> Any:
    """A dataclass field that carries its :class:`ParameterRow`, less what its annotation says."""
    facts.update(default=default, group=group, label=label, help=words)
    return field(default=default, metadata={"row": facts})


@dataclass(frozen=True)
class Parameters:
    """The typed values of all parameters; immutable.

    Values of other types are taken as :meth:`from_strings` takes their texts, arrays for example.
    It is remembered which parameters were given, for a default that was given counts beside a
    preset; but two that differ only in that are equal.

    Raises:
        ParameterError: A value of another type has no text, or one that does not parse.
    """

    model_name: str = _row(
        "sam2.1_hiera_small",
        group="model",
        label="Model",
        words=(
            "Which SAM 2 network to use. Larger ones see more and take longer; sam2_demo_nano "
            "comes with the plugin and is a toy for demos and tests without network."
        ),
        choices=CHECKPOINT_NAMES,
    )
    model_path: str = _row(
        "",
        group="model",
        label="Own weights",
        words=(
            "A checkpoint file of your own (.pt or .safetensors), fine-tuned for example. Its "
            "size and version are read from it, and model_name is then not used."
        ),
        example="/data/my_finetuned_sam2.pt",
    )
    cuda: bool = _row(
        True,
        group="model",
        label="Use the GPU",
        words="Run on the GPU when there is a usable one, otherwise on the CPU.",
    )
    precision: Precision = _row(
        "auto",
        group="model",
        label="Precision",
        words=(
            "Number format of the network. auto is float32 on a CPU and the fastest safe half "
            "precision on a GPU; half precision is faster and moves a few mask edges. "
            "bfloat16_encoder is for CPUs with AMX: the image encoder alone computes in it, twice "
            "as fast there."
        ),
    )
    input_size_percent: int = _row(
        100,
        group="model",
        label="Picture size",
        words=(
            "Shrinks the picture before the network sees it; prompts and masks stay in pixels of"
            " the original. Lower values lose detail and save little time, as the network's "
            "input size is fixed."
        ),
        minimum=1,
        maximum=100,
        unit="%",
    )
    apply_postprocessing: bool = _row(
        GridSettings.prefer_stable,
        group="cleanup",
        label="Prefer a stable mask",
        words=(
            "Where one mask per object is asked for and the network's single mask is unstable, "
            "take the best of its three instead, as Meta's code does."
        ),
    )
    input_point: str = _row(
        "",
        group="prompts",
        label="Points",
        words=(
            "Points on the object in pixels, [x, y] or [[x, y], [x, y]]. All are one object; "
            "with boxes, a point belongs to the smallest box around it."
        ),
        example="[[500, 375], [610, 420]]",
    )
    input_point_label: str = _row(
        "",
        group="prompts",
        label="Point labels",
        words="One label per point: 1 on the object, 0 on the background. Empty means all 1.",
        example="[1, 0]",
    )
    input_box: str = _row(
        "",
        group="prompts",
        label="Boxes",
        words=(
            "Boxes around objects in pixels, [x1, y1, x2, y2] or a list of those. Each is an "
            "object."
        ),
        example="[[425, 600, 700, 875]]",
    )
    input_objects: str = _row(
        "",
        group="prompts",
        label="Objects",
        words=(
            "A list of objects, each with any of box, points, labels (1 on the object, 0 on the "
            "background), mask (COCO run lengths, or the path of a black-and-white picture, "
            "which the network refines) and category; in a video also frame and id. They come on "
            "top of points and boxes given otherwise."
        ),
        example='[{"box": [425, 600, 700, 875]}]',
    )
    multimask_output: bool = _row(
        PredictionSettings.multimask_output,
        group="prompts",
        label="Three masks per object",
        words=(
            "Give the network's three proposals for each prompted object (often part, object, "
            "whole), ranked by predicted quality in outputs 1, 2 and 3. Off gives the best one "
            "in output 1."
        ),
    )
    refine: bool = _row(
        False,
        group="prompts",
        label="Refine the last mask",
        words=(
            "A further point on an object of the same picture refines the object's last mask "
            "instead of starting over, and gives one mask per object. Good for clicking step by "
            "step."
        ),
    )
    zoom: ZoomRule = _row(
        PredictionSettings.zoom,
        group="prompts",
        label="Look closer",
        words=(
            "Asks for prompted objects once more in an enlarged window around each, for small "
            "objects and sharper edges. off gives Meta's masks; auto looks closer at boxes and "
            "masks of at most a quarter of the picture's width and height; always at all objects,"
            " points too. Each window takes as long as a picture."
        ),
    )
    preset: Preset = _row(
        "balanced",
        group="everything",
        label="Preset",
        words=(
            "Sets the other parameters of this mode that you do not set yourself: fast takes 16 "
            "points per side (a quarter of the points); balanced keeps the defaults; thorough"
            " takes 64, one crop layer with half as many points, predicted IoU 0.7, stability "
            "0.92 at an offset of 0.7 (8 times as many points, finds more and smaller objects)."
        ),
    )
    points_per_side: int = _row(
        GridSettings.points_per_side,
        group="everything",
        label="Points per side",
        words=(
            "The grid has this many points in each direction, each proposing masks. Higher finds"
            " smaller objects; time grows with its square."
        ),
        minimum=1,
        maximum=512,
        part="Grid",
    )
    adaptive_points: bool = _row(
        GridSettings.adaptive_points,
        group="everything",
        label="Leave out needless points",
        words=(
            "Asks the grid from coarse to fine and leaves out points that would only repeat what "
            "is found, or around which nothing is. Nearly the same masks in less time; the denser "
            "the grid, the more is left out. A changed predicted IoU or stability threshold then "
            "takes a new search."
        ),
        part="Grid",
    )
    point_grids: str = _row(
        "",
        group="everything",
        label="Own points",
        words=(
            "The points to ask at instead of a regular grid: [[x, y], ...] as parts of the "
            "picture's width and height (0 to 1), or a list of such lists, one for the picture "
            "and one per crop layer."
        ),
        example="[[0.5, 0.5], [0.25, 0.75]]",
        part="Grid",
    )
    region_of_interest: str = _row(
        "",
        group="everything",
        label="Region of interest",
        words=(
            "Ask only at points within a polygon [[x, y], [x, y], [x, y], ...] or a box [x1, y1,"
            " x2, y2], in pixels, or a list of such; faster in proportion. A drawn polygon does "
            "the same (a drawn rectangle prompts an object). Masks may reach beyond it."
        ),
        example="[120, 80, 900, 640]",
        part="Grid",
    )
    points_per_batch: int = _row(
        GridSettings.points_per_batch,
        group="everything",
        label="Points per batch",
        words=(
            "At most this many points are worked on at once; on a GPU four times as many, which "
            "take less memory than this many in Meta's code. Lower needs less memory."
        ),
        minimum=1,
        maximum=65536,
        part="Grid",
    )
    automatic_multimask_output: bool = _row(
        GridSettings.multimask_output,
        group="everything",
        label="Three masks per point",
        words=(
            "Each grid point proposes three masks (part, object, whole) instead of one. Off "
            "finds fewer masks and is only slightly faster."
        ),
        part="Grid",
    )
    use_m2m: bool = _row(
        GridSettings.use_m2m,
        group="everything",
        label="Refine masks (m2m)",
        words=(
            "Pass each proposed mask through the decoder a second time. Cleaner edges, three to "
            "five times the time."
        ),
        part="Grid",
    )
    mask_threshold: float = _row(
        GridSettings.mask_threshold,
        group="everything",
        label="Mask threshold",
        words=(
            "Pixels whose logit is above this belong to the mask, in both modes. Higher makes "
            "masks smaller."
        ),
        minimum=-32.0,
        maximum=32.0,
        part="Grid",
    )
    iou_thresh: float = _row(
        GridSettings.pred_iou_thresh,
        group="everything",
        label="Predicted IoU threshold",
        words=(
            "Masks whose quality the network itself rates at or below this are dropped. Higher "
            "keeps fewer masks."
        ),
        minimum=0.0,
        maximum=1.0,
        part="Filters",
    )
    iou_thres: float = _row(
        GridSettings.pred_iou_thresh,
        group="everything",
        label="Predicted IoU threshold (old name)",
        words="The older name of iou_thresh; both always hold the same value.",
        minimum=0.0,
        maximum=1.0,
        alias_of="iou_thresh",
    )
    stability_score_thresh: float = _row(
        GridSettings.stability_score_thresh,
        group="everything",
        label="Stability threshold",
        words=(
            "Masks that change too much when the mask threshold moves by the stability offset "
            "are dropped. Higher keeps fewer, crisper masks."
        ),
        minimum=0.0,
        maximum=1.0,
        part="Filters",
        zero_means="off",
    )
    stability_score_offset: float = _row(
        GridSettings.stability_score_offset,
        group="everything",
        label="Stability offset",
        words="How far the mask threshold is moved to measure stability. Higher keeps fewer masks.",
        minimum=0.0,
        maximum=32.0,
        part="Filters",
    )
    box_nms_thresh: float = _row(
        GridSettings.box_nms_thresh,
        group="everything",
        label="Duplicate threshold",
        words=(
            "Of masks whose boxes overlap by more than this, only the best rated one stays. "
            "Lower keeps fewer masks."
        ),
        minimum=0.0,
        maximum=1.0,
        part="Duplicates",
    )
    crop_n_layers: int = _row(
        GridSettings.crop_n_layers,
        group="everything",
        label="Crop layers",
        words=(
            "Also search enlarged crops of the picture: 4 crops for 1, 20 for 2, 84 for 3. Finds"
            " small objects; time grows with the number of crops."
        ),
        minimum=0,
        maximum=4,
        part="Crops and tiles",
        zero_means="off",
    )
    crop_nms_thresh: float = _row(
        GridSettings.crop_nms_thresh,
        group="everything",
        label="Duplicate threshold between crops",
        words=(
            "As the duplicate threshold, between masks of different crops. Lower keeps fewer masks."
        ),
        minimum=0.0,
        maximum=1.0,
        part="Crops and tiles",
    )
    crop_overlap_ratio: float = _row(
        GridSettings.crop_overlap_ratio,
        group="everything",
        label="Crop overlap",
        words=(
            "How far neighbouring crops overlap, as a fraction of the picture's shorter side. "
            "Higher loses fewer objects at seams."
        ),
        minimum=0.0,
        maximum=0.99,
        part="Crops and tiles",
    )
    crop_n_points_downscale_factor: int = _row(
        GridSettings.crop_n_points_downscale_factor,
        group="everything",
        label="Fewer points in crops",
        words="Points per side are divided by this for each crop layer. Higher is faster.",
        minimum=1,
        maximum=16,
        part="Crops and tiles",
    )
    tile_size: int = _row(
        0,
        group="everything",
        label="Tile size",
        words=(
            "Also search a big picture in overlapping square tiles of this many pixels (at least"
            " 64; 1024 suits the official models), each with the whole grid of points; objects "
            "cut by a seam are put together. Finds small objects that crop layers lose; takes "
            "memory for one tile only, and replaces crop layers. 0 is off."
        ),
        minimum=0,
        maximum=65536,
        part="Crops and tiles",
        unit="px",
        zero_means="off",
    )
    tile_overlap: float = _row(
        TileSettings.overlap,
        group="everything",
        label="Tile overlap",
        words=(
            "What neighbouring tiles share, as a part of their size. Objects smaller than that "
            "are whole in one of the tiles. Higher takes more tiles."
        ),
        minimum=0.05,
        maximum=0.75,
        part="Crops and tiles",
    )
    duplicates: DuplicateRule = _row(
        GridSettings.duplicates,
        group="everything",
        label="What is a duplicate",
        words=(
            "box compares the boxes of two masks, as Meta does: fast, but of two different masks"
            " with the same box one is removed. mask compares their pixels. containment also "
            "drops a mask that lies inside another: no parts of objects. The duplicate "
            "thresholds hold for all three."
        ),
        part="Duplicates",
    )
    sharpen: bool = _row(
        GridSettings.sharpen,
        group="everything",
        label="Sharpen small masks",
        words=(
            "Ask once more for each mask that takes at most a quarter of the width and height of "
            "what the network saw, in an enlarged window around it: sharper edges. A mask that "
            "is not rated at least as well keeps its first shape. Each window takes as long as a "
            "picture."
        ),
        part="Crops and tiles",
    )
    min_mask_region_area: int = _row(
        CleaningSettings.min_mask_region_area,
        group="cleanup",
        label="Smallest hole or island",
        words=(
            "Holes in a mask of fewer pixels than this are filled, and islands of fewer removed,"
            " in pixels of the original picture and in both modes. 0 leaves them."
        ),
        minimum=0,
        maximum=_MOST_PIXELS,
        unit="px",
        zero_means="off",
    )
    keep_components: ComponentRule = _row(
        CleaningSettings.keep_components,
        group="cleanup",
        label="Regions to keep",
        words=(
            "Which of a mask's separate regions to keep: all, the largest, or the clicked ones "
            "(those with a point on the object, or nearest to it; the largest where there is no "
            "point)."
        ),
    )
    min_mask_area: int = _row(
        CleaningSettings.min_mask_area,
        group="cleanup",
        label="Smallest mask",
        words="Masks of fewer pixels than this are dropped, in both modes. 0 is no limit.",
        minimum=0,
        maximum=_MOST_PIXELS,
        unit="px",
        zero_means="no limit",
    )
    max_mask_area: int = _row(
        CleaningSettings.max_mask_area,
        group="cleanup",
        label="Largest mask",
        words="Masks of more pixels than this are dropped, in both modes. 0 is no limit.",
        minimum=0,
        maximum=_MOST_PIXELS,
        unit="px",
        zero_means="no limit",
    )
    overlap: OverlapRule = _row(
        CleaningSettings.overlap,
        group="cleanup",
        label="Where masks overlap",
        words=(
            "Which mask has a pixel that several masks cover: keep leaves it to all of them, "
            "smallest_on_top gives it to the smallest mask, highest_score to the best rated. "
            "Masks that are left without a pixel are dropped."
        ),
    )

    video_mode: VideoMode = _row(
        "auto",
        group="video",
        label="In a video",
        words=(
            "auto follows what is prompted through a video, and treats pictures as pictures. track "
            "does so with pictures that come one by one too (a camera's), and where nothing is "
            "prompted follows everything that is found in the first frame. frames segments each "
            "frame on its own."
        ),
    )
    prompt_frame: int = _row(
        0,
        group="video",
        label="Prompted frame",
        words=(
            "The frame that prompts are for, from 0 at the first frame that is run. Nothing is "
            "looked for before it. Entries of input_objects may name a frame of their own, and the "
            "id of an object: later objects, and corrections."
        ),
        minimum=0,
        maximum=_MOST_FRAMES,
    )
    new_objects: NewObjects = _row(
        "first",
        group="video",
        label="Boxes of a detector",
        words=(
            "What a detector in front does in a video: first prompts with the boxes of the first "
            "frame that has any; unmatched also adds later boxes that fit no tracked object; every "
            "also corrects the tracked objects by the boxes that fit them."
        ),
    )
    match_iou: float = _row(
        0.5,
        group="video",
        label="Boxes fit from",
        words="A detector's box and a tracked object are the same from this IoU of their boxes on.",
        minimum=0.0,
        maximum=1.0,
    )
    redetect_every: int = _row(
        10,
        group="video",
        label="Look at boxes every",
        words="With unmatched and every: a detector's boxes count on every so many-th frame only.",
        minimum=1,
        maximum=_MOST_FRAMES,
    )
    max_objects: int = _row(
        64,
        group="video",
        label="Most objects",
        words="At most so many objects are followed at once; a warning tells what was left out.",
        minimum=1,
        maximum=65535,
    )
    forget_after: int = _row(
        0,
        group="video",
        label="Forget after",
        words=(
            "An object that is absent for so many frames is not looked for any more, which saves "
            "time; its id is not used again. 0 is never."
        ),
        minimum=0,
        maximum=_MOST_FRAMES,
    )
    max_prompted_frames: int = _row(
        TrackingSettings.max_prompted_frames,
        group="video",
        label="Prompted frames kept",
        words=(
            "So many prompted frames of an object are remembered, the first and the nearest. More "
            "take memory and time."
        ),
        minimum=2,
        maximum=1000,
    )
    memory_rule: MemoryRule = _row(
        TrackingSettings.memory_rule,
        group="video",
        label="Remembered frames",
        words=(
            "Which frames are remembered besides the prompted ones: meta takes the last six, as "
            "Meta does; confident the last six in which the object was there and its mask rated "
            "above 0.5, for objects that hide or have doubles."
        ),
    )
    track_size: TrackSize = _row(
        "full",
        group="video",
        label="Picture size for following",
        words=(
            "The side in pixels at which the network sees the frames while it follows objects. "
            "full is the network's own (1024, of sam2_demo_nano 512) and gives Meta's masks. "
            "Smaller is several times faster, and loses small objects and edges."
        ),
    )
    frame_step: int = _row(
        1,
        group="video",
        label="Look at every",
        words=(
            "Objects are looked for on every so many-th frame, and on prompted ones. The frames "
            "between show what was found last. 1 is every frame."
        ),
        minimum=1,
        maximum=_MOST_FRAMES,
    )
    masklet_folder: str = _row(
        "",
        group="video",
        label="Folder for masklets",
        words=(
            "In Ikomia: a folder for the masks of all frames of a followed video, one JSON file of "
            "SA-V's format a video. It is written behind the last frame, at a stop, and when "
            "another video begins. Empty writes none."
        ),
    )

    def __new__(cls, *values: Any, **named: Any) -> Parameters:
        """Takes note of what is given, which may be a default too."""
        parameters = super().__new__(cls)
        given = {row.key for row, _ in zip(ROWS, values, strict=False)} | named.keys()
        object.__setattr__(parameters, "_given", frozenset(given))
        return parameters

    def __post_init__(self) -> None:
        """Reads values of other types than the rows'."""
        for row in ROWS:
            value = self.value_of(row.key)
            if type(value) is not type(row.default):
                text = _checked_text(row.key, value)
                object.__setattr__(self, row.key, row.parse(text))
        if len(self.given) == len(ROWS):  # as ``replace`` gives them, which says nothing
            differing = frozenset(
                key for key, value in _DEFAULTS.items() if self.value_of(key) != value
            )
            object.__setattr__(self, "_given", differing)
            return
        for row in ROWS:
            pair = {row.key, row.alias_of}
            if row.alias_of and len(given := pair & self.given) == 1:
                (other,) = pair - given
                object.__setattr__(self, other, self.value_of(*given))
        object.__setattr__(self, "_given", _with_aliases(self.given))

    @classmethod
    def from_strings(cls, values: Mapping[str, str], base: Parameters | None = None) -> Parameters:
        """Reads the host's map of strings; nothing is kept when anything is wrong.

        Args:
            values: Texts by key; a missing key keeps its value in ``base``, an unknown one is
                left out (the host does the same; see :func:`check_names`).
            base: The values so far, the defaults if None. Where two names of one parameter
                disagree, the one that differs from ``base`` counts.

        Returns:
            The values. Those in the map count as given, and so do those given to ``base``; of a
            map of all keys, which the host hands over whatever was given, those that differ from
            ``base``.

        Raises:
            ParameterError: A text does not parse, is out of range, or two names of one parameter
                were set to different values.
        """
        base = base or cls()
        if dict(values) == base.to_strings():
            return base
        parsed: dict[str, Any] = {
            row.key: row.parse(values[row.key]) for row in ROWS if row.key in values
        }
        named = {key for key in parsed if not is_unset(values[key])}
        if len(parsed) == len(ROWS):
            named = {key for key in named if parsed[key] != base.value_of(key)}
        for row in ROWS:
            if row.alias_of:
                parsed.update(_agreed(row, parsed, base))
        read = replace(base, **parsed)
        taken_back = {key for key in parsed if key in values and is_unset(values[key])}
        object.__setattr__(read, "_given", _with_aliases((base.given - taken_back) | named))
        return read

    @property
    def given(self) -> frozenset[str]:
        """The parameters that were set, be it to their defaults."""
        given: frozenset[str] = self.__dict__["_given"]
        return given

    def with_preset(self) -> Parameters:
        """Returns the values that count: what was given, else the preset's, else the default."""
        unset: dict[str, Any] = {
            key: value for key, value in PRESETS[self.preset].items() if key not in self.given
        }
        used = replace(self, **unset)
        object.__setattr__(used, "_given", self.given | unset.keys())
        return used

    def value_of(self, key: str) -> Value:
        """The value under a key."""
        value: Value = getattr(self, key)
        return value

    def to_strings(self) -> dict[str, str]:
        """Writes all values as the host's map; :meth:`from_strings` gives exactly them back.

        A map cannot say that a default was given. Where one was, and the preset would change it,
        the preset's values are written out instead of its name.
        """
        plain = self
        if any(
            key in self.given and self.value_of(key) == _DEFAULTS[key]
            for key in PRESETS[self.preset]
        ):
            plain = replace(self.with_preset(), preset="balanced")
        return {row.key: row.format(plain.value_of(row.key)) for row in ROWS}


def _rows() -> Iterator[ParameterRow]:
    """The rows of the table; kind and choices are those of the annotations."""
    hints = get_type_hints(Parameters)
    for declared in fields(Parameters):
        facts = dict(declared.metadata["row"])
        facts.setdefault("choices", get_args(hints[declared.name]))
        kind = "choice" if facts["choices"] else _KINDS[hints[declared.name]]
        yield ParameterRow(key=declared.name, kind=kind, **facts)


_KINDS: dict[type, Kind] = {bool: "bool", int: "int", float: "float", str: "text"}

ROWS: tuple[ParameterRow, ...] = tuple(_rows())
_DEFAULTS = {row.key: row.default for row in ROWS}


def _with_aliases(keys: Set[str]) -> frozenset[str]:
    """The keys, and the other names of theirs."""
    names = {row.key: row.alias_of for row in ROWS if row.alias_of}
    both = [pair for pair in names.items() if not keys.isdisjoint(pair)]
    return frozenset(keys).union(*both)


def _agreed(alias: ParameterRow, parsed: dict[str, Value], base: Parameters) -> dict[str, Value]:
    """The common value of a parameter and its other name, under both keys."""
    keys = (alias.alias_of, alias.key)
    changed = {
        key: parsed[key]
        for key in keys
        if parsed.get(key, base.value_of(key)) != base.value_of(key)
    }
    if len(set(changed.values())) > 1:
        texts = " and ".join(f"{key}={value!r}" for key, value in changed.items())
        raise ParameterError(
            f"Parameters {keys[0]} and {keys[1]} are two names of one value, but were set to "
            f"different ones, {texts}; set only {keys[0]}.",
            key=keys[0],
        )
    value = next(iter(changed.values()), base.value_of(keys[0]))
    return dict.fromkeys(keys, value)


def check_names(keys: Iterable[str]) -> None:
    """Refuses names that are no parameter's.

    Raises:
        ParameterError: Names the unknown key and the nearest known one.
    """
    known = [row.key for row in ROWS]
    for key in keys:
        if key not in known:
            similar = nearest(str(key), known)
            advice = f"did you mean '{similar}'?" if similar else f"known are {', '.join(known)}."
            raise ParameterError(
                f"There is no parameter {quoted(str(key))}; {advice}", key=str(key)
            )


def stringify(values: Mapping[str, object]) -> dict[str, str]:
    """Turns values of any usual type into the host's strings.

    Numbers, booleans, None, paths, dicts, lists, tuples, ranges and whatever turns itself into a
    list (numpy, torch and JAX arrays on any device, columns of pandas and polars) are all taken.

    Raises:
        ParameterError: A value cannot be written as text: it holds itself, has no order (a set),
            is used up by reading (a generator), or is a number of thousands of digits, or text
            that is not Unicode.
    """
    return {str(key): _checked_text(str(key), value) for key, value in values.items()}


def _checked_text(key: str, value: object) -> str:
    try:
        text = _text_of(value)
        text.encode()
    except (ValueError, RecursionError, TypeError) as error:
        reason = str(error) if isinstance(error, TypeError) else type(error).__name__
        raise ParameterError(
            f"Parameter {quoted(key)} must be a number, True or False, text, or a list of "
            f"numbers, got a value of type {type(value).__name__} that cannot be written as text "
            f"({shortened(reason)}); give it as text.",
            key=key,
        ) from None
    return text


def _text_of(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str | PurePath):
        return str(value)
    plain = plain_values(value)
    return json.dumps(plain, default=str) if isinstance(plain, list | dict) else str(plain)
