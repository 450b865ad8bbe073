"""The nodes of a cluster: what each of them is, and which are chosen."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import rnnbench
from rnnbench.cluster.engine import OFFER, SLOT
from rnnbench.core.errors import RnnbenchError, one_line

Facts = Mapping[str, Any]
_ANSWER_S = 180  # until a node has said what it is: it imports torch first
_GB = 2**30
KEYS = ("cpu", "gpu", "host", "memory", "cores")


@dataclass(frozen=True)
class Node:
    """A machine of the cluster.

    Attributes:
        id: Ray's.
        name: its host's, with a number where a host has several.
        facts: what it is: `cpu` and `gpu` (names; the latter may be None), `cores`, `memory`
            (bytes), `host`, and what else `describe` said.
        resources: that Ray has of it.
    """

    id: str
    name: str
    facts: Facts = field(repr=False)
    resources: Mapping[str, float] = field(repr=False, default_factory=dict)

    @property
    def text(self) -> str:
        """`vm (AMD EPYC 7B13, 2 cores, 23 GB)`."""
        facts = self.facts
        said = [facts.get("gpu"), facts["cpu"], f"{facts['cores']} cores"]
        said.append(f"{facts['memory'] / _GB:.0f} GB")
        return f"{self.name} ({', '.join(str(each) for each in said if each)})"


def find_nodes(
    ray: Any,
    describe: Callable[[], Facts],
    *,
    measuring: bool,
    on_refused: Callable[[str], None] = lambda _: None,
) -> list[Node]:
    """Asks every node that is alive what it is, in the order of their names.

    Args:
        ray: the module, connected.
        describe: runs there; what it returns are the facts.
        measuring: only nodes that offer a slot for measurements.
        on_refused: called with a line for each that cannot be used, where others can.

    Raises:
        RnnbenchError: there are none that can be used; the line says why.
    """
    alive = [each for each in ray.nodes() if each["Alive"]]
    offered = [each for each in alive if not measuring or each["Resources"].get(SLOT)]
    if not offered:
        raise RnnbenchError(
            f"none of the {len(alive)} nodes of the cluster offers itself for measurements: start "
            f"those that may be measured on with `{OFFER}`"
        )
    asked = {each["NodeID"]: _ask(ray, each["NodeID"], describe) for each in offered}
    ray.wait([*asked.values()], num_returns=len(asked), timeout=_ANSWER_S)
    found, refused = [], []
    for each in offered:
        try:
            facts = ray.get(asked[each["NodeID"]], timeout=0)
        except Exception as error:  # what it raised there, or that it is gone
            cause = getattr(error, "cause", None) or error
            refused.append(f"{each['NodeManagerHostname']}: {one_line(cause)}")
            continue
        if facts["rnnbench"] != rnnbench.__version__:
            refused.append(
                f"{facts['host']}: it has rnnbench {facts['rnnbench']}, and this is "
                f"{rnnbench.__version__}"
            )
            continue
        found.append((each, facts))
    if not found:
        raise RnnbenchError(f"no node of the cluster can be used: {'; '.join(refused)}")
    for line in refused:
        on_refused(f"{line}: left out")
    return named(found)


def named(found: Sequence[tuple[Mapping[str, Any], Facts]]) -> list[Node]:
    """Nodes with names that tell them apart: `vm`; `vm-1` and `vm-2` where a host has two."""
    found = sorted(found, key=lambda pair: (pair[1]["host"], pair[0]["NodeManagerPort"]))
    hosts = [facts["host"] for _, facts in found]
    nodes = []
    for n, (each, facts) in enumerate(found):
        host = hosts[n]
        name = f"{host}-{hosts[: n + 1].count(host)}" if hosts.count(host) > 1 else host
        nodes.append(Node(each["NodeID"], name, facts, dict(each["Resources"])))
    return nodes


def describe_node() -> dict[str, Any]:
    """The least that is known of a node; runs there."""
    import psutil

    from rnnbench.core.hardware import cpu_name, gpu, usable_cores

    return {
        "rnnbench": rnnbench.__version__,
        "host": socket.gethostname(),
        "cpu": cpu_name(),
        "cores": usable_cores(),
        "gpu": gpu()[0],
        "memory": psutil.virtual_memory().total,
    }


def choose(nodes: Sequence[Node], wanted: Sequence[str]) -> list[Node]:
    """The nodes that `--on` names; all where it is not given.

    Args:
        nodes: those that there are.
        wanted: each chooses nodes that have all of it: `gpu`, or `cpu=Graviton,memory=64` with
            commas between; a text is a part of the name, a number the least.

    Raises:
        RnnbenchError: one is written wrong, or no node is so.
    """
    rules = rules_of(wanted)
    found = [node for node in nodes if not rules or any(_fits(node, rule) for rule in rules)]
    if not found:
        given = " ".join(f"--on {text!r}" for text in wanted)
        raise RnnbenchError(
            f"{given} is no node of the cluster: there are {'; '.join(n.text for n in nodes)}"
        )
    return found


def rules_of(wanted: Sequence[str]) -> list[dict[str, str]]:
    """What `--on` says, taken apart.

    Raises:
        RnnbenchError: one is written wrong.
    """
    return [_rule(text) for text in wanted]


def pinned(ray: Any, node: str) -> Any:
    """Where a task runs: on that node, or nowhere."""
    strategies = ray.util.scheduling_strategies
    return strategies.NodeAffinitySchedulingStrategy(node, soft=False)


def _ask(ray: Any, node: str, describe: Callable[[], Facts]) -> Any:
    task = ray.remote(describe).options(
        num_cpus=0, max_retries=0, scheduling_strategy=pinned(ray, node)
    )
    return task.remote()


def _rule(text: str) -> dict[str, str]:
    """`gpu,cpu=Graviton` by what it is about."""
    rule = {}
    for part in text.split(","):
        key, _, value = (each.strip() for each in part.partition("="))
        number = key in ("memory", "cores")
        if key not in KEYS or (key != "gpu" and not value) or (number and not _is_number(value)):
            raise RnnbenchError(
                f"--on {text!r}: give gpu, or cpu=NAME, gpu=NAME, host=NAME, memory=GB, cores=N, "
                "with commas between what a node must have together"
            )
        rule[key] = value
    return rule


def _fits(node: Node, rule: Mapping[str, str]) -> bool:
    facts = node.facts
    for key, value in rule.items():
        if key == "memory":
            fits = facts["memory"] >= float(value) * _GB
        elif key == "cores":
            fits = facts["cores"] >= float(value)
        elif key == "host":
            fits = value.lower() in node.name.lower()
        else:
            fits = facts[key] is not None and value.lower() in facts[key].lower()
        if not fits:
            return False
    return True


def _is_number(text: str) -> bool:
    try:
        return float(text) > 0
    except ValueError:
        return False
