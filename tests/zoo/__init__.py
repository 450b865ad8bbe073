"""Models as people write them, each a function that returns a `rnnbench.Model`."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from rnnbench import Model, TensorSpec


@dataclass(frozen=True)
class Entry:
    name: str
    build: Callable[[], Model]
    expect: tuple[str, ...]  # the representations that the recurrences must have, sorted


MODELS: dict[str, Entry] = {}

X = TensorSpec("x", ("time", "batch", 3))
XB = TensorSpec("x", ("batch", "time", 3))
LENGTHS = TensorSpec("lengths", ("batch",), dtype="int64", role="lengths")
TOKENS = TensorSpec("tokens", ("batch", "time"), dtype="int64", high=9)


def entry(
    *inputs: TensorSpec,
    outputs: str = "y",
    expect: str = "fused",
    states: dict[str, str] | None = None,
    **options,
):
    """Registers a module class; `expect` is `kind` or `kind kind ...` of representations."""

    def register(cls: type[nn.Module]) -> type[nn.Module]:
        def build() -> Model:
            torch.manual_seed(0)
            return Model(
                cls(), inputs or (XB,), tuple(outputs.split()), states=states or {}, **options
            )

        assert cls.__name__ not in MODELS
        MODELS[cls.__name__] = Entry(cls.__name__, build, tuple(sorted(expect.split())))
        return cls

    return register


from tests.zoo import (  # noqa: E402, F401
    branches,
    calls,
    cells,
    demands,
    endings,
    irregular,
    layers,
    listed,
    loops,
    published,
    selected,
    sizes,
    stateful,
    stepping,
    walking,
)
