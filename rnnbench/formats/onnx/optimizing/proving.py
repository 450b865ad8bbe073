"""The file before and after on the same inputs: a rewrite that changes an output is not made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from typing import Any

from rnnbench.formats.onnx.optimizing.engines import (
    TOLERANCE,
    CannotRunError,
    Runner,
    distance,
    refusal,
)
from rnnbench.formats.onnx.optimizing.feeding import dims_of, feeds
from rnnbench.formats.onnx.optimizing.graph import Array, Graph
from rnnbench.formats.onnx.optimizing.loading import graph_of

_SIZES = (2, 1, 3, 5, 8, 4, 6)
_LARGE = (16, 64, 256, 512, 576, 1024, 2048)  # samples of sound, or pixels, that a file needs
_FEW = 16  # steps
_FEWEST = 3  # runs
_MOST_RUNS, _MOST_TRIED, _MOST_RANKED = 8, 48, 4096
_SCALES = (1.0, 0.3, 3.0)


@dataclass(frozen=True)
class Proof:
    """How two files compare.

    Attributes:
        runs: how often both were run.
        distance: the largest, see `engines.distance`.
        why: what went wrong; empty: nothing did.
        tolerance: of the distance.
    """

    runs: int
    distance: float
    why: str = ""
    tolerance: float = TOLERANCE

    @property
    def ok(self) -> bool:
        """Whether they compute the same."""
        return not self.why and self.runs > 0 and self.distance <= self.tolerance

    def __str__(self) -> str:
        if self.why:
            return self.why
        return f"{self.runs} runs, {self.distance:.0e}" if self.runs else "no run was possible"


class Reference:
    """The given file's own answers, at sizes that it can take.

    Args:
        proto: the file.
        folder: where its external data is.
        exact: (value, axis) -> the size that a value must have there for a case to count.
        likely: sizes that a dimension may have to have.
    """

    def __init__(
        self,
        proto: Any,
        folder: Path,
        exact: Mapping[tuple[str, int], int],
        likely: Iterable[int],
    ) -> None:
        self._proto, self._folder = proto, folder
        self.cases: list[tuple[dict[str, int], dict[str, Array], dict[str, Array]]] = []
        self.why = ""
        self.unknown = False
        names = [o.name for o in proto.graph.output]
        graph = graph_of(proto, folder)
        exact = {k: n for k, n in exact.items() if k[0] in graph.makers or k[0] in graph.inputs}
        try:
            run = Runner(_with_outputs(proto, [name for name, _ in exact]), folder)
        except CannotRunError as error:
            self.why, self.unknown = str(error), True
            return
        fixed, few = _lengths(proto, exact), [n for n in likely if n <= _FEW]
        for sizes in ((*_SIZES, *few), (*likely, *_SIZES), (*_SIZES[:3], *_LARGE)):
            if not self.cases:  # a large size of every dimension would be much to compute
                self._try(run, graph, names, exact, _sizes(proto, fixed, sizes))
        known = [dims for dims, _, _ in self.cases]
        if known:  # few sizes that it takes: other numbers
            self._try(run, graph, names, exact, known * (_FEWEST - len(known)))

    def _try(
        self,
        run: Runner,
        graph: Graph,
        names: list[str],
        exact: Mapping[tuple[str, int], int],
        sizes: Iterable[dict[str, int]],
    ) -> None:
        for tried, dims in enumerate(sizes):
            if len(self.cases) >= _MOST_RUNS or tried >= _MOST_TRIED:
                break
            seed = len(self.cases)
            given = feeds(graph, self._proto, dims, seed, _SCALES[seed % len(_SCALES)])
            try:
                found = given | run(given)
            except CannotRunError as error:  # sizes that the file cannot take
                self.why = self.why or str(error)
                continue
            if all(found[name].shape[axis] == n for (name, axis), n in exact.items()):
                self.cases.append((dims, given, {n: found[n] for n in names}))

    def compare(
        self,
        proto: Any,
        loaded: tuple[Any, Any] | None = None,
        tolerance: float = TOLERANCE,
    ) -> Proof:
        """Another file against it.

        Args:
            proto: the other file.
            loaded: what ONNX Runtime has to load, where that is not these: before, and after.
            tolerance: of the largest distance.
        """
        if not self.cases:
            return Proof(0, 0.0, f"the given file cannot be run ({self.why})")
        try:
            run = Runner(proto, self._folder)
        except CannotRunError as error:
            return Proof(0, 0.0, f"the rewritten file cannot be run ({error})")
        worst = 0.0
        for dims, given, expected in self.cases:
            try:
                found = run(given)
            except CannotRunError as error:
                return Proof(0, 0.0, f"fails at {_said(dims)} ({error})")
            worst = max([worst, *(distance(found[n], expected[n]) for n in expected)])
        if worst > tolerance:
            return Proof(0, worst, f"its outputs would differ by {worst:.0e}")
        before, after = loaded or (self._proto, proto)
        refused = refusal(after, self._folder)
        if refused and not refusal(before, self._folder):
            return Proof(0, worst, f"ONNX Runtime would not load it ({refused})")
        return Proof(len(self.cases), worst, tolerance=tolerance)


def _with_outputs(proto: Any, names: Iterable[str]) -> Any:
    """A file that returns some of its values, too."""
    known = {v.name for v in (*proto.graph.output, *proto.graph.input)}
    missing = [name for name in dict.fromkeys(names) if name not in known]
    if not missing:
        return proto
    more = type(proto)()
    more.CopyFrom(proto)
    for name in missing:
        more.graph.output.add().name = name
    return more


def _lengths(proto: Any, exact: Mapping[tuple[str, int], int]) -> dict[str, int]:
    """The names of dimensions of inputs that can have one size only."""
    dims = dims_of(proto)
    found = {}
    for (name, axis), n in exact.items():
        size = dims[name][axis] if name in dims else None
        if isinstance(size, str):
            found[size] = n
    return found


def _sizes(
    proto: Any, lengths: Mapping[str, int], sizes: Iterable[int]
) -> Iterator[dict[str, int]]:
    """Sizes of all dimensions that have no number, the likeliest first."""
    names = list(dict.fromkeys(n for d in dims_of(proto).values() for n in d if isinstance(n, str)))
    if not names:
        yield from ({} for _ in _SCALES)
        return
    known = [*dict.fromkeys(sizes)]
    choices = [[lengths[n]] if n in lengths else known for n in names]
    places = product(*(range(len(c)) for c in choices))
    # One that differs from the first sizes in one dimension comes before one that does in two.
    ranked = sorted(islice(places, _MOST_RANKED), key=lambda p: (sum(n > 0 for n in p) > 1, sum(p)))
    for chosen in ranked:
        yield {n: c[i] for n, c, i in zip(names, choices, chosen, strict=True)}


def _said(dims: Mapping[str, int]) -> str:
    return ", ".join(f"{n}={size}" for n, size in dims.items()) or "its own sizes"
