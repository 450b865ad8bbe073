"""Plugins from outside: a package that is merely installed adds a runtime, a hazard, a variant."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import rnnbench
from rnnbench import runtimes
from rnnbench.core import plugins
from tests.helpers.handmade import make_bundle

ROOT = Path(rnnbench.__file__).parent

PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "tiny-plugins"
version = "1.0"

[project.entry-points."rnnbench.runtimes"]
tiny = "tiny_plugins.runtime"
broken = "tiny_plugins.broken"

[project.entry-points."rnnbench.hazards"]
always_there = "tiny_plugins.hazard"

[project.entry-points."rnnbench.variants"]
tiny_cell = "tiny_plugins.variant"

[project.entry-points."rnnbench.targets"]
tiny-text = "tiny_plugins.text"

[tool.setuptools]
packages = ["tiny_plugins", "tiny_plugins.text"]
package-data = { "tiny_plugins.text" = ["*"] }
"""

NAMES = ("tiny", "onnxruntime")

FILES = {
    "pyproject.toml": PROJECT,
    "tiny_plugins/__init__.py": "",
    "tiny_plugins/broken.py": "import nothing_of_that_name\n",
    "tiny_plugins/text/__init__.py": "",
    "tiny_plugins/text/README.md": "Read it.\n",
    "tiny_plugins/text/target.toml": (
        'title = "Text"\nformat = "onnx"\nneeds = "nothing"\nrun = ["cat", "README.md"]\n'
    ),
    "tiny_plugins/runtime.py": '''"""ONNX Runtime under another name."""

import sys

print("tiny_plugins.runtime is imported", file=sys.stderr)

from dataclasses import replace

from rnnbench.runtimes.adapters import onnxruntime

RUNTIME = replace(onnxruntime.RUNTIME, title="Tiny", timing=None)
''',
    "tiny_plugins/hazard.py": '''"""Every file has it."""

SEVERITY = "note"
REMEDY = "none is needed"


def find(flow, recurrences):
    yield "everywhere", "it is there", ""
''',
    "tiny_plugins/variant.py": '''"""A cell of its own."""

from torch import nn

from rnnbench.models.variants._network import Network, make_head

FORMS = {"tiny-rnn": "nn.RNN, from a package"}
INPUT = "features"
STATES = {"h0": "hn"}
LAYERS = 1
TWINS = {}


def build(form, options):
    return Network(nn.RNN(options.input_size, options.hidden_size), make_head(options))
''',
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Runs `rnnbench` where the package is installed: its exit code, stdout and stderr."""
    folder = tmp_path_factory.mktemp("plugins")
    for name, text in FILES.items():
        path = folder / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    install = [*(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index")]
    install += ["--no-build-isolation", "--target", str(folder / "site"), str(folder / "project")]
    subprocess.run(install, check=True, capture_output=True, text=True)
    paths = [str(folder / "site"), *(p for p in sys.path if p)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}

    def call(*words):
        done = subprocess.run(
            [sys.executable, "-m", "rnnbench", *words],
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    return call


def test_they_are_listed_with_their_reasons(run):
    code, out, _ = run("list", "--json")
    items = {(i["kind"], i["name"]): i for i in json.loads(out)["items"]}
    assert code == 0
    assert items["runtimes", "tiny"]["available"]
    assert items["runtimes", "tiny"]["description"] == "ONNX Runtime under another name."
    assert items["variants", "tiny-rnn"]["description"] == "nn.RNN, from a package"
    reason = items["runtimes", "broken"]["reason"]
    assert "runtime 'broken' of tiny-plugins cannot be imported (ModuleNotFoundError" in reason
    assert reason.endswith("mend that package, or uninstall it")
    assert "tiny-text" in run("embed", "--list")[1]


def test_nothing_is_imported_before_it_is_used(run):
    for words in (("--help",), ("list", "variants"), ("list", "tasks")):
        code, _, err = run(*words)
        assert code == 0
        assert "is imported" not in err
    assert "is imported" in run("list", "runtimes")[2]


def test_a_runtime_from_outside_is_checked(run, tmp_path):
    make_bundle(tmp_path)
    (bundle,) = (path.parent for path in tmp_path.glob("*/manifest.json"))
    code, out, err = run("check", str(bundle), "--runtime", "tiny", "--json")
    assert out, err
    document = json.loads(out)
    assert (code, document["ok"]) == (0, True)
    assert {row["runtime"] for row in document["rows"]} == {"tiny"}
    code, out, err = run("check", str(bundle), "--json")
    assert out, err
    rows = json.loads(out)["rows"]
    found = {name: {r["verdict"] for r in rows if r["runtime"] == name} for name in NAMES}
    assert "same" in found["tiny"] == found["onnxruntime"], rows
    code, _, err = run("check", str(bundle), "--runtime", "broken")
    assert code == 2
    assert "'broken' of tiny-plugins" in err.splitlines()[-1]


def test_a_variant_is_exported_and_its_file_inspected(run, tmp_path):
    out = str(tmp_path / "exports")
    code, _, err = run(
        *("export", "tiny-rnn", "--task", "hello", "--epochs", "1", "--out", out),
        *("--format", "onnx", "--json"),
    )
    assert code == 0, err
    code, said, err = run("inspect", f"{out}/hello-tiny-rnn/model.onnx", "--json")
    assert said, err
    hazards = {h["name"]: h for h in json.loads(said)["files"][0]["hazards"]}
    assert hazards["always_there"]["where"] == "everywhere"
    code, _, err = run("embed", f"{out}/hello-tiny-rnn", "--target", "tiny-text")
    assert code == 0, err


# -- a new engine is one file ---------------------------------------------------------------------


ENGINES = [name for name, runtime in runtimes.every().items() if runtime.engine]


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_is_named_in_its_adapter_and_its_extra(name):
    """A new one is a file in adapters/ and a line in pyproject.toml."""
    holders = [
        path.relative_to(ROOT).as_posix()
        for path in ROOT.rglob("*.py")
        if "targets" not in path.parts and f'"{name}"' in path.read_text("utf-8")
    ]
    assert set(holders) <= {f"runtimes/adapters/{name}.py"}
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text("utf-8"))
    extras = project["project"]["optional-dependencies"]
    assert name in extras
    assert name in extras["engines"][0]


@pytest.mark.parametrize("kind", plugins.FOLDERS)
def test_what_is_built_in_has_a_file(kind):
    if kind == "targets":  # folders of templates
        return
    for name in plugins.names(kind):
        assert plugins.source(kind, name).is_file()


def test_no_package_is_looked_through_for_what_is_built_in():
    """A worker starts for each artifact, and reading all distributions takes it 25 ms."""
    program = (
        "import sys; from rnnbench import runtimes; from rnnbench.runtimes import answering;"
        "runtimes.get('onnxruntime'); print('importlib.metadata' in sys.modules)"
    )
    words = [sys.executable, "-c", program]
    ran = subprocess.run(words, capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
