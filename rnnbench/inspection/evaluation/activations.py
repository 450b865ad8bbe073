"""The activations that RNN, GRU and LSTM may name, with alpha and beta.

https://github.com/onnx/onnx/blob/main/docs/Operators.md#lstm lists them. "Default values are the
same as of corresponding ONNX operators"; Affine and ScaledTanh, which are no operators any more,
were y = alpha*x + beta and y = alpha*tanh(beta*x) with 1 and 0, 1 and 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

Array = np.ndarray
Activation = Callable[[Array], Array]


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), without an overflow and with full relative precision on both sides."""
    e = np.exp(-np.abs(x))
    result: Array = np.where(x >= 0, 1.0, e) / (1.0 + e)
    return result


# name -> (the formula, the defaults of alpha and beta where it has them)
_FORMULAS: dict[str, tuple[Callable[..., Array], tuple[float, ...]]] = {
    "relu": (lambda x: np.maximum(x, 0), ()),
    "tanh": (np.tanh, ()),
    "sigmoid": (sigmoid, ()),
    "affine": (lambda x, alpha, beta: alpha * x + beta, (1.0, 0.0)),
    "leakyrelu": (lambda x, alpha: np.where(x >= 0, x, alpha * x), (0.01,)),
    "thresholdedrelu": (lambda x, alpha: np.where(x >= alpha, x, 0), (1.0,)),
    "scaledtanh": (lambda x, alpha, beta: alpha * np.tanh(beta * x), (1.0, 1.0)),
    "hardsigmoid": (lambda x, alpha, beta: np.clip(alpha * x + beta, 0, 1), (0.2, 0.5)),
    "elu": (lambda x, alpha: np.where(x >= 0, x, alpha * np.expm1(np.minimum(x, 0))), (1.0,)),
    "softsign": (lambda x: x / (1 + np.abs(x)), ()),
    "softplus": (lambda x: np.logaddexp(x, np.zeros((), x.dtype)), ()),
}


def formula(name: str) -> tuple[Callable[..., Array], tuple[float, ...]]:
    """An activation of x, and the defaults of alpha and beta where it has them.

    Args:
        name: in any case, as in ONNX Runtime.

    Raises:
        ValueError: it is not in the specification.
    """
    if name.lower() not in _FORMULAS:
        raise ValueError(f"activation {name!r} is none of {', '.join(_FORMULAS)}")
    return _FORMULAS[name.lower()]


def read_activations(
    names: Sequence[str], alphas: Sequence[float], betas: Sequence[float], clip: float | None
) -> list[Activation]:
    """The functions of a layer, in the order of its attribute.

    Args:
        names: of the activations.
        alphas: consumed in that order by those that have an alpha.
        betas: likewise.
        clip: the bound of what goes into each of them.

    Raises:
        ValueError: one has a name that is not in the specification.
    """
    left = iter(alphas), iter(betas)
    return [_activation(name, left, clip) for name in names]


def _activation(
    name: str, left: tuple[Iterator[float], Iterator[float]], clip: float | None
) -> Activation:
    function, defaults = formula(name)
    # alpha and beta of a node are float32 numbers, which Python's floats hold exactly
    given = [next(values, default) for values, default in zip(left, defaults, strict=False)]
    if clip is None:
        return lambda x: function(x, *given).astype(x.dtype, copy=False)
    return lambda x: function(np.clip(x, -clip, clip), *given).astype(x.dtype, copy=False)
