"""What a runtime is: one record in each file of `adapters/`, and all that others ask of it.

Two ways lead into a runtime. `load` is for those who check: it copies and validates what goes in
and comes out. `Timing.prepare` is for those who measure: a call without arguments, with the inputs
where they belong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from rnnbench.core.errors import Unavailable
from rnnbench.core.model import Arrays, Run
from rnnbench.core.requirements import not_installed

if TYPE_CHECKING:
    from rnnbench.core.bundle import Bundle
    from rnnbench.core.gaps import Gap
    from rnnbench.core.signature import Signature
    from rnnbench.formats.onnx.profile import Profile
    from rnnbench.formats.onnx.releases import Release
    from rnnbench.runtimes.opened import Opened
    from rnnbench.runtimes.timed import Source, TimedCall

Cost = Literal["usual", "extra", "slow"]
Shapes = Literal["any", "pinned", "one row"]


class Load(Protocol):
    """From a file to a function from arrays by name to arrays by name."""

    def __call__(
        self,
        bundle: Bundle | None,
        path: Path | None,
        *,
        device: str = "cpu",
        threads: int | None = None,
        mode: str = "",
    ) -> Run:
        """Loads a file.

        Args:
            bundle: whose file it is; None for one that rnnbench did not write.
            path: the file; None for the module itself.
            device: one of the runtime's `devices()`.
            threads: inside one operation; the runtime's own default where it is None.
            mode: one of the runtime's `modes`; empty for its default.
        """


class Prepare(Protocol):
    """From a file or a module, with its inputs, to a call without arguments."""

    def __call__(
        self, source: Source, arrays: Arrays, device: str, threads: int, mode: str = ""
    ) -> TimedCall:
        """Loads a file and puts the inputs where they belong."""


class Open(Protocol):
    """From a file or a module to a session for the calls of many streams."""

    def __call__(self, source: Source, threads: int, at_once: int) -> Opened:
        """Loads a file anew, on the CPU.

        Args:
            source: the file or the module.
            threads: inside one operation.
            at_once: how many calls can compute at the same time.
        """


@dataclass(frozen=True)
class Timing:
    """How `bench` times a runtime.

    Attributes:
        format: the file that it runs; `eager` where it runs the module itself.
        prepare: makes the call that is timed.
        modes: its ways to run -> the kinds of device that have them; "" is the usual way.
        plans: the plans, `quick` and `full`, that it is part of without being asked for.
        recompiles: whether it compiles again during its first calls, which then has its own column.
        rewritten: what of the file is written for it first: `open` with the rewrites of its
            `profile`, `pinned` with the sizes fixed as well, nothing where it is empty.
        open: makes a session that many streams can use; None where it is not timed with streams.
    """

    format: str
    prepare: Prepare
    modes: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: {"": ("cpu",)})
    plans: tuple[str, ...] = ()
    recompiles: bool = False
    rewritten: Literal["", "open", "pinned"] = ""
    open: Open | None = None


@dataclass(frozen=True)
class Runtime:
    """One way to run an artifact; `RUNTIME` in a file of `adapters/`, whose stem is its name.

    Attributes:
        title: in words, as reports name it.
        formats: that it runs.
        requires: module -> the distribution that brings it, of all that must be installed.
        load: loads a file; the device is one of `devices()`.
        modes: its own further ways to run (optimisation levels ...); `""` is the default.
        devices: where it can run on this machine; may import what it needs.
        lacks: what else is not here (a compiler), in one line that says what brings it.
        cuda: the distribution that brings CUDA, where it is another; empty where none does.
        cost: `usual` runtimes are in a quick check, `extra` ones in a full one or where they are
            asked for; so are `slow` ones, which get few and short cases: each new shape costs
            seconds.
        shapes: `pinned` where a file is compiled again for each shape, with that shape fixed;
            `one row` where the batch must be 1 as well.
        engine: whether its files are such as other tools read too, so that `conform` has it run
            every form of them.
        packages: the distributions whose versions say which engine that is, as pip names them.
        coarseness: how many times as large the errors of its own functions (tanh, sigmoid) are as
            those of PyTorch on the CPU, which are about 6e-8 for a value of size 1.
        cuda_coarseness: the same on CUDA.
        judge: False where its results are shown and decide nothing.
        gaps: what a layer may have and it does not compute; with version and source.
        signature: the inputs and outputs that a file declares; None where files do not say.
        weights: the arrays that a file holds, by name; None where they cannot be read.
        kept_small: which of them it keeps in fewer bits than it computes with; None where it does
            not say.
        reads: the kind of files (of `core.files`) that no other runtime loads; empty for none.
        releases: which opset and IR version each of its releases loads, the oldest first.
        profile: the rewrites of ONNX that it needs; None where it needs none.
        timing: how it is timed; None where it is not.
    """

    title: str
    formats: tuple[str, ...]
    requires: Mapping[str, str]
    load: Load
    modes: tuple[str, ...] = ()
    devices: Callable[[], tuple[str, ...]] = lambda: ("cpu",)
    lacks: Callable[[], str | None] = lambda: None
    cuda: str = ""
    cost: Cost = "usual"
    shapes: Shapes = "any"
    engine: bool = False
    packages: tuple[str, ...] = ()
    coarseness: float = 1.0
    cuda_coarseness: float = 1.0
    judge: bool = True
    gaps: tuple[Gap, ...] = ()
    signature: Callable[[Path], Signature] | None = None
    weights: Callable[[Path], Arrays] | None = None
    kept_small: Callable[[Path], frozenset[str]] | None = None
    reads: str = ""
    releases: tuple[Release, ...] = ()
    profile: Profile | None = None
    timing: Timing | None = None

    def missing(self) -> str | None:
        """Why it is not here, and what brings it, in one line; None where it is here.

        Nothing is imported.
        """
        return not_installed(self.requires) or self.lacks()

    def pins(self, mode: str = "") -> bool:
        """Whether it fixes the shapes in a file as they come."""
        return mode == "pinned" or self.shapes != "any"

    def own_sizes(self, batch_dim: str) -> dict[str, int]:
        """The dimensions that it has fixed itself, in every file."""
        return {batch_dim: 1} if self.shapes == "one row" else {}

    def coarseness_on(self, device: str) -> float:
        """The error that its own functions have for a value of size 1; 0 for the usual one."""
        return self.coarseness if device == "cpu" else self.cuda_coarseness

    def versions(self) -> dict[str, str]:
        """Distribution -> its version, of `packages` that are installed."""
        from importlib import metadata

        found = {}
        for package in self.packages:
            try:
                found[package] = metadata.version(package)
            except metadata.PackageNotFoundError:
                continue
        return found

    def open(
        self,
        name: str,
        bundle: Bundle | None,
        path: Path | None,
        *,
        device: str = "cpu",
        threads: int | None = None,
        mode: str = "",
    ) -> Run:
        """Loads a file that may come from anywhere; the arguments are those of `Load`.

        Raises:
            Unavailable: the runtime is not installed, or cannot use the device.
            RnnbenchError: the file cannot be loaded, or keeps weights outside of its folder.
        """
        self.require(name, device)
        if path is not None and path.suffix == ".onnx":
            from rnnbench.inspection.external import refuse_outside

            refuse_outside(path)
        return self.load(bundle, path, device=device, threads=threads, mode=mode)

    def require(self, name: str, device: str = "cpu") -> None:
        """Refuses what cannot run here.

        Raises:
            Unavailable: it is not installed, or cannot use the device.
        """
        missing = self.missing()
        if missing is not None:
            raise Unavailable(missing)
        if device == "cpu":  # which all have: nothing need be imported to know
            return
        possible = self.devices()
        kind = device.partition(":")[0]
        numbered = any(known.startswith(f"{kind}:") for known in possible)
        if device in possible or (kind in possible and not numbered):
            return
        remedy = f": pip install {self.cuda}" if self.cuda and kind == "cuda" else ""
        raise Unavailable(
            f"{name} cannot use device {device!r} here: choose from {', '.join(possible)}{remedy}"
        )
