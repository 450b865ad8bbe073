"""Stops at weights of layers whose products would be of floats after all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from torch import nn

from rnnbench.core.errors import RnnbenchError
from rnnbench.formats.onnx.editing import all_nodes, constant_of
from rnnbench.models.precision import Weight, weights_of

_LAYERS = (nn.Linear, nn.RNNBase, nn.RNNCellBase)
_PRODUCTS = ("MatMul", "Gemm", "RNN", "GRU", "LSTM", "Einsum")


def refuse_small_floats(model: ir.Model) -> None:
    """Raises where the model itself rounds values to floats of 16 bits, as autocast does.

    The reference of a file that rounds to whole numbers is its graph in float64, which has one type
    of floats.

    Raises:
        RnnbenchError: it does.
    """
    for node in all_nodes(model):
        to = node.attributes.get("to")
        small = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16)
        if node.op_type == "Cast" and to is not None and to.as_int() in small:
            name = ir.DataType(to.as_int()).name.lower()
            raise RnnbenchError(
                f"the model itself rounds values to {name}, as autocast does, and what is rounded "
                "to whole numbers is not judged beside that: export with --precision int8-weights"
            )


def refuse_none(precision: str, own: int, whole: int) -> None:
    """Raises where nothing was made whole.

    Raises:
        RnnbenchError: there is no product with a rounded weight, or no LSTM.
    """
    if precision == "int8-dynamic-ort" and not own:
        raise RnnbenchError(
            "the graph has no LSTM, the only layer that ONNX Runtime has an operator of whole "
            "numbers for: export with --precision int8-dynamic"
        )
    if not whole:
        raise RnnbenchError(
            "the graph has no product with a weight that was rounded: export with --precision "
            "int8-weights, or without"
        )


def refuse_floats(model: ir.Model, module: torch.nn.Module, keep: Sequence[str]) -> None:
    """Raises at the first weight of a layer, or of a product, that is still float32.

    Args:
        model: what was made.
        module: with its rounded weights.
        keep: patterns of layers that stay as they are.

    Raises:
        RnnbenchError: there is one, which is named.
    """
    left = _rows_of_products(model)
    for weight in weights_of(module, keep):
        array = weight.data.detach().cpu().numpy()
        if array.ndim == 2 and {*map(_key, array)} & left:
            raise RnnbenchError(_said(weight, "is not on the right of a product of matrices"))
    for weight in weights_of(module, keep):
        owner = _computes(module, weight)
        if owner:
            raise RnnbenchError(_said(weight, f"is no weight itself: that of {owner} is computed"))


def _said(weight: Weight, why: str) -> str:
    return (
        f"{weight.name} would stay float32, since it {why}: export with --keep "
        f"float32:{weight.layer}, or --precision int8-weights"
    )


def _rows_of_products(model: ir.Model) -> set[bytes]:
    """The rows and columns of the matrices of floats that are multiplied by."""
    found: set[bytes] = set()
    for node in all_nodes(model):
        if node.domain or node.op_type not in _PRODUCTS:
            continue
        for value in node.inputs[:3]:
            held = constant_of(value)
            if held is not None and held.dtype == np.float32 and held.ndim > 1:
                for matrix in held.reshape(-1, *held.shape[-2:]):
                    found |= {_key(line) for way in (matrix, matrix.T) for line in way}
    return found - {b""}


def _key(line: np.ndarray[Any, Any]) -> bytes:
    """The numbers of a row; nothing of one that may be anybody's."""
    return line.astype(np.float32).tobytes() if np.unique(line).size > 1 else b""


def _computes(module: torch.nn.Module, weight: Weight) -> str:
    """The layer whose weight is computed of this one, as of a weight norm; empty where none is."""
    for path, layer in _computing(module):
        if weight.name.startswith(f"{path}." if path else ""):
            return path or type(layer).__name__
    return ""


def _computing(module: torch.nn.Module) -> Iterator[tuple[str, torch.nn.Module]]:
    for path, part in module.named_modules():
        if not isinstance(part, _LAYERS):
            continue
        names = {name for name, _ in part.named_parameters(recurse=False)}
        if hasattr(part, "parametrizations") or any(name.endswith("_v") for name in names):
            yield path, part
