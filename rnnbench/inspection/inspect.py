"""Any .onnx, TorchScript or .pt2 file -> how each recurrence is represented, and its hazards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rnnbench.core import plugins
from rnnbench.core.manual import page
from rnnbench.core.recurrence import inspected
from rnnbench.core.shown import Part, Shown, Table, format_parts
from rnnbench.inspection import readers
from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.foreign import Foreign, find_foreign
from rnnbench.inspection.program import Port
from rnnbench.inspection.recurrences import FoundRecurrence, find_recurrences

SEVERITIES = ("error", "warning", "note")


@dataclass(frozen=True)
class Hazard:
    """What may go wrong: its plugin in `hazards/`, how bad, where, what, and what to do."""

    name: str
    severity: str
    where: str
    what: str
    remedy: str


@dataclass(frozen=True, repr=False)
class Inspection(Shown):
    """What a file holds; nothing in it was run."""

    path: Path
    format: str
    producer: str
    opset: int | None
    nodes: int
    parameters: int
    bytes: int
    dynamic: tuple[str, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    recurrences: tuple[FoundRecurrence, ...]
    hazards: tuple[Hazard, ...]
    foreign: tuple[Foreign, ...] = ()

    def parts(self) -> Iterable[Part]:
        """The file's sizes, its recurrences, then its hazards."""
        return _parts(self)

    @property
    def ok(self) -> bool:
        """Whether no hazard is an error."""
        return all(h.severity != "error" for h in self.hazards)

    def to_json(self) -> dict[str, Any]:
        """The same as JSON."""
        ports = {"inputs": self.inputs, "outputs": self.outputs}
        return {
            **vars(self),
            "path": str(self.path),
            "dynamic": list(self.dynamic),
            **{name: [asdict(p) for p in value] for name, value in ports.items()},
            "recurrences": [r.to_json() for r in self.recurrences],
            "hazards": [asdict(h) for h in self.hazards],
            "foreign": [asdict(f) for f in self.foreign],
        }


def inspect(path: str | Path) -> Inspection:
    """Reads a file without running anything in it.

    Args:
        path: ONNX, TorchScript or .pt2, whoever wrote it.

    Raises:
        RnnbenchError: it is none of the three kinds, or damaged, or weights of it are missing.
    """
    program = readers.read(Path(path))
    flow = Flow(program)
    recurrences = find_recurrences(flow)
    return Inspection(
        Path(path),
        program.format,
        program.producer,
        program.opset,
        program.nodes,
        program.parameters,
        program.size,
        program.dynamic,
        program.inputs,
        program.outputs,
        recurrences,
        _hazards(flow, recurrences),
        find_foreign(program),
    )


def _hazards(flow: Flow, recurrences: tuple[FoundRecurrence, ...]) -> tuple[Hazard, ...]:
    found = []
    for name in plugins.names("hazards"):
        plugin = plugins.load("hazards", name)
        for where, what, severity in plugin.find(flow, recurrences):
            grade = severity or plugin.SEVERITY
            found.append(Hazard(name, grade, where, what, plugin.REMEDY))
    return tuple(sorted(found, key=lambda h: SEVERITIES.index(h.severity)))


def format_inspection(report: Inspection) -> str:
    """A file's sizes, its recurrences, then its hazards."""
    return format_parts(report.parts())


def _parts(report: Inspection) -> Iterator[Part]:
    opset = f", opset {report.opset}" if report.opset else ""
    dynamic = ", ".join((*report.dynamic, *_unnamed(report))) or "none known"
    producer = report.producer or "an unknown producer"
    yield f"{report.path}: {report.format} by {producer}{opset}"
    yield (
        f"{report.nodes:,} nodes, {report.parameters:,} parameters, {report.bytes:,} bytes; "
        f"dynamic dimensions: {dynamic}"
    )
    if report.foreign:
        said = [f"{f.op} ({f.count}, {f.what})" for f in report.foreign]
        yield f"operators of other domains: {', '.join(said)}"
    yield ""
    rows = [_row(r) for r in report.recurrences]
    heads = ["recurrence", "form", "kind", "sizes", "direction", "state in", "state out", "lengths"]
    yield Table(heads, rows, _LEAST) if rows else _without_any(report)
    yield ""
    hazards = [[h.severity, h.name, h.where, h.what] for h in report.hazards]
    heads = ["severity", "hazard", "where", "what"]
    yield Table(heads, hazards) if hazards else "no hazards"
    remedies = {h.name: h.remedy for h in report.hazards}
    yield from (f"{name}: {remedy}" for name, remedy in remedies.items())
    yield from _more(list(remedies))


def _unnamed(report: Inspection) -> Iterator[str]:
    """The inputs whose sizes are open, and have no names."""
    for port in report.inputs:
        count = sum(size is None for size in port.shape or ())
        if count:
            yield f"{count} without a name in {port.name}"


_LEAST = ("lengths", "direction", "state out", "state in")


def _without_any(report: Inspection) -> str:
    """Never that there is no recurrence where one may be in what is not understood."""
    unknown = [f.op for f in report.foreign if not f.understood]
    if not unknown:
        return "no recurrence found"
    return f"no recurrence found in what is understood; there may be one in {', '.join(unknown)}"


def _more(names: list[str]) -> list[str]:
    """Where the hazards of these names are explained: one line, with an anchor each."""
    anchors = [f"#{name}" for name in names if name not in plugins.outside("hazards")]
    others = f" ({', '.join(anchors[1:])})" if anchors[1:] else ""
    return [f"more: {page('inspect.md')}{anchors[0]}{others}"] if anchors else []


def _row(r: FoundRecurrence) -> list[str]:
    form = ", ".join(filter(None, (inspected(r.representation), r.note)))
    form += f", {r.steps} x {r.period} nodes" if r.steps else ""
    sizes = f"{r.input_size or '?'} -> {r.hidden_size or '?'}"
    layers = f", {r.num_layers} layers" if r.num_layers > 1 else ""
    used = "yes" if r.lengths else "no"
    return [r.place, form, r.kind, sizes + layers, r.direction, r.state_in, r.state_out, used]


def differences(a: Inspection, b: Inspection) -> list[tuple[str, str, str]]:
    """What differs and matters: (what, in a, in b).

    Names of nodes and dimensions do not matter; nor does what only one of the formats knows, as
    the opset, or the shapes that a TorchScript file does not declare. Weights are compared where
    both are ONNX.
    """
    pairs = {}
    if a.format != b.format:
        pairs["format"] = a.format, b.format
    elif a.opset != b.opset:
        pairs["opset"] = str(a.opset), str(b.opset)
    for name in ("inputs", "outputs"):
        ports = getattr(a, name), getattr(b, name)
        if len(ports[0]) != len(ports[1]) or all(p.shape for side in ports for p in side):
            left, right = (", ".join(_sizes(p.shape) for p in side) for side in ports)
            pairs[name] = left, right
    left, right = ("; ".join(" ".join(_row(r)[1:5]) for r in i.recurrences) for i in (a, b))
    pairs["recurrences"] = left, right
    left, right = (
        ", ".join(sorted({f"{h.name} ({h.severity})" for h in i.hazards})) for i in (a, b)
    )
    pairs["hazards"] = left, right
    rows = [(name, *pair) for name, pair in pairs.items() if pair[0] != pair[1]]
    if a.format == b.format == "onnx":
        from rnnbench.inspection.weights import weight_differences

        rows += weight_differences(a.path, b.path)
    return rows


def _sizes(shape: tuple[int | str | None, ...] | None) -> str:
    if shape is None:
        return "[?]"
    return "[" + " ".join(str(n) if isinstance(n, int) else "dynamic" for n in shape) + "]"
