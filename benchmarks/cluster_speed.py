"""What the driver of `bench --cluster` costs: nothing is measured here, workers sleep.

    python benchmarks/cluster_speed.py              # a minute or two
    python benchmarks/cluster_speed.py --full       # and 100,000 tasks on three nodes

Three nodes are on this machine, by Ray's own cluster utilities. docs/scale.md says what came out.
"""

import argparse
import functools
import json
import os
import resource
import secrets
import sys
import tempfile
import time
from pathlib import Path

os.environ["RAY_AUTH_MODE"] = "token"  # before Ray is imported, which reads them once
os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import ray
from ray.cluster_utils import Cluster

import rnnbench
from rnnbench.benchmarking import driver
from rnnbench.benchmarking.cluster.run import ClusterRun, run_on_cluster
from rnnbench.benchmarking.plan import Plan
from rnnbench.cluster.engine import SLOT, connected
from rnnbench.cluster.nodes import pinned

_SAMPLES = [1.2345e-5] * 400  # as many as an entry of `--quick` has


def describe():
    """A node of the cluster; all are of one kind."""
    name = ray.get_runtime_context().get_node_id()[:6]
    facts = {"host": name, "cpu": "made", "cores": 1, "gpu": None, "memory": 2**30}
    return {**facts, "rnnbench": rnnbench.__version__, "machine_id": "made"}


def line_of(item):
    """A line of the journal, as large as one of `--quick`."""
    info = {"kind": item.kind, "stable": True, "p50": 1.0, "ratio": 1.0, "low": 1.0, "high": 1.0}
    info["load_s"] = 1.0
    entry = {"name": item.label, "extra_info": info, "stats": {"data": _SAMPLES}}
    return {"id": item.label, "entry": entry}


class Sleeper:
    """A worker: each measurement takes so long."""

    def __init__(self, seconds):
        self.seconds = seconds

    def begin(self):
        return {"machine": {"schema": 1}, "machine_info": {"made": True}}

    def run(self, item):
        time.sleep(self.seconds)
        return line_of(item)

    def end_group(self):
        return None

    def close(self):
        pass


def sleepers(seconds):
    return lambda plan, parcels: functools.partial(Sleeper, seconds)


def plan_of(count):
    """So many measurements, three of each set of conditions."""
    sizes = tuple(range(1, count // 3 + 1))
    return Plan(("gru",), ("eager",), batch=sizes, time=(1,), hidden=(4,), quick=True)


def on_cluster(count, seconds, address="auto"):
    """Seconds of a run, without what Ray needs to start, and how many there were."""
    how = ClusterRun(address, make=sleepers(seconds), describe=describe)
    told = []
    with tempfile.TemporaryDirectory() as out:
        start = time.perf_counter()
        tell = lambda _: told.append(time.perf_counter())  # noqa: E731
        outcome = run_on_cluster(plan_of(count), Path(out), how, on_line=tell)
        end = time.perf_counter()
        size = sum(node.path.stat().st_size for node in outcome.nodes)
    return {
        "measurements": outcome.total,
        "until_nodes_are_known_s": told[0] - start,
        "until_first_answer_s": told[1] - told[0],
        "run_s": end - told[0],
        "per_s": (len(told) - 2) / (told[-1] - told[1]),
        "results_bytes": size,
    }


def by_hand(count, seconds):
    """The plain bench, whose measurements sleep as long."""
    kept = driver.measure_line, driver.measure_limits

    def asleep(item, artifacts, quick):
        time.sleep(seconds)
        return line_of(item)

    driver.measure_line, driver.measure_limits = asleep, lambda *_: {}
    try:
        with tempfile.TemporaryDirectory() as out:
            start = time.perf_counter()
            driver.run_plan(plan_of(count), Path(out), name=None)
            return time.perf_counter() - start
    finally:
        driver.measure_line, driver.measure_limits = kept


def empty_tasks(count):
    """Tasks a second of Ray alone: empty ones, each with the slot of a node."""
    nodes = [node["NodeID"] for node in ray.nodes() if node["Resources"].get(SLOT)]
    task = ray.remote(lambda n: n)
    options = [
        {"num_cpus": 0, "resources": {SLOT: 1}, "scheduling_strategy": pinned(ray, node)}
        for node in nodes
    ]
    ray.get([task.options(**each).remote(0) for each in options])  # processes are there
    start = time.perf_counter()
    ray.get([task.options(**options[n % len(nodes)]).remote(n) for n in range(count)])
    return count / (time.perf_counter() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="100,000 tasks as well")
    full = parser.parse_args().full
    by_hand(6, 0)  # everything is imported
    found = {"plain_200_of_50_ms_s": by_hand(200, 0.05)}
    with connected("local"):
        found["local_200_of_50_ms"] = on_cluster(200, 0.05)
    found["wall_over_plain"] = found["local_200_of_50_ms"]["run_s"] / found["plain_200_of_50_ms_s"]
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    for _ in range(3):
        cluster.add_node(num_cpus=1, resources={SLOT: 1})
    ray.init(cluster.address, log_to_driver=False, configure_logging=False)
    found["empty_tasks_per_s"] = empty_tasks(3000)
    short = on_cluster(3000, 0)
    found["driver_3000_empty"] = short
    found["of_empty"] = short["per_s"] / found["empty_tasks_per_s"]
    if full:
        before = time.process_time()
        found["full"] = on_cluster(100_000, 0.005)
        found["full"]["driver_cpu_s"] = time.process_time() - before
        found["peak_bytes"] = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps(found, indent=2))
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main()
