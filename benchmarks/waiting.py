"""What a user waits for each command, against an older commit: ratios of medians.

    python benchmarks/waiting.py [--row check --row export ...] [--rounds 3]

Both commits are checked out into a temporary folder and run by turns, each command in processes of
its own with a fresh folder. CPU seconds are those of all processes; only their ratio says something
on a machine that does other things as well.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from xml.etree import ElementTree

from process_tree import Cost, cost_of

REPOSITORY = Path(__file__).parents[1]
BASELINE = "5131268"
RUNTIMES = tuple(f"--runtime={name}" for name in ("eager", "torchscript", "onnxruntime"))
VARIANTS = (
    *("elman", "elman-loop", "embedding", "gru"),
    *("gru-loop", "linear-loop", "lstm", "lstm-loop"),
)
SMALL = """
import torch
from rnnbench import Model, TensorSpec

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.cell = torch.nn.GRUCell(16, 32)
        self.out = torch.nn.Linear(32, 8)

    def forward(self, x, h0):
        h, steps = h0, []
        for frame in x.unbind(0):
            h = self.cell(frame, h)
            steps.append(self.out(h))
        return torch.stack(steps), h

def build():
    x = TensorSpec("x", ("time", "batch", 16))
    h0 = TensorSpec("h0", ("batch", 32), role="state")
    return Model(Net(), (x, h0), ("y", "hn"), states={"h0": "hn"})
"""
LARGE = """
import torch
from rnnbench import Model, TensorSpec

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.lstm = torch.nn.LSTM({size}, {size}, {layers})

    def forward(self, x):
        return self.lstm(x)[0]

def build():
    return Model(Net(), (TensorSpec("x", ("time", "batch", {size})),), ("y",), name="{name}")
"""
_GATES = 4  # of an LSTM
_FLOAT = 4  # bytes


@dataclass
class Side:
    """One of the two commits.

    Attributes:
        tree: where it is checked out.
        work: a folder for what its commands read.
        base: the other one, of whose cases the checks are; itself where it is that one.
    """

    tree: Path
    work: Path
    base: Side | None = None
    weights: int = 0
    _made: dict[str, Path] = field(default_factory=dict)

    def run(self, words: Sequence[str | Path], folder: Path, *, together: bool = False) -> Cost:
        """Runs a command in a folder that is there."""
        command = [sys.executable, "-P", "-m", "rnnbench", *map(str, words)]
        environment = {**os.environ, "PYTHONPATH": str(self.tree), "COLUMNS": "80"}
        cost = cost_of(command, folder=folder, environment=environment, together=together)
        if cost.code:
            printed = (folder / "printed.txt").read_text("utf-8", "replace")
            raise SystemExit(f"{self.tree.name}: {' '.join(command)}: {printed[-2000:]}")
        return cost

    def once(self, name: str, make: Callable[[Path], object]) -> Path:
        """A folder that `make` fills the first time."""
        if name not in self._made:
            self._made[name] = self.work / name
            self._made[name].mkdir(parents=True)
            make(self._made[name])
        return self._made[name]

    def source(self, name: str, text: str) -> Path:
        """A file with a declaration."""
        folder = self.once(f"source-{name}", lambda f: (f / "net.py").write_text(text, "utf-8"))
        return folder / "net.py"

    def small(self) -> Path:
        """The bundle of the small network."""
        net = self.source("small", SMALL)
        return self.once("small", lambda f: self.run(["export", net, "--out", f], f)) / "Net"

    def variants(self) -> list[Path]:
        """The bundles of the built-in networks."""
        words = ["export", *VARIANTS, "--out"]
        folder = self.once("variants", lambda f: self.run([*words, f], f))
        return [folder / f"hello-{name}" for name in VARIANTS]

    def large(self, tiny: bool = False) -> Path:
        """The declaration of an LSTM of so many bytes of weights; or of next to none."""
        name = "tiny" if tiny else "large"
        size = 8 if tiny else 2048
        layers = 1 if tiny else max(1, round(self.weights / (_GATES * _FLOAT * 2 * size**2)))
        return self.source(name, LARGE.format(size=size, layers=layers, name=name))

    def large_bundle(self, tiny: bool = False) -> Path:
        """The bundle of that."""
        net, name = self.large(tiny), "tiny" if tiny else "large"
        words = ["export", net, "--out"]
        return self.once(f"bundle-{name}", lambda f: self.run([*words, f], f)) / name

    def cases(self, kind: str) -> list[str]:
        """The cases of the baseline's check of the small network, as options."""
        side = self.base or self
        words = ["check", side.small(), *RUNTIMES, "--cases", kind, "--junit", "cases.xml"]
        folder = side.once(f"cases-{kind}", lambda f: side.run(words, f))
        found = ElementTree.parse(folder / "cases.xml").getroot().iter("testcase")
        names = dict.fromkeys(str(case.get("name")) for case in found)
        return [f"--only={name}" for name in names if not name.startswith("(")]


Words = Callable[[Side], Sequence[str | Path]]
Value = Callable[[Cost, Path, Side], float]


@dataclass(frozen=True)
class Row:
    """One row of the table.

    Attributes:
        name: what `--row` takes: the beginning of it is enough.
        wanted: the ratio at most; of a value that is a ratio itself, that at most.
        words: the command.
        value: what counts of what it took.
        unit: of the value; `x` where it is itself a ratio.
        before: a command that is run before each, and not counted.
        together: whether the memory of all processes is looked at.
    """

    name: str
    wanted: float
    words: Words
    value: Value = lambda cost, _folder, _side: cost.cpu_s
    unit: str = "s"
    before: Words | None = None
    together: bool = False

    def ratio(self, base: float, now: float) -> float:
        return now if self.unit == "x" else now / base


def _width(_cost: Cost, folder: Path, _side: Side) -> float:
    """The median width of the intervals of the ratios, as a part of the ratio."""
    (path,) = folder.glob("results/*/*.json")
    infos = [each["extra_info"] for each in json.loads(path.read_text("utf-8"))["benchmarks"]]
    ratios = [info for info in infos if info["kind"] == "ratio"]
    return median((info["high"] - info["low"]) / info["ratio"] for info in ratios)


def _over_the_weights(words: Callable[[Side, bool], Sequence[str | Path]], what: str) -> Value:
    """How many times the weights a command takes, beyond what it takes for a tiny network."""

    def value(cost: Cost, folder: Path, side: Side) -> float:
        tiny = folder / "tiny"
        tiny.mkdir()
        least = side.run(words(side, True), tiny, together=what == "together")
        return float((getattr(cost, what) - getattr(least, what)) / side.weights)

    return value


def _export_large(side: Side, tiny: bool = False) -> Sequence[str | Path]:
    return ["export", side.large(tiny), "--out", "out"]


def _check_large(side: Side, tiny: bool = False) -> Sequence[str | Path]:
    return ["check", side.large_bundle(tiny), *RUNTIMES, "--memory", "16"]


def _conform(side: Side) -> Sequence[str | Path]:
    return ["conform", side.small()]


def _wall(cost: Cost, _folder: Path, _side: Side) -> float:
    return cost.wall_s


_CHECK = ("check", *RUNTIMES)
_BENCH = ("bench", "--quick", "--runtime=eager,torchscript,onnxruntime", "--out", "results")
ROWS = (
    Row("list", 0.10, lambda _: ["list"]),
    Row("inspect a small .onnx", 0.4, lambda s: ["inspect", s.small() / "model.onnx"]),
    Row("check, cases of then", 0.5, lambda s: [*_CHECK, s.small(), *s.cases("quick")]),
    Row("check, its own cases", 1.0, lambda s: [*_CHECK, s.small()]),
    Row("check of 8, its own cases", 0.8, lambda s: [*_CHECK, *s.variants()]),
    Row(
        *("check full, cases of then", 0.5),
        lambda s: [*_CHECK, s.small(), "--cases", "full", *s.cases("full")],
    ),
    Row("export a small loop", 0.65, lambda s: ["export", s.source("small", SMALL)]),
    Row("export 8 variants", 0.5, lambda _: ["export", *VARIANTS]),
    Row("bench --quick", 0.5, lambda _: _BENCH),
    Row("bench --quick: intervals", 1.0, lambda _: _BENCH, _width, ""),
    Row(
        *("export: memory / weights", 2.5, _export_large),
        *(_over_the_weights(_export_large, "largest"), "x"),
    ),
    Row(
        *("check: largest / weights", 3.0, _check_large),
        *(_over_the_weights(_check_large, "largest"), "x"),
    ),
    Row(
        *("check: together / weights", 5.0, _check_large),
        *(_over_the_weights(_check_large, "together"), "x"),
        together=True,
    ),
    Row("conform, cold (wall)", 0.7, _conform, _wall),
    Row("conform, warm (wall)", 0.25, _conform, _wall, before=_conform),
)


def measure(row: Row, sides: Sequence[Side], rounds: int) -> tuple[list[float], list[float]]:
    """The values of a row on each side, run by turns: a, b, b, a, a, b ..."""
    found: tuple[list[float], list[float]] = ([], [])
    for side in sides:
        row.words(side)  # what it reads is made
    for number in range(rounds):
        for which in (0, 1) if number % 2 == 0 else (1, 0):
            found[which].append(_once(row, sides[which]))
    return found


def _once(row: Row, side: Side) -> float:
    with tempfile.TemporaryDirectory(dir=side.work) as name:
        folder, cache = Path(name), Path(name) / "cache"
        cache.mkdir()
        os.environ["XDG_CACHE_HOME"] = str(cache)  # nothing that was built before
        try:
            if row.before is not None:
                side.run(row.before(side), folder)
            cost = side.run(row.words(side), folder, together=row.together)
            return row.value(cost, folder, side)
        finally:
            del os.environ["XDG_CACHE_HOME"]


def format_row(row: Row, base: Sequence[float], now: Sequence[float]) -> str:
    """A line of the table, at most 80 columns."""
    then, today = median(base), median(now)
    ratio = row.ratio(then, today)
    values = [f"{value:.3g} {row.unit}".rstrip() for value in (then, today)]
    met = "yes" if ratio <= row.wanted else "no"
    return f"{row.name:26} {values[0]:>9} {values[1]:>9} {ratio:7.2f} {row.wanted:7.2f} {met:>4}"


HEADING = f"{'command':26} {'baseline':>9} {'now':>9} {'ratio':>7} {'wanted':>7} {'met':>4}"


@contextmanager
def checked_out(commit: str, folder: Path) -> Iterator[Path]:
    """A commit's files, compiled to bytecode, so that no first run does it."""
    git = ["git", "-C", str(REPOSITORY), "worktree"]
    words = [*git, "add", "--quiet", "--detach", str(folder), commit]
    subprocess.run(words, check=True)
    try:
        compileall.compile_dir(folder / "rnnbench", quiet=2)
        yield folder
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=True)


def main() -> None:
    """Runs what is asked for, and prints a row as soon as it is there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--baseline", default=BASELINE, help="the older commit")
    parser.add_argument("--commit", default="HEAD", help="the newer one")
    parser.add_argument("--row", action="append", help=f"the beginning of one of {ROW_NAMES}")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each commit")
    parser.add_argument("--weights", type=float, default=268e6, help="bytes, of the memory's rows")
    parser.add_argument("--json", type=Path, help="a file that gets every value")
    asked = parser.parse_args()
    rows = [r for r in ROWS if not asked.row or r.name.startswith(tuple(asked.row))]
    if not rows:
        parser.error(f"there is no such row: use {ROW_NAMES}")
    kept: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory(prefix="waiting-") as name:
        folder = Path(name)
        with (
            checked_out(asked.baseline, folder / "baseline") as before,
            checked_out(asked.commit, folder / "now") as after,
        ):
            base = Side(before, folder / "work-baseline", weights=int(asked.weights))
            now = Side(after, folder / "work-now", base, int(asked.weights))
            base.work.mkdir()
            now.work.mkdir()
            print(HEADING, flush=True)
            for row in rows:
                found = measure(row, (base, now), asked.rounds)
                kept[row.name] = dict(zip(("baseline", "now"), found, strict=True))
                print(format_row(row, *found), flush=True)
                if asked.json is not None:
                    asked.json.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


ROW_NAMES = ", ".join(repr(row.name) for row in ROWS)

if __name__ == "__main__":
    main()
