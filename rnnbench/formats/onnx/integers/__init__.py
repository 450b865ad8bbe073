"""Products of whole numbers in ONNX: `--precision int8-dynamic`, and int8-static.

steps.py        a fused layer as one product over all steps, and a Scan with the other
products.py     each product with a weight that was rounded, in standard integer operators
own_lstm.py     or an LSTM as ONNX Runtime's own operator
static.py       products outside layers with a scale that was measured, in QDQ form
calibrating.py  the ranges of values, measured by ONNX Runtime
refusing.py     a weight of a layer whose product would stay one of floats
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx_ir as ir
    import torch

    from rnnbench.formats._format import WriteOptions

LEVELS = 63
"""Of a weight, on each side of 0: two products of a uint8 and such an int8 fit into an int16, which
is what processors with AVX2 and without VNNI add them in (`vpmaddubsw`), silently saturating."""


def make_whole(model: ir.Model, module: torch.nn.Module, options: WriteOptions) -> dict[str, Any]:
    """Products with rounded weights become those of whole numbers; other weights are kept small.

    Args:
        model: is changed.
        module: whose weights are rounded.
        options: the precision, and the layers that stay as they are.

    Returns:
        What the manifest says of it: `precision`, `weights`, and `whole`, how many of these are in
        products of whole numbers.

    Raises:
        RnnbenchError: there is no such product, or a layer's weight would stay float32.
    """
    from onnx_ir.passes import common

    from rnnbench.formats.onnx.integers.own_lstm import turn_into_own
    from rnnbench.formats.onnx.integers.products import make_products
    from rnnbench.formats.onnx.integers.refusing import (
        refuse_floats,
        refuse_none,
        refuse_small_floats,
    )
    from rnnbench.formats.onnx.integers.steps import spell_out
    from rnnbench.formats.onnx.smaller import keep_small

    refuse_small_floats(model)
    before = {*model.graph.initializers}
    own = turn_into_own(model) if options.precision == "int8-dynamic-ort" else 0
    spell_out(model)
    whole = own + make_products(model)
    refuse_none(options.precision, own, whole)
    common.RemoveUnusedNodesPass()(model)
    refuse_floats(model, module, options.keep)
    made = {str(name) for name in model.graph.initializers} - before
    count = whole + keep_small(model, "int8-weights", but=made)
    return {"precision": options.precision, "weights": count, "whole": whole}
