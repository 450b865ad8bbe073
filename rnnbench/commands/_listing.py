"""What there is on this machine: variants, tasks, formats, runtimes and devices."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

from rnnbench import runtimes
from rnnbench.core import plugins
from rnnbench.models import tasks, variants

KINDS = ("variants", "tasks", "formats", "runtimes", "devices")


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


def items(kinds: tuple[str, ...] = KINDS) -> tuple[Item, ...]:
    """Everything of these kinds, in their order."""
    find = {
        "variants": _variants,
        "tasks": _tasks,
        "formats": lambda: _plugins("formats"),
        "runtimes": lambda: _plugins("runtimes"),
        "devices": _devices,
    }
    return tuple(item for kind in kinds for item in find[kind]())


def _variants() -> list[Item]:
    return [Item("variants", name, variants.describe(name)) for name in variants.names()]


def _tasks() -> list[Item]:
    return [
        Item("tasks", name, tasks.describe(name), tasks.available(name)) for name in tasks.names()
    ]


def _plugins(folder: str) -> list[Item]:
    found = []
    for name in plugins.names(folder):
        module = plugins.load(folder, name)
        record = module.RUNTIME if folder == "runtimes" else module.FORMAT
        found.append(Item(folder, name, _first_line(module), record.missing()))
    return found


def _devices() -> list[Item]:
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


def _first_line(module: ModuleType) -> str:
    return (module.__doc__ or module.__name__).strip().splitlines()[0]
