"""The routes of videos: what a tab can ask of one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from infer_segment_anything_2.sam2_web.answering import (
    MASKS_TYPE,
    OVERVIEW_PX,
    BadRequest,
    body_of,
    box_of,
    number_of,
    parameters_of,
    run_in,
)
from infer_segment_anything_2.sam2_web.desk import Desk
from infer_segment_anything_2.sam2_web.texts import as_command, video_as_python
from infer_segment_anything_2.sam2_web.video_desk import REACHES, PageVideo

__all__ = ["VideoRoutes"]


class VideoRoutes:
    """The handlers. Long runs have a thread of their own, so that they stop no other tab.

    Args:
        desk: Does the work.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._videos = desk.videos
        self._looks = ThreadPoolExecutor(1, thread_name_prefix="looks")
        self._runs = ThreadPoolExecutor(1, thread_name_prefix="runs")

    def routes(self) -> list[Route]:
        """All routes below that of a video."""
        return [
            Route("/", self.video),
            Route("/frames/{frame:int}/part", self.part),
            Route("/frames/{frame:int}/masks", self.masks, methods=["POST"]),
            Route("/texts", self.texts, methods=["POST"]),
            Route("/workflow", self.workflow, methods=["POST"]),
            Route("/remembered", self.remember, methods=["PUT"]),
        ]

    async def video(self, request: Request) -> Response:
        """Size, number of frames and notes of a video, and what is remembered of it."""
        number = self._number(request)
        shelf = await run_in(self._looks, partial(self._videos.shelf, number))
        height, width = shelf.image_hw
        name = self._videos.videos[number].name
        return JSONResponse(
            {
                "name": name,
                "width": width,
                "height": height,
                "frames": shelf.count,
                "notes": shelf.notes,
                "remembered": self._desk.remembered.of(name),
            }
        )

    async def part(self, request: Request) -> Response:
        """A part of a frame, at most so large, as JPEG."""
        jpeg = await run_in(
            self._looks,
            partial(
                self._videos.part_jpeg,
                self._number(request),
                request.path_params["frame"],
                box_of(request),
                OVERVIEW_PX,
            ),
        )
        return Response(jpeg, media_type="image/jpeg")

    async def masks(self, request: Request) -> Response:
        """Masks of a frame; no content where none are kept, and only those are wanted."""
        body, number = await body_of(request), self._number(request)
        reach = body.get("reach", "all")
        if reach not in REACHES:
            raise BadRequest(f"reach is one of {', '.join(REACHES)}, got {reach!r}.")
        run = partial(
            self._videos.masks,
            number,
            request.path_params["frame"],
            parameters_of(body),
            str(body.get("job", "")),
            reach,
        )
        answer = await run_in(self._runs if reach == "all" else self._looks, run)
        if answer is None:
            return Response(status_code=HTTPStatus.NO_CONTENT)
        return Response(answer, media_type=MASKS_TYPE)

    async def texts(self, request: Request) -> Response:
        """The run as Python and as a command."""
        body, video = await body_of(request), self._video(request)
        parameters = self._videos.read(parameters_of(body))
        return JSONResponse(
            {
                "python": video_as_python(parameters, video.path),
                "command": as_command(parameters, video.path, "track"),
            }
        )

    async def workflow(self, request: Request) -> Response:
        """Writes the run as a workflow file into the folder that the page was started with."""
        body, video = await body_of(request), self._video(request)
        parameters = self._videos.read(parameters_of(body))
        write = partial(self._desk.write_workflow, video.result_name, parameters)
        return JSONResponse({"written": [await run_in(self._runs, write)]})

    async def remember(self, request: Request) -> Response:
        """Keeps what the page holds of a video."""
        body, video = await body_of(request), self._video(request)
        await run_in(self._looks, partial(self._desk.remembered.keep, video.name, body))
        return JSONResponse({})

    def _number(self, request: Request) -> int:
        return number_of(request, len(self._videos.videos), "videos")

    def _video(self, request: Request) -> PageVideo:
        return self._videos.videos[self._number(request)]
