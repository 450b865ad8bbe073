"""The functions that files have: those of all of them, and those that a model needs besides."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import torch


def _text(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


@dataclass(frozen=True)
class Kind:
    """How the weights of products are kept.

    Attributes:
        name: of the precision; empty for floats.
        c_type: of a weight.
        dtype: the same in PyTorch.
        is_scaled: whether a column has a factor.
    """

    name: str
    c_type: str
    dtype: torch.dtype
    is_scaled: bool = False


FLOAT = Kind("", "float", torch.float32)
KINDS = {
    "float16": Kind("float16", "uint16_t", torch.float16),
    "bfloat16": Kind("bfloat16", "uint16_t", torch.bfloat16),
    "int8-weights": Kind("int8", "int8_t", torch.int8, is_scaled=True),
}
"""By the name of the precision."""


def products_of(kind: Kind) -> str:
    """The product with weights of a kind: `model_product`, `model_product_float16` ...

    With factors, a sum begins at 0, and is multiplied before the bias is added.
    """
    suffix = f"_{kind.name}" if kind.name else ""
    own, own8, own16 = (f"model_load{lanes}{suffix}" for lanes in ("", "8", "16"))
    scaled = "model_fma8(sums[r][v], model_get8(s + v * 8), model_get8(b + v * 8))"
    wide = "_mm512_fmadd_ps(wide[r][p], _mm512_loadu_ps(s + p * 24), _mm512_loadu_ps(b + p * 24))"
    rest = "_mm256_fmadd_ps(rest[r][p], model_get8(s + p * 24 + 16), model_get8(b + p * 24 + 16))"
    ends = f"            wide[r][p] = {wide};\n            rest[r][p] = {rest};"
    words = {
        "KIND": suffix,
        "TYPE": kind.c_type,
        "LOAD": own if kind.name else "",
        "LOAD8": own8 if kind.name else "model_get8",
        "SCALES": "const float *s, " if kind.is_scaled else "",
        "BEGIN": "0.0f" if kind.is_scaled else "b[j]",
        "BEGIN8": "model_all8(0.0f)" if kind.is_scaled else "model_get8(b + v * 8)",
        "END": "MODEL_FMA(sums[r][j], s[j], b[j])" if kind.is_scaled else "sums[r][j]",
        "END8": f"            sums[r][v] = {scaled};" if kind.is_scaled else "",
        "LOAD16": own16 if kind.name else "_mm512_loadu_ps",
        "BEGIN16": "_mm512_setzero_ps()" if kind.is_scaled else "_mm512_loadu_ps(b + p * 24)",
        "BEGINREST": "_mm256_setzero_ps()" if kind.is_scaled else "model_get8(b + p * 24 + 16)",
        "END16": ends if kind.is_scaled else "",
    }
    text = re.sub(r"@<(.*?)>@", r"\1" if kind.is_scaled else "", _text("products.h.in"))
    text = re.sub(r"@(\w+)@", lambda found: words[found[1]], text)
    return re.sub(r"\n\n(            float \*const into)", r"\n\1", text)


HEADER = "\n".join(
    [
        _text("functions.h"),
        _text("machines.h"),
        _text("vectors.h"),
        products_of(FLOAT),
        _text("layers.h"),
    ]
)
"""The text that stands before the model's own functions."""

FOURIER = _text("fourier.h")
"""What Fourier transforms need, after it."""

SMALLER = _text("smaller.h")
"""What products with smaller weights need, before them."""

DYNAMIC = _text("dynamic.h")
"""What products of whole numbers need."""
