"""Golden cases in a form that any language can read: lines of JSON, and raw little-endian numbers.

exports/README.md describes the files; `read_arrays` is the whole of a reader in Python.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rnnbench.cases.cases import Case, layout_of
from rnnbench.cases.feeding import FeedMode
from rnnbench.cases.noise import same_beyond
from rnnbench.cases.standard import standard_of
from rnnbench.cases.stored import read_cases
from rnnbench.core.bundle import Bundle
from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.model import Arrays

FORMAT = "rnnbench-cases-1"
HEADER = "cases.json"
_COARSENESS = 4.0  # of the runtimes that programs in other languages use, the coarsest


@dataclass(frozen=True)
class Record:
    """One array of a file.

    Attributes:
        case: whose it is.
        part: `in`, `out`, or `start` (what a stream starts from, where that differs from `in`).
        name: of the input or output.
        array: the values.
        allowed: the largest absolute error; 0 for inputs.
        stream: whether the case may be fed step by step, with the states handed on.
        limits: the largest absolute error of each element, in the array's shape; `allowed` is the
            largest of them. None: it is that of every element.
    """

    case: str
    part: str
    name: str
    array: np.ndarray[Any, Any]
    allowed: float = 0.0
    stream: bool = False
    limits: np.ndarray[Any, Any] | None = None


def golden_records(bundle: Bundle, format: str) -> Iterator[Record]:
    """The cases of a bundle that every runtime owes: not the empty ones, nor any NaN.

    Outputs are the float64 reference in the output's own dtype, with the error that `check` allows.

    Args:
        bundle: what `export` wrote.
        format: of the artifact that is to give them: one that rounds values has its own reference.
    """
    streamed, whole = streamed_cases(bundle), whole_cases(bundle)
    standard = standard_of(layout_of(bundle, whole), whole)
    for case in judged_by(bundle, format, whole):
        stream = case.name in streamed
        for name, array in case.inputs.items():
            yield Record(case.name, "in", name, array, stream=stream)
        for name, exact in case.reference.items():
            array = _in_dtype_of(case.eager[name], exact)
            allowed, limits = _limits(standard.allowed(case, name, _COARSENESS), array.dtype)
            yield Record(case.name, "out", name, array, allowed, stream, limits)


def _in_dtype_of(eager: np.ndarray[Any, Any], exact: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The reference in the output's own dtype; the least number of float64 is that of float32."""
    if eager.dtype.kind == "f":
        exact = np.where(same_beyond(eager, exact), eager, exact)
    return exact.astype(eager.dtype)


def _limits(
    allowed: np.ndarray[Any, Any], dtype: np.dtype[Any]
) -> tuple[float, np.ndarray[Any, Any] | None]:
    """The largest of what elements are allowed, and that of each where they are not all equal.

    Args:
        allowed: in float64.
        dtype: of the output.
    """
    if (allowed == allowed.max(initial=0.0)).all():
        return float(_towards_zero(allowed, np.float64).max(initial=0.0)), None
    limits = _towards_zero(allowed, _limit_dtype(dtype))
    return float(limits.max()), limits


def _limit_dtype(dtype: np.dtype[Any]) -> type[np.floating[Any]]:
    """In what the limits of an output stand in the data file."""
    return np.float64 if dtype == np.float64 else np.float32


def _towards_zero(
    allowed: np.ndarray[Any, Any], kind: type[np.floating[Any]]
) -> np.ndarray[Any, Any]:
    """In another dtype, where nothing is larger than it was; nor infinite, which JSON has not."""
    finite = np.minimum(allowed, float(np.finfo(kind).max))
    near = finite.astype(kind)
    return np.asarray(np.where(near > finite, np.nextafter(near, kind(0)), near))


def judged_by(bundle: Bundle, format: str, cases: Iterable[Case]) -> list[Case]:
    """The cases with what an artifact is to give: one that rounds values, its own graph in float64.

    Where that could not be worked out there is nothing to judge it by.

    Raises:
        RnnbenchError: it could not for any.
    """
    if not bundle.artifacts[format].rounds:
        return [*cases]
    found = [case.as_rounded() for case in cases if case.rounded is not None]
    found = [case for case in found if _finite(case)]
    if not found:
        raise RnnbenchError(
            f"{bundle.name} has no case that its {format} file can be judged by: export it again"
        )
    return found


def whole_cases(bundle: Bundle) -> list[Case]:
    """The cases that are fed at once: not the empty ones, nor any NaN."""
    return [
        case
        for case in read_cases(bundle)
        if not (case.empty or case.feed_mode.chunks or case.feed_mode.reset) and _finite(case)
    ]


def golden_cases(bundle: Bundle) -> list[Case]:
    """Those, and once more those that a model with states streams, one step after the other."""
    whole, streamed = whole_cases(bundle), streamed_cases(bundle)
    if not bundle.states:
        return whole
    return whole + [replace(c, feed_mode=FeedMode((1,))) for c in whole if c.name in streamed]


def streamed_cases(bundle: Bundle) -> set[str]:
    """The cases that give the same in chunks; the module itself was proved to."""
    return {
        str(entry["of"])
        for entry in bundle.manifest["cases"]
        if entry.get("chunks") and not entry.get("interleaved") and "skipped" not in entry
    }


def write_arrays(folder: Path, records: Iterable[Record], header: str = HEADER) -> None:
    """Writes `cases.json` and `cases.bin`, or another pair of the names that the header has."""
    lines, offset = [], 0
    data_name = str(Path(header).with_suffix(".bin"))
    with (folder / data_name).open("wb") as data:
        for record in records:
            raw = _little_endian(record.array)
            line = {
                "case": record.case,
                "part": record.part,
                "name": record.name,
                "dtype": str(record.array.dtype),
                "shape": list(record.array.shape),
                "offset": offset,
                "bytes": len(raw),
                "allowed": record.allowed,
                "stream": int(record.stream),
            }
            offset += data.write(raw)
            if record.limits is not None:
                line["allowed_offset"] = offset
                offset += data.write(_little_endian(record.limits))
            lines.append(json.dumps(line))
    start = f'{{"format": "{FORMAT}", "data": {json.dumps(data_name)}, "arrays": [\n'
    (folder / header).write_text(start + ",\n".join(lines) + "\n]}\n", encoding="utf-8")


def _little_endian(array: np.ndarray[Any, Any]) -> bytes:
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def read_arrays(header: Path) -> list[Record]:
    """Reads such a pair of files.

    Raises:
        RnnbenchError: it is none, or is damaged.
    """
    try:
        said = json.loads(header.read_text("utf-8"))
        if said["format"] != FORMAT:
            raise ValueError(f"format {said['format']!r}")
        raw = (header.parent / str(said["data"])).read_bytes()
        records = []
        for line in said["arrays"]:
            dtype = np.dtype(line["dtype"])
            array = _array(raw, line["offset"], dtype, line["shape"])
            if array.nbytes != line["bytes"]:
                raise ValueError(f"{line['name']} has {line['bytes']} bytes, not {array.nbytes}")
            limits = None
            if "allowed_offset" in line:
                kind = np.dtype(_limit_dtype(dtype))
                limits = _array(raw, line["allowed_offset"], kind, line["shape"])
            records.append(
                Record(
                    str(line["case"]),
                    str(line["part"]),
                    str(line["name"]),
                    array,
                    float(line["allowed"]),
                    bool(line["stream"]),
                    limits,
                )
            )
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise RnnbenchError(
            f"{header} is no file of arrays ({one_line(error)}): see exports/README.md"
        ) from None
    return records


def _array(raw: bytes, offset: int, dtype: np.dtype[Any], shape: list[int]) -> np.ndarray[Any, Any]:
    """What is at an offset of the data file. Raises ValueError where that is not all there."""
    count = math.prod(shape)
    if offset < 0 or count < 0 or offset + count * dtype.itemsize > len(raw):
        raise ValueError(f"there are no {count} numbers at byte {offset}")
    array = np.frombuffer(raw[offset : offset + count * dtype.itemsize], dtype.newbyteorder("<"))
    return array.astype(dtype).reshape(shape)


def describe_model(bundle: Bundle, format: str) -> dict[str, Any]:
    """What a program in another language has to know of a bundle, as JSON values.

    Axes are -1 where an input or output has none.
    """
    cases = [case for case in read_cases(bundle) if not case.empty]
    layout = layout_of(bundle, cases)
    first, artifact = cases[0], bundle.artifacts[format]

    def axis(shape: tuple[int | str, ...], dim: str) -> int:
        return shape.index(dim) if dim in shape else -1

    inputs = [
        {
            "name": spec.name,
            "dtype": spec.dtype,
            "shape": list(spec.shape),
            "role": spec.role,
            "high": spec.high,
            "batch_axis": axis(spec.shape, bundle.batch_dim),
            "time_axis": axis(spec.shape, bundle.time_dim),
        }
        for spec in bundle.inputs
    ]
    outputs = [
        {
            "name": name,
            "dtype": str(first.eager[name].dtype),
            "shape": _shape_of(bundle, cases, name),
            "rank": first.eager[name].ndim,
            "batch_axis": layout.batch_axes.get(name, -1),
            "time_axis": layout.time_axes.get(name, -1),
        }
        for name in bundle.outputs
    ]
    return {
        "name": bundle.name,
        "artifact": artifact.path.name,
        "external_data": next(iter(artifact.beside), ""),  # `embed` takes one
        "format": format,
        "inputs": inputs,
        "outputs": outputs,
        "states": bundle.states,
        "batch_dim": bundle.batch_dim,
        "time_dim": bundle.time_dim,
        "dims": {name: asdict(dim) for name, dim in bundle.dims.items()},
        "streams": bool(streamed_cases(bundle)) and bool(bundle.states),
        "metadata": bundle.metadata,
    }


def _shape_of(bundle: Bundle, cases: list[Case], name: str) -> list[int | str]:
    """The shape of an output: sizes that never change, names of dimensions, or "?"."""
    shapes = [(case.dims, case.eager[name].shape) for case in cases if name in case.eager]
    found: list[int | str] = []
    for axis in range(len(shapes[0][1])):
        sizes = {shape[axis] for _, shape in shapes}
        dims = (bundle.batch_dim, bundle.time_dim, *shapes[0][0])
        same = (d for d in dims if all(shape[axis] == at.get(d) for at, shape in shapes))
        found.append(sizes.pop() if len(sizes) == 1 else next(same, "?"))
    return found


def _finite(case: Case) -> bool:
    arrays: list[Arrays] = [case.reference, case.eager, case.noise]
    return all(np.isfinite(a).all() for part in arrays for a in part.values())
