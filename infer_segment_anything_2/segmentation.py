"""One picture through the engine as parameters say: what Ikomia's task and the shell share."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from infer_segment_anything_2 import __version__
from infer_segment_anything_2.errors import ImageError, PromptError
from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.prompts import (
    DrawnBox,
    DrawnPoint,
    ObjectPrompt,
    Polygon,
    PromptMask,
    fit_to_image,
    objects_from_drawing,
    objects_from_text,
    parse_point_grids,
    parse_regions,
)
from infer_segment_anything_2.sam2_engine.engine import Engine
from infer_segment_anything_2.sam2_engine.everything.filter_counts import FilterCounts
from infer_segment_anything_2.sam2_engine.hardware.devices import choose_device, choose_precision
from infer_segment_anything_2.sam2_engine.image.rgb import to_rgb8
from infer_segment_anything_2.sam2_engine.masks.cleaning import clean
from infer_segment_anything_2.sam2_engine.masks.mask_set import MaskSet, Rle
from infer_segment_anything_2.sam2_engine.masks.rle import decompress
from infer_segment_anything_2.sam2_engine.network.loading import LoadedModel, load_model
from infer_segment_anything_2.sam2_engine.prompted.mask_prompts import mask_from_picture
from infer_segment_anything_2.sam2_engine.prompted.refinement import Answered, starts_for
from infer_segment_anything_2.sam2_engine.settings import (
    CleaningSettings,
    ComponentRule,
    DuplicateRule,
    GridSettings,
    OverlapRule,
    PredictionSettings,
    TileSettings,
)
from infer_segment_anything_2.sam2_reading.object_entries import MaskSource, objects_from_entries
from infer_segment_anything_2.sam2_reading.picture_files import read_picture
from infer_segment_anything_2.sam2_results.records import categories_of, records

__all__ = ["Segmentation", "Segmenter"]

OnProgress = Callable[[str, int, int], None]
"""Called with the stage ("download", "encode", "objects", "points") and the numbers of its steps
done and in all; may raise ``CancelledError``."""

_RANKS = 3
_SMALLEST_TILE_PX = 64


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What came out for one picture.

    Attributes:
        image_rgb_hwc: The picture as 8-bit RGB.
        ranked: Three sets, best first; those of ranks that were not asked for are empty.
        objects: What was prompted, None in automatic mode.
        filter_counts: What each filter left, None when prompted.
        notes: One sentence for each prompt that had to be put right.
        settings: What the result depends on: parameters, weights, device, precision.
    """

    image_rgb_hwc: npt.NDArray[np.uint8]
    ranked: tuple[MaskSet, MaskSet, MaskSet]
    objects: tuple[ObjectPrompt, ...] | None
    filter_counts: FilterCounts | None
    notes: tuple[str, ...]
    settings: dict[str, Any]

    @property
    def summary(self) -> str:
        """One line that says what was found and what was dropped."""
        if self.filter_counts is not None:
            return str(self.filter_counts)
        n_asked, n_left = len(self.objects or ()), len(self.ranked[0])
        if not n_asked:
            return "Nothing was prompted: the task in front found nothing in this picture"
        if n_left == n_asked:
            return f"{n_left} prompted objects"
        return (
            f"{n_asked} prompted objects, {n_left} shown: the others' masks lie outside of "
            "min_mask_area and max_mask_area, or overlap hides them"
        )

    def categories(self, masks: MaskSet) -> list[str]:
        """The class name of each mask."""
        return categories_of(masks, self.objects)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the pictures, in JSON types: one record per mask, and the summary."""
        return {
            "masks": [
                {**record, "rank": rank}
                for rank, masks in enumerate(self.ranked, start=1)
                for record in records(masks, self.objects)
            ],
            "image": {
                "height": self.image_rgb_hwc.shape[0],
                "width": self.image_rgb_hwc.shape[1],
            },
            "summary": self.summary,
            "filter_counts": None if self.filter_counts is None else _explained(self.filter_counts),
            "notes": list(self.notes),
            "settings": self.settings,
        }


class Segmenter:
    """Keeps the engine from run to run; a new one is made only when the model changes.

    With ``refine``, also keeps what was answered last, for a further point to go on from.
    """

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._answered: Answered | None = None

    def load(self, parameters: Parameters, on_progress: OnProgress | None = None) -> Engine:
        """Makes sure that the engine is that of the parameters.

        Raises:
            CheckpointError: The weights are not there and cannot be fetched, or are unusable.
        """
        device = choose_device(parameters.cuda)
        model = load_model(
            parameters.model_name,
            parameters.model_path,
            device=device,
            precision=choose_precision(parameters.precision, device),
            progress=_stage(on_progress, "download"),
        )
        if self._engine is None or self._engine.model is not model:
            self._engine = Engine(model)
        return self._engine

    def segment(
        self,
        image: object,
        parameters: Parameters,
        drawn_points: Sequence[DrawnPoint] = (),
        drawn_boxes: Sequence[DrawnBox] = (),
        on_progress: OnProgress | None = None,
        *,
        mask: object = None,
        drawn_regions: Sequence[Polygon] = (),
        only_prompted: bool = False,
    ) -> Segmentation:
        """Segments what is prompted, or everything when nothing is.

        Args:
            image: Any picture that :func:`.preprocessing.to_rgb8` takes; never changed.
            parameters: Prompts and settings.
            drawn_points: Points beside those of the parameters.
            drawn_boxes: Boxes beside those of the parameters.
            on_progress: Called between steps of work.
            mask: A black and white picture of any size that shows about where an object is, or
                None. It belongs to the only object that is prompted otherwise, or is one by itself.
            drawn_regions: Where everything is searched for, beside the regions of the parameters;
                not looked at when something is prompted.
            only_prompted: Give nothing, instead of everything, when nothing is prompted.

        Raises:
            SegmentAnythingError: The picture, a prompt, the weights or the device is unusable.
        """
        parameters = parameters.with_preset()
        image_rgb_hwc = to_rgb8(image)
        image_hw = (image_rgb_hwc.shape[0], image_rgb_hwc.shape[1])
        asked = [
            *objects_from_text(
                parameters.input_point, parameters.input_point_label, parameters.input_box
            ),
            *objects_from_entries(parameters.input_objects, _read_mask),
            *objects_from_drawing(drawn_points, drawn_boxes),
        ]
        objects, notes = fit_to_image(_with_mask(asked, mask), image_hw)
        engine = self.load(parameters, on_progress)
        ranked: tuple[MaskSet, ...] = ()
        filter_counts = None
        if objects:
            ranked = self._predict(engine, image_rgb_hwc, objects, parameters, on_progress)
        elif not only_prompted:
            regions = _regions(parameters, drawn_regions, image_hw)
            masks, filter_counts = _generate(
                engine, image_rgb_hwc, parameters, regions, _stage(on_progress, "points")
            )
            ranked = (masks,)
        nothing = MaskSet.empty(image_hw)
        first, second, third = (*ranked, *[nothing] * (_RANKS - len(ranked)))
        return Segmentation(
            image_rgb_hwc=image_rgb_hwc,
            ranked=(first, second, third),
            objects=None if filter_counts is not None else tuple(objects),
            filter_counts=filter_counts,
            notes=tuple(notes),
            settings=_provenance(engine.model, parameters),
        )

    def _predict(
        self,
        engine: Engine,
        image_rgb_hwc: npt.NDArray[np.uint8],
        objects: Sequence[ObjectPrompt],
        parameters: Parameters,
        on_progress: OnProgress | None,
    ) -> tuple[MaskSet, ...]:
        if on_progress is not None:
            on_progress("encode", 0, 1)
        image = engine.embed(image_rgb_hwc, input_size_percent=parameters.input_size_percent)
        picture = f"{engine.model.digest} {image.embedding.digest}"
        starts = starts_for(objects, picture, self._answered if parameters.refine else None)
        goes_on = any(start is not None for start in starts)
        prediction = engine.predict(
            image,
            objects,
            PredictionSettings(
                # One answer per object, once there is one to go on from: Meta's protocol.
                multimask_output=parameters.multimask_output and not goes_on,
                prefer_stable=parameters.apply_postprocessing,
                mask_threshold=parameters.mask_threshold,
                stability_score_offset=parameters.stability_score_offset,
            ),
            start_logits=starts,
            on_progress=_stage(on_progress, "objects"),
        )
        self._answered = None
        if parameters.refine:
            self._answered = Answered(
                picture, tuple(objects), tuple(starts), prediction.low_res_logits_nhw
            )
        clicks = [prompt.clicks_xy_px for prompt in objects]
        cleaning = _cleaning(parameters)
        return tuple(clean(masks, cleaning, clicks).masks for masks in prediction.ranked)


def _generate(
    engine: Engine,
    image_rgb_hwc: npt.NDArray[np.uint8],
    parameters: Parameters,
    regions: tuple[Polygon, ...] | None,
    on_progress: Callable[[int, int], None] | None,
) -> tuple[MaskSet, FilterCounts]:
    """Masks of everything, cleaned, and what each step left."""
    result = engine.generate(
        image_rgb_hwc,
        _grid_settings(parameters, regions),
        input_size_percent=parameters.input_size_percent,
        tiles=_tiles(parameters),
        on_progress=on_progress,
    )
    cleaned = clean(
        result.masks,
        _cleaning(parameters, max(parameters.box_nms_thresh, parameters.crop_nms_thresh)),
    )
    return cleaned.masks, (
        result.filter_counts.reach("after_area", cleaned.after_area)
        .reach("after_cleaning", cleaned.after_duplicates)
        .reach("shown", cleaned.after_overlap)
    )


def _with_mask(asked: list[ObjectPrompt], picture: object) -> list[ObjectPrompt]:
    """Adds the mask input to the only object that is asked for, or as an object of its own."""
    if picture is None:
        return asked
    mask = mask_from_picture(picture)
    if mask is None:
        raise PromptError(
            "The mask input must be bright somewhere on the object, got a picture that is all "
            "black; paint the object white, or disconnect the mask input."
        )
    if len(asked) == 1 and asked[0].mask is None:
        return [replace(asked[0], mask=mask)]
    return [*asked, ObjectPrompt(mask=mask, name="The mask input")]


def _read_mask(source: MaskSource) -> PromptMask:
    """Fetches the mask of an entry of ``input_objects``.

    Raises:
        ImageError: It cannot be read, or no pixel of it is set.
        ValueError: Its run lengths do not fill its size.
    """
    if source.path:
        path = Path(source.path)
        with contextlib.suppress(RuntimeError):  # "~name" of somebody unknown is a plain name
            path = path.expanduser()
        mask = mask_from_picture(read_picture(path))
    else:
        counts = source.counts
        runs = decompress(counts) if isinstance(counts, str) else np.array(counts, np.uint32)
        mask = mask_from_picture(Rle(source.image_hw, runs).decode())
    if mask is None:
        raise ImageError("no pixel of it is set; expected at least one on the object.")
    return mask


def _cleaning(parameters: Parameters, duplicate_thresh: float | None = None) -> CleaningSettings:
    return CleaningSettings(
        min_mask_region_area=parameters.min_mask_region_area,
        keep_components=cast("ComponentRule", parameters.keep_components),
        min_mask_area=parameters.min_mask_area,
        max_mask_area=parameters.max_mask_area,
        duplicates=cast("DuplicateRule", parameters.duplicates),
        duplicate_thresh=duplicate_thresh,
        overlap=cast("OverlapRule", parameters.overlap),
    )


def _explained(counts: FilterCounts) -> dict[str, Any]:
    """How many masks each step left and each parameter took, in JSON types."""
    return {
        **counts._asdict(),
        "lost_to": counts.lost_to(),
        "largest_loss": counts.largest_loss(),
    }


def _regions(
    parameters: Parameters, drawn: Sequence[Polygon], image_hw: tuple[int, int]
) -> tuple[Polygon, ...] | None:
    """The regions of interest, None when there are none.

    Raises:
        PromptError: One lies wholly outside of the picture, or a number is not finite.
    """
    regions = (*parse_regions(parameters.region_of_interest), *drawn)
    height, width = image_hw
    for region in regions:
        xs, ys = zip(*region, strict=True)
        if not all(map(math.isfinite, (*xs, *ys))):
            raise PromptError(
                f"A region of interest must be of finite numbers, got {list(region[:4])}; give the "
                "corners in pixels of the original picture.",
                key="region_of_interest",
            )
        if max(xs) <= 0 or max(ys) <= 0 or min(xs) >= width or min(ys) >= height:
            raise PromptError(
                f"A region of interest from x {min(xs):g} to {max(xs):g} and y {min(ys):g} to "
                f"{max(ys):g} lies outside the picture, which is {width} wide and {height} high; "
                "give it in pixels of the original picture.",
                key="region_of_interest",
            )
    return regions or None


def _tiles(parameters: Parameters) -> TileSettings | None:
    if parameters.tile_size == 0:
        return None
    return TileSettings(max(parameters.tile_size, _SMALLEST_TILE_PX), parameters.tile_overlap)


def _grid_settings(parameters: Parameters, regions: tuple[Polygon, ...] | None) -> GridSettings:
    grids = parse_point_grids(parameters.point_grids, parameters.crop_n_layers + 1)
    return GridSettings(
        point_grids=tuple(np.array(grid, np.float64) for grid in grids) or None,
        region_of_interest=regions,
        points_per_side=parameters.points_per_side,
        points_per_batch=parameters.points_per_batch,
        pred_iou_thresh=parameters.iou_thresh,
        stability_score_thresh=parameters.stability_score_thresh,
        stability_score_offset=parameters.stability_score_offset,
        mask_threshold=parameters.mask_threshold,
        box_nms_thresh=parameters.box_nms_thresh,
        crop_n_layers=parameters.crop_n_layers,
        crop_nms_thresh=parameters.crop_nms_thresh,
        crop_overlap_ratio=parameters.crop_overlap_ratio,
        crop_n_points_downscale_factor=parameters.crop_n_points_downscale_factor,
        use_m2m=parameters.use_m2m,
        multimask_output=parameters.automatic_multimask_output,
        prefer_stable=parameters.apply_postprocessing,
        duplicates=cast("DuplicateRule", parameters.duplicates),
    )


def _provenance(model: LoadedModel, parameters: Parameters) -> dict[str, Any]:
    """What the result depends on besides the picture, to be able to make it again."""
    return {
        "plugin_version": __version__,
        "weights_sha256": model.digest,
        "device": str(model.device),
        "precision": str(model.precision).removeprefix("torch."),
        "parameters": parameters.to_strings(),
    }


def _stage(on_progress: OnProgress | None, stage: str) -> Callable[[int, int], None] | None:
    """The progress callback of one stage."""
    if on_progress is None:
        return None
    return lambda done, total: on_progress(stage, done, total)
