"""What an engine makes of layers that are valid and not the usual ones: records in its adapter.

The profiles of `--for`, the refusals, the messages of `check` and `conform` and the table of
docs/engines.md are made from these records, and `inspect` says them of any file; a probe of small
files proves them (tests/runtimes/test_engine_gaps.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from rnnbench.core import plugins
from rnnbench.core.errors import RnnbenchError

Behaviour = Literal["wrong", "refused"]
Sizes = Literal["any", "dynamic"]

PROBED = "probed"
"""The source of what small generated files showed, and nobody has reported that we know of."""


@dataclass(frozen=True)
class Gap:
    """One thing that a layer may have, and that an engine does not compute.

    Attributes:
        op: `RNN`, `GRU` or `LSTM`.
        attribute: what it has, a key of `WORDS`; empty for the operator itself.
        behaviour: `wrong` where the engine computes something else without a word.
        version: the engine that was seen doing it, with its version.
        source: a public issue, as owner/name#number, or `PROBED`.
        sizes: `dynamic` where it is right as soon as all sizes are fixed in the file.
        rewrite: the rewrite that does without it (formats/onnx/rewrites/); empty where `--for`
            refuses the model instead.
    """

    op: str
    attribute: str
    behaviour: Behaviour
    version: str
    source: str = PROBED
    sizes: Sizes = "any"
    rewrite: str = ""

    @property
    def what(self) -> str:
        """What a layer with it has, in words."""
        return WORDS[self.attribute]

    def about(self, name: str | None) -> str:
        """What of a layer of that name is not computed, and by whom."""
        does = "computes wrong, without a word" if self.behaviour == "wrong" else "refuses"
        has = f" has {self.what}" if self.attribute else ""
        return f"the {self.op} {name!r}{has}, which {self.version} {does}"


def seen(
    version: str,
    attribute: str,
    *,
    wrong: Iterable[str] = (),
    refused: Iterable[str] = (),
    source: str = PROBED,
    sizes: Sizes = "any",
    rewrite: str = "",
) -> tuple[Gap, ...]:
    """The records of one attribute: which layers with it are `wrong`, and which are `refused`."""
    said: Mapping[Behaviour, Iterable[str]] = {"wrong": wrong, "refused": refused}
    return tuple(
        Gap(op, attribute, behaviour, version, source, sizes, rewrite)
        for behaviour, ops in said.items()
        for op in ops
    )


def all_gaps() -> dict[str, tuple[Gap, ...]]:
    """Runtime -> what a layer may have and it does not compute, of those that judge.

    A plugin of another package that cannot be imported has none: whoever runs it is told.
    """
    found = {}
    for name in plugins.names("runtimes"):
        try:
            runtime = plugins.load("runtimes", name).RUNTIME
        except RnnbenchError:
            continue
        if runtime.gaps and runtime.judge:
            found[name] = runtime.gaps
    return found


LAYERS = ("RNN", "GRU", "LSTM")

WORDS = {
    "": "the operator itself",
    "activations": "activations of its own",
    "activation_alpha": "activations with a number (alpha, beta)",
    "clip": "clip",
    "P": "peepholes (P)",
    "input_forget": "input_forget=1",
    "linear_before_reset=0": "linear_before_reset=0",
    "layout": "layout=1",
    "sequence_lens": "lengths (sequence_lens)",
    "direction=forward": "direction=forward written down",
    "direction=reverse": "direction=reverse",
    "direction=bidirectional": "direction=bidirectional",
    "no initial state": "no initial state",
    "no B": "no biases (B)",
    "no Y": "no sequence among its outputs (Y)",
}
"""What a layer may have: its name in a record -> in words. `layer_facts.py` finds it."""
