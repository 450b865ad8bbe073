"""A script of somebody's, run with another line of imports."""

import runpy
import subprocess
import sys
from pathlib import Path

import torch

SCRIPTS = Path(__file__).parent / "scripts"

_JUDGE_ONNX = """
import sys
import numpy as np
import onnxruntime

for path, case in zip(sys.argv[1::2], sys.argv[2::2]):
    session = onnxruntime.InferenceSession(path)
    with np.load(case) as arrays:
        given = {i.name: arrays[f"in{k}"] for k, i in enumerate(session.get_inputs())}
        for k, output in enumerate(session.run(None, given)):
            wanted = arrays[f"out{k}"]
            assert output.shape == wanted.shape, (path, k, output.shape, wanted.shape)
            np.testing.assert_allclose(output, wanted, rtol=1e-4, atol=1e-5, err_msg=path)
assert not {"torch", "rnnbench"} & set(sys.modules)
print("judged", len(sys.argv[1::2]))
"""

_JUDGE_PT2 = """
import sys
import torch

for path, case in zip(sys.argv[1::2], sys.argv[2::2]):
    module = torch.export.load(path).module()
    args, kwargs, wanted = torch.load(case, weights_only=True)
    torch.testing.assert_close(module(*args, **kwargs), wanted, rtol=1e-4, atol=1e-5)
assert "rnnbench" not in sys.modules
print("judged", len(sys.argv[1::2]))
"""


def run_script(name, folder, monkeypatch, before, after):
    """Runs a script in a folder with `before` in its imports put as `after`; its names."""
    text = (SCRIPTS / name).read_text("utf-8")
    assert text.count(f"\n{before}\n") == 1
    script = folder / name
    script.write_text(text.replace(f"\n{before}\n", f"\n{after}\n"), "utf-8")
    monkeypatch.chdir(folder)
    return runpy.run_path(str(script))


def eager(module, args, kwargs=None):
    """What a module returns in evaluation mode."""
    with torch.no_grad():
        return module.eval()(*args, **(kwargs or {}))


def store_arrays(path, args, wanted):
    """Inputs and outputs in the order of the file's, for the judge of ONNX."""
    import numpy as np

    flat = torch.utils._pytree.tree_leaves
    tensors = {f"in{k}": v for k, v in enumerate(v for v in flat(args) if torch.is_tensor(v))}
    tensors |= {f"out{k}": v for k, v in enumerate(v for v in flat(wanted) if v is not None)}
    np.savez(path, **{name: tensor.numpy() for name, tensor in tensors.items()})


def judge_onnx(pairs):
    """Runs files in onnxruntime alone, beside arrays that were stored."""
    return _judge(_JUDGE_ONNX, pairs)


def judge_pt2(pairs):
    """Runs files in torch alone, beside arguments that were stored."""
    return _judge(_JUDGE_PT2, pairs)


def _judge(code, pairs):
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, *(str(path) for pair in pairs for path in pair)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"judged {len(pairs)}\n"
