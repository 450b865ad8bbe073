"""C in WebAssembly without a runtime against onnxruntime-web: in Node.js and in a browser.

A call from JavaScript with the same arrays, one thread, both in one process in turns. A ratio above
1 means that ours is slower.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Keep, skip
from test_c_layers import Work, layer

import rnnbench
from rnnbench.benchmarking.measuring.paired import compared
from rnnbench.embedding.project import embed
from rnnbench.embedding.target import find_target

HERE = Path(__file__).parent / "wasm"
sys.path.insert(0, str(HERE.parents[1]))  # tests/helpers has what drives a browser

WORKS = [
    Work("LSTM", 64, 128, 1, 1, 1.0),
    Work("GRU", 64, 128, 1, 1, 1.0),
    Work("LSTM", 64, 128, 1, 32, 1.1),
    Work("GRU", 64, 128, 1, 32, 1.1),
    Work("LSTM", 64, 128, 1, 256, 1.15),
    Work("LSTM", 64, 128, 4, 32, 1.1),
]

Folder = Callable[[Work], Path]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Both projects of a model beside what takes turns."""
    made: dict[str, Path] = {}

    def build(work: Work) -> Path:
        name = f"{work.kind}-{work.size}-{work.hidden}"
        if name not in made:
            at = tmp_path_factory.mktemp(name)
            bundle = rnnbench.export(layer(work), ("onnx", "c"), at / "bundle")
            for own, target in (("own", "wasm"), ("web", "web")):
                project = embed(bundle, find_target(target), at / own)
                for command in find_target(target).build:
                    subprocess.run(command, cwd=project, check=True, capture_output=True)
            for file in HERE.iterdir():
                shutil.copy(file, at)
            made[name] = at
        return made[name]

    return build


@pytest.mark.parametrize("place", ["node", "browser"])
@pytest.mark.parametrize("work", WORKS, ids=str)
def test_wasm(
    keep_ratio: Keep, request: pytest.FixtureRequest, folder: Folder, work: Work, place: str
) -> None:
    missing = find_target("wasm").missing() or find_target("web").missing()
    if missing:
        skip(request, f"WebAssembly, {work}", missing)
    at = folder(work)
    rounds = (_in_node if place == "node" else _in_a_browser)(at, work)
    ratio = compared([ours for ours, _ in rounds], [theirs for _, theirs in rounds])
    group = f"WebAssembly without a runtime against onnxruntime-web in {place}: {work}"
    this = work.row() | {"runtime": "wasm", "mode": place}
    keep_ratio(ratio, "wasm/onnxruntime-web", group, this, "onnxruntime-web")
    vendor = sum(p.stat().st_size for p in (at / "web" / "vendor").iterdir())
    size = (at / "own" / "model.wasm").stat().st_size
    print(f"model.wasm {size / 1e6:.2f} MB, the runtime beside a model {vendor / 1e6:.1f} MB")
    assert ratio.ratio <= work.limit


def _in_node(at: Path, work: Work) -> list[list[float]]:
    command = ["node", "node.mjs", str(work.batch), str(work.steps)]
    done = subprocess.run(command, cwd=at, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return list(json.loads(done.stdout))


def _in_a_browser(at: Path, work: Work) -> list[list[float]]:
    from tests.helpers.browser import Browser, Server

    with Server(at) as url, Browser() as page:
        page.open(f"{url}page.html#{work.batch},{work.steps}", "document.title !== 'turns'")
        title = page.value("document.title")
    assert title.startswith("["), title
    return list(json.loads(title))
