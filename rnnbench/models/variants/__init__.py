"""The recurrent networks: one per file, each as a cell loop and as a fused layer.

A file has the same few names as its neighbours:

* `FORMS`: the name of each form -> one line about it (a literal: it is read without importing);
* `INPUT`: what it reads, `features` (floats, time first) or `ids` (integers, batch first);
* `STATES`: the name of each state's input -> the output to feed back;
* `LAYERS`: the number of layers unless one asks for another;
* `build(form, options)`: the module, with weights from the global random generator;
* `TWINS`: the name of a form -> the other form and how the state dict converts (a dict of pairs
  whose names are literals: they are read without importing).
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING

from rnnbench.core import plugins
from rnnbench.core.errors import RnnbenchError, choices

if TYPE_CHECKING:
    from torch import Tensor, nn

    from rnnbench.core.model import Model

    Convert = Callable[[dict[str, Tensor]], dict[str, Tensor]]

NONLINEARITIES = ("tanh", "relu")


@dataclass(frozen=True)
class Options:
    """The sizes of a network.

    Attributes:
        input_size: features per step; for `ids`, the size of the embedding.
        hidden_size: the size of the state.
        num_layers: layers on top of one another.
        bidirectional: also run backwards in time (fused forms only).
        dropout: the share of a layer's outputs that the next one does not see while training.
        output_size: the size of the linear head; None: no head, the hidden state is the output.
        nonlinearity: `tanh` or `relu`, where the cell leaves the choice.
        vocabulary: how many ids there are, where the input is ids.
        seed: of the initial weights.
    """

    input_size: int
    hidden_size: int = 4
    num_layers: int = 1
    bidirectional: bool = False
    dropout: float = 0.0
    output_size: int | None = None
    nonlinearity: str = "tanh"
    vocabulary: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("input_size", "hidden_size", "num_layers", "output_size", "vocabulary"):
            size = getattr(self, name)
            optional = name in ("output_size", "vocabulary")
            if size is None and optional:
                continue
            if not isinstance(size, int) or isinstance(size, bool) or size < 1:
                raise RnnbenchError(f"{name}={size!r}: give a whole number, 1 or more")
        if not 0 <= self.dropout < 1:
            raise RnnbenchError(f"dropout={self.dropout}: give a share from 0 to below 1")
        if self.dropout and self.num_layers == 1:
            raise RnnbenchError(
                f"dropout={self.dropout} works between layers, and num_layers is 1: "
                "ask for 2 layers or more, or no dropout"
            )
        if not isinstance(self.seed, int) or not 0 <= self.seed < 2**63:
            raise RnnbenchError(f"seed={self.seed!r}: give a whole number, 0 or more")
        if self.nonlinearity not in NONLINEARITIES:
            raise choices("nonlinearity", self.nonlinearity, NONLINEARITIES)


def names() -> tuple[str, ...]:
    """Every variant, sorted. Does not import torch."""
    return tuple(_forms())


def describe(name: str) -> str:
    """One line about a variant. Does not import torch."""
    return _find(name)[1]


def reads(name: str) -> str:
    """What a variant reads: `features` or `ids`."""
    return str(_plugin(name).INPUT)


def layers(name: str) -> int:
    """The number of layers that a variant has unless one asks for another."""
    return int(_plugin(name).LAYERS)


def build(name: str, options: Options) -> nn.Module:
    """An untrained network, the same for the same seed; the global random state is left alone.

    Raises:
        RnnbenchError: there is no such variant, or it does not have what `options` ask for.
    """
    import torch

    name = plugins.canonical("variants", name)
    plugin = _plugin(name)
    if options.bidirectional and name.endswith("-loop"):
        fused = ", ".join(n for n in names() if not n.endswith("-loop"))
        raise RnnbenchError(
            f"variant {name!r} is a loop forward in time and cannot be bidirectional: "
            f"choose from {fused}"
        )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(options.seed)
        module: nn.Module = plugin.build(name, options)
    return module


def model(
    name: str, options: Options, *, bundle_name: str, module: nn.Module | None = None
) -> Model:
    """A variant with the names of its inputs and outputs.

    Features are `x` [time, batch, input], as the recurrent ops of ONNX want them; ids are `ids`
    [batch, time]; states [layer, batch, hidden]. A bidirectional network needs whole sequences, so
    it has no states to feed back.

    Args:
        name: the variant.
        options: its sizes.
        bundle_name: the name of the model.
        module: the trained network; an untrained one unless given.
    """
    from rnnbench.core.model import Model, TensorSpec

    name = plugins.canonical("variants", name)
    plugin = _plugin(name)
    module = module if module is not None else build(name, options)
    states = {} if options.bidirectional else dict(plugin.STATES)
    if plugin.INPUT == "ids":
        data = TensorSpec("ids", ("batch", "time"), dtype="int64", high=options.vocabulary)
    else:
        data = TensorSpec("x", ("time", "batch", options.input_size))
    shape = (options.num_layers, "batch", options.hidden_size)
    return Model(
        module=module,
        inputs=(data, *(TensorSpec(state, shape, role="state") for state in states)),
        outputs=("y", *states.values()),
        states=states,
        name=bundle_name,
    )


def twin(name: str, options: Options | None = None) -> tuple[str, Convert] | None:
    """The other form of a variant, and how its state dict becomes that form's.

    None where there is no other form; `options` that are bidirectional have none.
    """
    if options is not None and options.bidirectional:
        return None
    name = plugins.canonical("variants", name)
    twins: dict[str, tuple[str, Convert]] = _plugin(name).TWINS
    return twins.get(name)


def twin_name(name: str, options: Options) -> str | None:
    """The name of the other form; None where there is none. Does not import torch."""
    name = plugins.canonical("variants", name)
    written = _assigned(_find(name)[0], "TWINS")
    if options.bidirectional or not isinstance(written, ast.Dict):
        return None
    for key, pair in zip(written.keys, written.values, strict=True):
        if isinstance(pair, ast.Tuple) and isinstance(key, ast.Constant) and key.value == name:
            return str(ast.literal_eval(pair.elts[0]))
    return None


def _plugin(name: str) -> ModuleType:
    return plugins.load("variants", _find(name)[0])


def _find(name: str) -> tuple[str, str]:
    forms = _forms()
    name = plugins.canonical("variants", name)
    if name not in forms:
        raise choices("variant", name, (*forms, *plugins.ALIASES["variants"]))
    return forms[name]


@cache
def _forms() -> dict[str, tuple[str, str]]:
    """Variant -> its file's stem and its line, read from the source: importing needs torch."""
    found: dict[str, tuple[str, str]] = {}
    for stem in plugins.names("variants"):
        written = _assigned(stem, "FORMS")
        if written is not None:
            found |= {name: (stem, line) for name, line in ast.literal_eval(written).items()}
    return dict(sorted(found.items()))


@cache
def _assigned(stem: str, name: str) -> ast.expr | None:
    """The expression that a variant's file gives a name, as it is written."""
    file = plugins.source("variants", stem)
    if file is None:
        return None
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            if isinstance(target, ast.Name) and target.id == name:
                return node.value
    return None
