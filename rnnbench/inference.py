"""Everything that can run a bundle, over all its cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from rnnbench import plugins, runtimes
from rnnbench.bundle import Bundle
from rnnbench.cases import Case
from rnnbench.errors import RnnbenchError, Unavailable, one_line
from rnnbench.model import Arrays
from rnnbench.session import load

THREADS = 1
"""For every runtime: small networks gain nothing from more, and a busy machine loses much."""

Run = Callable[[Arrays], Arrays]


@dataclass(frozen=True)
class Ran:
    """One artifact in one runtime.

    Attributes:
        format: of the artifact; `eager` is the module itself, `twin` its other form.
        runtime: what ran it.
        outputs: case -> outputs by name.
        errors: case -> why there are no outputs.
        unavailable: what is not installed, so that nothing ran.
        note: what the table says beside the format.
    """

    format: str
    runtime: str
    outputs: dict[str, Arrays]
    errors: dict[str, str]
    unavailable: str = ""
    note: str = ""


def run_everything(
    bundle: Bundle, cases: list[Case], wanted: Sequence[str] | None
) -> Iterator[Ran]:
    """Runs each artifact in each runtime, the module itself, and its other form.

    Args:
        bundle: whose artifacts run.
        cases: the inputs.
        wanted: the runtimes to use; all where it is None.
    """
    for runtime, formats in runtimes.formats().items():
        if wanted is not None and runtime not in wanted:
            continue
        for format in formats:
            if format == "eager" or format in bundle.artifacts:
                yield _run_one(bundle, cases, format, runtime)
    for format in bundle.artifacts:
        if wanted is None and not runtimes.running(format):
            why = f"no runtime here runs {format}: update rnnbench"
            yield Ran(format, "-", {}, {}, unavailable=why)
    if wanted is None or "eager" in wanted:
        yield from _run_twin(bundle, cases)


def _run_one(bundle: Bundle, cases: list[Case], format: str, runtime: str) -> Ran:
    why = plugins.load("runtimes", runtime).available()
    if why is not None:
        return Ran(format, runtime, {}, {}, unavailable=why)
    try:
        session = load(bundle, format, runtime, threads=THREADS)
    except Unavailable as error:
        return Ran(format, runtime, {}, {}, unavailable=one_line(error))
    except RnnbenchError as error:
        return Ran(format, runtime, {}, {cases[0].name: one_line(error)})
    return _run_cases(session, cases, format, runtime)


def _run_twin(bundle: Bundle, cases: list[Case]) -> Iterator[Ran]:
    """The other form of a variant (loop or fused layer) with the same weights."""
    from rnnbench import variants
    from rnnbench.modules import call, read_weights
    from rnnbench.threads import torch_threads

    source = bundle.source
    if source.get("kind") != "variant":
        return
    try:
        options = variants.Options(**source["options"])
        other = variants.twin(source["variant"], options)
    except (KeyError, TypeError, RnnbenchError):
        return  # the row of `eager` says what is wrong with the source
    if other is None:
        return
    name, convert = other
    module = variants.build(name, options).eval()
    try:
        module.load_state_dict(convert(read_weights(bundle.path)), strict=True)
    except (RnnbenchError, RuntimeError, KeyError) as error:
        yield Ran("twin", "eager", {}, {cases[0].name: f"{name}: {one_line(error)}"})
        return

    def run(arrays: Arrays) -> Arrays:
        with torch_threads(THREADS):
            return call(module, bundle.inputs, bundle.outputs, arrays)

    yield replace(_run_cases(run, cases, "twin", "eager"), note=name)


def _run_cases(run: Run, cases: list[Case], format: str, runtime: str) -> Ran:
    outputs: dict[str, Arrays] = {}
    errors: dict[str, str] = {}
    for case in cases:
        try:
            outputs[case.name] = run(case.inputs)
        except Exception as error:  # each runtime raises types of its own
            errors[case.name] = one_line(error)
    return Ran(format, runtime, outputs, errors)
