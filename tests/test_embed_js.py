"""The targets in JavaScript: files in and out, bad input, and names that are never markup."""

import re
import shutil
import subprocess

import pytest

import rnnbench
from rnnbench import variants
from rnnbench.embed import embed, find_target
from rnnbench.golden import Record, read_arrays, write_arrays
from rnnbench.variants import Options

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
        assert not re.search(r"https?:|//\w", page)
