"""Plans of what does not exist, or says nothing, are refused before anything is measured."""

from __future__ import annotations

import re
from pathlib import Path

from rnnbench import runtimes
from rnnbench.benchmarking.axis import Axis
from rnnbench.benchmarking.plan import CELLS, Plan, keeps, trainers
from rnnbench.core.bundle import Bundle, did_you_mean, is_bundle
from rnnbench.core.errors import RnnbenchError, choices
from rnnbench.core.files import recognise

DEVICES = ("cpu", "cuda")


def check_plan(plan: Plan) -> None:
    """Refuses what does not exist, before anything is measured.

    Raises:
        RnnbenchError: a name is unknown.
    """
    from rnnbench.models import variants
    from rnnbench.models.sources import file_of, is_source

    known = (*CELLS, *(n for n in variants.names() if n not in CELLS))
    for target in plan.targets:
        file = Path(file_of(target))
        if file.suffix == ".py" and not file.is_file():
            raise RnnbenchError(f"there is no file {file}: give FILE.py[:function]")
        if target in known or (is_source(target) and not Path(target).is_dir()):
            continue
        if not Path(target).is_dir():
            found = recognise(target)
            if found is not None:
                raise RnnbenchError(str(found))
            raise RnnbenchError(
                f"{choices('variant', target, known)}, or give a bundle's folder, "
                f"FILE.py[:function] or package.module:function{did_you_mean(target)}"
            )
    for given, check in (
        (True, _check_runtimes),
        (plan.streams, _check_streams),
        (plan.precisions, _check_precisions),
        (plan.crossover, _check_crossover),
    ):
        if given:
            check(plan)
    for device in plan.devices:
        if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
            raise choices("device", device, DEVICES)


def _check_runtimes(plan: Plan) -> None:
    for runtime in plan.runtimes:
        if runtime not in runtimes.timeable():
            raise choices("runtime", runtime, runtimes.timeable())
        if plan.training and runtime not in trainers():
            raise choices("runtime that trains", runtime, trainers())


def _check_streams(plan: Plan) -> None:
    """Refuses what says nothing of streams.

    Raises:
        RnnbenchError: forward and backward, a batch or a GPU is asked for as well.
    """
    if plan.training:
        raise RnnbenchError(
            "--streams and --training: a stream is not trained step by step: give one of them"
        )
    if plan.batch != (1,):
        given = ",".join(map(str, plan.batch))
        raise RnnbenchError(
            f"--streams and --batch {given}: the rows of a batch are the streams: leave --batch out"
        )
    if plan.devices != ("cpu",):
        raise RnnbenchError(
            f"--streams on {', '.join(plan.devices)}: streams are counted for each core of a CPU: "
            "give --device cpu"
        )


def _check_crossover(plan: Plan) -> None:
    """Refuses what has no size of that name, and what compares nothing.

    Raises:
        RnnbenchError: it is no axis, streams are asked for as well, or a model has a size of its
            own.
    """
    from rnnbench.models import variants

    axis = Axis.parse(plan.crossover)
    if plan.streams:
        raise RnnbenchError("--crossover and --streams: give one of them")
    own = [target for target in plan.targets if target not in variants.names()]
    if own and axis.name in ("hidden", "layers"):
        raise RnnbenchError(
            f"--crossover {axis.name}: {own[0]} has a size of its own: give time, batch or threads"
        )


def _check_precisions(plan: Plan) -> None:
    """Refuses what is none, and what cannot be rounded.

    Raises:
        RnnbenchError: streams or a backward are asked for as well, a bundle is to be rounded, or
            no runtime reads files of such weights.
    """
    from rnnbench.models.precision import check_precision

    for precision in plan.precisions:
        check_precision(precision)
    for option, given in (("--streams", plan.streams), ("--training", plan.training)):
        if given:
            raise RnnbenchError(f"--precision and {option}: give one of them")
    for target in plan.targets:
        if is_bundle(Path(target)):
            said = Bundle.open(target).manifest.get("precision")
            name = said["name"] if said else "float32"
            raise RnnbenchError(
                f"{target} is a bundle, of weights in {name}: give the model that it is of, or the "
                "bundles of each precision without --precision"
            )
    for runtime in plan.runtimes:
        if not any(keeps(runtime, precision) for precision in plan.precisions):
            able = [
                name for name in runtimes.timeable() if any(keeps(name, p) for p in plan.precisions)
            ]
            raise RnnbenchError(
                f"runtime {runtime!r} has the weights of {', '.join(plan.precisions)} as float32: "
                f"choose from {', '.join(able)}"
            )
