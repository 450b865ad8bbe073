"""What ONNX's Scan and Loop hand from step to step, and which sequences they walk along."""

from __future__ import annotations

from rnnbench.inspection.program import Carried, Node


def wire_scan(node: Node, opset: int) -> None:
    """https://onnx.ai/onnx/operators/onnx__Scan.html: states first, then sequences.

    Opset 8 has the lengths of the rows before them, and a batch dimension of its own, which its
    body does not see: its sequences are (batch, time, ...).
    """
    body = node.bodies[0]
    args = list(node.args)
    if opset == 8:
        node.attributes["batched"] = True
        node.attributes["lengths"] = args.pop(0)
    states = len(args) - int(node.attributes.get("num_scan_inputs") or 0)
    node.carried = tuple(
        Carried(*ports)
        for ports in zip(
            args[:states],
            body.inputs,
            body.outputs,
            _padded(node.outputs, states),
            strict=False,
        )
    )[:states]
    node.slices = tuple(zip(args[states:], body.inputs[states:], strict=False))


def wire_loop(node: Node) -> None:
    """https://onnx.ai/onnx/operators/onnx__Loop.html: a count and a condition come before.

    What a step picks by its number, or by what is handed on and grows, is a step of a sequence.
    """
    body = node.bodies[0]
    states = len(node.args) - 2
    node.carried = tuple(
        Carried(*ports)
        for ports in zip(
            node.args[2:],
            body.inputs[2:],
            body.outputs[1:],
            _padded(node.outputs, states),
            strict=False,
        )
    )
    grown = {n.outputs[0]: n for n in body.nodes if n.op == "Add" and n.outputs}
    counters = {body.inputs[0]} if body.inputs else set()
    counters |= {
        c.inside for c in node.carried if c.next in grown and c.inside in grown[c.next].args
    }
    own = {name for n in body.nodes for name in n.outputs} | {*body.inputs}
    picked = [n for n in body.nodes if n.op == "Gather" and not n.attributes.get("axis")]
    node.slices = tuple(
        (n.args[0], n.outputs[0])
        for n in picked
        if n.args[0] not in own and len(n.args) > 1 and n.args[1] in counters
    )


def _padded(names: tuple[str, ...], count: int) -> tuple[str, ...]:
    return names[:count] + ("",) * (count - len(names))
