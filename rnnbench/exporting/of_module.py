"""A module -> Bundle: captured once, written in each format, with the cases it is judged by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.core.atomic import writing
from rnnbench.core.bundle import Bundle, describe_file, write_manifest
from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.model import Model
from rnnbench.core.trust import digest, remember_code
from rnnbench.core.whole import full
from rnnbench.exporting.calibration import fitted
from rnnbench.exporting.described import describe, found_out, metadata_of, planned, possible
from rnnbench.exporting.writers import levels_of, without
from rnnbench.formats._format import WriteOptions
from rnnbench.models import sources
from rnnbench.models.precision import STATIC

if TYPE_CHECKING:
    from rnnbench.capture.program import Captured
    from rnnbench.formats._format import Format


def write(
    model: Model,
    writers: Mapping[str, Format],
    asked: WriteOptions,
    out: str | Path,
    loops: Mapping[str, bool],
    described: Mapping[str, Any],
) -> Bundle:
    """Captures the model and writes the bundle.

    Args:
        model: as the user declared it.
        writers: the formats, by name.
        asked: their options.
        out: the folder that the bundle's folder goes to.
        loops: the options of `capture`.
        described: what the manifest says besides.

    Raises:
        RnnbenchError: the module cannot be captured, or no format could be written.
    """
    from rnnbench.capture.pipeline import capture
    from rnnbench.capture.tracing.sizes import traced_sizes
    from rnnbench.capture.tracing.unsupported import refuse_unsupported
    from rnnbench.cases.cases import check_declaration, plan_cases
    from rnnbench.cases.least_sizes import with_least_sizes
    from rnnbench.cases.stored import write_cases
    from rnnbench.core.collector import collecting_seldom
    from rnnbench.core.threads import torch_threads
    from rnnbench.exporting.rounding import cost_in_words
    from rnnbench.exporting.values import add_price, rounding_file
    from rnnbench.models.calls import on_cpu, save_weights
    from rnnbench.models.lifting import lifted

    model = lifted(model)
    refuse_unsupported(model)
    quick = collecting_seldom(), torch_threads(1)
    with writing(out, model.name) as folder, quick[0], quick[1], on_cpu(model.module):
        declared, model = model, with_least_sizes(model, traced_sizes(model))
        check_declaration(model, plan_cases(model, traced_sizes(model))[0])
        asked = replace(asked, calibration=fitted(model, asked.calibration))
        larger = without(asked.precision, writers)
        rounded = _rounded(model, asked, levels_of(asked.precision, writers))
        plans = planned(model, asked.pin)
        captured = capture(model, **loops)
        digest = save_weights(model.module, folder)
        said = metadata_of(model, described["metadata"], digest)
        artifacts, failed = write_all(captured, folder, writers, replace(asked, metadata=said))
        file = rounding_file(folder, artifacts, writers, captured)
        if file is not None:
            add_price(rounded["precision"], model, file, asked.calibration)
        # After the capture, which refuses loops whose end depends on data: some have none.
        cases = write_cases(model, folder, possible(plans, captured.dims, captured.frozen), file)
        notes = [*found_out(declared, model), *map(cost_in_words, rounded.values())]
        notes += [_unchanged(name) for name in artifacts if rounded and name in larger]
        notes += _static(artifacts, rounded, len(asked.calibration))
        notes += _unusual(artifacts)
        write_manifest(
            folder,
            describe(model, captured.dims, captured.frozen, captured.recurrences, notes)
            | {**described, "source": _remembered(described["source"])}
            | {
                **rounded,
                "version": said["version"],
                "sha256": digest,
                "artifacts": artifacts,
                "failed": failed,
                "cases": cases,
            },
        )
    return Bundle.open(Path(out) / model.name, trust_code=True)


def _rounded(model: Model, asked: WriteOptions, levels: int) -> dict[str, Any]:
    """Rounds the weights where a precision is asked for; what the manifest says of it."""
    from rnnbench.exporting.rounding import rounded

    if not asked.precision:
        return {}
    each_alone = asked.sensitivity
    first = asked.calibration[0] if asked.calibration else None
    said = rounded(
        model, asked.precision, asked.keep, each_alone=each_alone, levels=levels, arrays=first
    )
    return {"precision": said}


def _static(artifacts: Mapping[str, Any], rounded: Mapping[str, Any], calls: int) -> list[str]:
    """How much of a file has scales that were measured."""
    found = []
    for name, said in artifacts.items():
        if said.get("precision") == STATIC:
            count = rounded["precision"]["weights"]
            others = "; the others multiply floats" if said["whole"] < count else ""
            found.append(
                f"{name}: {said['whole']:,} of {count:,} rounded weights multiply whole numbers, "
                f"whose scales were measured in {calls} call{'s' if calls != 1 else ''}{others}"
            )
    return found


def _unusual(artifacts: Mapping[str, Any]) -> list[str]:
    """Who computes what a loop has become as wrong as can be: without a word."""
    from rnnbench.core.gaps import WORDS, all_gaps

    found = []
    for name, said in artifacts.items():
        for attribute in said.get("unusual", ()):
            known = [g for gaps in all_gaps().values() for g in gaps if g.attribute == attribute]
            wrong = [gap for gap in known if gap.behaviour == "wrong"]
            if wrong:
                who = ", ".join(gap.version for gap in wrong)
                found.append(
                    f"{name}: a loop is a layer, {wrong[0].op} with {WORDS[attribute]}, which "
                    f"{who} compute{'s' if len(wrong) == 1 else ''} wrong, without a word: "
                    "--profile portable writes a form for all, --for NAME one for an engine"
                )
    return found


def _unchanged(name: str) -> str:
    return f"{name} keeps the rounded weights as float32: its file is no smaller"


def _remembered(source: Mapping[str, Any]) -> dict[str, Any]:
    """The source with the sha256 of its file, by which its code is known again."""
    spec = source.get("spec")
    if source.get("kind") not in ("file", "import") or not isinstance(spec, str):
        return dict(source)
    main = sources.file_holding(spec)
    if main is None:
        return dict(source)
    remember_code(spec, main)  # where it cannot, whoever checks it says what to do
    return {**source, "sha256": digest(main)}


def write_all(
    captured: Captured, folder: Path, writers: Mapping[str, Format], options: WriteOptions
) -> tuple[dict[str, Any], dict[str, str]]:
    """The artifacts, and why some formats have none: one without a form does not stop the others.

    Raises:
        RnnbenchError: there is no form in any of them.
    """
    artifacts: dict[str, Any] = {}
    failed: dict[str, str] = {}
    for name, writer in writers.items():
        path = folder / f"model{writer.suffix}"
        try:
            details = writer.write(captured, path, options)
        except Exception as error:  # torch, onnx and the compilers raise types of their own
            if full(error) is not None:  # which has nothing to do with the format
                raise
            for left in (path, path.with_name(f"{path.name}.data")):
                left.unlink(missing_ok=True)
            known = isinstance(error, RnnbenchError | RuntimeError)
            failed[name] = one_line(error) if known else f"{type(error).__name__}: {error}"
            if len(failed) == len(writers):
                raise RnnbenchError(failed[name]) from error
        else:
            artifacts[name] = describe_file(path) | details
    return artifacts, failed
