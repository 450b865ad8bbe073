"""What stays together on one node: all that a ratio or a comparison joins."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from rnnbench.benchmarking.plan import Item


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
