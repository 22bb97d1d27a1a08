from __future__ import annotations

import contextlib
import dataclasses
import socket
import sys
import time
from pathlib import Path

import pytest

from infer_segment_anything_2.errors import DamagedCheckpointError, DownloadError
from infer_segment_anything_2.sam2_engine.weights import checkpoints
from infer_segment_anything_2.sam2_engine.weights.connection import Peer, connect_timeout_s
from infer_segment_anything_2.sam2_engine.weights.download import (
    fetch_checkpoint,
)
from infer_segment_anything_2.sam2_engine.weights.finding import find_weights
from tests.sam2_engine.weights.http_server import (
    CONTENT,
    HASTY,
    IMPATIENT,
    ROW,
    Behaviour,
    Server,
    answers,
    assert_nothing_taken_for_whole,
    assert_whole,
    breaks_off,
    continues_elsewhere,
    fetch,
    good,
    ignores_range,
    never_ends,
    put_part,
    sends,
    sends_wrong_bytes,
    stalls,
)


def set_network(
    monkeypatch: pytest.MonkeyPatch, *, server: str = "http://example.invalid", proxy: str = ""
) -> None:
    """Sets where the weights are asked for, and through which proxy."""
    monkeypatch.setenv("SAM2_CHECKPOINT_URL", server)
    for name in ("http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", proxy)


class TestGoodServer:
    def test_file_arrives_whole(self, server: Server, folder: Path) -> None:
        assert fetch(folder) == folder / "weights.pt"
        assert_whole(folder)
        assert server.ranges == [None]

    def test_progress_rises_to_the_end(self, server: Server, folder: Path) -> None:
        steps: list[tuple[int, int]] = []
        fetch_checkpoint(ROW, folder, progress=lambda *step: steps.append(step), limits=HASTY)
        done = [done_bytes for done_bytes, _ in steps]
        assert done[0] == 0
        assert done[-1] == len(CONTENT)
        assert done == sorted(done)
        assert len(done) > 3
        assert {total for _, total in steps} == {len(CONTENT)}

    def test_part_of_an_earlier_run_is_continued(self, server: Server, folder: Path) -> None:
        put_part(folder, CONTENT[:123_456])
        fetch(folder)
        assert_whole(folder)
        assert server.ranges == ["bytes=123456-"]

    def test_complete_part_is_used_without_asking(self, server: Server, folder: Path) -> None:
        put_part(folder, CONTENT)
        fetch(folder)
        assert_whole(folder)
        assert server.ranges == []

    @pytest.mark.parametrize(
        "part",
        [
            pytest.param(bytes(1000), id="wrong bytes"),
            pytest.param(bytes(len(CONTENT)), id="wrong and complete"),
            pytest.param(CONTENT + b"more", id="too long"),
        ],
    )
    def test_spoilt_part_is_fetched_anew(self, part: bytes, server: Server, folder: Path) -> None:
        put_part(folder, part)
        fetch(folder)
        assert_whole(folder)
        assert server.ranges[-1] is None

    def test_existing_file_is_verified_and_kept(self, server: Server, folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "weights.pt").write_bytes(b"my own")
        with pytest.raises(DamagedCheckpointError, match="is not the official"):
            fetch(folder)
        assert (folder / "weights.pt").read_bytes() == b"my own"
        assert server.ranges == []

    def test_hash_decides_where_the_size_is_uncertain(self, server: Server, folder: Path) -> None:
        row = dataclasses.replace(ROW, size_bytes=len(CONTENT) - 5, size_is_certain=False)
        put_part(folder, CONTENT)
        fetch(folder, row)
        assert_whole(folder)
        (folder / "weights.pt").unlink()
        fetch(folder, row)
        assert_whole(folder)

    def test_find_weights_downloads_to_the_own_folder(
        self, server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SAM2_CHECKPOINT_DIR", str(folder))
        monkeypatch.setattr(checkpoints, "CHECKPOINTS", {"weights": ROW})
        assert find_weights("weights").path == folder / "weights.pt"
        assert find_weights("weights").path == folder / "weights.pt"
        assert len(server.ranges) == 1

    def test_redirect_is_followed(self, server: Server, folder: Path) -> None:
        server.behaviours = [answers(302, Location="/elsewhere"), good]
        fetch(folder)
        assert_whole(folder)


class TestBadServer:
    def test_broken_connection_is_taken_up_again(self, server: Server, folder: Path) -> None:
        server.behaviours = [breaks_off(150_000), breaks_off(70_000), good]
        fetch(folder)
        assert_whole(folder)
        starts = [int(text[6:-1]) for text in server.ranges[1:] if text]
        assert len(starts) == 2
        assert 0 < starts[0] < starts[1] < len(CONTENT)

    def test_server_that_ignores_range_is_read_from_the_start(
        self, server: Server, folder: Path
    ) -> None:
        put_part(folder, CONTENT[:1000])
        server.behaviours = [ignores_range]
        fetch(folder)
        assert_whole(folder)
        assert server.ranges == ["bytes=1000-"]

    def test_server_that_continues_elsewhere_is_read_from_the_start(
        self, server: Server, folder: Path
    ) -> None:
        put_part(folder, CONTENT[:1000])
        server.behaviours = [continues_elsewhere]
        fetch(folder)
        assert_whole(folder)
        assert server.ranges == ["bytes=1000-", None]

    def test_patience_ends_and_the_part_is_kept(self, server: Server, folder: Path) -> None:
        server.behaviours = [breaks_off(150_000), breaks_off(0)]
        with pytest.raises(DownloadError, match="bytes are there and are kept"):
            fetch(folder)
        assert_nothing_taken_for_whole(folder)
        part = (folder / "weights.pt.part").read_bytes()
        assert part
        assert part == CONTENT[: len(part)]
        server.behaviours = [good]
        fetch(folder)
        assert_whole(folder)
        assert server.ranges[-1] == f"bytes={len(part)}-"

    def test_server_that_always_starts_anew_does_not_keep_us_for_ever(
        self, server: Server, folder: Path
    ) -> None:
        cut_off = [CONTENT[:200_000], CONTENT[:100_000]] * 20
        server.behaviours = [sends(content, Content_Length=len(CONTENT)) for content in cut_off]
        with pytest.raises(DownloadError):
            fetch(folder)
        assert len(server.ranges) <= 5

    def test_length_that_is_too_long_counts_as_broken(self, server: Server, folder: Path) -> None:
        server.behaviours = [sends(CONTENT[:-9], Content_Length=len(CONTENT)), good]
        fetch(folder)
        assert_whole(folder)

    def test_early_end_without_a_length_counts_as_broken(
        self, server: Server, folder: Path
    ) -> None:
        server.behaviours = [sends(CONTENT[:-9]), good]
        fetch(folder)
        assert_whole(folder)
        assert server.ranges == [None, "bytes=299991-"]

    @pytest.mark.parametrize(
        "behaviour",
        [
            pytest.param(sends_wrong_bytes, id="wrong bytes"),
            pytest.param(sends(b"<html>", Content_Length=6), id="log-in page"),
            pytest.param(sends(CONTENT, Content_Length=len(CONTENT) - 9), id="length too short"),
            pytest.param(sends(CONTENT + b"more"), id="too many bytes, no length"),
            pytest.param(never_ends, id="never ends"),
        ],
    )
    class TestSendingAnotherFile:
        def test_once_is_forgiven(self, behaviour: Behaviour, server: Server, folder: Path) -> None:
            server.behaviours = [behaviour, good]
            fetch(folder)
            assert_whole(folder)

        def test_twice_is_an_error_and_leaves_nothing(
            self, behaviour: Behaviour, server: Server, folder: Path
        ) -> None:
            server.behaviours = [behaviour]
            with pytest.raises(DamagedCheckpointError, match="does not send the official") as seen:
                fetch(folder)
            assert ROW.sha256 in str(seen.value)
            assert len(server.ranges) == 2
            assert_nothing_taken_for_whole(folder)
            assert not (folder / "weights.pt.part").exists()

    @pytest.mark.parametrize("status", [403, 404, 410])
    def test_refusal_is_an_error_at_once(self, status: int, server: Server, folder: Path) -> None:
        put_part(folder, CONTENT[:1000])
        server.behaviours = [answers(status)]
        with pytest.raises(DownloadError, match=f"but the server answered {status} "):
            fetch(folder)
        assert len(server.ranges) == 1
        assert_nothing_taken_for_whole(folder)

    @pytest.mark.parametrize("status", [429, 500, 503])
    def test_moment_of_weakness_is_waited_for(
        self, status: int, server: Server, folder: Path
    ) -> None:
        server.behaviours = [answers(status), answers(status), good]
        fetch(folder)
        assert_whole(folder)

    def test_lasting_weakness_is_an_error(self, server: Server, folder: Path) -> None:
        server.behaviours = [answers(500)]
        with pytest.raises(DownloadError, match="the server answered 500"):
            fetch(folder)
        assert len(server.ranges) == 3

    def test_redirects_in_a_circle_are_an_error(self, server: Server, folder: Path) -> None:
        server.behaviours = [answers(302, Location="/again")]
        with pytest.raises(DownloadError, match="redirects"):
            fetch(folder)

    def test_silence_is_left_after_the_timeout_and_continued(
        self, server: Server, folder: Path
    ) -> None:
        server.behaviours = [stalls, good]
        fetch(folder, limits=IMPATIENT)
        assert_whole(folder)
        assert server.ranges == [None, "bytes=65536-"]

    def test_lasting_silence_is_an_error(self, server: Server, folder: Path) -> None:
        server.behaviours = [lambda _: time.sleep(0.6)]
        with pytest.raises(DownloadError, match="timed out"):
            fetch(folder, limits=IMPATIENT)


class TestNoServer:
    def test_error_says_how_to_do_without(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with socket.socket() as closed:  # a port that nobody listens on
            closed.bind(("127.0.0.1", 0))
            base_url = f"http://127.0.0.1:{closed.getsockname()[1]}"
            monkeypatch.setenv("SAM2_CHECKPOINT_URL", base_url)
            monkeypatch.setenv("NO_PROXY", "127.0.0.1")
            with pytest.raises(DownloadError) as caught:
                fetch(folder)
        message = str(caught.value)
        assert message.startswith(
            "The weights weights.pt could not be fetched: expected the file at "
            f"{base_url}/072824/weights.pt, but the connection failed ("
        )
        assert message.endswith(
            f"To put it there by hand: fetch {base_url}/072824/weights.pt on a machine with "
            f"network access (300000 bytes, SHA-256 {ROW.sha256}) and copy it, under the name "
            f"weights.pt, into the folder {folder}. The environment variable SAM2_CHECKPOINT_DIR "
            "names another folder, SAM2_CHECKPOINT_URL another server."
        )

    def test_name_that_does_not_resolve_is_told_at_once_with_both_ways_out(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SAM2_CHECKPOINT_URL", "http://no-such-host.invalid")
        monkeypatch.setenv("NO_PROXY", "*")
        monkeypatch.setattr(time, "sleep", lambda _seconds: pytest.fail("tried again"))
        with pytest.raises(DownloadError) as caught:
            fetch(folder)
        first, *lines = str(caught.value).splitlines()
        assert "no-such-host.invalid cannot be found" in first
        assert "sam2_demo_nano, which needs no download, or put the file there by hand" in first
        assert f"SHA-256: {ROW.sha256}" in lines
        assert "urllib3" not in str(caught.value)

    @pytest.mark.parametrize("port_is_the", ["server's", "proxy's"])
    def test_refused_connection_is_one_short_sentence(
        self, port_is_the: str, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{closed.getsockname()[1]}"
            if port_is_the == "server's":
                set_network(monkeypatch, server=f"http://{address}")
                reason = f"the server {address} refuses connections; check the network"
            else:
                set_network(monkeypatch, proxy=f"http://user:secret@{address}")
                reason = f"the proxy {address} of HTTP_PROXY refuses connections; correct or unset"
            with pytest.raises(DownloadError) as caught:
                fetch(folder)
        first, rest = str(caught.value).split("). ")
        assert f"the connection failed ({reason}" in first
        assert rest.startswith("To put it there by hand")
        assert len(first) < 300
        assert "secret" not in str(caught.value)
        assert "HTTPConnection" not in str(caught.value)

    def test_proxy_that_does_not_resolve_is_named_at_once(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        set_network(monkeypatch, proxy="http://no-such-proxy.invalid:3128")
        monkeypatch.setattr(time, "sleep", lambda _seconds: pytest.fail("tried again"))
        with pytest.raises(DownloadError) as caught:
            fetch(folder)
        first = str(caught.value).split("). ")[0]
        assert "the proxy no-such-proxy.invalid:3128 of HTTP_PROXY cannot be found" in first
        assert "correct or unset HTTP_PROXY" in first

    @pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse what overflows")
    def test_silent_firewall_is_waited_for_once(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(time, "sleep", lambda _seconds: pytest.fail("tried again"))
        with contextlib.ExitStack() as sockets:
            full = sockets.enter_context(socket.socket())
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            for _ in range(3):  # the queue is full then, and what comes is not answered
                waiting = sockets.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(full.getsockname())
            address = f"127.0.0.1:{full.getsockname()[1]}"
            set_network(monkeypatch, server=f"http://{address}")
            with pytest.raises(
                DownloadError, match=f"the server {address} does not answer, a fire"
            ):
                fetch(folder, limits=dataclasses.replace(HASTY, connect_s=0.3))

    def test_patience_is_shared_by_the_addresses_of_a_server(self) -> None:
        assert connect_timeout_s(Peer("127.0.0.1", 80), 12.0) == 12.0
        assert connect_timeout_s(Peer("no-such-host.invalid", 80), 12.0) == 12.0
        addresses = socket.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)
        assert connect_timeout_s(Peer("localhost", 80), 12.0) == max(2.0, 12.0 / len(addresses))

    def test_server_without_encryption_is_told_of(
        self, server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SAM2_CHECKPOINT_URL", server.url.replace("http:", "https:"))
        with pytest.raises(DownloadError, match="no encrypted connection to the server"):
            fetch(folder)

    @pytest.mark.parametrize("address", ["not an address", "file:///etc", "http://", "ftp://a/b"])
    def test_unusable_address_is_an_error(
        self, address: str, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SAM2_CHECKPOINT_URL", address)
        with pytest.raises(DownloadError, match="could not be fetched"):
            fetch(folder)
