"""Workers of a cluster that measure nothing: they do what a script says, and write down what ran.

`script.json` in a folder: label of a measurement -> what happens there: {"abort": nodes}, {"hang":
nodes}, {"sleep": seconds}; and under "busy" the nodes that cannot be believed. Nodes are called by
the label `name` that Ray has of them, and their processors by the label `cpu`.
"""

import functools
import json
import os
import time
from pathlib import Path

import rnnbench
from rnnbench.benchmarking.cluster.steadiness import Steadiness

RUNNING = "running"


def describe():
    """What the labels of a node say."""
    import ray

    labels = ray.get_runtime_context().get_node_labels()
    return {
        "rnnbench": rnnbench.__version__,
        "host": labels["name"],
        "cpu": labels["cpu"],
        "cores": 1,
        "gpu": labels.get("gpu"),
        "memory": 2**30,
        "machine_id": "made",
    }


def write_script(folder, **script):
    """Says what happens."""
    (folder / "script.json").write_text(json.dumps(script))
    return functools.partial(Scripted, folder)


def started(folder):
    """Each measurement that began: its label, and on which node."""
    file = folder / RUNNING
    return [tuple(x.split(" on ")) for x in file.read_text().splitlines()] if file.exists() else []


class Scripted:
    """Makes workers that follow the script in a folder; the plan and parcels are left alone."""

    def __init__(self, folder, plan, parcels):
        self.folder = folder

    def __call__(self):
        return Worker(self.folder)


class Worker:
    """One of them, on a node."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.facts = describe()
        self.name = self.facts["host"]

    def begin(self):
        machine = {**self.facts, "schema": 1, "versions": {}}
        return {"machine": machine, "machine_info": {}}

    def run(self, item):
        label = item.label
        with (self.folder / RUNNING).open("a") as file:
            file.write(f"{label} on {self.name}\n")
        script = json.loads((self.folder / "script.json").read_text())
        said = script.get(label, {})
        if self.name in said.get("abort", ()):
            os.abort()
        time.sleep(said.get("sleep", 0) if self.name not in said.get("hang", ()) else 600)
        info = {"kind": item.kind, "node": self.name, "stable": True, "p50": 1.0}
        info |= {"ratio": 1.0, "low": 1.0, "high": 1.0, "load_s": 1.0}
        return {"id": label, "entry": {"name": label, "extra_info": info}}

    def end_group(self):
        script = json.loads((self.folder / "script.json").read_text())
        return Steadiness(1.0, 3.0 if self.name in script.get("busy", ()) else 0.0, 4)

    def close(self):
        pass
