"""The exported names: exactly those, light to import, documented and typed."""

import ast
import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import rnnbench

ROOT = Path(__file__).parents[1]
NAMES = [
    "Bundle",
    "Dim",
    "Model",
    "RnnbenchError",
    "TensorSpec",
    "__version__",
    "bench",
    "check",
    "compare",
    "conform",
    "embed",
    "export",
    "inspect",
    "load",
    "model_of",
    "optimize",
    "report",
    "run",
    "train",
]
DOCUMENTED = [name for name in NAMES if name != "__version__"]


def run_python(code):
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )


def test_exactly_these_names_are_public():
    """Whatever is added to or taken from them is changed here as well, knowingly."""
    assert sorted(rnnbench.__all__) == sorted(NAMES)
    assert set(rnnbench.__all__) <= set(dir(rnnbench))


def test_the_public_names_are_the_functions_whatever_is_imported_first():
    code = """
import rnnbench.checking.check, rnnbench
assert callable(rnnbench.check) and rnnbench.check.__name__ == "check"
from rnnbench import check, load, Bundle
assert check is rnnbench.check and rnnbench.Model and set(rnnbench.__all__) <= set(dir(rnnbench))
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr


def test_importing_is_light():
    heavy = "{'torch', 'onnx', 'onnxruntime', 'onnxscript', 'numpy', 'sympy', 'networkx'}"
    bare = f"import sys, rnnbench; print(sorted({heavy} & set(sys.modules)))"
    assert run_python(bare).stdout == "[]\n"
    code = "import sys, rnnbench; [getattr(rnnbench, n) for n in rnnbench.__all__]"
    code += "; import rnnbench.runtimes as r; r.running('onnx')"
    code += f"; print(sorted(({heavy} - {{'numpy'}}) & set(sys.modules)))"
    assert run_python(code).stdout == "[]\n"


def test_the_drop_in_modules_are_light_and_torch_s_besides():
    code = """
import sys, rnnbench
from rnnbench import onnx, pt2
assert rnnbench.onnx is onnx and rnnbench.pt2.export is pt2.export
assert "torch" not in sys.modules and not hasattr(onnx, "__path__")
import torch
assert onnx.ONNXProgram is torch.onnx.ONNXProgram and pt2.save is torch.export.save
assert onnx.export is not torch.onnx.export
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["onnx", "pt2"])
def test_a_drop_in_function_is_documented_and_typed(name):
    found = getattr(rnnbench, name).export
    given = inspect.signature(found)
    assert [p for p in given.parameters if f" {p}: " not in found.__doc__] == []
    assert all(p.annotation is not p.empty for p in given.parameters.values())
    assert given.return_annotation is not given.empty


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_public_name_is_documented(name):
    found = getattr(rnnbench, name)
    assert found.__name__ == name
    assert found.__module__.startswith("rnnbench.")
    assert found.__doc__
    assert found.__doc__.split("\n")[0].endswith((".", ":"))
    if inspect.isfunction(found):
        given = inspect.signature(found).parameters
        assert [p for p in given if f"{p}:" not in found.__doc__] == []


def callables(found):
    """The function itself, or a class's public methods and what makes an instance."""
    if inspect.isfunction(found):
        return [found]
    members = [getattr(m, "fget", None) or getattr(m, "__func__", m) for m in vars(found).values()]
    return [
        m
        for m in members
        if inspect.isfunction(m) and (not m.__name__.startswith("_") or m.__name__ == "__init__")
    ]


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_public_name_is_typed(name):
    for function in callables(getattr(rnnbench, name)):
        signature = inspect.signature(function)
        given = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
        assert all(p.annotation is not p.empty for p in given), function
        assert signature.return_annotation is not signature.empty, function


def test_checkers_of_types_see_the_same_names():
    """What only they import stands in `__all__`, and the package says that it is typed."""
    source = Path(rnnbench.__file__)
    froms = [n for n in ast.walk(ast.parse(source.read_text())) if isinstance(n, ast.ImportFrom)]
    imported = [a.name for n in froms if str(n.module).startswith("rnnbench.") for a in n.names]
    assert sorted(imported) == DOCUMENTED
    assert source.with_name("py.typed").is_file()


def test_the_version_is_the_project_s():
    """Said once: a plain copy, which is not installed, has no other to ask."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["project"]["dynamic"] == ["version", "readme"]
    said = project["tool"]["setuptools"]["dynamic"]["version"]
    assert said == {"attr": "rnnbench.__version__"}
    assert re.fullmatch(r"\d+\.\d+\.\d+", rnnbench.__version__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = rnnbench.nothing
