"""`list`: what there is on this machine: variants, tasks, formats, runtimes and devices."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import click

from rnnbench.commands._console import print_json, print_table
from rnnbench.commands._options import as_json, verb
from rnnbench.core.collector import importing
from rnnbench.core.documents import document
from rnnbench.core.errors import choices

KINDS = ("variants", "tasks", "formats", "runtimes", "devices")


@verb(
    "Show variants, tasks, formats, runtimes.",
    "rnnbench list                                # everything, and why something is not here",
    "rnnbench list runtimes devices",
)
@click.argument("kinds", nargs=-1)
@as_json
def command(kinds: tuple[str, ...], as_json: bool) -> None:
    """Show variants, tasks, formats, runtimes and devices, and why one is not available.

    KINDS: variants, tasks, formats, runtimes, devices; all unless given.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise choices("kind", kind, KINDS)
    with importing():  # each plugin
        found = find_items(kinds or KINDS)
    if as_json:
        items = [asdict(item) | {"available": item.reason is None} for item in found]
        print_json(document("list", {"items": items}))
        return
    rows = []
    for item in found:
        missing = f"not available: {item.reason}"
        rows.append((item.kind, item.name, missing if item.reason else item.description))
    print_table(["kind", "name", "what it is"], rows)


@dataclass(frozen=True)
class Item:
    """One line of the list.

    Attributes:
        kind: the plural folder it is in, or `devices`.
        name: what to give on the command line.
        description: one line.
        reason: why it cannot be used here; None where it can.
    """

    kind: str
    name: str
    description: str
    reason: str | None = None


def find_items(kinds: tuple[str, ...] = KINDS) -> tuple[Item, ...]:
    """Everything of these kinds, in their order."""
    find = {
        "variants": _variants,
        "tasks": _tasks,
        "formats": _formats,
        "runtimes": _runtimes,
        "devices": _devices,
    }
    return tuple(item for kind in kinds for item in find[kind]())


def _variants() -> list[Item]:
    from rnnbench.models import variants

    return [
        Item("variants", name, variants.describe(name) + _also("variants", name))
        for name in variants.names()
    ]


def _also(kind: str, name: str) -> str:
    """The other names that are understood."""
    from rnnbench.core import plugins

    others = plugins.aliases(kind, name)
    return f" (also: {', '.join(others)})" if others else ""


def _tasks() -> list[Item]:
    from rnnbench.models import tasks

    return [
        Item("tasks", name, tasks.describe(name), tasks.available(name)) for name in tasks.names()
    ]


def _formats() -> list[Item]:
    from rnnbench.core import plugins

    found = {name: plugins.load("formats", name).FORMAT for name in plugins.names("formats")}
    return [
        Item(
            *("formats", name, plugins.describe("formats", name) + _also("formats", name)),
            format.missing(),
        )
        for name, format in found.items()
    ]


def _runtimes() -> list[Item]:
    from rnnbench import runtimes
    from rnnbench.core import plugins

    return [
        Item(
            *("runtimes", name, plugins.describe("runtimes", name) + _also("runtimes", name)),
            runtime.missing(),
        )
        for name, runtime in runtimes.every().items()
    ]


def _devices() -> list[Item]:
    from rnnbench import runtimes

    users: dict[str, list[str]] = {"cpu": []}
    for name, runtime in runtimes.every().items():
        for device in runtime.devices() if runtime.missing() is None else ():
            users.setdefault(device, []).append(name)
    found = [Item("devices", device, f"for {', '.join(by)}") for device, by in users.items()]
    if not any(device.startswith("cuda") for device in users):
        found.append(
            Item("devices", "cuda", "NVIDIA GPUs", "no installed runtime sees one on this machine")
        )
    return found
