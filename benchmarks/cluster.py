"""What tables and Ray cost beside the command line: `python -m benchmarks.cluster --help`.

The same pictures go through `segment` in three ways, in processes of their own: to files, to tables
on this machine, and to tables on a Ray of this machine. The system's books (/proc) tell the CPU
time and the memory of each process. Each figure per picture or shard is the difference of a long
and a short run, so that no start counts. Equal means: the same masks and scores, bit for bit.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from PIL import Image
from skimage import data

from infer_segment_anything_2.parameters import Parameters
from infer_segment_anything_2.sam2_batch.cluster.folders import LocalFolder
from infer_segment_anything_2.sam2_batch.cluster.on_ray import RayChoices, run_on_ray
from infer_segment_anything_2.sam2_batch.cluster.shard_plan import Plan
from infer_segment_anything_2.sam2_batch.cluster.shard_work import Order
from infer_segment_anything_2.sam2_batch.cluster.sources import SourcePicture
from tests.process_tree import family_of

_NANO = ("--model-name", "sam2_demo_nano", "--no-cuda", "--points-per-side", "8")
_PICTURE_HW = (240, 320)
_TINY_HW = (32, 32)
# One picture of so many has an object; what has none is read, and that is all.
_TINY_EMPTY = 20
_TINY_OBJECTS = '[{"box": [4, 4, 28, 28]}]'
_PARTS = ("pictures", "shards", "handing-out", "tiny", "workers")
_PAUSE_S = 0.2
# The part of places that are taken when as many things are thrown at them, 1 - 1/e.
_TAKEN = 0.632
WAYS = {
    "files": ("--format", "report"),
    "tables": ("--format", "parquet"),
    "ray": ("--on", "ray", "--ray-address", "local"),
}


@dataclass(frozen=True)
class Cost:
    """What a run took.

    Attributes:
        command_s: CPU seconds of the command's own process.
        workers_s: CPU seconds of Ray's processes that do shards.
        others_s: CPU seconds of Ray's other processes.
        peak_mb: The most memory that the command's own process had.
        worker_peak_mb: The most that one of Ray's processes had that do shards.
        wall_s: From the command's start to its end.
    """

    command_s: float
    workers_s: float
    others_s: float
    peak_mb: float
    worker_peak_mb: float
    wall_s: float


def run(way: str, out: Path, *words: str | Path) -> Cost:
    """Runs `segment` in a process of its own, one thread each, and keeps its books."""
    call = ["segment", *map(str, words), *WAYS[way], "--out", str(out), *_NANO, "--quiet"]
    return _watched(["-m", "infer_segment_anything_2", *call], out)


def _watched(call: Sequence[str], out: Path) -> Cost:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    environment["RAY_worker_niceness"] = "0"  # as the command itself; Ray's own is 15
    begun_s = time.perf_counter()
    with (out.parent / f"{out.name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *call],
            env=environment,
            stdout=log,
            stderr=log,
        )
        cpu_s: dict[int, float] = {}
        words_of: dict[int, str] = {}
        peaks_mb: dict[int, float] = {}
        while process.poll() is None:
            words_of |= family_of(process.pid)
            for pid in (process.pid, *words_of):
                cpu_s[pid] = max(cpu_s.get(pid, 0.0), _cpu_s(pid))
                peaks_mb[pid] = max(peaks_mb.get(pid, 0.0), _peak_mb(pid))
            time.sleep(_PAUSE_S)
    wall_s = time.perf_counter() - begun_s
    if process.returncode not in (0, 1):
        raise SystemExit(Path(log.name).read_text())
    workers = [pid for pid, said in words_of.items() if "MapWorker" in said]
    workers_s = sum(cpu_s[pid] for pid in workers)
    command_s = cpu_s[process.pid]
    others_s = sum(cpu_s.values()) - workers_s - command_s
    worker_peak_mb = max((peaks_mb[pid] for pid in workers), default=0.0)
    return Cost(command_s, workers_s, others_s, peaks_mb[process.pid], worker_peak_mb, wall_s)


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def _pictures_per_s(out: Path) -> float:
    """From the first shard that was done to the last."""
    files = sorted((out / "pictures").glob("*.parquet"), key=lambda path: path.stat().st_mtime_ns)
    if len(files) < 2:
        return 0.0
    n_pictures = ds.dataset(files[1:], format="parquet").count_rows()
    seconds = (files[-1].stat().st_mtime_ns - files[0].stat().st_mtime_ns) / 1e9
    return float(n_pictures / seconds)


def draw(folder: Path, n_pictures: int, hw: tuple[int, int] = _PICTURE_HW) -> Path:
    """Windows of a photograph, as pictures."""
    photo = data.coffee()
    height, width = hw
    folder.mkdir(parents=True)
    for number in range(n_pictures):
        y, x = 37 * number % (photo.shape[0] - height), 53 * number % (photo.shape[1] - width)
        Image.fromarray(photo[y : y + height, x : x + width]).save(folder / f"{number:06d}.png")
    return folder


def compare_pictures(root: Path, ways: Sequence[str], few: int, many: int) -> None:
    """CPU seconds per picture, in each way."""
    folders = {count: draw(root / f"pictures{count}", count) for count in (few, many)}
    print(f"| {many} and {few} pictures | CPU s per picture | start, CPU s | peak MB | equal |")
    print("|---|---|---|---|---|")
    for way in ways:
        costs = {}
        for count, folder in folders.items():
            shards = () if way == "files" else ("--shard-size", "4")
            workers = ("--workers", "1") if way == "ray" else ()
            costs[count] = run(way, root / f"{way} {count}", folder, *shards, *workers)
        cpu_s = {
            count: cost.workers_s if way == "ray" else cost.command_s
            for count, cost in costs.items()
        }
        each_s = (cpu_s[many] - cpu_s[few]) / (many - few)
        start_s = sum((costs[few].command_s, costs[few].workers_s, costs[few].others_s))
        print(
            f"| {way} | {each_s:.3f} | {start_s - few * each_s:.1f} | {costs[many].peak_mb:.0f} | "
            f"{_equal(root, way, many)} |",
            flush=True,
        )


def _equal(root: Path, way: str, count: int) -> str:
    if way == "files" or not (root / f"tables {count}").exists():
        return "-"
    return _compared(root / f"tables {count}", root / f"{way} {count}")


def _compared(*outs: Path) -> str:
    """Whether two runs have the same masks and scores, bit for bit."""
    here, there = (
        sorted(
            (row["path"], row["id"], row["rle"], row["predicted_iou"], row["stability_score"])
            for row in ds.dataset(out / "masks").to_table().to_pylist()
        )
        for out in outs
    )
    return f"yes, {len(here)} masks" if here == there else "no"


def compare_shards(root: Path, ways: Sequence[str], counts: Sequence[int]) -> None:
    """What a shard costs in which nothing is computed: one picture that cannot be read."""
    print("| empty shards | way | wall s | command CPU s | worker CPU s | Ray CPU s | command MB |")
    print("|---|---|---|---|---|---|---|")
    for count in counts:
        folder = root / f"empty{count}"
        folder.mkdir()
        for number in range(round(count / _TAKEN)):
            (folder / f"{number:06d}.png").touch()
        for way in (way for way in ways if way != "files"):
            words = ("--shard-size", "1", "--max-failed", "100%")
            workers = ("--workers", "1") if way == "ray" else ()
            out = root / f"{way} empty{count}"
            cost = run(way, out, folder, *words, *workers)
            n_shards = len(list((out / "pictures").iterdir()))
            print(
                f"| {n_shards} | {way} | {cost.wall_s:.1f} | {cost.command_s:.1f} | "
                f"{cost.workers_s:.1f} | {cost.others_s:.1f} | {cost.peak_mb:.0f} |",
                flush=True,
            )


def hand_out(out: str, n_shards: int) -> None:
    """Lets a worker of Ray see that so many shards are done already."""
    folder = LocalFolder(Path(out))
    plan = Plan(folder)
    numbers = range(round(n_shards / _TAKEN))
    plan.add([SourcePicture(f"/{number}.png", f"{number}.png") for number in numbers], 1)
    shards = plan.shards()
    for shard in shards:
        folder.put_text(f"pictures/{shard.file_name}", "")
    order = Order(out, Parameters(cuda=False), "", "")
    run_on_ray(order, shards, RayChoices("local", (1, 1), 1, None), lambda _done: None)


def compare_handing_out(root: Path, counts: Sequence[int]) -> None:
    """What Ray and the command take to hand out shards that are done already."""
    print("| shards handed out | wall s | command CPU s | worker CPU s | Ray CPU s | command MB |")
    print("|---|---|---|---|---|---|")
    for count in counts:
        out = root / f"handed {count}"
        words = f"from benchmarks.cluster import hand_out; hand_out({str(out)!r}, {count})"
        cost = _watched(["-c", words], out)
        n_shards = len(list((out / "pictures").iterdir()))
        print(
            f"| {n_shards} | {cost.wall_s:.1f} | {cost.command_s:.1f} | {cost.workers_s:.1f} | "
            f"{cost.others_s:.1f} | {cost.peak_mb:.0f} |",
            flush=True,
        )


def compare_tiny(root: Path, counts: Sequence[int]) -> None:
    """What real runs of so many shards take, beside the same pictures in as few as usual.

    The pictures are tiny, and in most of them a detector found nothing, so that they cost little
    beside their shards.
    """
    print(
        "| pictures | shards | wall s | pictures per s | command CPU s | worker CPU s | Ray CPU s "
        "| command MB | worker MB | equal |\n|---|---|---|---|---|---|---|---|---|---|"
    )
    for count in counts:
        n_pictures = round(count / _TAKEN)
        folder = draw(root / f"tiny{count}", n_pictures, _TINY_HW)
        paths = sorted(map(str, folder.iterdir()))
        objects = ["[]" if number % _TINY_EMPTY else _TINY_OBJECTS for number in range(n_pictures)]
        keys = root / f"tiny{count}.parquet"
        pq.write_table(pa.table({"path": paths, "input_objects": objects}), keys)
        outs = []
        for shard_size in ("1", "1000"):
            out = root / f"tiny{count} {shard_size}"
            words = ("--shard-size", shard_size, "--workers", "1")
            cost = run("ray", out, "--list", keys, *words)
            outs.append(out)
            print(
                f"| {n_pictures} | {len(list((out / 'pictures').iterdir()))} | {cost.wall_s:.1f} | "
                f"{_pictures_per_s(out):.1f} | {cost.command_s:.1f} | {cost.workers_s:.1f} | "
                f"{cost.others_s:.1f} | {cost.peak_mb:.0f} | {cost.worker_peak_mb:.0f} | "
                f"{_compared(*outs) if len(outs) > 1 else '-'} |",
                flush=True,
            )


def compare_workers(root: Path, many: int, repeats: int) -> None:
    """Pictures per second of one and of two workers, from the first shard done to the last."""
    folder = draw(root / "workers", many)
    print("| workers | pictures per second | CPU s per picture | load of the machine |")
    print("|---|---|---|---|")
    for repeat in range(repeats):
        for workers in (1, 2):
            words = ("--shard-size", "2", "--workers", str(workers))
            out = root / f"workers{workers} {repeat}"
            cost = run("ray", out, folder, *words)
            print(
                f"| {workers} | {_pictures_per_s(out):.2f} | {cost.workers_s / many:.3f} | "
                f"{os.getloadavg()[0]:.1f} |",
                flush=True,
            )


def main() -> None:
    """Prints the tables that are wanted."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", nargs="+", choices=_PARTS)
    parser.add_argument("--ways", nargs="+", choices=tuple(WAYS), default=tuple(WAYS))
    parser.add_argument("--few", type=int, default=8, help="pictures of the short run")
    parser.add_argument("--many", type=int, default=40, help="pictures of the long run")
    parser.add_argument("--shards", type=int, nargs="+", default=[300, 3000])
    parser.add_argument("--repeats", type=int, default=2, help="of the workers' runs")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sam2_cluster_") as folder:
        if "pictures" in arguments.what:
            compare_pictures(Path(folder), arguments.ways, arguments.few, arguments.many)
        if "shards" in arguments.what:
            compare_shards(Path(folder), arguments.ways, arguments.shards)
        if "handing-out" in arguments.what:
            compare_handing_out(Path(folder), arguments.shards)
        if "tiny" in arguments.what:
            compare_tiny(Path(folder), arguments.shards)
        if "workers" in arguments.what:
            compare_workers(Path(folder), arguments.many, arguments.repeats)


if __name__ == "__main__":
    main()
