"""What is guessed of a module: its declaration, names for its outputs, and what is doubtful."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import nn

from rnnbench.core.dims import Dim
from rnnbench.core.model import TensorSpec
from rnnbench.models.declaration.caller import Caller, Part
from rnnbench.models.declaration.calling import ports_in
from rnnbench.models.declaration.ports import Argument, Port
from rnnbench.models.example.call import identifier, unique


@dataclass(frozen=True)
class Sampling:
    """How inputs are made that follow from one another.

    Attributes:
        falling: whether numbers of steps have to be in falling order.
        least: the fewest steps that a row may have.
        full: whether every row has to have all steps.
        prefixes: the masks that are true for the first steps of each row alone.
        padded: the ids that are 0 after the first steps of each row, and nowhere else.
    """

    falling: bool = False
    least: int = 1
    full: bool = False
    prefixes: tuple[str, ...] = ()
    padded: tuple[str, ...] = ()


@dataclass(frozen=True)
class Guess:
    """A declaration, and how sure one can be of it.

    Attributes:
        inputs: one for each tensor that is given.
        outputs: their names.
        states: input -> output.
        ran: whether the module ran with these inputs.
        left_out: arguments of `forward` that keep their defaults.
        why: why it did not run.
        caller: how the module is called, where the declaration alone does not say it.
        returns: which parts of what the module returns are outputs, where it returns more.
        sampling: what `sample` of the draft has to see to.
        lift_state: whether the module keeps a state.
        doubts: what its author has to look at, a line each.
        sizes: of each dimension, at which it ran.
        dims: which sizes a dimension may have, where not all.
        lazy: whether layers of the module take their sizes from a first call.
        called: how the module is called.
        parts: the text that gives each tensor of what it returned.
        exported: whether it was exported, and computed the same.
        remarks: what was changed until it was, and why: a line each.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[str, ...] = ("y",)
    states: Mapping[str, str] = field(default_factory=dict)
    ran: bool = False
    left_out: tuple[str, ...] = ()
    why: str = ""
    caller: Caller | None = None
    returns: tuple[str, ...] = ()
    sampling: Sampling = Sampling()
    lift_state: bool = False
    doubts: tuple[str, ...] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)
    dims: Mapping[str, Dim] = field(default_factory=dict)
    lazy: bool = False
    called: Caller | None = None
    parts: tuple[str, ...] = ()
    exported: bool = False
    remarks: tuple[str, ...] = ()


def unknown(module: nn.Module, arguments: Sequence[Argument], why: str) -> Guess:
    """What is left where no call was found: the likeliest."""
    values = tuple(a.candidates[0] for a in arguments)
    names = {port.name: port for port in ports_in(values)}
    specs = tuple(_as_it_looks(name, port) for name, port in names.items())
    return Guess(specs or (TensorSpec("x", ("batch", "time", "features")),), why=why)


def _as_it_looks(name: str, port: Port) -> TensorSpec:
    dims: tuple[int | str, ...] = ("batch", "time", "features", "more", "last")
    high = port.high if port.dtype.startswith("int") and port.role == "data" else None
    return TensorSpec(identifier(name), dims[: len(port.shape)], port.dtype, port.role, high=high)


def named_outputs(
    parts: Sequence[Part], specs: Sequence[TensorSpec], back: Mapping[str, int]
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Names of the outputs: keys and fields; `hn` for what the state `h0` becomes; `y`, `y2`."""
    taken = {spec.name for spec in specs}
    becomes = {number: state for state, number in back.items()}
    given = [part.name for part in parts]
    keyed = len(set(given)) == len(given) and all(k.isidentifier() for k in given)
    keyed = keyed and not taken & set(given)
    names: list[str] = []
    states: dict[str, str] = {}
    for i, part in enumerate(parts):
        if keyed:
            name = part.name
        elif i in becomes:
            state = becomes[i]
            stem = (
                state[:-1].rstrip("_") if state in ("h0", "c0", "h_0", "c_0", "hx", "cx") else state
            )
            name = unique(f"{stem}n" if len(stem) < 2 else f"{stem}_next", taken)
        else:
            stem = "y" if "y" not in {spec.name for spec in specs} else "out"
            name = unique(stem if not names else f"{stem}{len(names) + 1}", taken)
        if i in becomes:
            states[becomes[i]] = name
        names.append(name)
        taken.add(name)
    return tuple(names), states


def doubts_of(specs: Sequence[TensorSpec], *, falling: bool, drawn: bool) -> tuple[str, ...]:
    """What the author of a draft has to look at, a line each."""
    dims = list(dict.fromkeys(d for spec in specs for d in spec.dims))
    found = []
    if "batch" not in dims:
        found.append("no batch was found that keeps its rows apart: the module is declared without")
    if "time" not in dims:
        found.append("no time dimension was found: it is declared as a model of one step")
    lengths = [d for d in dims if d == "time" or d.endswith("_time")]
    if len(lengths) > 1:
        said = " and ".join(lengths)
        found.append(f"it ran with unequal {said}: give them one name where they agree")
    if drawn and not falling:
        found.append("it fails with random inputs: write a function sample (docs/own-model.md)")
    return tuple(found)
