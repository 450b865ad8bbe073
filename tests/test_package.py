"""What is published: the wheel works in a bare environment, the source archive holds its tests."""

import email
import os
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = [pytest.mark.xdist_group("package"), pytest.mark.timeout(900)]

MODEL = """
import torch

from rnnbench import Model, TensorSpec


def build():
    torch.manual_seed(0)
    x = TensorSpec("x", ("time", "batch", 3))
    h0 = TensorSpec("h0", (1, "batch", 4), role="state")
    return Model(torch.nn.GRU(3, 4), (x, h0), ("y", "hn"), states={"h0": "hn"}, name="net")
"""


def run(*words, cwd, env=None):
    """What a command prints; it must succeed."""
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{words}: {done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """The wheel and the source archive, built from a copy: a build leaves folders behind."""
    folder = tmp_path_factory.mktemp("dist")
    if (ROOT / ".git").exists():
        listed = run("git", "ls-files", "-z", "-c", "-o", "--exclude-standard", cwd=ROOT)
        tracked = [name for name in listed.split("\0") if (ROOT / name).is_file()]
    else:
        tracked = [str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if path.is_file()]
    copy = folder / "copy"
    for name in tracked:
        target = copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, cwd=copy)
    (wheel,), (source,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, source


def test_the_wheel_holds_the_package_its_templates_and_its_pages(archives):
    names = set(zipfile.ZipFile(archives[0]).namelist())
    assert {"rnnbench/py.typed", "rnnbench/embedding/targets/web/target.toml"} <= names
    assert any(name.endswith("share/doc/rnnbench/inspect.md") for name in names)
    assert not any(name.startswith(("tests/", "benchmarks/")) for name in names)


def test_what_an_index_shows_has_no_link_into_a_checkout(archives):
    with zipfile.ZipFile(archives[0]) as wheel:
        (name,) = [n for n in wheel.namelist() if n.endswith(".dist-info/METADATA")]
        text = email.message_from_bytes(wheel.read(name)).get_payload()
    readme = (ROOT / "README.md").read_text()
    targets = re.findall(r"\]\(([^)\s]+)\)", readme)
    inside = {target.partition("#")[0] for target in targets if "://" not in target}
    assert len(inside) > 10, "the README links to the documentation"
    assert all(target in text for target in inside), "each page is still named"
    rest = re.findall(r"\]\(([^)\s]+)\)", text)
    assert all(target.startswith(("https://", "#")) for target in rest), rest


def test_the_wheel_works_where_nothing_else_of_ours_is(archives, tmp_path):
    """A bare environment: the wheel and what it depends on, in the versions that are tested."""
    home = tmp_path / "bare"
    venv.create(home, with_pip=True)
    python = home / ("Scripts" if os.name == "nt" else "bin") / "python"
    constraints = ROOT / "constraints.txt"
    run(python, "-m", "pip", "install", "--quiet", "-c", constraints, archives[0], cwd=tmp_path)
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    work = tmp_path / "work"
    work.mkdir()
    (work / "my_model.py").write_text(MODEL)
    tool = [python.with_name("rnnbench")]

    def rnnbench(*words):
        return run(*tool, *words, cwd=work, env=env)

    where = run(python, "-c", "import rnnbench; print(rnnbench.__file__)", cwd=work, env=env)
    assert str(home) in where
    assert "same" in rnnbench("export", "my_model.py")
    assert "same" in rnnbench("check", "exports/net")
    assert "gru" in rnnbench("inspect", "exports/net/model.onnx")
    assert "python-onnxruntime" in rnnbench("embed", "--list")
    rnnbench("embed", "exports/net", "--target", "python-onnxruntime")
    assert (work / "net-python-onnxruntime" / "README.md").is_file()
    run(
        python,
        "-c",
        "import numpy as n; n.savez('x.npz', x=n.zeros((5, 2, 3), 'f4'), "
        "h0=n.zeros((1, 2, 4), 'f4'))",
        cwd=work,
        env=env,
    )
    assert "hn float32[1, 2, 4]" in rnnbench("run", "exports/net", "--npz", "x.npz")


def test_the_source_archive_runs_its_own_tests(archives, tmp_path):
    """A sample of them: those that need neither PyTorch nor long."""
    with tarfile.open(archives[1]) as archive:
        archive.extractall(tmp_path, filter="data")
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    for name in (
        "README.md",
        "Makefile",
        "constraints.txt",
        "docs/inspect.md",
        "tests/conftest.py",
    ):
        assert (folder / name).exists(), name
    env = {**os.environ, "PYTHONPATH": str(folder)}
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    tests = ["tests/core/test_bundle.py", "tests/cases", "tests/benchmarking/test_results.py"]
    assert " passed" in run(sys.executable, *words, *tests, cwd=folder, env=env)
