"""Runs the module and what was made of it, at other sizes, and compares."""

from __future__ import annotations

import contextlib
import functools
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from rnnbench.capture.tracing.trace import evaluating
from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.model import Model, sample_inputs
from rnnbench.models.calls import device_of, invoke
from rnnbench.models.kept import tensors_in

# Another order of summation moves a float32 result by parts in 10^6; a wrong graph by parts in 10.
_TOLERANCE = 1e-4
_SMALLEST = (
    1e-2  # a result below is compared as one of this size: it may be what rounding left over
)
_LONG = 311  # steps: longer than what modules have tables and limits for, short enough to wait for
_PROBES = (*range(1, 40), *(round(40 * 1.1**k) for k in range(52)))  # up to 5,000


# What torch's expressions of sizes are made of, beside SymPy's own operators.
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "FloorDiv": operator.floordiv,
    "CleanDiv": operator.floordiv,
    "CeilDiv": lambda a, b: -(-a // b),
    "Mod": operator.mod,
    "PythonMod": operator.mod,
    "ModularIndexing": lambda base, by, of: base // by % of,
    "IntTrueDiv": operator.truediv,
    "FloatTrueDiv": operator.truediv,
    "FloatPow": operator.pow,
    "PowByNatural": operator.pow,
    "ToFloat": float,
    "TruncToInt": int,
    "TruncToFloat": lambda x: float(int(x)),
    "FloorToInt": math.floor,
    "CeilToInt": math.ceil,
    "RoundToInt": round,
    "Max": max,
    "Min": min,
    "Identity": lambda x: x,
}


class Unproved(RnnbenchError):  # noqa: N818
    """What was captured is not what the module computes, at some sizes."""

    def __init__(self, message: str, sizes: Mapping[str, int]) -> None:
        super().__init__(message)
        self.sizes = sizes


class Proof:
    """What a module gives at other sizes than the traced ones, to be compared with.

    Those are short and long, and sizes at which something is otherwise that the module asked of its
    sizes in the trace. Sizes at which the module itself raises are left out (a convolution longer
    than its input).
    """

    def __init__(
        self,
        model: Model,
        dims: Mapping[str, int],
        conditions: Sequence[tuple[Any, str]] = (),
        *,
        shorter: bool = False,
    ) -> None:
        """Runs the module.

        Args:
            model: the model.
            dims: the traced sizes.
            conditions: what the module asked of its sizes in the trace.
            shorter: whether it is run with lengths that are all below the number of steps, too.
        """
        self.model = model
        self._found: list[tuple[dict[str, int], list[torch.Tensor], list[torch.Tensor]]] = []
        wanted = [*_sizes(model, dims), *_sizes_that_break(dims, conditions)]
        wanted = [model.fit(sizes) for sizes in wanted]
        wanted = [s for i, s in enumerate(wanted) if s not in wanted[:i]]
        for seed, sizes in enumerate(wanted):
            try:
                self._found.append((sizes, *_run(model, sizes, seed)))
            except Exception:
                continue
        if shorter:
            with contextlib.suppress(Exception):  # it may want a row that has all steps
                self._found.append((dict(dims), *_run(model, dims, 0, shorter=True)))
        if not self._found:
            raise RnnbenchError(f"model {model.name!r} raises at every size but the traced one")

    def varying(self) -> tuple[frozenset[int], ...]:
        """Of each output, the dimensions whose size is not the same at all of these sizes."""
        outputs = zip(*(expected for _, _, expected in self._found), strict=False)
        return tuple(
            frozenset(
                dim
                for dim, sizes in enumerate(zip(*(t.shape for t in tensors), strict=False))
                if len(set(sizes)) > 1
            )
            for tensors in outputs
        )

    def compare(self, run: Callable[..., Any]) -> None:
        """Compares a program with the module that it stands for.

        Raises:
            Unproved: they differ; the message gives the sizes and the error.
        """
        tolerance = _tolerance_of(run)
        for sizes, tensors, expected in self._found:
            with evaluating(self.model.module):
                try:
                    given = torch.utils._pytree.tree_leaves(run(*tensors))
                except Exception as error:
                    what = "raises " + one_line(error)[:80]
                    raise _differs(self.model, sizes, what) from error
            for name, a, b in zip(self.model.outputs, expected, given, strict=False):
                wrong = difference(a, b, tolerance)
                if wrong:
                    raise _differs(self.model, sizes, f"gives {name!r} {wrong}")


def runs_at(model: Model, sizes: Mapping[str, int]) -> bool:
    """Whether the module itself runs at some sizes."""
    try:
        _run(model, sizes, 0)
    except Exception:  # a user's module may raise anything
        return False
    return True


def _run(
    model: Model, sizes: Mapping[str, int], seed: int, *, shorter: bool = False
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Random inputs, and what the module gives for them; each length one less, where `shorter`."""
    arrays = sample_inputs(model, sizes, seed)
    if shorter:
        of_rows = {spec.name for spec in model.inputs if spec.role == "lengths"}
        arrays = {n: np.maximum(a - 1, 1) if n in of_rows else a for n, a in arrays.items()}
    device = device_of(model.module)
    tensors = [torch.from_numpy(a).to(device) for a in arrays.values()]
    with evaluating(model.module):
        returned = invoke(model.module, model.inputs, model.outputs, tensors)
    return tensors, tensors_in(returned)


def _sizes(model: Model, dims: Mapping[str, int]) -> Iterator[dict[str, int]]:
    other = [d for d in dims if d != model.batch_dim]
    yield dict(dims)
    # Batch 1; length 1; 3 steps more; twice as long and 1 more; length 2.
    for batch, scale, offset in ((1, 1, 0), (2, 0, 1), (4, 1, 3), (2, 2, 1), (1, 0, 2)):
        sizes = {d: dims[d] * scale + offset for d in other}
        yield {d: sizes.get(d, batch) for d in dims}
    if model.time_dim in dims:
        yield {d: 1 if d == model.batch_dim else n for d, n in dims.items()} | {
            model.time_dim: _LONG
        }


def _sizes_that_break(
    dims: Mapping[str, int], conditions: Sequence[tuple[Any, str]]
) -> Iterator[dict[str, int]]:
    """For each condition on a size, the smallest size at which it is not so, if there is one."""
    for expression, _ in conditions:
        for dim in dims:
            if any(symbol.name == dim for symbol in expression.free_symbols):
                tried = (dict(dims) | {dim: size} for size in _PROBES)
                broken = next((sizes for sizes in tried if not holds(expression, sizes)), None)
                if broken is not None:
                    yield broken


def holds(expression: Any, sizes: Mapping[str, int]) -> bool:
    """Whether a condition on the names of dimensions is so at some sizes."""
    names, compiled = _compiled(expression)
    try:
        return bool(compiled(*(sizes[name] for name in names)))
    except (ZeroDivisionError, AssertionError):
        # A size that the module cannot have: `12 // (width - 1)`, the rest of a negative one.
        return True


@functools.lru_cache(maxsize=256)
def _compiled(expression: Any) -> tuple[tuple[str, ...], Callable[..., Any]]:
    """A condition as a function of sizes, and their names: SymPy would take 10 ms for each."""
    import sympy

    symbols = sorted(expression.free_symbols, key=str)
    names = tuple(symbol.name for symbol in symbols)
    used = {f.func for f in expression.atoms(sympy.Function)}
    if not {f.__name__ for f in used} <= _FUNCTIONS.keys():  # one of torch's that is not known here
        return names, lambda *values: expression.subs(dict(zip(symbols, values, strict=True)))
    # Under names that SymPy's printer does not know: torch's Mod(t - 1, 3) it writes `t - 1 % 3`.
    own = {f"of_torch_{name}": function for name, function in _FUNCTIONS.items()}
    for f in used - {sympy.Max, sympy.Min}:
        expression = expression.replace(f, sympy.Function(f"of_torch_{f.__name__}"))
    return names, sympy.lambdify(symbols, expression, modules=[own, "math"])


def _tolerance_of(run: Callable[..., Any]) -> float:
    """Of a graph that rounds to a smaller type, as autocast does: 4 of its roundings."""
    owner = getattr(run, "__self__", None)
    nodes = owner.graph.nodes if isinstance(owner, torch.fx.GraphModule) else ()
    given = {
        value
        for node in nodes
        for value in (*node.args, *node.kwargs.values())
        if isinstance(value, torch.dtype)
    }
    smaller = given & {torch.bfloat16, torch.float16}
    return max([_TOLERANCE, *(4 * torch.finfo(dtype).eps for dtype in smaller)])


def difference(a: torch.Tensor, b: torch.Tensor, tolerance: float = _TOLERANCE) -> str:
    """In what the second tensor differs from the first; empty: in nothing but rounding.

    Args:
        a: the first.
        b: the second.
        tolerance: relative to the largest number.
    """
    if a.shape != b.shape or a.dtype != b.dtype:
        return f"as {b.dtype}{list(b.shape)} for {a.dtype}{list(a.shape)}"
    if not (a.is_floating_point() or a.is_complex()):
        wrong = int((a != b).sum())  # whole numbers and truths are right or wrong
        return f"with {wrong} of {a.numel()} values wrong" if wrong else ""
    if a.is_complex():
        a, b = torch.view_as_real(a), torch.view_as_real(b)  # [...] -> [..., 2]
    x, y = a.detach().double().cpu().numpy(), b.detach().double().cpu().numpy()
    # Relative to the largest value: small ones among large ones carry the large ones' rounding.
    scale = max(_SMALLEST, float(np.abs(x[np.isfinite(x)]).max(initial=0.0)))
    close = np.isclose(x, y, rtol=0.0, atol=tolerance * scale, equal_nan=True)
    return "" if close.all() else f"off by {np.nanmax(np.abs(x - y)):.2g}"


def _differs(model: Model, sizes: Mapping[str, int], what: str) -> Unproved:
    at = ", ".join(f"{d}={n}" for d, n in sizes.items())
    message = f"model {model.name!r}: what was captured {what} at {at}, so it is not exported"
    return Unproved(message, sizes)
