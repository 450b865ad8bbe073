"""Every target that can be built here, over three bundles: right, and not right when damaged."""

import json
import math
import re
import shutil
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner

import rnnbench
from rnnbench import Model, RnnbenchError, TensorSpec
from rnnbench.cases.golden import Record, golden_records, read_arrays, write_arrays
from rnnbench.commands.conform import command as conform_command
from rnnbench.commands.embed import command as embed_command
from rnnbench.core.bundle import Bundle
from rnnbench.embedding.conform import conform, format_conformed
from rnnbench.embedding.literals import c_string
from rnnbench.embedding.project import embed
from rnnbench.embedding.results import read_result
from rnnbench.embedding.target import find_target
from rnnbench.models import variants
from rnnbench.models.variants import Options
from tests.helpers.projects import EACH, TARGETS, skip
from tests.helpers.task_models import FORMATS, MODELS, with_other_weights

pytestmark = pytest.mark.usefixtures("headers_of_target")


@pytest.mark.parametrize("target", EACH)
@pytest.mark.parametrize("name", MODELS)
def test_a_project_verifies_itself(task_bundles, target, name):
    (row,) = conform(task_bundles[name], [target])
    if row.verdict == "not run":
        skip(target, row.reason)
    assert row.verdict == "same", format_conformed([row])
    whole = (
        sum("skipped" not in c and "of" not in c for c in task_bundles[name].manifest["cases"]) - 2
    )
    assert row.cases > whole, "nothing was streamed"
    assert row.worst_error <= row.allowed


@pytest.mark.parametrize("target", EACH)
def test_a_damaged_artifact_fails(task_bundles, target, tmp_path):
    damaged = with_other_weights(task_bundles["weather-lstm"], tmp_path)
    (row,) = conform(damaged, [target])
    if row.verdict == "not run":
        skip(target, row.reason)
    assert row.verdict == "DIFFERS", format_conformed([row])
    assert "are off" in row.reason


class Counted(torch.nn.Module):
    """A sum so far as int16, which the projects in C lack; exact, so that nothing can be a tie."""

    def forward(self, ids):
        return torch.cumsum(ids, 0).to(torch.int16)


WIDE = ("cpp-libtorch", "node", "openvino", "python-onnxruntime")


@pytest.mark.parametrize(
    "target", [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in WIDE]
)
def test_a_project_gives_int16(tmp_path, target):
    inputs = (TensorSpec("ids", ("time", "batch"), "int64", high=5),)
    model = Model(Counted().eval(), inputs, ("y",), name="counted")
    (row,) = conform(rnnbench.export(model, (TARGETS[target].format,), tmp_path), [target])
    if row.verdict == "not run":
        skip(target, row.reason)
    assert row.verdict == "same", format_conformed([row])


# Of a name: what ends a string, a comment, a line, a cell, a script, a substitution or a block.
HOSTILE = (
    "\"'\\*/ // </script><!-- ${1} `id` ??/ #{1} %s @FILE@ | "
    "\u00e9\u4e2d\U0001f642\u2028\n```\n$(id)"
)


CODE = {name: {name.split("-")[0]} for name in TARGETS} | {
    "android": {"kotlin"},
    "node": {"js"},
    "rust-ort": {"rust"},
    "web": {"html"},
}


@pytest.fixture(scope="session")
def hostile(tmp_path_factory):
    """Bundles that no `rnnbench export` writes: every name in it is hostile that may be."""
    with pytest.MonkeyPatch.context() as patch:
        for rule in ("_IDENTIFIER", "_PRINTED"):
            patch.setattr(f"rnnbench.core.model.{rule}", re.compile("(?s).+"))
        found = {}
        for format in FORMATS:
            taken = HOSTILE if format == "onnx" else ""  # TorchScript's inputs are identifiers
            x, h, y, n = "x" + taken, "h" + taken, "y" + HOSTILE, "n" + HOSTILE
            inputs = (TensorSpec(x, ("t", "b", 3)), TensorSpec(h, (1, "b", 4), role="state"))
            dims = {"time_dim": "t", "batch_dim": "b"}
            model = Model(torch.nn.GRU(3, 4).eval(), inputs, (y, n), {h: n}, name="hostile", **dims)
            said = {"alphabet": '"a`', "question": '`a"', "unknown": "`", "task": HOSTILE}
            out = tmp_path_factory.mktemp(format)
            path = rnnbench.export(model, (format,), out, metadata=said).path
            manifest = json.loads((path / "manifest.json").read_text("utf-8"))
            manifest |= {"name": HOSTILE, "version": HOSTILE, "versions": {"torch": HOSTILE}}
            manifest["recurrences"][0]["kind"] = HOSTILE
            (path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
            found[format] = Bundle(path, manifest)  # `open` refuses a name with a separator
        yield found


@pytest.mark.parametrize("target", EACH)
def test_hostile_names_are_names(hostile, target):
    (row,) = conform(hostile[TARGETS[target].format], [target])
    if row.verdict == "not run":
        skip(target, row.reason)
    assert row.verdict == "same", format_conformed([row])


@pytest.mark.parametrize("target", [n for n, t in TARGETS.items() if t.format in FORMATS])
def test_hostile_names_are_no_markup(hostile, target, tmp_path):
    bundle = hostile[TARGETS[target].format]
    readme = (embed(bundle, TARGETS[target], tmp_path / "p") / "README.md").read_text("utf-8")
    outside = re.sub(r"^```\w+\n.*?^```$", "", readme, flags=re.S | re.M)  # without the blocks
    prose = re.sub(r"(`+) ?.*? ?(?<!`)\1(?!`)", "", outside, flags=re.S)  # and the spans
    assert not re.search(r"[`$@\u2028]|</?script|<!--|\*/", prose)
    assert f'"y{json.dumps(HOSTILE)[1:-1]}"'.replace("|", "\\|") in readme, "it is shown as it is"
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", readme, re.S | re.M)
    assert {kind for kind, _ in blocks} <= {"console", "text", "python"} | CODE[target]
    code = "".join(code for kind, code in blocks if kind not in ("console", "text"))
    assert "`id`" not in code
    assert "$(id)" not in code.replace("\\u0024(id)", "")
    assert "</script><" not in code


# -- the command line -----------------------------------------------------------------------------


def run(command, *words):
    """The exit code and what was printed; an error of ours is raised."""
    done = CliRunner().invoke(command, list(map(str, words)), standalone_mode=False)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.return_value, done.stdout


def test_the_targets_are_listed_with_what_they_need():
    code, out = run(embed_command, "--list")
    assert code == 0
    for name, target in TARGETS.items():
        line = next(line for line in out.splitlines() if line.startswith(f"{name} "))
        assert target.needs in line
    _, text = run(embed_command, "--list", "--json")
    assert [row["target"] for row in json.loads(text)["targets"]] == list(TARGETS)


def test_a_project_is_complete_and_is_not_overwritten(task_bundles, tmp_path):
    out = tmp_path / "project"
    words = (task_bundles["text-gru"].path, "--target", "python-onnxruntime", "--out", out)
    code, said = run(embed_command, *words)
    assert code == 0
    assert "python main.py --verify" in said
    assert {"README.md", "model.onnx", "model.json", "golden"} <= {p.name for p in out.iterdir()}
    assert not re.search(r"@[A-Z_]+@", (out / "README.md").read_text("utf-8"))
    (out / "mine.txt").write_text("kept")
    with pytest.raises(RnnbenchError, match="is there already: give another --out, or --force"):
        run(embed_command, *words)
    assert (out / "mine.txt").read_text() == "kept"
    assert run(embed_command, *words, "--force")[0] == 0
    assert not (out / "mine.txt").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["project"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("{bundle}", "--target", "abacus"), "unknown target 'abacus': choose from "),
        (("{bundle}",), "give a bundle and --target NAME, or --list"),
        (("nowhere", "--target", "python-onnxruntime"), "nowhere is not a folder"),
        (("{bundle}", "--target", "python-onnxruntime", "--out", "/proc/x"), "cannot write"),
    ],
)
def test_bad_input_is_one_line(task_bundles, words, said):
    given = [word.format(bundle=task_bundles["text-gru"].path) for word in words]
    with pytest.raises(RnnbenchError, match=said) as caught:
        run(embed_command, *given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["../esc/a", "a\\b", "/a", "C:a", "a/", "..", ".a", "", "a\0"])
def test_a_bundles_name_leads_nowhere(task_bundles, tmp_path, monkeypatch, name):
    sound = task_bundles["text-gru"]
    path = tmp_path / "sent/text-gru"
    shutil.copytree(sound.path, path)
    (path / "manifest.json").write_text(json.dumps(sound.manifest | {"name": name}))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    before = sorted(tmp_path.rglob("*"))
    said = r"(is no name of a folder|name: it (is empty|has a NUL)): export the model"
    with pytest.raises(RnnbenchError, match=said) as caught:
        run(embed_command, path, "--target", "python-onnxruntime")
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


FOREIGN = [
    ("model.onnx", "../Makefile", "outside of the bundle"),
    ("model.onnx", "main.py", "have to be in model.onnx.data beside it"),
    ("model.onnx", "README.md", "have to be in model.onnx.data beside it"),
    ("model.onnx", "a/model.onnx.data", "have to be in model.onnx.data beside it"),
    ("main.py", None, "has to end with .onnx"),
    ("onnxruntime.py", None, "has to end with .onnx"),
    (".onnx", None, "has to end with .onnx"),
    ("../model.onnx", None, "outside of the bundle"),
]


@pytest.mark.parametrize(("file", "beside", "said"), FOREIGN)
def test_a_file_of_a_bundle_gets_no_other_place(task_bundles, tmp_path, file, beside, said):
    """Neither one outside of the project, nor that of code which its build or language runs."""
    sound = task_bundles["text-gru"]
    path = tmp_path / "sent" / "text-gru"
    shutil.copytree(sound.path, path)
    for name in (file, beside):
        if name:
            (path / name).parent.mkdir(exist_ok=True)
            shutil.copy(sound.path / "model.onnx", path / name)
    artifact = {"file": file} | ({"external_data": beside} if beside else {})
    manifest = sound.manifest | {"artifacts": {"onnx": artifact}}
    (path / "manifest.json").write_text(json.dumps(manifest))
    out = tmp_path / "made" / "project"
    with pytest.raises(RnnbenchError, match=said) as caught:
        run(embed_command, path, "--target", "python-onnxruntime", "--out", out)
    assert "\n" not in str(caught.value)
    assert not list(out.parent.glob("*"))
    if "outside" not in said:
        code, printed = run(conform_command, path, "--target", "python-onnxruntime")
        assert (code, said in printed) == (1, True)


def test_weights_beside_a_file_travel_with_it(task_bundles, tmp_path):
    sound = task_bundles["text-gru"]
    path = tmp_path / "text-gru"
    shutil.copytree(sound.path, path)
    proto = onnx.load(path / "model.onnx")
    onnx.save(
        proto,
        path / "model.onnx",
        save_as_external_data=True,
        location="model.onnx.data",
        size_threshold=512,
    )
    artifact = {"file": "model.onnx", "external_data": "model.onnx.data"}
    manifest = sound.manifest | {"artifacts": {"onnx": artifact}}
    (path / "manifest.json").write_text(json.dumps(manifest))
    out = embed(Bundle.open(path), find_target("python-onnxruntime"), tmp_path / "p")
    assert (out / "model.onnx.data").read_bytes() == (path / "model.onnx.data").read_bytes()
    (row,) = conform(Bundle.open(path), ["python-onnxruntime"])
    assert row.verdict == "same", format_conformed([row])


@pytest.mark.parametrize(
    ("out", "why"),
    [
        (".", "which is the current folder"),
        ("..", "which holds the current folder"),
        ("../..", "which holds the current folder"),
        ("../here", "which is the current folder"),
        ("/", "which holds the current folder"),
        ("../link", "which is the current folder"),
        ("../sent/text-gru", "which is the bundle"),
        ("../sent", "which holds the bundle"),
        ("../loop", "cannot write"),
        ("a\0b", "cannot write"),
    ],
)
@pytest.mark.parametrize("force", [[], ["--force"]])
def test_what_is_in_use_is_not_replaced(task_bundles, tmp_path, monkeypatch, out, why, force):
    shutil.copytree(task_bundles["text-gru"].path, tmp_path / "sent" / "text-gru")
    (tmp_path / "here").mkdir()
    (tmp_path / "link").symlink_to("here")
    (tmp_path / "loop").symlink_to("loop")
    monkeypatch.chdir(tmp_path / "here")
    before = sorted(tmp_path.rglob("*"))
    words = ("../sent/text-gru", "--target", "python-onnxruntime", "--out", out, *force)
    with pytest.raises(RnnbenchError, match=why) as caught:
        run(embed_command, *words)
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_project_goes_where_a_link_leads(task_bundles, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    monkeypatch.chdir(tmp_path / "here")
    words = (task_bundles["text-gru"].path, "--target", "python-onnxruntime", "--force")
    for out in ("../link", "below/./../beside", "sub"):
        assert run(embed_command, *words, "--out", out)[0] == 0
    assert (tmp_path / "link").is_symlink()
    for made in ("there", "here/beside", "here/sub"):
        assert (tmp_path / made / "main.py").is_file()


def test_a_bundle_without_the_format_is_one_line(tmp_path):
    model = variants.model("gru", Options(3, 4, 1), bundle_name="gru")
    bundle = rnnbench.export(model, ("torchscript",), tmp_path)
    with pytest.raises(RnnbenchError, match="has no onnx file, which python-onnxruntime needs"):
        embed(bundle, find_target("python-onnxruntime"), tmp_path / "p")
    assert not (tmp_path / "p").exists()


# -- what travels ---------------------------------------------------------------------------------


def test_golden_files_are_read_as_they_were_written(task_bundles, tmp_path):
    out = embed(task_bundles["weather-lstm"], find_target("python-onnxruntime"), tmp_path / "p")
    written = list(golden_records(task_bundles["weather-lstm"], "onnx"))
    read = read_arrays(out / "golden/cases.json")
    assert any(record.limits is not None for record in written)
    assert [(r.case, r.part, r.name, r.allowed, r.stream) for r in read] == [
        (r.case, r.part, r.name, r.allowed, r.stream) for r in written
    ]
    for a, b in zip(written, read, strict=True):
        assert a.array.dtype == b.array.dtype
        np.testing.assert_array_equal(a.array, b.array)
        np.testing.assert_array_equal(a.limits, b.limits)
    assert any(record.stream for record in read)
    text = (out / "golden/cases.json").read_text("utf-8")
    assert all(len(line) < 500 for line in text.splitlines()), "a line per array"
    (out / "golden/cases.bin").write_bytes(b"short")
    with pytest.raises(RnnbenchError, match="is no file of arrays"):
        read_arrays(out / "golden/cases.json")


def test_the_command_that_is_printed_survives_a_shell(task_bundles, tmp_path):
    out = tmp_path / "l'\u00e9t\u00e9 $(id)"
    words = (task_bundles["text-gru"].path, "--target", "python-onnxruntime", "--out", out)
    first, *_ = run(embed_command, *words)[1].split(" && ")
    done = subprocess.run(f"{first} && pwd", shell=True, capture_output=True, text=True)
    assert done.stdout.strip() == str(out)


@pytest.mark.parametrize(
    "name", ['a"; system("x"); "', "\\", "???/", "line\nfeed", "\u00e9\u4e2d", "a%sb\0c"]
)
def test_a_name_never_becomes_code(name):
    literal = c_string(name)
    assert literal[0] == literal[-1] == '"'
    inside = literal[1:-1]
    assert all(c.isascii() and (c.isalnum() or c in " _-.,:/()[]\\") for c in inside)
    assert inside.encode().decode("unicode_escape").encode("latin-1").decode("utf-8") == name


def test_a_result_of_another_runtime_joins_the_table(task_bundles, tmp_path):
    row = {"case": "traced", "how": "whole", "output": "y", "error": 2e-7, "allowed": 1e-6}
    said = {"format": "rnnbench-result-1", "target": "mine", "versions": {"mine": "1.0"}}
    file = tmp_path / "result.json"
    file.write_text(json.dumps(said | {"rows": [row]}))
    code, out = run(conform_command, task_bundles["text-gru"].path, "--result", file)
    assert code == 0
    assert "mine 1.0" in out
    file.write_text(json.dumps(said | {"rows": [row | {"error": None}]}))
    code, out = run(conform_command, task_bundles["text-gru"].path, "--result", file, "--json")
    assert code == 1
    assert json.loads(out)["rows"][0]["worst_error"] == "inf"
    file.write_text("{}")
    with pytest.raises(RnnbenchError, match="is no result file"):
        run(conform_command, task_bundles["text-gru"].path, "--result", file)


@pytest.mark.parametrize(
    ("changes", "row", "why"),
    [
        ({"versions": [1]}, {}, "versions is no object"),
        ({"versions": {"mine": 1}}, {}, "mine is no text"),
        ({"load_s": "soon"}, {}, "load_s is no number from 0 on"),
        ({"load_s": -1}, {}, "load_s is no number from 0 on"),
        ({"step_s": math.inf}, {}, "step_s is no number from 0 on"),
        ({"step_s": True}, {}, "step_s is no number from 0 on"),
        ({"target": 5}, {}, "target is no text"),
        ({"target": None}, {}, "target is no text"),
        ({"rows": {}}, {}, "rows is no list of objects"),
        ({"rows": [5]}, {}, "rows is no list of objects"),
        ({"format": "other"}, {}, "format 'other'"),
        ({}, {"error": -5}, "error is no number from 0 on"),
        ({}, {"error": math.nan}, "error is no number from 0 on"),
        ({}, {"error": 10**400}, "error is no number from 0 on|too large"),
        ({}, {"error": "0"}, "error is no number from 0 on"),
        ({}, {"allowed": math.inf}, "allowed is no number from 0 on"),
        ({}, {"allowed": math.nan}, "allowed is no number from 0 on"),
        ({}, {"allowed": None}, "allowed is no number from 0 on"),
        ({}, {"case": 5}, "case is no text"),
        ({}, {"how": None}, "how is no text"),
    ],
)
def test_a_result_file_that_lies_is_one_line(tmp_path, changes, row, why):
    sound = {"case": "traced", "how": "whole", "output": "y", "error": 2e-7, "allowed": 1e-6}
    said = {"format": "rnnbench-result-1", "target": "mine", "rows": [sound | row]} | changes
    file = tmp_path / "result.json"
    file.write_text(json.dumps(said))
    with pytest.raises(RnnbenchError, match=f"is no result file .*({why})") as caught:
        read_result(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[" * 100_000, "5", "[]", '{"format": "rnnbench-result-1"}'])
def test_what_is_no_result_file_is_one_line(tmp_path, text):
    file = tmp_path / "result.json"
    for path in (file, tmp_path, tmp_path / "nowhere"):
        file.write_text(text)
        with pytest.raises(RnnbenchError, match="is no result file") as caught:
            read_result(path)
        assert "\n" not in str(caught.value)


def test_a_result_file_needs_no_more_than_rows(tmp_path):
    row = {"case": "traced", "how": "whole", "output": "y", "error": 0, "allowed": 0}
    said = {"format": "rnnbench-result-1", "target": "mine", "rows": [row]}
    file = tmp_path / "result.json"
    for more in ({}, {"load_s": None, "step_s": None, "versions": None}, {"other": [1]}):
        file.write_text(json.dumps(said | more))
        assert read_result(file).verdict == "same"
    file.write_text(json.dumps(said | {"rows": []}))
    assert read_result(file).verdict == "failed"


@pytest.mark.parametrize("target", [n for n, t in TARGETS.items() if t.not_run])
def test_what_is_not_run_is_written_and_says_so(task_bundles, target, tmp_path):
    out = embed(task_bundles["text-gru"], find_target(target), tmp_path / "p")
    assert "not run" in (out / "README.md").read_text("utf-8").lower()
    (row,) = conform(task_bundles["text-gru"], [target])
    assert (row.verdict, row.reason[:12]) == ("not run", "not run here")


@pytest.mark.parametrize("target", ["python-onnxruntime", "openvino"])
def test_bad_input_of_a_python_project_is_one_line(task_bundles, target, tmp_path):
    missing = find_target(target).missing()
    if missing:
        pytest.skip(missing)
    project = embed(task_bundles["text-gru"], find_target(target), tmp_path / "p")
    (project / "none.json").write_text("{}")

    def call(*words):
        done = subprocess.run(
            [sys.executable, "main.py", *words], cwd=project, capture_output=True, text=True
        )
        return done.returncode, done.stderr.strip().splitlines()

    def fails(words, said):
        code, lines = call(*words)
        assert code == 2
        assert len(lines) == 1, lines
        assert said in lines[0]

    wide = np.zeros((5, 1, 7), np.float32)
    for record in (Record("a", "in", "x", wide), Record("a", "in", "x", wide.astype(np.float64))):
        write_arrays(project, [record], f"{record.array.dtype}.json")
    for words, said in (
        (("none.json", "out.json"), "is no file of arrays (it lacks 'format'): give the header"),
        (("nowhere.json", "out.json"), "cannot read nowhere.json (No such file or directory): "),
        (("golden", "out.json"), "cannot read golden (Is a directory): give the header"),
        (("model.onnx", "out.json"), "is no file of arrays"),
        (("input.json", "nowhere/out.json"), "cannot write nowhere/out.json"),
        (("input.json", "out.bin"), "is the data file's name: give another"),
        (("--verify", "nowhere/out.json"), "cannot write nowhere/out.json"),
        (("--stream",), "main.py --verify"),
        (("float32.json", "out.json"), "is float32[5, 1, 7]: give float32[5, 1, 6]"),
        (("float64.json", "out.json"), "is float64[5, 1, 7]: give float32[5, 1, 6]"),
    ):
        fails(words, said)
    (project / "model.onnx").write_bytes(b"no model")
    fails(("--verify",), "is not ONNX that")
    (project / "model.onnx").unlink()
    fails(("--verify",), "is not there: copy it")
    (project / "model.json").unlink()
    fails(("--verify",), "cannot be read (No such file or directory): embed it again")
    nothing = subprocess.run(  # -S: without the packages
        [sys.executable, "-S", "main.py"], cwd=project, capture_output=True, text=True
    )
    assert nothing.returncode == 2
    assert "pip install -r requirements.txt" in nothing.stderr
    assert len(nothing.stderr.splitlines()) == 1
