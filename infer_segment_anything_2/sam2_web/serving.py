"""Starts the page's server on this machine, and the browser on it."""

from __future__ import annotations

import socket
import sys
import webbrowser
from collections.abc import Mapping

from infer_segment_anything_2.errors import DependencyError, ParameterError
from infer_segment_anything_2.sam2_web.desk import Desk
from infer_segment_anything_2.sam2_web.guard import Visitors, new_token

__all__ = ["LOOPBACK", "serve"]

LOOPBACK = "127.0.0.1"
_ANY_ADDRESS = frozenset({"", "0.0.0.0", "::", "*"})


def serve(
    desk: Desk,
    formats: Mapping[str, str],
    *,
    host: str = LOOPBACK,
    port: int = 0,
    open_browser: bool = True,
) -> None:
    """Serves the page until Ctrl-C.

    Args:
        desk: Does the work.
        formats: What results can be written as: names and words.
        host: The address to listen on; by default only this machine can reach it.
        port: Its port; a free one if 0.
        open_browser: Whether to open the page in the browser.

    Raises:
        DependencyError: The packages of the page are missing.
        ParameterError: The address cannot be listened on.
    """
    try:
        import uvicorn

        from infer_segment_anything_2.sam2_web.server import make_app
    except ImportError as error:
        raise DependencyError(
            f"The page needs a package that does not load: {error}; install it: "
            "pip install 'infer-segment-anything-2[page]' (or: pip install starlette uvicorn)."
        ) from error
    listening = _listen(host, port)
    port = listening.getsockname()[1]
    visitors = Visitors(new_token(), frozenset({f"{host}:{port}", f"localhost:{port}"}))
    # In the fragment, so that it stands in no request, no log and no Referer.
    address = f"http://{host}:{port}/#{visitors.token}"
    sys.stderr.write(f"The page is at {address}\nCtrl-C ends it.\n")
    if open_browser:
        webbrowser.open(address)
    config = uvicorn.Config(
        make_app(desk, visitors, formats),
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=1,
    )
    uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    if host in _ANY_ADDRESS:
        raise ParameterError(
            f"--host must be the one address by which others reach this machine, got {host!r}, "
            "which is all of them; give it, such as 192.168.0.10.",
            key="host",
            value=host,
        )
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen()  # from here on the browser may come, and waits
    except OSError as error:
        listening.close()
        raise ParameterError(
            f"The page cannot listen on {host}:{port}: {error.strerror or error}; give another "
            "--port (0 takes a free one) or --host.",
            key="port",
            value=str(port),
        ) from error
    return listening
