"""In every program, a large element lends nothing to a small one beside it."""

import json
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import rnnbench
from rnnbench import Model, TensorSpec
from rnnbench.cases.cases import layout_of
from rnnbench.cases.golden import (
    Record,
    golden_records,
    read_arrays,
    whole_cases,
    write_arrays,
)
from rnnbench.cases.standard import standard_of
from rnnbench.core.bundle import Bundle
from rnnbench.embedding.conform import BUILD_S, RUN_S, _run, conform, format_conformed
from rnnbench.embedding.project import embed
from tests.helpers.projects import EACH, TARGETS, skip
from tests.helpers.task_models import FORMATS

pytestmark = pytest.mark.usefixtures("headers_of_target")

OFF = 1e-3  # much for a humidity, nothing for a pressure
X = TensorSpec("x", ("time", "batch", 6))


class Weather(nn.Module):
    """A pressure in Pa, beside a humidity between 0 and 1 that is off by so much."""

    def __init__(self, off=0.0):
        super().__init__()
        torch.manual_seed(9)
        self.rnn, self.out = nn.GRU(6, 8), nn.Linear(8, 2)
        self.register_buffer("scale", torch.tensor([1000.0, 0.1]))
        self.register_buffer("mean", torch.tensor([101325.0, 0.5 + off]))

    def forward(self, x, h0):
        y, hn = self.rnn(x, h0)
        return self.out(y) * self.scale + self.mean, hn


class Masked(nn.Module):
    """Scores, of which those of every other class are the least number that there is."""

    def forward(self, x):
        least = torch.finfo(x.dtype).min
        return torch.cumsum(x, 0).masked_fill(torch.arange(6) % 2 == 1, least)


class Sums(nn.Module):
    """Running sums in float64, the last of which is off by a share."""

    def __init__(self, off=0.0):
        super().__init__()
        scale = torch.tensor([1e5, 1e5, 1e5, 1.0, 1.0, 1.0 + off], dtype=torch.float64)
        self.register_buffer("scale", scale)

    def forward(self, x):
        return torch.cumsum(x, 0) * self.scale


@pytest.fixture(scope="module")
def weather(tmp_path_factory):
    """The bundle of the sound one, and of one that is off."""
    inputs = (X, TensorSpec("h0", (1, "batch", 8), role="state"))

    def export(off):
        model = Model(Weather(off).eval(), inputs, ("y", "hn"), {"h0": "hn"}, name="weather")
        return rnnbench.export(model, FORMATS, tmp_path_factory.mktemp("weather"))

    return export(0.0), export(OFF)


def run(project, target, *words):
    """What a program says is wrong with its files; 1 is an answer."""
    return _run((*TARGETS[target].run, *words), project, RUN_S, wrong=1)


def rows_of(project, target):
    assert run(project, target, "--verify", "result.json") == ""
    return json.loads((project / "result.json").read_text("utf-8"))["rows"]


@pytest.mark.parametrize("target", EACH)
def test_an_element_is_judged_by_what_it_is_allowed_itself(weather, target, tmp_path):
    missing = TARGETS[target].missing()
    if missing:
        skip(target, missing)
    sound, off = weather
    project = embed(sound, TARGETS[target], tmp_path / "project")
    for command in TARGETS[target].build:
        assert _run(command, project, BUILD_S) == ""

    rows = rows_of(project, target)
    assert all(row["ok"] and row["error"] <= row["allowed"] for row in rows), rows
    assert {row["how"] for row in rows} == {"whole", "stream"}

    artifact = off.artifacts[TARGETS[target].format].path
    good = (project / artifact.name).read_bytes()
    shutil.copyfile(artifact, project / artifact.name)
    largest = {(r.case, r.name): r.allowed for r in read_arrays(project / "golden/cases.json")}
    for row in rows_of(project, target):
        assert row["ok"] == (row["output"] != "y"), row
        if not row["ok"]:
            assert row["error"] == pytest.approx(OFF, rel=0.02)
            assert row["allowed"] < row["error"] < largest[row["case"], "y"]
    (project / artifact.name).write_bytes(good)

    # What nothing is allowed at is equal, or wrong, whatever its neighbour is allowed.
    given = [r for r in golden_records(sound, "onnx") if r.case == "traced" and r.part == "in"]
    given = [replace(record, stream=False) for record in given]
    write_arrays(project, given, "given.json")
    assert run(project, target, "given.json", "output.json") == ""
    y = next(r.array for r in read_arrays(project / "output.json") if r.name == "y")
    limits = np.where(np.arange(2) == 0, np.float32(0.5), np.float32(0)) * np.ones_like(y)
    drier, higher = y.copy(), y.copy()
    drier[1, 1, 1] = np.nextafter(drier[1, 1, 1], np.float32(0))
    higher[1, 1, 0] += 0.25
    for exact, ok, error, allowed in (
        (y, True, 0.0, 0.5),
        (drier, False, float(y[1, 1, 1]) - float(drier[1, 1, 1]), 0.0),
        (higher, True, 0.25, 0.5),
    ):
        record = Record("traced", "out", "y", exact, 0.5, False, limits)
        write_arrays(project / "golden", [*given, record])
        (row,) = rows_of(project, target)
        assert (row["ok"], row["error"], row["allowed"]) == (ok, error, allowed)

    data = project / "golden" / "cases.bin"
    data.write_bytes(data.read_bytes()[:-1])
    assert run(project, target, "--verify").startswith("exit code 2: ")


READERS = ("c-onnxruntime", "cpp-libtorch", "node", "python-onnxruntime")


@pytest.mark.parametrize(
    "target", [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in READERS]
)
def test_float64_has_limits_in_float64(target, tmp_path):
    missing = TARGETS[target].missing()
    if missing:
        skip(target, missing)

    def export(off):
        x = replace(X, dtype="float64")
        model = Model(Sums(off).eval(), (x,), ("y",), name="sums")
        return rnnbench.export(model, (TARGETS[target].format,), tmp_path / str(off))

    sound, off = export(0.0), export(1e-9)
    records = [
        record for record in golden_records(sound, TARGETS[target].format) if record.part == "out"
    ]
    assert {record.limits.dtype for record in records} == {np.dtype(np.float64)}
    (row,) = conform(sound, [target])
    assert row.verdict == "same", format_conformed([row])
    shutil.copy(sound.path / "cases.npz", off.path)
    (row,) = conform(Bundle.open(off.path), [target])
    assert row.verdict == "DIFFERS", format_conformed([row])
    assert row.allowed < row.worst_error < min(record.allowed for record in records)


@pytest.mark.parametrize(
    "target", [n for n in ("python-onnxruntime", "cpp-libtorch") if TARGETS[n].format in FORMATS]
)
def test_the_least_number_is_itself(target, tmp_path):
    """-3.4e38, where the reference of an older bundle has the -1.8e308 of float64."""
    model = Model(Masked().eval(), (X,), ("y",), name="masked")
    bundle = rnnbench.export(model, (TARGETS[target].format,), tmp_path)
    with np.load(bundle.path / "cases.npz") as stored:
        arrays = dict(stored)
    for name, array in arrays.items():
        if "/ref/" in name:
            array[array < -1e38] = np.finfo(np.float64).min
    np.savez_compressed(bundle.path / "cases.npz", **arrays)
    (row,) = conform(bundle, [target])
    if row.verdict == "not run":
        skip(target, row.reason)
    assert row.verdict == "same", format_conformed([row])


def test_what_is_written_is_never_more_than_what_is_allowed(weather):
    sound, _ = weather
    cases = whole_cases(sound)
    standard = standard_of(layout_of(sound, cases), cases)
    found = {(r.case, r.name): r for r in golden_records(sound, "onnx") if r.part == "out"}
    for case in cases:
        allowed, record = standard.allowed(case, "y", 4.0), found[case.name, "y"]
        assert record.limits.shape == record.array.shape
        assert (record.limits <= allowed).all()
        np.testing.assert_allclose(record.limits, allowed, rtol=1e-6)
        assert record.allowed == record.limits.max() > 1e3 * record.limits.min()


def test_a_program_in_rust_judges_each_element(tmp_path):
    """Of its source, what needs no crate."""
    if not shutil.which("rustc"):
        pytest.skip("rustc is not here")
    shutil.copy(TARGETS["rust-ort"].folder / "src" / "compare.rs", tmp_path)
    (tmp_path / "main.rs").write_text(
        """\
mod compare;
fn main() {
    let (exact, limits) = ([101325.0, 0.5, 7.0], [0.5, 1e-6, 0.0]);
    let nan = f64::NAN;
    let (higher, drier) = ([101325.25, 0.5, 7.0], [101325.0, 0.501, 7.0]);
    for given in [exact, higher, drier, [101325.4, 0.5, 7.1], [nan, 0.5, 7.0]] {
        for limits in [Some(&limits[..]), None] {
            let found = compare::worst(&given, &exact, 0.5, limits);
            println!("{:?}", found.map(|worst| (worst.error <= worst.allowed, worst.allowed)));
        }
    }
}
""",
        encoding="utf-8",
    )
    command = ["rustc", "--edition", "2021", "-D", "warnings", "main.rs", "-o", "main"]
    subprocess.run(command, cwd=tmp_path, check=True)
    done = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "Some((true, 0.5))",
        "Some((true, 0.5))",
        "Some((true, 0.5))",
        "Some((true, 0.5))",
        "Some((false, 1e-6))",
        "Some((true, 0.5))",
        "Some((false, 0.0))",
        "Some((true, 0.5))",
        "None",
        "None",
    ]
