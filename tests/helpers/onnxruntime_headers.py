"""The headers of ONNX Runtime, which its wheel does not have: from an npm package, kept in a cache.

`python tests/helpers/onnxruntime_headers.py` prints the folder that ONNXRUNTIME_ROOT is to name.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE, VERSION = "com.github.asus4.onnxruntime", "0.4.9"  # API 29
SHA512 = (
    "064cf176e499f4891e0cfe90f25cf64c553689eee1492bd2ed921fccca28131a"
    "2ad02373267bae19a509ec8b288c182a3b8a2e0f58d76a1f0e63225b08ddbd16"
)
INSIDE = "/ios-arm64/onnxruntime.framework/Headers/"


def headers() -> Path:
    """The folder with `include/`, downloaded unless it was before or ONNXRUNTIME_ROOT names one.

    Raises:
        OSError: it cannot be had.
    """
    given = os.environ.get("ONNXRUNTIME_ROOT")
    if given:
        return Path(given)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rnnbench"
    root = cache / f"onnxruntime-headers-{VERSION}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:  # pytest-xdist: one downloads, the others wait
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.is_dir():
            _download(root)
    return root


def _download(root: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise OSError("npm is not on the path: install it, or set ONNXRUNTIME_ROOT")
    with tempfile.TemporaryDirectory(dir=root.parent) as folder:
        made = subprocess.run(
            [npm, "pack", f"{PACKAGE}@{VERSION}"], cwd=folder, capture_output=True, text=True
        )
        packed = next(Path(folder).glob("*.tgz"), None)
        if made.returncode or packed is None:
            raise OSError(f"npm pack {PACKAGE}: {made.stderr.strip()[:200]}")
        if hashlib.sha512(packed.read_bytes()).hexdigest() != SHA512:
            raise OSError(f"{packed.name} is not what it was: its SHA-512 is another")
        include = Path(folder, "root", "include")
        include.mkdir(parents=True)
        with tarfile.open(packed) as archive:
            for member in archive:
                content = archive.extractfile(member) if INSIDE in member.name else None
                if content:
                    (include / Path(member.name).name).write_bytes(content.read())
        include.parent.rename(root)


if __name__ == "__main__":
    try:
        print(headers())
    except OSError as error:
        sys.exit(f"no headers of ONNX Runtime: {error}")
