"""What stays together on one node: all that a ratio or a comparison joins."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from rnnbench.benchmarking.machine import KIND
from rnnbench.benchmarking.plan import Item
from rnnbench.cluster.nodes import Node


def group_of(item: Item) -> str:
    """The name of the group that an item is in: its model, and the conditions.

    Both sides of a ratio are one item, and so are on one node in any case; what tables hold against
    one another (latencies, costs, ways to hold streams) are the items of a group.
    """
    conditions = replace(item.conditions, batch=1) if item.streams else item.conditions
    return f"{item.target} on {conditions}"


def in_groups(todo: Iterable[Item]) -> dict[str, list[Item]]:
    """The items of each group, in their order."""
    found: dict[str, list[Item]] = {}
    for item in todo:
        found.setdefault(group_of(item), []).append(item)
    return found


def kind_of(facts: dict[str, Any]) -> str:
    """What nodes share whose numbers belong together: processor, cores, device, versions."""
    return json.dumps([facts["machine_id"], *(facts.get(name) for name in KIND)], sort_keys=True)


def kinds_of(nodes: Sequence[Node]) -> dict[str, str]:
    """Name of a node -> its kind."""
    return {node.name: kind_of(dict(node.facts)) for node in nodes}
