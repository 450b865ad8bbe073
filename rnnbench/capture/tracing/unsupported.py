"""Modules of which no trace can be made, said before one is tried."""

from __future__ import annotations

from torch import nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from rnnbench.core.errors import RnnbenchError
from rnnbench.core.model import Model

_QUANTISED = ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized", "torch.nn.quantized")


def refuse_unsupported(model: Model) -> None:
    """Refuses quantised modules, and lazy ones that have not run.

    Raises:
        RnnbenchError: there is one; the message names it and says what to do.
    """
    for path, module in model.module.named_modules():
        where = f"{path or 'the model itself'} ({type(module).__name__})"
        if type(module).__module__.startswith(_QUANTISED):
            raise RnnbenchError(
                f"model {model.name!r}: {where} is quantised, and its weights are in a form that "
                "only PyTorch has: export the model as it was before, and quantise the ONNX file "
                "(onnxruntime.quantization.quantize_dynamic)"
            )
        if _is_lazy(module):
            raise RnnbenchError(
                f"model {model.name!r}: {where} has no weights before it has run once: call the "
                "model on an example first, or load its weights"
            )


def _is_lazy(module: nn.Module) -> bool:
    own = (*module.parameters(recurse=False), *module.buffers(recurse=False))
    return any(isinstance(t, UninitializedParameter | UninitializedBuffer) for t in own)
