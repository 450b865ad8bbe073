"""Which inputs of a file are states, and which output each of them is fed from.

What a recurrence starts from and what it ends with say so, where both are ports; names and shapes
say the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rnnbench.core.errors import RnnbenchError, choices
from rnnbench.core.ports import compatible, find_states, is_called_state, is_number
from rnnbench.core.signature import Port, Signature
from rnnbench.inspection.dataflow import Flow
from rnnbench.inspection.program import Program
from rnnbench.inspection.recurrences import FoundRecurrence


def states_of(
    path: Path,
    flow: Flow,
    recurrences: tuple[FoundRecurrence, ...],
    given: Mapping[str, str],
) -> dict[str, str]:
    """State input -> the output to feed back as it.

    Args:
        path: the file, for messages.
        flow: its edges.
        recurrences: that it holds.
        given: what the user says; an empty output says that an input is no state.

    Raises:
        RnnbenchError: what is given is not there, or a state's output cannot be told.
    """
    ports = signature_of(flow.program)
    _check(ports, given)
    found = {name: output for name, output in given.items() if output}
    for name, output in (*_handed(flow, recurrences), *find_states(ports).items()):
        known = name in given or name in found or output in found.values()
        if not known and _fit(ports, name, output):
            found[name] = output
    unclear = [p for p in ports.inputs if is_called_state(p.name) and not is_number(p)]
    for port in unclear:
        if port.name in found or port.name in given or port.dtype.startswith("int"):
            continue
        able = [
            o.name
            for o in ports.outputs
            if o.name not in found.values() and compatible(port.shape, o.shape)
        ]
        if able:
            raise RnnbenchError(
                f"{path}: input {port.name!r} is called as states are, and which output goes back "
                f"to it cannot be told ({', '.join(able)}): give --state {port.name}={able[0]}, or "
                f"--state {port.name}= where it is none"
            )
    return {port.name: found[port.name] for port in ports.inputs if port.name in found}


def signature_of(program: Program) -> Signature:
    """The ports of a program as a signature."""
    inputs, outputs = (
        tuple(Port(p.name, p.dtype, p.shape) for p in ports)
        for ports in (program.inputs, program.outputs)
    )
    return Signature(inputs, outputs)


def _handed(flow: Flow, recurrences: tuple[FoundRecurrence, ...]) -> list[tuple[str, str]]:
    """What recurrences start from and end with, where both are ports of the file."""
    pairs = []
    for r in recurrences:
        for state, last in zip(r.states, r.lasts, strict=False):
            starts = [name for kind, name in flow.origins(state) if kind == "input"]
            ends = [name for name in flow.destinations(last) if not name.startswith("(")]
            if len(starts) == 1 and last:
                pairs += [(starts[0], end) for end in sorted(ends)]
    return list(dict.fromkeys(pairs))


def _fit(ports: Signature, name: str, output: str) -> bool:
    """Whether an output can be fed back as an input: the shapes may be one, and are no number."""
    inputs, outputs = ({p.name: p for p in side} for side in (ports.inputs, ports.outputs))
    if name not in inputs or output not in outputs or is_number(inputs[name]):
        return False
    known = {inputs[name].dtype, outputs[output].dtype} - {""}
    return len(known) < 2 and compatible(inputs[name].shape, outputs[output].shape)


def _check(ports: Signature, given: Mapping[str, str]) -> None:
    for name, output in given.items():
        if name not in [port.name for port in ports.inputs]:
            raise choices("input for --state", name, [port.name for port in ports.inputs])
        if output and ports.outputs and output not in [port.name for port in ports.outputs]:
            raise choices("output for --state", output, [port.name for port in ports.outputs])
