import threading
import time
from collections.abc import Iterator

import pytest
import torch

from infer_segment_anything_2.sam2_engine.hardware.workers import PromptWorkers

CPU = torch.device("cpu")


@pytest.fixture(params=[1, 2, 9])
def n_threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """The number of cores that torch may use."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


class TestPromptWorkers:
    def test_keep_the_order_of_the_items(self, n_threads: int) -> None:
        def slow_for_some(item: int) -> int:
            time.sleep(0.01 * (item % 3))
            return item * item

        with PromptWorkers(CPU) as workers:
            assert list(workers.map(slow_for_some, range(12))) == [i * i for i in range(12)]

    def test_share_the_cores_and_give_them_back(self, n_threads: int) -> None:
        with PromptWorkers(CPU) as workers:
            each = set(workers.map(lambda _: torch.get_num_threads(), range(20)))
            assert len(each) == 1
            assert each.pop() * workers.n_workers <= n_threads
        seen: list[int] = [torch.get_num_threads()]
        later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        later.start()
        later.join()
        assert seen == [n_threads, n_threads]

    def test_hand_errors_to_the_caller_and_stop(self, n_threads: int) -> None:
        begun: list[int] = []

        def fail_at_two(item: int) -> int:
            begun.append(item)
            if item == 2:
                raise KeyError(item)
            return item

        with pytest.raises(KeyError), PromptWorkers(CPU) as workers:
            list(workers.map(fail_at_two, range(1000)))
        assert len(begun) < 50

    def test_take_items_only_as_they_go(self, n_threads: int) -> None:
        taken: list[int] = []

        def items() -> Iterator[int]:
            for i in range(100):
                taken.append(i)
                yield i

        with PromptWorkers(CPU) as workers:
            results = workers.map(lambda item: item, items())
            next(results)
            assert len(taken) <= 2 * workers.n_workers + 2

    def test_run_in_the_calling_thread_on_a_gpu(self) -> None:
        with PromptWorkers(torch.device("cuda")) as workers:
            names = set(workers.map(lambda _: threading.current_thread().name, range(3)))
        assert names == {threading.current_thread().name}
