"""A compiler that compiles a source file once per run of the tests.

CMake puts it before the compiler (`CMAKE_CXX_COMPILER_LAUNCHER`). Three projects hold the same
main.cpp, of which a compiler takes longest to read PyTorch's headers.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

_FOLDER = "RNNBENCH_TESTS_OBJECTS"
_SOURCE, _BESIDE = "main.cpp", "model.hpp"  # the only one that includes PyTorch


def environment(folder: Path) -> dict[str, str]:
    """The variables with which CMake compiles by way of this file; objects are kept in `folder`."""
    return {
        "CMAKE_CXX_COMPILER_LAUNCHER": f"{sys.executable};{Path(__file__).resolve()}",
        _FOLDER: str(folder),
    }


def main(command: list[str]) -> int:
    """Runs `c++ ... -o OBJECT -c SOURCE`, or takes the object that the same command made before."""
    source = Path(command[command.index("-c") + 1]) if "-c" in command else None
    if source is None or source.name != _SOURCE or not (source.parent / _BESIDE).exists():
        return subprocess.call(command)
    made = Path(command[command.index("-o") + 1])
    # The command but for the places of the project, and all that the source could include of it.
    parts = [w.encode() for w in command if w not in (str(source), str(made)) and w[:2] != "-I"]
    parts += [p.read_bytes() for p in sorted(source.parent.glob("*.?pp"))]
    key = hashlib.sha256(b"\0".join(parts)).hexdigest()
    kept = Path(os.environ[_FOLDER]) / f"{key}.o"
    with FileLock(f"{kept}.lock"):
        if not kept.exists():
            code = subprocess.call(command)
            if code:
                return code
            shutil.copy(made, kept)
    shutil.copy(kept, made)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
