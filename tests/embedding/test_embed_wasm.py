"""The project in WebAssembly without a runtime: right in Node.js and in a browser, and small."""

import re
import shutil
import subprocess

import numpy as np
import pytest

from rnnbench.cases.golden import Record, read_arrays, write_arrays
from rnnbench.embedding.conform import conform
from rnnbench.embedding.project import embed
from rnnbench.embedding.target import find_target
from tests.helpers.browser import Browser, Server
from tests.helpers.c_models import BUILD
from tests.helpers.projects import skip

RIGHT = r"(\d+) of \1 right, worst error \S+"


@pytest.fixture(scope="module")
def project_of(c_bundle, tmp_path_factory):
    """Built, with the program of its README; leave it as it is, or copy it."""
    missing = find_target("wasm").missing()
    if missing:
        skip("wasm", missing)
    made = {}

    def build(name):
        if name not in made:
            folder = tmp_path_factory.mktemp("wasm") / "a project"
            made[name] = embed(c_bundle(name), find_target("wasm"), folder)
            call(made[name], ["sh", "build.sh"])
            readme = (folder / "README.md").read_text("utf-8")
            (code,) = re.findall(r"^```js\n(.*?)^```$", readme, re.S | re.M)
            (folder / "mine.mjs").write_text(code, encoding="utf-8")
        return made[name]

    return build


def call(folder, words, code=0):
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


@pytest.mark.parametrize("name", BUILD)
def test_every_golden_case_is_right_in_node(c_bundle, name):
    (row,) = conform(c_bundle(name), ["wasm"])
    if row.verdict == "not run":
        skip("wasm", row.reason)
    assert row.verdict == "same", row
    assert [*row.versions] == ["node"]


def test_it_is_right_in_a_browser(project_of):
    if shutil.which("chromium") is None:
        skip("wasm", "chromium is not on the path")
    with Server(project_of("lstm")) as url, Browser() as page:
        ready = "document.title.includes(' right, ') || document.title.includes('error')"
        page.open(f"{url}index.html", ready)
        assert re.fullmatch(RIGHT, page.value("document.title"))
        assert page.problems == []


def test_it_imports_nothing_and_is_as_large_as_its_constants(project_of, c_bundle):
    project = project_of("lstm")
    script = (
        'import { readFileSync } from "node:fs";'
        'const m = new WebAssembly.Module(readFileSync("model.wasm"));'
        "console.log(WebAssembly.Module.imports(m).length)"
    )
    (project / "imports.mjs").write_text(script)
    assert call(project, ["node", "imports.mjs"]) == "0\n"
    constants = c_bundle("lstm").manifest["artifacts"]["c"]["weight_bytes"]
    assert constants < (project / "model.wasm").stat().st_size < constants + 40_000


def test_the_gates_of_a_layer_are_computed_in_vectors(project_of):
    """Three sigmoids and two tanh make four integers of floats each: `i32x4.trunc_sat_f32x4_s`."""
    assert (project_of("lstm") / "model.wasm").read_bytes().count(b"\xfd\xf8\x01") >= 5


@pytest.mark.parametrize("name", ["lstm", "ragged", "both"])
def test_the_program_of_the_readme_runs(project_of, name):
    said = call(project_of(name), ["node", "mine.mjs"]).splitlines()
    assert len(said) == (1 if name == "both" else 11)


def test_a_stream_gives_the_same_bits_as_one_call(project_of, tmp_path):
    project = project_of("lstm")
    for name, more in (("whole", []), ("steps", ["--stream"])):
        call(project, ["node", "main.mjs", "input.json", f"{tmp_path}/{name}.json", *more])
    whole, steps = (read_arrays(tmp_path / f"{name}.json") for name in ("whole", "steps"))
    for a, b in zip(whole, steps, strict=True):
        assert a.array.tobytes() == b.array.tobytes()


@pytest.mark.parametrize(
    ("name", "sizes", "says"),
    [
        ("lstm", {"x": (5, 3, 5), "h0": (2, 3, 8), "c0": (2, 3, 8)}, "give float32[5, 3, 4]"),
        ("episodes", {"seen": (7, 3), "starts": (7,)}, "its envs*time is 7, and must be 6"),
    ],
)
def test_sizes_that_do_not_fit_are_one_line(project_of, tmp_path, name, sizes, says):
    project = project_of(name)
    if name == "episodes":
        given = read_arrays(project / "input.json")
        sizes |= {"h0": (1, 2, next(r.array.shape[-1] for r in given if r.name == "h0"))}
    records = [Record("a", "in", n, np.zeros(size, np.float32)) for n, size in sizes.items()]
    write_arrays(tmp_path, records)
    words = ["node", "main.mjs", f"{tmp_path}/cases.json", f"{tmp_path}/o.json"]
    (line,) = call(project, words, 2).splitlines()
    assert says in line


def test_a_project_that_was_not_built_says_how(c_bundle, tmp_path):
    if shutil.which("node") is None:
        skip("wasm", "node is not on the path")
    project = embed(c_bundle("lstm"), find_target("wasm"), tmp_path / "p")
    (line,) = call(project, ["node", "main.mjs", "--verify"], 2).splitlines()
    assert "model.wasm is not there: sh build.sh" in line
