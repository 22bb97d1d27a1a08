from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator

import pytest
import torch

from infer_segment_anything_2.errors import ParameterError
from infer_segment_anything_2.sam2_engine.hardware import devices
from infer_segment_anything_2.sam2_engine.hardware.devices import (
    choose_device,
    choose_encoder_precision,
    choose_precision,
    pick_precision,
    probe_device,
)

CPU = torch.device("cpu")
HAS_GPU = torch.cuda.is_available()


@pytest.fixture
def warned(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[logging.LogRecord]]:
    """What is logged in a process that has said nothing yet."""
    monkeypatch.setattr(devices, "_process", devices._OncePerProcess())
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", records.append)
    # Not caplog: the host may have cut its logger off from the root, where that listens.
    logger = logging.getLogger("ikomia.infer_segment_anything_2.devices")
    logger.addHandler(handler)
    yield records
    logger.removeHandler(handler)


class TestPickPrecision:
    @pytest.mark.parametrize(
        ("name", "capability", "expected"),
        [
            ("auto", None, torch.float32),
            ("auto", (6, 1), torch.float32),
            ("auto", (7, 0), torch.float16),
            ("auto", (7, 5), torch.float16),
            ("auto", (8, 0), torch.bfloat16),
            ("auto", (12, 0), torch.bfloat16),
            ("float32", None, torch.float32),
            ("float32", (9, 0), torch.float32),
            ("bfloat16", None, torch.bfloat16),
            ("bfloat16", (7, 5), torch.float32),
            ("bfloat16", (8, 9), torch.bfloat16),
            ("float16", None, torch.float32),
            ("float16", (6, 1), torch.float32),
            ("float16", (7, 0), torch.float16),
            ("float16", (10, 0), torch.float16),
            ("bfloat16_encoder", None, torch.float32),
            ("bfloat16_encoder", (9, 0), torch.float32),
        ],
    )
    def test_follows_the_card(
        self, name: str, capability: tuple[int, int] | None, expected: torch.dtype
    ) -> None:
        assert pick_precision(name, capability) == expected

    def test_refuses_other_names(self) -> None:
        with pytest.raises(ParameterError) as caught:
            pick_precision("fp16", None)
        assert str(caught.value) == (
            "Precision 'fp16' is unknown: expected one of auto, float32, bfloat16, float16, "
            "bfloat16_encoder. Choose auto to have the best one for the device."
        )
        assert (caught.value.key, caught.value.value) == ("precision", "fp16")


class TestChoosePrecision:
    @pytest.mark.parametrize("name", ["auto", "float32", "bfloat16"])
    def test_says_nothing_when_the_wish_is_granted(
        self, name: str, warned: list[logging.LogRecord]
    ) -> None:
        choose_precision(name, CPU)
        assert warned == []

    def test_warns_once_when_it_is_not(self, warned: list[logging.LogRecord]) -> None:
        assert choose_precision("float16", CPU) == torch.float32
        assert choose_precision("float16", CPU) == torch.float32
        assert [record.getMessage() for record in warned] == [
            "The device 'cpu' does not run float16 well: computing in float32. Set precision to "
            "auto to have the best one chosen."
        ]


class TestChooseEncoderPrecision:
    @pytest.mark.parametrize("name", ["auto", "float32", "bfloat16"])
    def test_is_that_of_the_rest(self, name: str) -> None:
        assert choose_encoder_precision(name, CPU) == choose_precision(name, CPU)

    def test_follows_how_fast_products_are(self, warned: list[logging.LogRecord]) -> None:
        granted = choose_encoder_precision("bfloat16_encoder", CPU) == torch.bfloat16
        assert choose_precision("bfloat16_encoder", CPU) == torch.float32
        assert granted == (not warned)  # either is right, by the processor
        if not granted:
            assert "is not made for bfloat16" in warned[0].getMessage()


class TestProbeDevice:
    def test_finds_nothing_wrong_with_a_cpu(self) -> None:
        assert probe_device(CPU) == ""

    def test_tells_of_a_device_that_cannot_compute(self) -> None:
        assert probe_device(torch.device("meta")) != ""

    @pytest.mark.skipif(HAS_GPU, reason="needs a machine without GPU")
    def test_tells_of_a_device_that_is_not_there(self) -> None:
        assert probe_device(torch.device("cuda", 0)) != ""


class TestChooseDevice:
    def test_is_the_cpu_when_no_gpu_is_wanted(self, warned: list[logging.LogRecord]) -> None:
        assert choose_device(False) == CPU
        assert warned == []

    @pytest.mark.skipif(HAS_GPU, reason="needs a machine without GPU")
    def test_is_the_cpu_without_a_word_where_there_is_no_gpu(
        self, warned: list[logging.LogRecord]
    ) -> None:
        assert choose_device(True) == CPU
        assert warned == []

    @pytest.mark.skipif(HAS_GPU, reason="needs a machine without GPU")
    def test_falls_back_with_one_warning_where_one_is_there_and_cannot_be_used(
        self, warned: list[logging.LogRecord], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def says_that_the_driver_is_old() -> bool:
            warnings.warn("The NVIDIA driver on your system is too old", stacklevel=2)
            return False

        monkeypatch.setattr(torch.cuda, "is_available", says_that_the_driver_is_old)
        assert choose_device(True) == CPU
        assert choose_device(True) == CPU
        assert len(warned) == 1
        assert warned[0].levelno == logging.WARNING
        assert warned[0].getMessage().startswith("The GPU cannot be used (The NVIDIA driver ")

    @pytest.mark.skipif(HAS_GPU, reason="needs a machine without GPU")
    def test_distrusts_a_listed_gpu_whose_kernels_do_not_run(
        self, warned: list[logging.LogRecord], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
        assert choose_device(True) == CPU
        assert choose_device(True) == CPU
        assert len(warned) == 1

    @pytest.mark.gpu
    @pytest.mark.skipif(not HAS_GPU, reason="needs a GPU")
    def test_is_the_current_gpu_when_it_works(self, warned: list[logging.LogRecord]) -> None:
        assert choose_device(True) == torch.device("cuda", torch.cuda.current_device())
        assert warned == []
