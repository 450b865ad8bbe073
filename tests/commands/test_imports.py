"""What a command does not import, since importing it takes longer than all that it does."""

import json
import subprocess
import sys

import pytest

from rnnbench.core import cuda
from rnnbench.runtimes.adapters import _torch
from tests.helpers.handmade import make_bundle

CODE = """
import json, sys
from rnnbench.__main__ import main
code = 0
try:
    main(sys.argv[1:])
except SystemExit as end:
    code = end.code or 0
heavy = ("torch", "onnxscript", "onnxruntime", "onnx_ir", "sympy", "onnx", "numpy")
print(json.dumps([code, [name for name in heavy if name in sys.modules]]))
"""


def imported_by(*words):
    """The heavy modules that a command imports."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, *map(str, words)], capture_output=True, text=True, check=True
    )
    code, found = json.loads(done.stdout.splitlines()[-1])
    assert code == 0
    return found


@pytest.mark.skipif(cuda.driver_is_here(), reason="where a device may be, it is asked for")
def test_list_imports_nothing_heavy_nor_numpy():
    assert imported_by("list") == []


def test_inspect_of_an_onnx_file_imports_neither_torch_nor_onnxscript(tmp_path):
    assert imported_by("inspect", make_bundle(tmp_path).path / "model.onnx") == ["onnx", "numpy"]


@pytest.mark.parametrize(
    ("text", "driver", "asked"),
    [
        ("cuda = None\nhip: str | None = None\n", True, False),
        ("cuda: str | None = '12.8'\nhip = None\n", False, False),
        ("cuda = '12.8'\nhip = None\n", True, True),
        ("cuda = None\nhip = '6.2'\n", False, True),
        ("from somewhere import cuda\n", False, True),
        ("cuda = = None\n", False, True),
    ],
)
def test_torch_is_asked_where_its_build_and_a_driver_are_for_a_device(
    tmp_path, monkeypatch, text, driver, asked
):
    """Of a build of another kind, or one that does not say, torch itself is asked."""
    folder = tmp_path / "torch"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "version.py").write_text(text)
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(cuda, "driver_is_here", lambda: driver)
    assert _torch._has_a_driver() is asked
