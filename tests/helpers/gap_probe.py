"""What an engine makes of each file of `gap_files`: right, wrong without a word, or refused.

    python -m tests.helpers.gap_probe tract 18 plain       prints a line of each, to look at

One process runs the files one after the other; where it dies another goes on behind that file.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx

from rnnbench import RnnbenchError, runtimes
from rnnbench.formats.onnx import profiles as portable
from tests.helpers.gap_files import probes

_ALLOWED = 3e-5
_WORST = ("right", "stopped", "refused", "wrong")


def found(engine, opset, seed=0, form="plain"):
    """(op, attribute) -> (what it makes of files of fixed sizes, and of dynamic ones).

    `form` is `plain`, or a profile: the files are what `--for` makes of them then, and a refusal of
    ours is `stopped`.

    An engine that fixes the sizes itself is asked for fixed ones alone, and has both the same.
    """
    dynamic = (False,) if runtimes.get(engine).pins() else (False, True)
    asked = [(i, fluid) for fluid in dynamic for i in range(len(probes()))]
    said = {}
    while asked:
        lines, ended = _run(engine, opset, seed, form, asked)
        for (i, fluid), line in zip(asked, lines, strict=False):
            said[i, fluid] = tuple(json.loads(line))
        asked = asked[len(lines) :]
        if asked:
            assert ended < 0, f"{engine} at {asked[0]}: no signal, and no answer"
            said[asked.pop(0)] = ("refused", f"its process ends with {signal.Signals(-ended).name}")
    return {
        (probe.op, probe.attribute): tuple(said[i, fluid] for fluid in dynamic)
        for i, probe in enumerate(probes())
    }


def _run(engine, opset, seed, form, asked):
    """The answers until the process ended, and how it ended."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile() as noise:
        command = [sys.executable, "-m", __spec__.name, engine, str(opset), str(seed), form]
        command.append(json.dumps(asked))
        done = subprocess.run(command, stdout=out, stderr=noise, cwd=Path(__file__).parents[2])
        out.seek(0)
        lines = [line[4:] for line in out.read().splitlines() if line.startswith("gap ")]
    return lines, done.returncode


def judged(engine, probe, opset, seed, form, dynamic, folder):
    """`right`, `wrong`, `refused` or `stopped`, and why."""
    batch = 1 if runtimes.get(engine).shapes == "one row" else 2
    proto, fed, expected = probe.file(batch, opset, dynamic, seed)
    path = Path(folder) / "model.onnx"
    onnx.save(proto, path)
    if form != "plain":
        try:
            portable.rewrite(path, Path(folder) / "own.onnx", form)
        except RnnbenchError as error:
            return "stopped", str(error)
        path = Path(folder) / "own.onnx"
    try:
        outputs = runtimes.get(engine).load(None, path, threads=1)(fed)
    except RnnbenchError as error:
        return "refused", str(error).replace(str(path), path.name)
    for name, array in expected.items():
        if name not in outputs or outputs[name].shape != array.shape:
            return "wrong", f"{name} has shape {outputs[name].shape}, not {array.shape}"
    worst = max(float(np.abs(outputs[name] - array).max()) for name, array in expected.items())
    return ("right" if worst <= _ALLOWED else "wrong"), f"off by {worst:.1e}"


def behaviour(answers):
    """The worst of answers to files of fixed and of dynamic sizes."""
    return max((verdict for verdict, _ in answers), key=_WORST.index)


def _child(engine, opset, seed, form, asked):
    every = probes()
    # What the engine's own libraries print on stdout may stand in the middle of a line.
    with os.fdopen(os.dup(1), "w") as out, tempfile.TemporaryDirectory() as folder:
        for i, dynamic in asked:
            answer = judged(engine, every[i], opset, seed, form, dynamic, folder)
            print("\ngap " + json.dumps(answer), file=out, flush=True)


def _show(engine, opset, form):
    for (op, attribute), answers in found(engine, opset, form=form).items():
        said = " | ".join(why for _, why in answers)
        print(f"{op} {attribute}".ljust(28), behaviour(answers).ljust(8), said)


if __name__ == "__main__":
    if len(sys.argv) == 6:
        _child(sys.argv[1], *map(int, sys.argv[2:4]), sys.argv[4], json.loads(sys.argv[5]))
    else:
        _show(sys.argv[1], int(sys.argv[2]), sys.argv[3])
