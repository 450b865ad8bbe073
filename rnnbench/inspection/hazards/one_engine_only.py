"""An operator that is not ONNX's or PyTorch's own: one engine has it, others refuse the file."""

from __future__ import annotations

from collections.abc import Iterator

from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.foreign import find_foreign
from rnnbench.inspection.hazards import Found
from rnnbench.inspection.recurrences import FoundRecurrence

SEVERITY = "note"
REMEDY = "keep the file from before the optimiser or quantiser wrote it, for other engines"

_ENGINES = {
    "com.microsoft": "ONNX Runtime",
    "quantized": "PyTorch",
    "aten": "PyTorch",
    "torchao": "PyTorch with torchao",
    "torchvision": "PyTorch with torchvision",
    "torchaudio": "PyTorch with torchaudio",
}


def find(flow: Flow, recurrences: tuple[FoundRecurrence, ...]) -> Iterator[Found]:
    """Yields where, what, and a severity other than the usual one."""
    for foreign in find_foreign(flow.program):
        domain = foreign.op.rpartition(".")[0]
        engine = _ENGINES.get(domain, "whoever has that library")
        yield foreign.op, f"only {engine} runs it", ""
