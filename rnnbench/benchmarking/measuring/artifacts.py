"""Makes what is measured: networks, exported files, inputs, subjects; each once, then kept."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Self

import rnnbench
from rnnbench import runtimes
from rnnbench.benchmarking.measuring.judging import (
    Trial,
    WrongOutput,
    assert_gradients,
    assert_right,
    make_trial,
    usual_cases,
)
from rnnbench.benchmarking.measuring.networks import (
    Network,
    build_network,
    inputs_for,
    round_network,
    sizes_for,
)
from rnnbench.benchmarking.measuring.stream_cases import StreamTrial
from rnnbench.benchmarking.measuring.streams import measure_held
from rnnbench.benchmarking.plan import (
    STOCK,
    Conditions,
    Implementation,
    keeps,
    rounds_alike,
    timing_of,
)
from rnnbench.cases.cases import Case
from rnnbench.cases.rounded import judged
from rnnbench.core.bundle import Artifact
from rnnbench.core.errors import Unavailable
from rnnbench.core.model import Arrays
from rnnbench.core.temporary import temporary_folder
from rnnbench.formats.onnx.stock import export_stock
from rnnbench.runtimes.runtime import Timing
from rnnbench.runtimes.timed import Source, TimedCall
from rnnbench.runtimes.training import exact_gradients

_TRIALS = 4  # at hand: the forms of one model under the same conditions


@dataclass(frozen=True)
class Exported:
    """A file, and what it took to make; `seconds` is None where it was there already."""

    artifact: Artifact
    seconds: float | None

    @property
    def path(self) -> Path:
        """The file."""
        return self.artifact.path

    @property
    def bytes(self) -> int:
        """With its external data; of C, its constants."""
        return self.artifact.bytes


class Artifacts:
    """A temporary folder and what was made in it (context manager)."""

    def __init__(self) -> None:
        self._temporary = ExitStack()
        self.folder = self._temporary.enter_context(temporary_folder())
        self._as_declared = cache(build_network)
        self._rounded = cache(self._round)
        self.exported = cache(self._export)
        self._usual = cache(self._usual_cases)
        self._trial = lru_cache(_TRIALS)(self._make_trial)
        self._written = cache(self._write_for)
        self._stock = cache(self._export_stock)
        self.stream_trial = lru_cache(1)(self._make_stream_trial)
        self.held = lru_cache(1)(partial(measure_held, self))
        self._elsewhere: dict[tuple[str, Implementation, Conditions], str] = {}

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
        network = self.network(target, way, conditions)
        if way.precision and not keeps(way.runtime, way.precision):
            raise Unavailable(f"its file has the weights of {way.precision} as float32")
        if way.precision and not rounds_alike(way.runtime, way.precision):
            raise Unavailable(
                f"{way.precision} is another model there: bench the bundle that export writes"
            )
        model = network.model
        inputs, outputs = tuple(model.inputs), tuple(model.outputs)
        if timing.format == "eager":
            if network.bundle is not None and network.bundle.of_file:
                raise Unavailable("a file has no module that could be timed")
            return Source(inputs, outputs, model.module if network.runnable else None)
        if way.mode == STOCK:
            return Source(inputs, outputs, path=self._stock(target, way.form, conditions))
        return Source(inputs, outputs, path=self.file(target, way, conditions).path)

    def file(self, target: str, way: Implementation, conditions: Conditions) -> Exported:
        """The file that a way runs: the one that a bundle holds for the runtime, if it has these
        sizes, or else that of the runtime's format.

        Raises:
            RnnbenchError: the bundle lacks it, or the model cannot be exported.
        """
        network, timing = self.network(target, way, conditions), timing_of(way.runtime)
        held = network.bundle.artifacts.get("portable") if network.bundle is not None else None
        if held is not None and timing.rewritten == "open":
            pinned = dict(held.details.get("pinned") or {})
            fits = pinned.items() <= sizes_for(network.model, conditions).items()
            open_here = fits if network.runnable else not pinned
            if open_here and held.details.get("profile") == way.runtime:
                return Exported(held, None)
        sizes = conditions.hidden, conditions.layers
        return self.exported(target, way.form, timing.format, *sizes, way.precision)

    def rounds(self, target: str, way: Implementation, conditions: Conditions) -> bool:
        """Whether a way runs a bundle's file that rounds values to whole numbers."""
        network = self.network(target, way, conditions)
        if network.bundle is None or timing_of(way.runtime).format == "eager" or way.mode == STOCK:
            return False
        return self.file(target, way, conditions).artifact.rounds

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
        network = self.network(target, way, conditions)
        subject = self._prepared(target, way, conditions, inputs_for(network.model, conditions))
        if first_call:
            self.assert_subject(subject, target, way, conditions)
        return subject

    def assert_subject(
        self, subject: TimedCall, target: str, way: Implementation, conditions: Conditions
    ) -> None:
        """Calls a subject once, and compares with what is right in float64.

        Raises:
            WrongOutput: it computes something else, here or at the other cases of its trial.
        """
        self.assert_outputs(subject.read(subject.run()), target, way, conditions)
        if subject.gradients is not None:
            arrays = inputs_for(self.network(target, way, conditions).model, conditions)
            exact = exact_gradients(self.source(target, way, conditions), arrays)
            assert_gradients(subject.gradients(), exact, conditions.device)

    def assert_outputs(
        self, outputs: Arrays, target: str, way: Implementation, conditions: Conditions
    ) -> None:
        """The same for what was computed in another process.

        Raises:
            WrongOutput: it is something else, or would be at the other cases of its trial.
        """
        trial = self._trial_of(target, way, conditions)
        if trial.timed is not None:
            self._assert_right(outputs, trial.timed, trial, (target, way, conditions))
        self.assert_elsewhere(target, way, conditions)

    def assert_elsewhere(self, target: str, way: Implementation, conditions: Conditions) -> None:
        """Compares with what is right at the other cases of a trial alone.

        Raises:
            WrongOutput: it computes something else there.
        """
        key = (target, way, conditions)
        if key not in self._elsewhere:
            self._elsewhere[key] = self._wrong_elsewhere(*key)
        if self._elsewhere[key]:
            raise WrongOutput(self._elsewhere[key])

    def _wrong_elsewhere(self, target: str, way: Implementation, conditions: Conditions) -> str:
        """What is wrong at the other cases of a trial; empty where nothing is."""
        trial = self._trial_of(target, way, conditions)
        try:
            for case in trial.others:
                there = self._prepared(target, way, conditions, case.inputs)
                self._assert_right(there.read(there.run()), case, trial, (target, way, conditions))
        except WrongOutput as error:
            return str(error)
        return ""

    def _trial_of(self, target: str, way: Implementation, conditions: Conditions) -> Trial:
        """At what a way is judged: the same on each device, and with any number of threads."""
        there = replace(conditions, device="cpu", threads=1)
        return self._trial(target, way.form, there, way.precision)

    def fit(self, source: Source, way: Implementation, arrays: Arrays) -> Source:
        """For an engine with rewrites of its own: the file as that wants it, for these inputs.

        Raises:
            RnnbenchError: the file has no such form.
        """
        rewritten = timing_of(way.runtime).rewritten
        if not rewritten or source.path is None:
            return source
        if rewritten == "open":
            return replace(source, path=self._written(source.path, way.runtime))
        import onnx

        from rnnbench.formats.onnx.profiles import pinned

        shapes = {name: array.shape for name, array in arrays.items()}
        path = Path(tempfile.mkdtemp(dir=self.folder)) / source.path.name
        onnx.save(pinned(source.path, shapes, way.runtime), path)
        return replace(source, path=path)

    def _write_for(self, path: Path, runtime: str) -> Path:
        """What `export --for` a runtime writes, of any sizes; the file itself where it is that."""
        from rnnbench.formats.onnx.profiles import rewrite, written_for

        if written_for(path) == runtime:
            return path
        target = Path(tempfile.mkdtemp(dir=self.folder)) / path.name
        rewrite(path, target, runtime)
        return target

    def _prepared(
        self, target: str, way: Implementation, conditions: Conditions, arrays: Arrays
    ) -> TimedCall:
        """A call with these inputs."""
        source = self.fit(self.source(target, way, conditions), way, arrays)
        mode = "" if way.mode == STOCK else way.mode
        prepare = timing_of(way.runtime).prepare
        return prepare(source, arrays, conditions.device, conditions.threads, mode)

    def _assert_right(
        self,
        outputs: Arrays,
        case: Case,
        trial: Trial,
        what: tuple[str, Implementation, Conditions],
    ) -> None:
        _, way, conditions = what
        coarseness = runtimes.get(way.runtime).coarseness
        case = judged(case, self.rounds(*what))
        assert_right(outputs, case, trial.standard, conditions.device, coarseness)

    def _make_trial(self, target: str, form: str, conditions: Conditions, precision: str) -> Trial:
        sizes = conditions.hidden, conditions.layers
        network = self._rounded(target, form, *sizes, precision)
        judged_by = form if network.twin is None else "fused"
        usual = self._usual(target, judged_by, *sizes, precision)
        return make_trial(network, conditions, usual)

    def _make_stream_trial(self, target: str, form: str, conditions: Conditions) -> StreamTrial:
        sizes = conditions.hidden, conditions.layers
        network = self._rounded(target, form, *sizes, "")
        usual = self._usual(target, form, *sizes, "") if network.model.states else ()
        return StreamTrial(network, conditions, usual)

    def _usual_cases(
        self, target: str, form: str, hidden: int | None, layers: int | None, precision: str
    ) -> tuple[Case, ...]:
        return usual_cases(self._rounded(target, form, hidden, layers, precision))

    def network(self, target: str, way: Implementation, conditions: Conditions) -> Network:
        """The model that a way runs, its weights rounded as the way says."""
        return self._rounded(target, way.form, conditions.hidden, conditions.layers, way.precision)

    def _round(
        self, target: str, form: str, hidden: int | None, layers: int | None, precision: str
    ) -> Network:
        network = self._as_declared(target, form, hidden, layers)
        return round_network(network, precision) if precision else network

    def _export(
        self,
        target: str,
        form: str,
        format: str,
        hidden: int | None,
        layers: int | None,
        precision: str,
    ) -> Exported:
        """The file of a format; a `loop` stays one, anything else becomes what export makes."""
        network = self._as_declared(target, form, hidden, layers)
        if network.bundle is not None:
            artifacts = network.bundle.artifacts
            if format not in artifacts:
                raise Unavailable(f"{network.bundle.path} has no {format}: export it again")
            return Exported(artifacts[format], None)
        out = Path(tempfile.mkdtemp(dir=self.folder))
        start = perf_counter()
        bundle = rnnbench.export(
            network.model,
            formats=(format,),
            out=out,
            keep_loops=form == "loop",
            precision=precision or None,
        )
        return Exported(bundle.artifacts[format], perf_counter() - start)

    def _export_stock(self, target: str, form: str, conditions: Conditions) -> Path:
        network = self._as_declared(target, form, conditions.hidden, conditions.layers)
        if not network.runnable:
            raise Unavailable("the stock exporter needs the model's code, which is not here")
        if network.bundle is not None and network.bundle.of_file:
            raise Unavailable("the stock exporter needs the model's code, and this is a file")
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
