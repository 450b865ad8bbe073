"""The targets in JavaScript: files in and out, bad input, and names that are never markup."""

import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

import rnnbench
from rnnbench.cases.golden import Record, read_arrays, write_arrays
from rnnbench.embedding.project import embed
from rnnbench.embedding.target import find_target
from rnnbench.models import variants
from rnnbench.models.variants import Options

MARKUP = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc"
)


@pytest.fixture(scope="module", params=["node", "web"])
def project(request, tmp_path_factory):
    target = find_target(request.param)
    if target.missing():
        pytest.skip(target.missing())
    model = variants.model("gru", Options(5, 8, 1, output_size=5), bundle_name="gru")
    folder = tmp_path_factory.mktemp("js")
    bundle = rnnbench.export(model, ("onnx",), folder)
    made = embed(bundle, target, folder / "project")
    for command in target.build:
        subprocess.run(command, cwd=made, check=True, capture_output=True)
    yield made
    shutil.rmtree(made / "node_modules", ignore_errors=True)


def run(project, *words):
    done = subprocess.run(
        ["node", "main.mjs", *words], cwd=project, capture_output=True, text=True, timeout=120
    )
    return done.returncode, done.stderr.strip().splitlines()


@pytest.mark.parametrize("how", [(), ("--stream",)])
def test_arrays_from_a_file(project, how):
    golden = [r for r in read_arrays(project / "golden" / "cases.json") if r.case == "long"]
    folder = project / "given"
    folder.mkdir(exist_ok=True)
    write_arrays(folder, [record for record in golden if record.part == "in"])
    assert run(project, "given/cases.json", "out.json", *how) == (0, [])
    exact = {record.name: record for record in golden if record.part == "out"}
    outputs: list[Record] = read_arrays(project / "out.json")
    assert {record.name for record in outputs} == set(exact)
    for record in outputs:
        assert record.array.dtype == exact[record.name].array.dtype
        assert abs(record.array - exact[record.name].array).max() <= exact[record.name].allowed


def test_a_program_of_ones_own(project):
    """What the README shows runs, here in Node.js; and a file that its script wrote is read."""
    readme = (project / "README.md").read_text("utf-8")
    ((kind, code),) = re.findall(r"^```(js|html)\n(.*?)^```$", readme, re.S | re.M)
    (script,) = re.findall(r"^```python\n(.*?)^```$", readme, re.S | re.M)
    if kind == "js":
        (project / "mine.mjs").write_text(code, encoding="utf-8")
        done = subprocess.run(["node", "mine.mjs"], cwd=project, capture_output=True, text=True)
        assert not done.returncode, done.stderr
        said = done.stdout.splitlines()
        assert said[0] == "[ 5, 1, 5 ]"
        assert len(set(map(float, said[1:]))) == 10
    subprocess.run([sys.executable, "-c", script], cwd=project, check=True)
    assert run(project, "mine.json", "out.json", "--stream") == (0, [])
    assert {r.name for r in read_arrays(project / "out.json")} == {"y", "hn"}


def test_what_is_missing_is_named(project, tmp_path):
    """Each is one line that says what to do."""
    web = (project / "index.html").is_file()
    wide = np.zeros((5, 1, 7), np.float32)
    write_arrays(project, [Record("a", "in", "x", wide)], "wide.json")
    for words, says in (
        (("nowhere.json", "out.json"), "cannot read nowhere.json (ENOENT): give the header"),
        (("golden", "out.json"), "cannot read golden (EISDIR): give the header"),
        (("model.onnx", "out.json"), "is not JSON"),
        (("input.json", "nowhere/out.json"), "cannot write nowhere/out.bin (ENOENT)"),
        (("wide.json", "out.json"), 'input "x" is float32[5, 1, 7]: give float32[5, 1, 5]'),
    ):
        code, said = run(project, *words)
        assert (code, len(said)) == (2, 1)
        assert says in said[0]
    artifact = project / "model.onnx"
    sound = artifact.read_bytes()
    try:
        artifact.write_bytes(b"no model")
        code, said = run(project, "input.json", "out.json")
        assert (code, len(said)) == (2, 1)
        assert "is not ONNX that onnxruntime runs" in said[0]
        artifact.unlink()
        code, said = run(project, "input.json", "out.json")
        assert (code, len(said)) == (2, 1)
        assert "model.onnx" in said[0]
        assert "embed it again" in said[0] or "copy it from its bundle" in said[0]
    finally:
        artifact.write_bytes(sound)
    bare = tmp_path / "bare"
    shutil.copytree(project, bare, ignore=shutil.ignore_patterns("node_modules", "vendor"))
    for file in ("main.mjs", "build.mjs") if web else ("main.mjs",):
        words = ["node", file, "--verify"]
        done = subprocess.run(words, cwd=bare, capture_output=True, text=True)
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert "run npm install --ignore-scripts" in line


def test_a_model_that_cannot_stream_is_not_streamed(project):
    about = project / "model.json"
    sound = about.read_text("utf-8")
    try:
        about.write_text(sound.replace('"streams": true', '"streams": false'), encoding="utf-8")
        code, said = run(project, "input.json", "out.json", "--stream")
    finally:
        about.write_text(sound, encoding="utf-8")
    assert code == 2
    assert said == ["error: gru needs whole sequences: run it without --stream"]


@pytest.mark.parametrize(
    "words", [(), ("--what",), ("nope.json", "out.json"), ("model.json", "out.json", "--twice")]
)
def test_bad_input_is_one_line(project, words):
    code, said = run(project, *words)
    assert code == 2
    assert len(said) == 1


def test_a_file_of_another_kind(project):
    (project / "other.json").write_text('{"format": "other", "data": "model.json"}')
    code, said = run(project, "other.json", "out.json")
    assert (code, len(said)) == (2, 1)
    assert "rnnbench-cases-1" in said[0]


@pytest.mark.parametrize("target", ["node", "web"])
def test_nothing_from_a_file_becomes_code(target):
    """Names are text nodes; and the page may load nothing from elsewhere."""
    folder = find_target(target).folder
    for path in [*folder.glob("*.*js"), *folder.glob("*.html"), *folder.parent.glob("common/*js")]:
        assert not MARKUP.search(path.read_text("utf-8")), path
    if target == "web":
        page = (folder / "index.html").read_text("utf-8")
        assert "default-src 'none'" in page
        assert not re.search(r"<[^>]*\son\w+=", page)
        assert not re.search(r"https?:|//\w", page)
