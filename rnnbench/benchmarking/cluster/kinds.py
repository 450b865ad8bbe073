"""What a node is, and which nodes are of one kind. PyTorch is not imported to say so."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rnnbench.benchmarking.machine import KIND, describe_machine
from rnnbench.benchmarking.record import machine_id
from rnnbench.cluster.nodes import Node, describe_node


def describe() -> dict[str, Any]:
    """What a node is; runs there."""
    return {**describe_node(), **describe_machine(), "machine_id": machine_id()}


def kind_of(facts: dict[str, Any]) -> str:
    """What nodes share whose numbers belong together: processor, cores, device, versions."""
    return json.dumps([facts["machine_id"], *(facts.get(name) for name in KIND)], sort_keys=True)


def kinds_of(nodes: Sequence[Node]) -> dict[str, str]:
    """Name of a node -> its kind."""
    return {node.name: kind_of(dict(node.facts)) for node in nodes}
