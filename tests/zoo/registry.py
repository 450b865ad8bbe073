"""What an entry of the zoo is, and the decorator that makes one."""

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from rnnbench import Model, TensorSpec


@dataclass(frozen=True)
class Entry:
    """A model and what its export must be.

    Attributes:
        name: the function's name, and the model's.
        build: makes the model, the same each time.
        expect: kind of recurrence -> its representation; None where any will do.
        nodes: ONNX op type -> how many nodes of it the file has.
    """

    name: str
    build: Callable[[], Model]
    expect: Mapping[str, str] | None = None
    nodes: Mapping[str, int] = field(default_factory=dict)


ENTRIES: dict[str, Entry] = {}


def entry(expect=None, nodes=None):
    """Registers a function that returns a Model, or the keyword arguments of one."""

    def register(function):
        @functools.wraps(function)
        def build():
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                made = function()
            if isinstance(made, Model):
                return made
            made["module"].eval()
            return Model(**({"name": function.__name__} | made))

        assert function.__name__ not in ENTRIES
        ENTRIES[function.__name__] = Entry(function.__name__, build, expect, nodes or {})
        return build

    return register


def discover():
    """Imports every file of the zoo."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        importlib.import_module(f"zoo.{module.name}")


def x(*shape, name="x", **keywords):
    """An input of floats."""
    return TensorSpec(name, shape, **keywords)


def ids(*shape, name="ids", high=11):
    """An input of integers below `high`."""
    return TensorSpec(name, shape, dtype="int64", high=high)


def state(*shape, name="h0"):
    """A state that the caller keeps."""
    return TensorSpec(name, shape, role="state")


def lengths(name="lengths", dim="batch"):
    """How many steps of each row are valid."""
    return TensorSpec(name, (dim,), dtype="int64", role="lengths")
