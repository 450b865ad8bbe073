"""The step of the C and C++ projects against a bare loop over ONNX Runtime's C API, in one program.

The smallest model, where what we add weighs most: batch 1, one step, one thread. The bare loop has
a session and buffers of its own, and hands no states on.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Keep, skip

import rnnbench
from rnnbench.benchmarking.measuring.paired import compared
from rnnbench.embedding.project import embed
from rnnbench.embedding.target import find_target
from rnnbench.models import variants

HERE = Path(__file__).parent
PROGRAMS = {
    "c-onnxruntime": ("step.c", "engine.c"),
    "cpp-onnxruntime": ("step.cpp",),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_embed_step(
    keep_ratio: Keep, request: pytest.FixtureRequest, tmp_path: Path, name: str
) -> None:
    target = find_target(name)
    if target.missing():
        skip(request, name, target.missing())
    options = variants.Options(4, 8, 2, output_size=1)
    model = variants.model("lstm", options, bundle_name="weather-lstm")
    bundle = rnnbench.export(model, ("onnx",), tmp_path)
    project = embed(bundle, target, tmp_path / "project")
    shutil.copytree(HERE / "embed_step", project, dirs_exist_ok=True)
    configured = (project / "CMakeLists.txt").read_text("utf-8")
    sources = configured.replace(f"main{Path(PROGRAMS[name][0]).suffix}", PROGRAMS[name][0])
    (project / "CMakeLists.txt").write_text(sources, encoding="utf-8")
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    for command in (*target.build, ("./model",)):
        environment = os.environ | {"PATH": path}
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, env=environment)
        assert not done.returncode, done.stdout + done.stderr
    rounds = [tuple(map(float, line.split())) for line in done.stdout.splitlines()]
    ratio = compared([ours for ours, _ in rounds], [bare for _, bare in rounds])
    this = {"model": "weather-lstm", "cell": "lstm", "form": name, "layers": 2}
    this |= {"runtime": "onnxruntime", "time": 1, "hidden": 8}
    keep_ratio(ratio, "step/bare", f"one step in {name}", this, "bare loop")
    assert ratio.ratio <= 1.1
