"""Operators of other domains than ONNX's and PyTorch's own: which there are, and what they are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatchcase

from rnnbench.inspection.program import Program, walk

_OWN = {"aten", "prim", "prims", "higher_order", "_operator", "operator", "math", "builtins"}
_OWN |= {"torch", "sym", "inductor", "call_module", "call_method"}

# https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md (1.32); torch.ao and
# torchao of 2026. The first that fits.
_KNOWN = {
    "com.microsoft.DynamicQuantizeLSTM": "an LSTM with weights of 8 bits",
    "com.microsoft.AttnLSTM": "an LSTM with attention",
    "com.microsoft.*Attention*": "attention",
    "com.microsoft.*MatMul*": "a matrix product",
    "com.microsoft.FusedGemm": "a matrix product",
    "com.microsoft.*Conv*": "a convolution",
    "com.microsoft.*Gelu*": "an activation",
    "com.microsoft.*Norm*": "a normalisation",
    "com.microsoft.QLinear*": "arithmetic on 8 bits",
    "com.microsoft.*Quantize*": "to 8 bits, or back",
    "com.microsoft.RotaryEmbedding": "an embedding of positions",
    "ai.onnx.ml.*": "a classical model, or its preparation",
    "aten.quantized_*": "a recurrent layer with weights of 8 bits",
    "quantized.linear*": "a linear layer with weights of 8 bits",
    "quantized.*": "arithmetic on 8 bits",
    "quantized_decomposed.*": "to 8 bits, or back",
    "torchao.*": "a layer with quantised weights",
    "torchvision.*": "of torchvision",
    "torchaudio.*": "of torchaudio",
}
UNKNOWN = "not known here"


@dataclass(frozen=True)
class Foreign:
    """An operator of another domain.

    Attributes:
        op: its domain and name.
        count: how often it is there.
        what: what is known of it.
    """

    op: str
    count: int
    what: str

    @property
    def understood(self) -> bool:
        """Whether it is known what it does."""
        return self.what != UNKNOWN


def find_foreign(program: Program) -> tuple[Foreign, ...]:
    """Each operator of another domain, those of bodies included."""
    found = Counter(node.op for node in walk(program.graph) if _is_foreign(node.op))
    return tuple(Foreign(op, count, _known(op)) for op, count in sorted(found.items()))


def _is_foreign(op: str) -> bool:
    domain, dot, _ = op.rpartition(".")
    return bool(dot) and (domain.split(".")[0] not in _OWN or op.startswith("aten.quantized_"))


def _known(op: str) -> str:
    return next((what for name, what in _KNOWN.items() if fnmatchcase(op, name)), UNKNOWN)
