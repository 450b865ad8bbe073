"""The ways to run an artifact: one file each, with the same few names.

* `FORMATS`: the formats that it runs;
* `available()`: None, or in one line why it is not here and what brings it; imports nothing heavy;
* `devices()`: where it can run on this machine;
* `MODES`: its own further ways to run an artifact (optimisation levels ...); `""` is the default;
* `load(bundle, path, *, device, threads, mode)`: a function from arrays by name to arrays by name;
  a runtime that runs files which rnnbench did not write takes None for their bundle;
* `SLOW`, where it is True: each new shape costs seconds, so that it gets few and short cases, and
  runs in a full check or where it is asked for;
* `EXTRA`, where it is True: it runs in a full check or where it is asked for, over every case;
* `PINS`, where it is True: the file is compiled again for each shape, with that shape fixed;
* `ENGINE`, where it is True: it runs files that other tools read too, so that `conform` has it run
  every form of them: see rnnbench/checking/conformance/engines.py;
* `PACKAGES`: the distributions whose versions say which engine that is, as pip names them;
* `ONE_ROW`, where it is True: it takes a batch of 1 only, and gets the cases that have it;
* `ACCURACY`, where its functions are coarser than others': the error for a value of size 1;
* `CUDA_ACCURACY`: the same on CUDA;
* `JUDGE`, where it is False: its results are shown and decide nothing; `caveats(path)` says why;
* `signature(path)`, where files say it: the inputs and outputs that one declares.
"""

from __future__ import annotations

from importlib import metadata

from rnnbench.core import plugins


def names() -> tuple[str, ...]:
    """Every runtime, sorted."""
    return plugins.names("runtimes")


def formats() -> dict[str, tuple[str, ...]]:
    """Runtime -> the formats that it runs."""
    return {name: tuple(plugins.load("runtimes", name).FORMATS) for name in names()}


def running(format: str) -> tuple[str, ...]:
    """The runtimes that run a format, installed or not; the usual ones come first."""
    able = [name for name, runs in formats().items() if format in runs]
    return tuple(sorted(able, key=lambda name: (is_slow(name), not is_usual(name))))


def is_usual(name: str) -> bool:
    """Whether a quick check includes a runtime."""
    plugin = plugins.load("runtimes", name)
    return not (getattr(plugin, "SLOW", False) or getattr(plugin, "EXTRA", False))


def pins(name: str, mode: str = "") -> bool:
    """Whether a runtime fixes the shapes in a file as they come."""
    return mode == "pinned" or bool(getattr(plugins.load("runtimes", name), "PINS", False))


def is_slow(name: str) -> bool:
    """Whether each new shape costs seconds in a runtime."""
    return bool(getattr(plugins.load("runtimes", name), "SLOW", False))


def own_sizes(name: str, batch_dim: str) -> dict[str, int]:
    """The dimensions that a runtime itself has fixed."""
    one_row = getattr(plugins.load("runtimes", name), "ONE_ROW", False)
    return {batch_dim: 1} if one_row else {}


def accuracy(name: str, device: str = "cpu") -> float:
    """The error that a runtime's own functions have for a value of size 1; 0 for the usual one."""
    known = "ACCURACY" if device == "cpu" else "CUDA_ACCURACY"
    return float(getattr(plugins.load("runtimes", name), known, 0.0))


def engines() -> tuple[str, ...]:
    """The runtimes whose files other tools read too, installed or not, sorted."""
    return tuple(n for n in names() if getattr(plugins.load("runtimes", n), "ENGINE", False))


def versions(name: str) -> dict[str, str]:
    """Distribution -> its version, of those that a runtime is made of and that are installed."""
    found = {}
    for package in getattr(plugins.load("runtimes", name), "PACKAGES", ()):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
