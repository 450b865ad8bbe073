"""The same model exported twice, in two processes, gives the same bytes in every format."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from rnnbench.core import plugins

ROOT = Path(__file__).parents[2]

# What torch writes itself and is another at each export, by the name of the file.
EXCEPTIONS = {
    "model.aoti.pt2": "a shared library that a C++ compiler made in a folder of chance, whose path "
    "it holds; and its members are named after a hash of it",
}
# A fused layer with its portable form, a loop that stays one, and rows of unequal length.
SCRIPT = """
import sys
import rnnbench
from rnnbench.models import variants
from tests.zoo import MODELS

out, formats = sys.argv[1], ("onnx", "torchscript", "pt2", "c")
options = variants.Options(5, 4, 2, output_size=4)
loop = variants.model("lstm-loop", options, bundle_name="loop")
rnnbench.export(loop, formats, out, keep_loops=True, metadata={"task": "none"})
rnnbench.export(MODELS["PackedRnn"].build(), formats, out, profile="portable")
"""


@pytest.fixture(scope="module")
def twice(tmp_path_factory):
    """Two folders; hashes of strings, and with them the order of sets, differ between the two."""
    outs = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
    running = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", SCRIPT, str(out)],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": str(seed), "PYTHONPATH": str(ROOT)},
        )
        for seed, out in enumerate(outs, 1)
    ]
    assert [process.wait() for process in running] == [0, 0]
    return outs


def unlike(first, second):
    """Where two files differ; in an archive, which of its members do."""
    if not (zipfile.is_zipfile(first) and zipfile.is_zipfile(second)):
        return first.name
    with zipfile.ZipFile(first) as a, zipfile.ZipFile(second) as b:
        if a.namelist() != b.namelist():
            return f"{first.name}: other members"
        names = [n for n in a.namelist() if a.read(n) != b.read(n)]
    return f"{first.name}: {', '.join(names) or 'what the archive says of its members'}"


def test_every_file_is_the_same(twice):
    """manifest.json and cases.npz too: no time, no path, no order of a set."""
    first, second = ({p.relative_to(out): p for p in out.rglob("*.*")} for out in twice)
    assert set(first) == set(second)
    names = {path.name for path in first}
    assert names >= {"manifest.json", "cases.npz", "weights.pt", "model.portable.onnx"}
    suffixes = {plugins.load("formats", name).FORMAT.suffix for name in plugins.names("formats")}
    written = {f"model{suffix}" for suffix in suffixes}
    assert written - names == set(EXCEPTIONS), "each format is compared, or named above"
    other = [p for p in first if first[p].read_bytes() != second[p].read_bytes()]
    assert other == [], [unlike(first[p], second[p]) for p in other]
