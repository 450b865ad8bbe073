"""The house keeps its rooms: what lies where, and which names folders may have."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import rnnbench

ROOT = Path(rnnbench.__file__).parent
FOLDERS = [path for path in ROOT.rglob("*") if (path / "__init__.py").is_file()]


def test_the_import_rule_holds():
    """The contracts in pyproject.toml: layers, plugins that do not know one another, no cycle."""
    lint = Path(sys.executable).with_name("lint-imports")
    if not lint.is_file():
        pytest.skip("import-linter is not installed: pip install import-linter")
    done = subprocess.run(
        [lint, "--no-cache"], cwd=ROOT.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_the_top_can_be_taken_in_at_a_glance():
    entries = [path.name for path in ROOT.iterdir() if not path.name.startswith("__pycache__")]
    assert len(entries) <= 20, sorted(entries)


def test_no_folder_bears_the_name_of_a_public_function():
    verbs = {path.stem for path in (ROOT / "commands").glob("[a-z]*.py")}
    public = {*rnnbench.__all__, *verbs, "optimize"}
    assert not public & {path.name for path in ROOT.iterdir() if path.is_dir()}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_package_holds_no_function_with_a_submodule_s_name(folder):
    """The import system would bind the submodule over it."""
    tree = ast.parse((folder / "__init__.py").read_text("utf-8"))
    defined = {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    assert not defined & {path.stem for path in folder.iterdir()}


def test_no_constant_of_a_plugin_is_read_with_a_default():
    """A plugin says all that it is asked for; `getattr(plugin, NAME, default)` hides what lacks."""
    for path in ROOT.rglob("*.py"):
        if "targets" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "getattr"):
                continue
            name = node.args[1]
            constant = isinstance(name, ast.Constant) and str(name.value).isupper()
            assert not (constant and len(node.args) > 2), f"{path}:{node.lineno}"
