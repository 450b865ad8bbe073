"""Makes what is measured: networks, exported files, inputs, subjects; each once, then kept."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Self

import numpy as np

import rnnbench
from rnnbench import runtimes
from rnnbench.benchmarking.measuring.networks import Network, build_network, expected, inputs_for
from rnnbench.benchmarking.plan import STOCK, Conditions, Implementation, timing_of
from rnnbench.cases.allowance import Rule
from rnnbench.cases.stored import read_cases
from rnnbench.cases.tolerance import compare
from rnnbench.core.errors import RnnbenchError, Unavailable
from rnnbench.core.model import Arrays
from rnnbench.core.temporary import temporary_folder
from rnnbench.formats.onnx.stock import export_stock
from rnnbench.runtimes.runtime import Timing
from rnnbench.runtimes.timed import Source, TimedCall

CUDA_TOLERANCE = 1e-2  # sums in TF32 are allowed for


class WrongOutput(RnnbenchError):  # noqa: N818  (a finding, not a mistake)
    """What was to be timed computes something else."""


@dataclass(frozen=True)
class Exported:
    """A file, and what it took to make; `seconds` is None where it was there already."""

    path: Path
    seconds: float | None

    @property
    def bytes(self) -> int:
        """With its external data."""
        return sum(file.stat().st_size for file in self.path.parent.glob(f"{self.path.name}*"))


class Artifacts:
    """A temporary folder and what was made in it (context manager)."""

    def __init__(self) -> None:
        self._temporary = ExitStack()
        self.folder = self._temporary.enter_context(temporary_folder())
        self.network = cache(build_network)
        self.exported = cache(self._export)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._temporary.close()

    def source(self, target: str, way: Implementation, conditions: Conditions) -> Source:
        """What a way runs.

        Raises:
            Unavailable: the runtime or the device is not here, or the bundle lacks the file.
            RnnbenchError: the model cannot be exported.
        """
        timing = check_way(way, conditions.device)
        network = self._network(target, way, conditions)
        model = network.model
        inputs, outputs = tuple(model.inputs), tuple(model.outputs)
        if timing.format == "eager":
            return Source(inputs, outputs, model.module if network.runnable else None)
        if way.mode == STOCK:
            return Source(inputs, outputs, path=self._stock(network, conditions))
        made = self.exported(target, way.form, timing.format, conditions.hidden, conditions.layers)
        return Source(inputs, outputs, path=made.path)

    def subject(
        self, target: str, way: Implementation, conditions: Conditions, *, first_call: bool = True
    ) -> TimedCall:
        """A call with its inputs, which computes what it should.

        Args:
            target: the model.
            way: its form and what runs it.
            conditions: the sizes.
            first_call: whether to call it now to see that it does; False leaves the first calls to
                the warm-up, where they are timed, and the check to `assert_subject`.

        Raises:
            WrongOutput: it computes something else.
            RnnbenchError: it cannot run here.
        """
        source = self.source(target, way, conditions)
        network = self._network(target, way, conditions)
        timing = timing_of(way.runtime)
        mode = "" if way.mode == STOCK else way.mode

        def prepare(given: Arrays) -> TimedCall:
            fitted = self.fit(source, way, given)
            return timing.prepare(fitted, given, conditions.device, conditions.threads, mode)

        if not network.runnable:  # what is right is only known at the bundle's own cases
            assert network.bundle is not None
            whole = [
                c for c in read_cases(network.bundle) if not c.empty and not c.feed_mode.chunks
            ]
            case = min(whole, key=lambda c: sum(c.dims.values()))
            at_case = prepare(case.inputs)
            outputs = at_case.read(at_case.run())
            coarseness = runtimes.get(way.runtime).coarseness
            assert_right(outputs, case.reference, case.eager, "cpu", coarseness)
        subject = prepare(inputs_for(network.model, conditions))
        if first_call:
            self.assert_subject(subject, target, way, conditions)
        return subject

    def assert_subject(
        self, subject: TimedCall, target: str, way: Implementation, conditions: Conditions
    ) -> None:
        """Calls a subject once, and compares with the module in float64 where its code is here.

        Raises:
            WrongOutput: it computes something else.
        """
        network = self._network(target, way, conditions)
        right = expected(network, inputs_for(network.model, conditions))
        outputs = subject.read(subject.run())
        if right is not None:
            assert_right(outputs, *right, conditions.device, runtimes.get(way.runtime).coarseness)

    def fit(self, source: Source, way: Implementation, arrays: Arrays) -> Source:
        """For an engine with rewrites of its own: the file as that wants it, for these inputs.

        Raises:
            RnnbenchError: the file has no such form.
        """
        if not timing_of(way.runtime).rewritten or source.path is None:
            return source
        import onnx

        from rnnbench.formats.onnx.profiles import pinned

        shapes = {name: array.shape for name, array in arrays.items()}
        path = Path(tempfile.mkdtemp(dir=self.folder)) / source.path.name
        onnx.save(pinned(source.path, shapes, way.runtime), path)
        return replace(source, path=path)

    def _network(self, target: str, way: Implementation, conditions: Conditions) -> Network:
        return self.network(target, way.form, conditions.hidden, conditions.layers)

    def _export(
        self, target: str, form: str, format: str, hidden: int | None, layers: int | None
    ) -> Exported:
        """The file of a format; a `loop` stays one, anything else becomes what export makes."""
        network = self.network(target, form, hidden, layers)
        if network.bundle is not None:
            artifacts = network.bundle.artifacts
            if format not in artifacts:
                raise Unavailable(f"{network.bundle.path} has no {format}: export it again")
            return Exported(artifacts[format].path, None)
        out = Path(tempfile.mkdtemp(dir=self.folder))
        start = perf_counter()
        bundle = rnnbench.export(
            network.model, formats=(format,), out=out, keep_loops=form == "loop"
        )
        return Exported(bundle.artifacts[format].path, perf_counter() - start)

    def _stock(self, network: Network, conditions: Conditions) -> Path:
        if not network.runnable:
            raise Unavailable("the stock exporter needs the model's code, which is not here")
        path = Path(tempfile.mkdtemp(dir=self.folder)) / "stock.onnx"
        export_stock(network.model, inputs_for(network.model, conditions), path)
        return path


def check_way(way: Implementation, device: str) -> Timing:
    """How a way is timed.

    Raises:
        Unavailable: it is not installed, or cannot use the device here.
    """
    runtimes.get(way.runtime).require(way.runtime, device)
    return timing_of(way.runtime)


def assert_right(
    actual: Arrays, reference: Arrays, eager: Arrays, device: str, coarseness: float = 1.0
) -> None:
    """What is timed is what `check` would pass, in a runtime whose own functions are so accurate.

    Raises:
        WrongOutput: it is not.
    """
    if actual.keys() != reference.keys():
        raise WrongOutput(f"wrong output: {', '.join(actual)} instead of {', '.join(reference)}")
    for name, array in actual.items():
        if device == "cpu":
            reason = compare(
                array, reference[name], eager[name], rule=Rule(coarseness=coarseness)
            ).reason
        else:
            close = np.allclose(array, reference[name], rtol=0, atol=CUDA_TOLERANCE)
            reason = "" if close else f"off by more than {CUDA_TOLERANCE}"
        if reason:
            raise WrongOutput(f"wrong output: {name} {reason}")
