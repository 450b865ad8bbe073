"""Commands in processes of their own, for what ends them: a small model, and what each writes."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

MODEL = """
import torch
from torch import nn
from rnnbench import Model, TensorSpec

def build():
    torch.manual_seed(0)
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru = nn.GRU(3, 4, batch_first=True)
        def forward(self, x):
            return self.gru(x)[0]
    return Model(Net(), (TensorSpec("x", ("batch", "time", 3)),), ("y",), name="net")
"""

VERBS = {
    "export": ("export", "model.py", "--format", "onnx", "--out", "out"),
    "check": ("check", "out/net", "--junit", "check.xml"),
    "train": ("train", "elman", "--epochs", "40", "--runs", "runs"),
    "bench": (
        *("bench", "model.py", "--runtime", "eager,onnxruntime", "--time", "2"),
        *("--hidden", "4", "--quick", "--out", "benches"),
    ),
    "embed": ("embed", "out/net", "--target", "python-onnxruntime", "--out", "project", "--force"),
    "conform": ("conform", "out/net", "--target", "python-onnxruntime"),
}


@dataclass
class Workplace:
    """A folder in which commands run, with a folder for temporary files of its own.

    Attributes:
        folder: where.
        mark: in the environment of each process that is started, directly or not.
    """

    folder: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self):
        self.temporary.mkdir(exist_ok=True)
        (self.folder / "model.py").write_text(MODEL)

    @property
    def temporary(self) -> Path:
        return self.folder / "temporary"

    def start(self, *words, **options):
        """A command; its output is kept in files, so that nobody has to read it."""
        environment = os.environ | {
            "TMPDIR": str(self.temporary),
            "MARK": self.mark,
            "PYTHONPATH": os.pathsep.join(path or os.curdir for path in sys.path),
            "OMP_NUM_THREADS": "1",
            # Records of trust, and caches, belong to the user, who is another for each test.
            "HOME": str(self.folder),
        }
        options = {
            "cwd": self.folder,
            "env": environment,
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
        } | options
        return subprocess.Popen([sys.executable, "-m", "rnnbench", *words], **options)

    def run(self, *words, limit=240, **options):
        """A command, to its end within so many seconds: its code, stdout and stderr."""
        process = self.start(*words, **options)
        out, err = process.communicate(timeout=limit)
        return process.returncode, out, err

    def processes(self) -> list[int]:
        """Those that were started here and are alive."""
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if f"MARK={self.mark}".encode() in (place / "environ").read_bytes():
                    found.append(int(place.name))
        return found

    def orphans(self, seconds=15.0) -> list[int]:
        """Those that are still alive after so long; they are ended."""
        until = time.monotonic() + seconds
        while (left := self.processes()) and time.monotonic() < until:
            time.sleep(0.1)
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        return left

    def leftovers(self) -> list[str]:
        """What no run should leave, but for what the next one of its kind clears away."""
        hidden = [
            path for folder in ("", "out", "runs", "benches") for path in self._hidden(folder)
        ]
        own = list(self.temporary.glob("rnnbench-*"))
        return [str(path.relative_to(self.folder)) for path in (*hidden, *own)]

    def _hidden(self, name):
        folder = self.folder / name
        found = folder.iterdir() if folder.is_dir() else ()
        return [p for p in found if p.name.endswith((".partial", ".old", ".tmp"))]

    def copy(self, folder: Path) -> "Workplace":
        """Another with what is in this one."""
        shutil.copytree(self.folder, folder)
        return Workplace(folder)
