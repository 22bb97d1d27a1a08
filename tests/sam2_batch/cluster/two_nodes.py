"""A Ray cluster of a head without CPUs and two nodes with one each, until standard input ends.

Run by tests as a process of its own; tells the address and the nodes' processes as JSON.
"""

from __future__ import annotations

import json
import sys

from ray.cluster_utils import Cluster

_STORE_BYTES = 80_000_000
# Of the cluster, not of the command: who is silent for three seconds is dead, not for thirty.
_IMPATIENT = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 1000,
    "health_check_failure_threshold": 3,
}


def main() -> None:
    head = {
        "num_cpus": 0,
        "object_store_memory": _STORE_BYTES,
        "include_dashboard": False,
        "_system_config": _IMPATIENT,
    }
    cluster = Cluster(initialize_head=True, head_node_args=head)
    nodes = [cluster.add_node(num_cpus=1, object_store_memory=_STORE_BYTES) for _ in range(2)]
    raylets = [node.all_processes["raylet"][0].process.pid for node in nodes]
    sys.stdout.write(json.dumps({"address": cluster.address, "raylets": raylets}) + "\n")
    sys.stdout.flush()
    sys.stdin.read()
    cluster.shutdown()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
