"""What a user declares: a module, and its inputs and outputs by name."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from rnnbench.core.dims import Dim, names_of, products, value_of
from rnnbench.core.errors import RnnbenchError, one_line

if TYPE_CHECKING:
    import numpy as np
    import torch

Arrays: TypeAlias = "dict[str, np.ndarray[Any, Any]]"
Run = Callable[[Arrays], Arrays]
Dims = Mapping[str, int]
Role = Literal["data", "lengths", "state"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PRINTED = re.compile(r"[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*")
_WRAPPERS = {
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "OptimizedModule": "_orig_mod",
}
_MOST = 2**31  # numbers of all inputs: 8 GiB of float32
DTYPES = ("float16", "float32", "float64", "int32", "int64", "bool")


@dataclass(frozen=True)
class TensorSpec:
    """One input of a model.

    Attributes:
        name: the input's name in every artifact.
        shape: a dimension each; an `int` is fixed, a `str` is dynamic and shared by its name. A
            sum or product of others is written so: `"envs*time"`, `"time+1"`.
        dtype: a numpy dtype's name.
        role: `data`, `lengths` (valid steps per row, 1..time) or `state` (zero at the start).
        high: the exclusive upper bound of integer data (the size of a vocabulary).
        value: what all its numbers are, where one alone makes sense (a sampling rate).
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: str = "float32"
    role: Role = "data"
    high: int | None = None
    value: float | None = None

    def __post_init__(self) -> None:
        if isinstance(self.shape, str | int):
            raise RnnbenchError(
                f"input {self.name!r}: shape {self.shape!r} must be a tuple: ({self.shape!r},)"
            )
        object.__setattr__(self, "shape", tuple(self.shape))
        if not _PRINTED.fullmatch(self.name):  # those of a file are any; see `Model`
            raise RnnbenchError(f"input name {self.name!r}: use letters, digits and _")
        if self.dtype not in DTYPES:
            raise RnnbenchError(
                f"input {self.name!r}: dtype {self.dtype!r} is not one of {', '.join(DTYPES)}"
            )
        if self.role not in ("data", "lengths", "state"):
            raise RnnbenchError(
                f"input {self.name!r}: role {self.role!r} is not one of data, lengths, state"
            )
        for size in self.shape:
            dynamic = isinstance(size, str) and products(size) and names_of(size)
            fixed = isinstance(size, int) and not isinstance(size, bool) and size > 0
            if not dynamic and not fixed:
                raise RnnbenchError(
                    f"input {self.name!r}: dimension {size!r} must be a positive int, "
                    "the name of a dynamic dimension, or names and numbers with * and +"
                )
        if self.high is not None and (self.high < 1 or not self.dtype.startswith("int")):
            raise RnnbenchError(
                f"input {self.name!r}: high={self.high} is the exclusive bound of integers, "
                "1 or more"
            )
        if self.value is not None and not math.isfinite(self.value):
            raise RnnbenchError(f"input {self.name!r}: value={self.value} must be a finite number")

    def resolve(self, dims: Dims) -> tuple[int, ...]:
        """The shape with its dynamic dimensions filled in from `dims`."""
        missing = [n for n in self.dims if n not in dims]
        if missing:
            raise RnnbenchError(
                f"input {self.name!r} needs a size for {', '.join(missing)}: "
                f"given were {', '.join(dims) or 'none'}"
            )
        return tuple(value_of(size, dims) for size in self.shape)

    @property
    def dims(self) -> tuple[str, ...]:
        """The names of the dynamic dimensions in the shape, in order."""
        return tuple(dict.fromkeys(name for size in self.shape for name in names_of(size)))


@dataclass(frozen=True)
class Model:
    """A recurrent network and the names that its artifacts will have.

    Attributes:
        module: any `torch.nn.Module`; it is called with the inputs in their order.
        inputs: a `TensorSpec` each.
        outputs: the names of the tensors that the module returns, nested ones in reading order.
        states: input name -> the output to feed back as it (streaming).
        name: the bundle's folder; the module's class name unless given.
        sample: `sample(dims, generator)` returns the inputs by name (tensors or arrays) where they
            depend on one another; `generator` is a `numpy.random.Generator`.
        batch_dim: the name of the batch dimension.
        time_dim: the name of the time dimension.
        dims: name of a dynamic dimension -> the sizes that it may have, where not all may be:
            `{"time": Dim(min=400, multiple_of=160)}`; afterwards every dimension has one, in order
            of appearance.
        frames_per_second: how many steps a second of real time has (100 for audio features every
            10 ms), so that `bench` can say how much of real time a step takes.
        sample_rate: in Hz, where the numbers of a step are samples of a sound, so that `run --wav`
            and the page feed it one; it is kept in the metadata of the bundle.
        lift_state: make what the module keeps in its attributes from one call to the next inputs
            and outputs, when it is exported (see rnnbench.models.lifting).
        max_steps: how many steps a loop that ends on data (a stop token, patience) runs at most,
            as it does in the module itself; outputs have the length that was run.
        evaluate: the errors of a module on data of yours, by name: `{"MAE, degC": 1.93}`. It is
            called with the module in evaluation mode, without gradients, and `export --precision`
            says what rounded weights cost in its terms.
    """

    module: torch.nn.Module
    inputs: Sequence[TensorSpec]
    outputs: Sequence[str]
    states: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    sample: Callable[[dict[str, int], np.random.Generator], Mapping[str, Any]] | None = None
    batch_dim: str = "batch"
    time_dim: str = "time"
    frames_per_second: float | None = None
    dims: Mapping[str, Dim] = field(default_factory=dict)
    lift_state: bool = False
    max_steps: int | None = None
    sample_rate: float | None = None
    evaluate: Callable[[Any], Mapping[str, float]] | None = None

    def __post_init__(self) -> None:
        for what, given in (("inputs", self.inputs), ("outputs", self.outputs)):
            if isinstance(given, str | TensorSpec):
                raise RnnbenchError(f"{what}={given!r} must be a tuple: ({given!r},)")
        object.__setattr__(self, "module", unwrapped(self.module))
        object.__setattr__(self, "inputs", tuple(self.inputs))
        object.__setattr__(self, "outputs", tuple(self.outputs))
        object.__setattr__(self, "states", dict(self.states))
        object.__setattr__(self, "name", self.name or type(self.module).__name__)
        self._check_itself()
        self._check_names()
        self._check_dims()
        self._check_states()

    def _check_itself(self) -> None:
        """The name, which becomes a folder, and the rate."""
        if not _NAME.fullmatch(self.name):
            raise RnnbenchError(
                f"model name {self.name!r}: use letters, digits, '.', '_' and '-' "
                "(it becomes a folder inside --out)"
            )
        most = self.max_steps
        if most is not None and not (type(most) is int and most > 0):
            raise RnnbenchError(
                f"model {self.name!r}: max_steps={most!r} must be a whole number above 0, or None"
            )
        for what in ("frames_per_second", "sample_rate"):
            rate = getattr(self, what)
            if rate is not None and not 0 < rate < math.inf:
                raise RnnbenchError(
                    f"model {self.name!r}: {what}={rate!r} must be a number above 0, or None"
                )

    def _check_names(self) -> None:
        """Each input and output has a name of its own."""
        names = [spec.name for spec in self.inputs]
        for kind, given in (("input", names), ("output", list(self.outputs))):
            twice = sorted({n for n in given if given.count(n) > 1})
            if twice or not given:
                raise RnnbenchError(
                    f"model {self.name!r}: {kind} {twice[0]!r} is declared twice"
                    if twice
                    else f"model {self.name!r} declares no {kind}: name at least one"
                )
        for name in names:
            if not self._may_be_called(name):
                raise RnnbenchError(
                    f"input name {name!r}: use letters, digits and _, as in a Python name"
                )
        for name in self.outputs:
            if not self._may_be_called(name) or name in names:
                raise RnnbenchError(
                    f"model {self.name!r}: output name {name!r} must be a Python name "
                    "that no input has"
                )

    def _may_be_called(self, name: str) -> bool:
        """Whether an input or output may have a name, under which every format has it."""
        return bool(_IDENTIFIER.fullmatch(name))

    def _check_dims(self) -> None:
        """What is said of dimensions is said of those that there are."""
        names = tuple(dict.fromkeys(name for spec in self.inputs for name in spec.dims))
        for name, dim in self.dims.items():
            if name not in names:
                raise RnnbenchError(
                    f"model {self.name!r}: dims names {name!r}, and no input has that dimension: "
                    f"choose from {', '.join(names) or 'none'}"
                )
            if not isinstance(dim, Dim):
                raise RnnbenchError(
                    f"model {self.name!r}: dims={{{name!r}: {dim!r}}} must be a Dim: "
                    f"Dim(min=..., multiple_of=...)"
                )
        object.__setattr__(self, "dims", {name: self.dims.get(name, Dim()) for name in names})

    def fit(self, dims: Dims) -> dict[str, int]:
        """The smallest sizes from these on that the dimensions may have."""
        return {name: self.dims[name].fit(size) for name, size in dims.items()}

    def _check_states(self) -> None:
        """Each state goes from an output to an input."""
        names = [spec.name for spec in self.inputs]
        for source, target in self.states.items():
            if source not in names or target not in self.outputs:
                raise RnnbenchError(
                    f"model {self.name!r}: states={{{source!r}: {target!r}}} must map one of the "
                    f"inputs ({', '.join(names)}) to one of the outputs ({', '.join(self.outputs)})"
                )
        if self.time_dim in self.dims:
            return
        # A dimension that a state has too is no time: it does not pass. (A model of one step.)
        kept = {d for spec in self.inputs if spec.name in self.states for d in spec.dims}
        others = [dim for dim in self.dims if dim != self.batch_dim and dim not in kept]
        if self.states and others:
            raise RnnbenchError(
                f"model {self.name!r} has states, and no dimension is called {self.time_dim!r}, "
                f"along which it is streamed: give time_dim={others[0]!r}, or rename one"
            )


def unwrapped(module: Any) -> Any:
    """The module in what PyTorch wraps around one: DataParallel, torch.compile."""
    while type(module).__name__ in _WRAPPERS and type(module).__module__.startswith("torch."):
        module = getattr(module, _WRAPPERS[type(module).__name__])
    return module


def sample_inputs(
    model: Model, dims: Dims, seed: int, *, scale: float = 1.0, zero_state: bool = False
) -> Arrays:
    """Random inputs by name at the given sizes: the same for the same seed on every machine.

    Float data are normal with standard deviation `scale`; integer data uniform in [0, high);
    lengths uniform in 1..time with one full row; states normal with standard deviation 0.5, or 0.

    Raises:
        RnnbenchError: `model.sample` raised, or returned something that does not fit.
    """
    import numpy as np

    _refuse_too_much(model, dims)
    rng = np.random.default_rng(seed)
    if model.sample is not None:
        try:
            given = model.sample(dict(dims), rng)
        except Exception as error:
            at = ", ".join(f"{dim}={size}" for dim, size in dims.items())
            raise RnnbenchError(
                f"model {model.name!r}: sample() raised {one_line(error)} at {at}: make it give "
                "inputs at any sizes from 1 on"
            ) from error
        return {s.name: _fitting(s, given, dims) for s in model.inputs}
    # Of a shape () NumPy draws a number, which is no array.
    return {
        s.name: np.full(s.resolve(dims), s.value, s.dtype)
        if s.value is not None
        else np.asarray(_random(s, model, dims, rng, scale, zero_state))
        for s in model.inputs
    }


def _refuse_too_much(model: Model, dims: Dims) -> None:
    elements = sum(math.prod(spec.resolve(dims)) for spec in model.inputs)
    if elements > _MOST:
        at = ", ".join(f"{dim}={size}" for dim, size in dims.items())
        raise RnnbenchError(
            f"inputs at {at} have {elements:,} numbers, and at most {_MOST:,} are made: give "
            "smaller sizes"
        )


def _random(
    spec: TensorSpec,
    model: Model,
    dims: Dims,
    rng: np.random.Generator,
    scale: float,
    zero_state: bool,
) -> np.ndarray[Any, Any]:
    import numpy as np

    shape = spec.resolve(dims)
    if spec.role == "lengths":
        others = (n for d, n in dims.items() if d != model.batch_dim)
        time = dims[model.time_dim] if model.time_dim in dims else max(others, default=1)
        lengths = np.minimum(rng.integers(1, max(time, 1) + 1, shape), time)  # none of no time
        lengths.reshape(-1)[:1] = time
        return lengths.astype(spec.dtype)
    if spec.role == "state":
        if zero_state or not spec.dtype.startswith("float"):
            return np.zeros(shape, spec.dtype)
        return (0.5 * rng.standard_normal(shape)).astype(spec.dtype)
    if spec.dtype == "bool":
        return rng.random(shape) < 0.5
    if spec.dtype.startswith("int"):
        return rng.integers(0, spec.high or 2, shape).astype(spec.dtype)
    return (scale * rng.standard_normal(shape)).astype(spec.dtype)


def _fitting(spec: TensorSpec, given: Mapping[str, Any], dims: Dims) -> np.ndarray[Any, Any]:
    import numpy as np

    if spec.name not in given:
        raise RnnbenchError(
            f"sample() returned no {spec.name!r}: it returned {', '.join(given) or 'nothing'}"
        )
    array = np.asarray(given[spec.name])
    if array.shape != spec.resolve(dims) or array.dtype != np.dtype(spec.dtype):
        raise RnnbenchError(
            f"sample() returned {spec.name!r} as {array.dtype}{list(array.shape)}: "
            f"declared is {spec.dtype}{list(spec.resolve(dims))}"
        )
    return array
