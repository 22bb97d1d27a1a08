"""The Ikomia task: inputs to prompts, through the engine, to outputs.

torch and sam2 are imported by the first run, so that adding the task takes no time.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from ikomia import core, dataprocess

from infer_segment_anything_2 import __version__
from infer_segment_anything_2.errors import CancelledError
from infer_segment_anything_2.parameters import Parameters, check_names, stringify
from infer_segment_anything_2.request import TEXT_KEYS, raise_first, text_errors
from infer_segment_anything_2.sam2_host.followed_video import FollowedVideo
from infer_segment_anything_2.sam2_host.graphics import (
    drawn_prompts,
    drawn_regions,
    is_fed,
    mask_prompt,
)
from infer_segment_anything_2.sam2_host.outputs import (
    MOST_HOST_BYTES,
    InstanceMasksIO,
    LabelPictureIO,
    PictureIO,
    RecordsIO,
    numbered,
    overlay_rgba,
    painted,
    restored,
    show_labels,
)
from infer_segment_anything_2.sam2_host.progress import RunProgress
from infer_segment_anything_2.sam2_host.same_picture import SamePictures
from infer_segment_anything_2.sam2_host.video_input import frame_number, is_video
from infer_segment_anything_2.sam2_host.warnings_shown import Warnings, show_warnings
from infer_segment_anything_2.sam2_reading.tiff_files import misread_by_ikomia
from infer_segment_anything_2.sam2_results.painting import (
    colours_of,
    paint_labels,
    paint_overlay,
)
from infer_segment_anything_2.segmentation import Segmentation, Segmenter

__all__ = [
    "InferSegmentAnything2",
    "InferSegmentAnything2Factory",
    "InferSegmentAnything2Param",
    "InferSegmentAnything2ParamFactory",
]

NAME = "infer_segment_anything_2"
MASK_INPUT = 2
RANKS = (1, 2, 3)
LABEL_OUTPUT = 4
RECORDS_OUTPUT = 5

logger = logging.getLogger(f"ikomia.{NAME}")


class InferSegmentAnything2Param(core.CWorkflowTaskParam):
    """The parameters in the host's clothes.

    Attributes:
        values: The typed values; see :class:`Parameters`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.values = Parameters()

    def set_values(self, params: Mapping[str, object]) -> None:
        """Reads the host's strings, or other values; keeps the old ones when anything is wrong.

        Raises:
            ParameterError: A value does not parse or is out of range.
            PromptError: A prompt that is new does not parse.
        """
        values = Parameters.from_strings(stringify(params), base=self.values)
        # One by one: the host hands over what it has, which need not fit together yet.
        new = [key for key in TEXT_KEYS if values.value_of(key) != self.values.value_of(key)]
        for key in new:
            raise_first(text_errors(values, [key]))
        self.values = values

    def get_values(self) -> dict[str, str]:
        """Writes the host's map of strings."""
        return self.values.to_strings()


class InferSegmentAnything2(dataprocess.CInstanceSegmentationTask):
    """Segments everything, or what is prompted.

    Inputs: 0 the picture, 1 points, rectangles and polygons (the region of interest of the
    everything mode) as graphics, 2 a black and white picture of any
    size that shows about where an object is (optional; a type that no picture source fills).
    Outputs: 0 the picture, 1 to 3 instance masks by rank, 4 the label picture, 5 the records.
    """

    def __init__(self, name: str, param: InferSegmentAnything2Param | None) -> None:
        super().__init__(name)
        self.add_input(dataprocess.CImageIO(core.IODataType.IMAGE_BINARY, "Mask prompt"))
        self.set_output(PictureIO(), 0)
        self.set_output(InstanceMasksIO(rank=1), 1)
        for rank in RANKS[1:]:
            self.add_output(InstanceMasksIO(rank))
        self.add_output(LabelPictureIO())
        self.add_output(RecordsIO())
        self.is_stopping = False
        self._segmenter = Segmenter()
        self._video = FollowedVideo(self._segmenter)
        self._warnings = Warnings()
        self._same_pictures = SamePictures()
        show_warnings()
        self.set_param_object(
            InferSegmentAnything2Param() if param is None else copy.deepcopy(param)
        )

    def set_parameters(self, params: Mapping[str, object]) -> None:
        """Sets parameters; values of any usual type are taken.

        Raises:
            ParameterError: A name is unknown, a value does not parse or is out of range. Nothing
                is changed then.
            PromptError: A prompt makes no sense on any picture, in itself or with the others that
                are given with it. Nothing is changed then.
        """
        check_names(params)
        texts = stringify(params)
        # Read here first: an error from below the host's call would lose its type.
        param = self.get_param_object()
        values = Parameters.from_strings(texts, base=param.values)
        raise_first(text_errors(values, texts))
        param.values = values  # it knows what was given; the host only hands over all texts
        super().set_parameters(values.to_strings())
        self._warnings.forget()

    def get_progress_steps(self) -> int:
        """Steps known before the run; the run adds its own when it knows them."""
        return 1

    def stop(self) -> None:
        """Ends the run between two steps of work."""
        self.is_stopping = True
        for note in self._video.write():
            self._warn(note)
        super().stop()

    def init_long_process(self) -> None:
        """Loads the model, so that the first run need not.

        The host calls this inside the first run's beginning, where an error loses its type: a stop
        is left to the run, which notices it too.
        """
        progress = RunProgress(self)
        try:
            self._segmenter.load(self.get_param_object().values, progress)
        except CancelledError:
            return
        progress.finish()
        super().init_long_process()

    def update_static_outputs(self) -> None:
        """Keeps the outputs our own, where the host changes them between pictures and videos."""
        super().update_static_outputs()
        auto_save = self.get_output(RECORDS_OUTPUT).auto_save  # an output that the host leaves be
        for index, own_class in ((0, PictureIO), (LABEL_OUTPUT, LabelPictureIO)):
            output = restored(self.get_output(index), own_class, auto_save=auto_save)
            self.set_output(output, index)

    def run(self) -> None:
        """Segments the picture at input 0.

        Raises:
            SegmentAnythingError: The picture, a prompt, the weights or the device is unusable.
        """
        self.is_stopping = False
        self.begin_task_run()
        for output in self.get_outputs():
            output.clear_data()
        try:
            self._segment()
        except CancelledError:
            # To raise would make the host's next run fail; to return is how it wants to be stopped.
            logger.info("Stopped on request; there is no result.")
            self.end_task_run()

    def get_image_with_mask(self) -> npt.NDArray[np.uint8]:
        """The picture with the best masks painted over it."""
        return painted(self.get_output(0).get_image(), self.get_output(1))

    def get_image_with_mask_and_graphics(self) -> npt.NDArray[np.uint8]:
        """The picture with the best masks, their boxes and names."""
        canvas = dataprocess.CImageIO(core.IODataType.IMAGE)
        canvas.set_image(self.get_image_with_mask())
        image_rgb_hwc: npt.NDArray[np.uint8] = canvas.get_image_with_graphics(self.get_output(1))
        return image_rgb_hwc

    def _warn(self, text: str) -> None:
        self._warnings.say(text, in_video=frame_number(self.get_input(0)) is not None)

    def _segment(self) -> None:
        if frame_number(self.get_input(0)) == 0:
            self._warnings.forget()
        values = self.get_param_object().values
        if values.video_mode == "track" or (
            values.video_mode == "auto" and is_video(self.get_input(0)) and self._is_prompted()
        ):
            self._follow(values)
        else:
            for note in self._video.end():
                self._warn(note)
            self._segment_picture(values)

    def _is_prompted(self) -> bool:
        """Whether anything is, by text, by drawing or by the mask input.

        A detector in front prompts every frame anew, as it always did, unless tracking is asked
        for: what it finds later must not be lost.
        """
        values, graphics = self.get_param_object().values, self.get_input(1)
        if is_fed(graphics):
            return False
        texts = (values.input_point, values.input_box, values.input_objects)
        return (
            any(texts)
            or any(drawn_prompts(graphics))
            or mask_prompt(self.get_input(MASK_INPUT)) is not None
        )

    def _follow(self, values: Parameters) -> None:
        """Follows objects into this frame of a video."""
        progress = RunProgress(self)
        inputs = (self.get_input(0), self.get_input(1), self.get_input(MASK_INPUT))
        segmentation = self._video.follow(*inputs, values, progress)
        progress.finish()
        for note in segmentation.notes:
            self._warn(note)
        self._show(segmentation)

    def _segment_picture(self, values: Parameters) -> None:
        if note := self._same_pictures.note(
            self.get_input(0), in_folder=self.get_output(RECORDS_OUTPUT).auto_save
        ):
            self._warn(note)
        points, boxes = drawn_prompts(self.get_input(1))
        progress = RunProgress(self)
        segmentation = self._segmenter.segment(
            self.get_input(0).get_image(),
            values,
            points,
            boxes,
            progress,
            mask=mask_prompt(self.get_input(MASK_INPUT)),
            drawn_regions=drawn_regions(self.get_input(1)),
            only_prompted=is_fed(self.get_input(1)),
        )
        progress.finish()
        source = self.get_input(0).source_file_path
        if source and misread_by_ikomia(Path(source)):
            self._warn(
                f"Ikomia does not read the bands of {source} rightly; write them pixel by pixel "
                "and tagged as colours (gdal_translate -co INTERLEAVE=PIXEL -co PHOTOMETRIC=RGB), "
                "or use run_on(array=...)."
            )
        for note in segmentation.notes:
            self._warn(note)
        logger.info("%s", segmentation.summary)
        self._show(segmentation)

    def _show(self, segmentation: Segmentation) -> None:
        self.emit_step_progress()
        # While the outputs are empty: of masks, the end of the run paints an overlay of its own,
        # which takes longer than a click's answer and would be replaced here anyway.
        self.end_task_run()
        best = segmentation.ranked[0]
        share_bytes = MOST_HOST_BYTES // max(
            1, sum(len(masks) > 0 for masks in segmentation.ranked)
        )
        for rank, masks in zip(RANKS, segmentation.ranked, strict=True):
            colours_rgb = colours_of(masks, segmentation.objects)
            left_out = self.get_output(rank).show(
                self.name, masks, segmentation.categories(masks), colours_rgb, share_bytes
            )
            if left_out:
                self._warn(
                    f"Output {rank} holds the first {len(masks) - left_out} of {len(masks)} masks: "
                    "the host keeps each at the picture's size, and more would take over "
                    f"{share_bytes // 2**20} MB. All are in outputs {LABEL_OUTPUT} and "
                    f"{RECORDS_OUTPUT}."
                )
        colours_rgb = colours_of(best, segmentation.objects)
        labels_hw = paint_labels(best)
        labels = numbered(labels_hw, segmentation)
        show_labels(self.get_output(LABEL_OUTPUT), best, colours_rgb, labels)
        self.get_output(RECORDS_OUTPUT).show(segmentation.to_dict())
        shown = segmentation.image_rgb_hwc
        if is_video(self.get_input(0)) and self.get_output(0).auto_save:
            # What the host saves as a video is the picture alone: this is how it shows the masks.
            shown = paint_overlay(shown, best, colours_rgb=colours_rgb)
        self.get_output(0).set_image(shown)
        self.get_output(0).set_overlay_mask(overlay_rgba(best, colours_rgb, labels_hw))


class InferSegmentAnything2Factory(dataprocess.CTaskFactory):
    """Makes tasks, and tells what they are."""

    def __init__(self) -> None:
        super().__init__()
        info = self.info
        info.name = NAME
        info.short_description = (
            "Segment everything in a picture, or what points and boxes prompt, with Meta's SAM 2."
        )
        info.path = "Plugins/Python/Instance Segmentation"
        info.version = __version__
        info.icon_path = "icons/icon.png"
        info.authors = (
            "Ravi, Nikhila and Gabeur, Valentin and Hu, Yuan-Ting and Hu, Ronghang and Ryali, "
            "Chaitanya and Ma, Tengyu and Khedr, Haitham and Raedle, Roman and Rolland, Chloe and "
            "Gustafson, Laura and Mintun, Eric and Pan, Junting and Alwala, Kalyan Vasudev and "
            "Carion, Nicolas and Wu, Chao-Yuan and Girshick, Ross and Dollar, Piotr and "
            "Feichtenhofer, Christoph"
        )
        info.article = "SAM 2: Segment Anything in Images and Videos"
        info.article_url = "https://arxiv.org/abs/2408.00714"
        info.journal = "arXiv:2408.00714"
        info.year = 2024
        info.license = "Apache-2.0"
        info.min_ikomia_version = "0.16.0"
        info.min_python_version = "3.10.0"
        info.documentation_link = (
            "https://github.com/Ikomia-hub/infer_segment_anything_2/blob/main/README.md"
        )
        info.repository = "https://github.com/Ikomia-hub/infer_segment_anything_2"
        info.original_repository = "https://github.com/facebookresearch/sam2"
        info.keywords = "SAM2,segment anything,instance segmentation,interactive,prompt,zero-shot"
        info.algo_type = core.AlgoType.INFER
        info.algo_tasks = "INSTANCE_SEGMENTATION"
        info.hardware_config.min_cpu = 2
        info.hardware_config.min_ram = 8
        info.hardware_config.gpu_required = False
        info.hardware_config.min_vram = 4

    def create(self, param: InferSegmentAnything2Param | None = None) -> InferSegmentAnything2:
        """A new task; the defaults where no parameters are given."""
        return InferSegmentAnything2(NAME, param)


class InferSegmentAnything2ParamFactory(dataprocess.CTaskParamFactory):
    """Makes parameter objects."""

    def __init__(self) -> None:
        super().__init__()
        self.name = NAME

    def create(self) -> InferSegmentAnything2Param:
        """Parameters with their defaults."""
        return InferSegmentAnything2Param()
