"""What the README of a project says of the model, and that what it says to do works."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import rnnbench
from rnnbench import Model, RnnbenchError, TensorSpec
from rnnbench.cases.golden import describe_model, read_arrays
from rnnbench.core.bundle import Bundle
from rnnbench.core.markdown import code, paragraph, table
from rnnbench.embedding.conform import conform
from rnnbench.embedding.describe import about, meaning
from rnnbench.embedding.project import embed
from rnnbench.embedding.readme import fill, words_of
from rnnbench.embedding.target import find_target, targets
from rnnbench.models import variants
from rnnbench.models.variants import Options
from tests.helpers.c_models import Ragged

TARGETS = [name for name, target in targets().items() if target.format == "onnx"]
WEATHER = {
    "columns": ["temp_max", "wind"],
    "mean": [15.25, 3.5],
    "std": [7.5, 1.5],
    "target": {"column": "temp_max", "mean": 15.25, "std": 7.5, "unit": "\u00b0C"},
    "window": 14,
}
HELLO = {"alphabet": "ehlo", "question": "hello", "answer": "ohlol"}
KINDS = {"c": "c", "cpp": "cpp", "html": "html", "js": "mjs", "python": "py"}


@pytest.fixture(scope="session")
def bundles(shared):
    torch.manual_seed(0)
    ragged = (
        TensorSpec("ids", ("batch", "time"), "int64", high=7),
        TensorSpec("lengths", ("batch",), "int64", role="lengths"),
        TensorSpec("h0", (1, "batch", 6), role="state"),
    )
    both = Options(3, 4, 1, output_size=2, bidirectional=True)
    made = [
        (variants.model("lstm", Options(2, 4, 1, output_size=1), bundle_name="days"), WEATHER),
        (variants.model("gru", Options(4, 4, 1, output_size=4), bundle_name="letters"), HELLO),
        (Model(Ragged().eval(), ragged, ("y", "hn", "best"), {"h0": "hn"}, name="ragged"), {}),
        (variants.model("gru", both, bundle_name="both"), {}),
    ]
    return {
        model.name: shared.export(f"readme {model.name}", lambda m=model: m, ("onnx",), metadata=s)
        for model, s in made
    }


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", ["days", "letters", "ragged", "both"])
def test_a_readme_says_what_the_model_is(bundles, tmp_path, target, name):
    bundle = bundles[name]
    project = embed(bundle, find_target(target), tmp_path / "p")
    readme = (project / "README.md").read_text("utf-8")
    about = json.loads((project / "model.json").read_text("utf-8"))
    assert not re.search(r"@[A-Z_]+[@{}]", readme)
    assert f"--target {target} " in readme
    for port in about["inputs"] + about["outputs"]:
        shape = ", ".join(map(str, port["shape"]))
        assert f"| `{port['name']}` | {port['dtype']} | `[{shape}]` |" in readme
    sections = re.findall(r"^## (\w+ \w+)", readme, re.M)
    wanted = [
        "What the",  # page takes
        "What goes",
        "In a",
        "In an",
        "Arrays in",
        "Another version",
        "When something",
        "Tried with",
    ]
    assert [section for section in wanted if section in sections] == sections[1:]
    assert ("--stream" in readme) == about["streams"]
    assert ("start from zeros again" in " ".join(readme.split())) == about["streams"]
    said = " ".join(readme.split())
    assert ("needs whole sequences, and" in said) == (not about["streams"])
    if name == "days":
        assert "| `wind` | 3.5 | 1.5 |" in readme
        assert "`y * 7.5 + 15.25` is in `\u00b0C`" in said
    if name == "letters":
        assert "one-hot, the place (from 0) in the alphabet `ehlo`" in said
        assert "the text `hello`, a character" in said
        (x,) = (r for r in read_arrays(project / "input.json") if r.name == "x")
        assert "".join("ehlo"[i] for i in x.array[:, 0].argmax(-1)) == "hello"
    if name == "ragged":
        assert "whole numbers from 0 to 6" in readme


def test_an_alphabet_that_does_not_fit_the_outputs_is_not_explained(tmp_path):
    model = variants.model("gru", Options(4, 4, 1, output_size=3), bundle_name="other")
    bundle = rnnbench.export(model, ("onnx",), tmp_path, metadata=HELLO)
    project = embed(bundle, find_target("node"), tmp_path / "p")
    assert "a score per character" not in (project / "README.md").read_text("utf-8")


def test_the_shape_of_an_output_has_the_names_of_its_dimensions(bundles, tmp_path):
    project = embed(bundles["ragged"], find_target("node"), tmp_path / "p")
    outputs = json.loads((project / "model.json").read_text("utf-8"))["outputs"]
    shapes = {port["name"]: port["shape"] for port in outputs}
    assert shapes == {"y": ["batch", "time", 6], "hn": [1, "batch", 6], "best": ["batch", "time"]}


def blocks(project):
    """The program of the README, and the one that writes a file, as files; their names."""
    readme = (project / "README.md").read_text("utf-8")
    for kind, text in re.findall(r"^```(\w+)\n(.*?)^```$", readme, re.S | re.M):
        if kind in KINDS:
            name = "write.py" if "import json, struct" in text else f"mine.{KINDS[kind]}"
            (project / name).write_text(text, encoding="utf-8")
    return readme


def python(project, *words):
    done = subprocess.run([sys.executable, *words], cwd=project, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    return done.stdout


@pytest.mark.parametrize("target", ["python-onnxruntime", "openvino"])
@pytest.mark.parametrize("name", ["days", "ragged", "both"])
def test_a_python_project_does_what_its_readme_says(bundles, tmp_path, target, name):
    missing = find_target(target).missing()
    if missing:
        pytest.skip(missing)
    project = embed(bundles[name], find_target(target), tmp_path / "l'\u00e9t\u00e9 \u4e2d")
    blocks(project)
    assert len(python(project, "mine.py").splitlines()) >= (1 if name == "both" else 11)
    python(project, "write.py")
    for given in ("input.json", "mine.json"):
        said = python(project, "main.py", given, "out.json")
        assert said.splitlines()[0].startswith("y float32[")
        whole = read_arrays(project / "out.json")
        if name != "both":
            assert python(project, "main.py", given, "steps.json", "--stream") == said
            for a, b in zip(whole, read_arrays(project / "steps.json"), strict=True):
                np.testing.assert_allclose(a.array, b.array, atol=1e-6)


def test_telemetry_is_off_unless_it_is_wanted(bundles, tmp_path):
    project = embed(bundles["days"], find_target("python-onnxruntime"), tmp_path / "p")
    said = "import os, model; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    assert python(project, "-c", said).strip() == "1"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ORT_DISABLE_TELEMETRY", "0")
        assert python(project, "-c", said).strip() == "0"


def test_versions_that_were_tried_are_those_of_the_tests():
    """A README names the versions that constraints.txt pins."""
    pins = dict(
        line.split("==")
        for line in (Path(__file__).parents[2] / "constraints.txt").read_text().splitlines()
        if "==" in line and not line.startswith("#")
    )
    for target, package, said in (
        ("python-onnxruntime", "onnxruntime", "onnxruntime"),
        ("openvino", "openvino", "openvino"),
        ("c-onnxruntime", "onnxruntime", "ONNX Runtime"),
        ("cpp-onnxruntime", "onnxruntime", "ONNX Runtime"),
        ("cpp-libtorch", "torch", "libtorch"),
        ("cpp-aoti", "torch", "libtorch"),
    ):
        readme = (find_target(target).folder / "README.md.in").read_text("utf-8")
        assert f"{said} {pins[package]}" in readme.split("## Tried with")[1], target


def test_what_is_filled_in_is_not_looked_at_again():
    template = "@A@\n@STREAMS{\nyes @B@\n@STREAMS}\n@WHOLE{\nno\n@WHOLE}\n"
    assert fill(template, {"A": "@B@", "B": "b"}, streams=True) == "@B@\nyes b\n"
    assert fill(template, {"A": "a", "B": "b"}, streams=False) == "a\nno\n"
    with pytest.raises(KeyError):
        fill("@C@", {}, streams=True)


@pytest.mark.parametrize(
    ("name", "shown"),
    [("x", "`x`"), ("a b", "`a b`"), ("`", '`` "`" ``'), ("a\nb", '`"a\\nb"`'), (" ", '`" "`')],
)
def test_a_name_is_shown_as_it_is(name, shown):
    assert code(name) == shown


MINE = {"columns": ["open", "close"], "mean": [0.5, 1.0], "std": [1.0, 2.0]}
CLOSE = {"column": "close", "mean": 1.0, "std": 2.0}


@pytest.mark.parametrize(
    "said",
    [
        MINE | {"mean": 0.5, "std": 1.0, "target": "close"},
        MINE | {"target": "close"},
        MINE | {"target": CLOSE, "mean": ["0.5", "1"]},
        MINE | {"target": {"column": "close", "mean": 1.0}},
        MINE | {"target": CLOSE, "columns": 2},
        MINE | {"target": CLOSE, "std": [1.0]},
    ],
)
def test_metadata_of_a_users_own_are_not_taken_for_a_tasks(bundles, said):
    days = bundles["days"]
    mine = Bundle(days.path, days.manifest | {"metadata": said})
    model = {"outputs": [{"name": "y", "shape": [1]}]}
    assert meaning(mine, model) == "`model.json` has what was noted at its export, as `metadata`."
    fit = Bundle(days.path, days.manifest | {"metadata": MINE | {"target": CLOSE, "window": "# w"}})
    assert "| `close` | 1 | 2 |" in meaning(fit, model)
    assert "trained on several steps" in " ".join(meaning(fit, model).split())


def test_a_recurrence_that_is_no_entry_is_left_out(bundles):
    days = bundles["days"]
    listed = [*days.manifest["recurrences"], "lstm"]
    said = about(Bundle(days.path, days.manifest | {"recurrences": listed}), {"format": "onnx"})
    assert said == about(days, {"format": "onnx"})


class Typed(torch.nn.Module):
    """A cumulative sum whose inputs and outputs are of every kind."""

    def forward(self, x, half, on, ids, lengths):
        y = torch.cumsum(x, 0) + half.double() + on.double() + ids.double()
        return y.argmax(-1).to(torch.int16), y + lengths.double().sum()


@pytest.fixture(scope="session")
def typed(shared):
    shape = ("time", "batch", 3)
    dtypes = {"x": "float64", "half": "float16", "on": "bool", "ids": "int32"}
    inputs = [TensorSpec(n, shape, d, high=5 if n == "ids" else None) for n, d in dtypes.items()]
    inputs.append(TensorSpec("lengths", ("batch",), "int32", role="lengths"))
    model = Model(Typed().eval(), tuple(inputs), ("best", "y"), name="typed")
    return shared.export("typed", lambda: model, ("onnx",))


@pytest.mark.parametrize("target", TARGETS)
def test_a_dtype_that_a_target_lacks_is_one_line(typed, tmp_path, target):
    out = tmp_path / "p"
    if target in ("python-onnxruntime", "openvino", "node", "web"):
        about = json.loads((embed(typed, find_target(target), out) / "model.json").read_text())
        assert [port["dtype"] for port in about["outputs"]] == ["int16", "float64"]
        return
    with pytest.raises(RnnbenchError, match="and this target has float32, ") as e:
        embed(typed, find_target(target), out)
    assert "\n" not in str(e.value)
    assert not list(tmp_path.iterdir())


def test_conform_goes_on_where_a_target_lacks_a_dtype(typed, monkeypatch):
    monkeypatch.setattr("rnnbench.embedding.target.Target.missing", lambda self: "")
    (row,) = conform(typed, ["c-onnxruntime"])
    assert (row.verdict, row.reason[:16]) == ("failed", "'best' is int16,")


def test_zeros_have_the_dtype_of_their_input(typed):
    model = describe_model(typed, "onnx")
    del model["outputs"][0]
    words = words_of(typed, "android", model, ({}, "numbers"), header=False)
    assert words["ZEROS_KOTLIN"].split("\n") == [
        '    "x" to Tensor("float64", longArrayOf(1, 1, 3), ByteArray(24)),',
        '    "half" to Tensor("float16", longArrayOf(1, 1, 3), ByteArray(6)),',
        '    "on" to Tensor("bool", longArrayOf(1, 1, 3), ByteArray(3)),',
        '    "ids" to Tensor("int32", longArrayOf(1, 1, 3), ByteArray(12)).filled(0),',
        '    "lengths" to Tensor("int32", longArrayOf(1), ByteArray(4)).filled(1),',
    ]
    assert "'half' is float16, and this target" in str(words["ZEROS_RUST"])
    assert "'x' is float64, and this target" in str(words["ZEROS_SWIFT"])
    del model["inputs"][1]
    words = words_of(typed, "rust-ort", model, ({}, "numbers"), header=False)
    kinds = ["Float64(vec![0.0", "Bool(vec![false", "Int32(vec![0", "Int32(vec![1"]
    for kind, line in zip(kinds, words["ZEROS_RUST"].split("\n"), strict=True):
        assert f"numbers: Numbers::{kind}; " in line
    model |= {"inputs": model["inputs"][2:], "outputs": []}
    model["outputs"] = [dict(model["inputs"][0])]
    words = words_of(typed, "swift", model, ({}, "numbers"), header=False)
    assert 'try Tensor(dtype: "int32", shape: [1], data: [Int32](repeating: 1' in str(
        words["ZEROS_SWIFT"]
    )


def test_the_text_of_a_sample_is_no_markup(tmp_path):
    link = "[x](http://evil)"
    alphabet = "<b>" + link + "i mg"
    size = len(alphabet)
    model = variants.model("gru", Options(size, 4, 1, output_size=size), bundle_name="links")
    said = {"alphabet": alphabet, "question": link}
    bundle = rnnbench.export(model, ("onnx",), tmp_path, metadata=said)
    readme = (embed(bundle, find_target("node"), tmp_path / "p") / "README.md").read_text("utf-8")
    assert f"the text `{link}`" in readme
    assert link not in re.sub(r"`[^`]*`", "", readme)


@pytest.mark.parametrize("mark", ["- b", "# c", "+ d", "1. e", "> f", "<div> g"])
def test_a_name_of_several_words_stays_in_its_line(mark):
    for before in range(80, 110):
        name = code(f"a {mark} h")
        lines = paragraph(f"{'x' * before} {name} and more").split("\n")
        assert any(name in line for line in lines)
        if not mark.startswith("<"):
            lines = paragraph(f"{'x' * before} {mark} and more").split("\n")
            assert not any(line.startswith(mark) for line in lines)


def test_a_cell_is_one_line():
    assert table(["a"], [["b\nc|d"]]).split("\n")[2:] == ["| b c\\|d |"]
