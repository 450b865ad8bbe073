"""The walk through a capture in docs/capture.md: each stage is run, and the page compared with it.

`python -m tests.capture.test_walk` prints the graphs of all stages, unabridged.
"""

import re
from pathlib import Path

import onnx
import pytest
import torch
from torch import fx, nn

import rnnbench
from rnnbench import Model, TensorSpec
from rnnbench.capture.cells.match import match_cell
from rnnbench.capture.loops.blocks import find_blocks
from rnnbench.capture.loops.canonical import canonicalise, give_each_user_its_own
from rnnbench.capture.loops.counting import numbers_of_constants
from rnnbench.capture.loops.fission import split_body
from rnnbench.capture.loops.generalise import generalise_traces
from rnnbench.capture.loops.joining import join_steps
from rnnbench.capture.operators.lowering import lower
from rnnbench.capture.rolling.roll import roll_loops
from rnnbench.capture.simplify import drop_zero_states, fold_constants, per_step_reads
from rnnbench.capture.tracing.trace import retrace, trace_module

PAGE = Path(__file__).parents[2] / "docs" / "capture.md"
SHORTER, LONGER = {"batch": 3, "time": 5}, {"batch": 3, "time": 8}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.zeros(3))
        self.cell = nn.GRUCell(3, 4)

    def forward(self, x):  # [batch, time, 3]
        h = x.new_zeros(x.shape[0], 4)
        ys = []
        for t in range(x.shape[1]):
            h = self.cell(x[:, t] * self.gain.exp(), h)
            ys.append(h)
        return torch.stack(ys, 1)


def declare():
    torch.manual_seed(0)
    return Model(Net(), (TensorSpec("x", ("batch", "time", 3)),), ("y",))


def op(target):
    """`aten::gru_cell` as the page writes it: without its namespace and overload."""
    name = target.name() if isinstance(target, torch._ops.OpOverload) else target.__name__
    return name.rpartition("::")[2].partition(".")[0]


def plain(value):
    """Arguments as the page writes them."""
    if isinstance(value, list | tuple):
        text = ", ".join(map(plain, value))
        comma = "," if isinstance(value, tuple) and len(value) == 1 else ""
        return f"[{text}]" if isinstance(value, list) else f"({text}{comma})"
    return str(value)


def lines(graph):
    """A graph as the page writes it."""
    for node in graph.nodes:
        if node.op == "call_function":
            yield f"{node.name} = {op(node.target)}({', '.join(map(plain, node.args))})"
        elif node.op == "get_attr":
            yield f"{node.name} = get_attr({node.target})"
        elif node.op == "output":
            yield f"return {', '.join(map(plain, node.args[0]))}"


def tidied():
    """Both traces after stage 3, and what stages 1 to 3 gave of the shorter one."""
    model = declare()
    shorter, longer = (trace_module(model, d, ("time",)).graph for d in (SHORTER, LONGER))
    shown = {"trace": list(lines(shorter.graph))}
    for trace in (shorter, longer):
        numbers_of_constants(trace)
    read = per_step_reads(shorter, longer)
    assert not read  # nothing is taken from a table step by step
    for trace in (shorter, longer):
        fold_constants(trace, read)
    shown["folded"] = list(lines(shorter.graph))
    for trace in (shorter, longer):
        canonicalise(trace.graph)
        join_steps(trace.graph)
        give_each_user_its_own(trace.graph)
    shown["tidy"] = list(lines(shorter.graph))
    return shorter, longer, shown


def analysed(shorter, longer):
    """What stages 4 to 7 find."""
    blocks = [next(find_blocks(trace.graph)) for trace in (shorter, longer)]
    block = blocks[0]
    names = [node.name for node in block.body]
    shown = {
        "blocks": [f"{b.length} steps of {', '.join(n.name for n in b.body)}" for b in blocks],
        "step": [
            *(
                f"inputs: position {j} is select({s.source}, {s.dim}, {s.first} + k * {s.stride})"
                for j, s in block.inputs.items()
            ),
            *(f"carried: position {j}, at first {v}" for j, v in block.carried.items()),
            *(
                f"previous: argument {place} of position {j} is position {k} of the step before"
                for (j, place), k in block.previous.items()
            ),
        ],
    }
    pieces = split_body(block)
    shown["pieces"] = [
        ", ".join(names[j] for j in p.positions) + (" (recurs)" if p.recurs else "") for p in pieces
    ]
    (recurring,) = (p for p in pieces if p.recurs)
    cell = match_cell(shorter, block, recurring, set(recurring.positions))
    given = ", ".join(names[j] for j in cell.x)
    shown["cell"] = [
        f"{cell.kind} of {given}, hidden state {names[cell.hidden]}",
        f"weights {', '.join(map(str, cell.weights))}",
    ]
    return shown


def rolled(shorter, longer, keep_loops):
    lengths = [(SHORTER["time"], LONGER["time"])]
    (loop,) = roll_loops(shorter, longer, lengths, keep_loops=keep_loops)
    assert loop.kinds == (("scan",) if keep_loops else ("gru",))
    assert re.fullmatch(r".*test_walk\.py:\d+", loop.place)
    return list(lines(shorter.graph))


def finished(shorter, longer):
    """What stages 9 and 10 give, and the lowered program."""
    before = list(lines(shorter.graph))
    assert before == list(lines(longer.graph))
    generalise_traces(shorter, longer)
    assert before == list(lines(shorter.graph))  # no number was left
    fold_constants(shorter)
    drop_zero_states(shorter.graph)
    shown = {"simplified": list(lines(shorter.graph))}
    program = retrace(shorter, declare(), SHORTER)
    return shown | {
        "program": list(lines(program.graph)),
        "lowered": list(lines(lower(program).graph)),
    }


def translated(folder, keep_loops):
    bundle = rnnbench.export(declare(), formats="onnx", out=folder, keep_loops=keep_loops)
    graph = onnx.load(bundle.artifacts["onnx"].path).graph
    for value, width in ((graph.input[0], 3), (graph.output[0], 4)):
        sizes = [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        assert sizes == ["batch", "time", width]
    return [
        f"{n.op_type}({', '.join(n.input)}) -> {', '.join(filter(None, n.output))}"
        for n in graph.node
    ]


def walk(folder):
    """The name of each block of the page, and the lines of the stage, in full."""
    shorter, longer, shown = tidied()
    shown |= analysed(shorter, longer)
    shown["rolled"] = rolled(shorter, longer, keep_loops=False)
    shown |= finished(shorter, longer)
    shorter, longer, _ = tidied()
    shown["scan"] = rolled(shorter, longer, keep_loops=True)
    (body,) = (m for m in shorter.children() if isinstance(m, fx.GraphModule))
    shown["scan body"] = list(lines(body.graph))
    shown["onnx"] = translated(folder / "fused", keep_loops=False)
    shown["onnx scan"] = translated(folder / "kept", keep_loops=True)
    return shown


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    return walk(tmp_path_factory.mktemp("walk"))


def blocks_of_the_page():
    found = re.findall(
        r"^<!-- stage: (.*?) -->\n```text\n(.*?)^```$", PAGE.read_text(), re.S | re.M
    )
    return {name: text.splitlines() for name, text in found}


def test_the_page_shows_what_each_stage_gives(shown):
    blocks = blocks_of_the_page()
    assert set(blocks) == set(shown)
    for name, full in shown.items():
        rest = iter(full)
        for line in blocks[name]:
            assert line == "..." or line in rest, (name, line, full)


def test_the_page_shows_this_model():
    (source,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.S | re.M)
    assert source in Path(__file__).read_text()


def test_the_files_of_the_picture_are_there():
    package = Path(rnnbench.__file__).parent
    known = {path.name for path in (package / "capture").rglob("*.py")}
    assert set(re.findall(r"\w+\.py", PAGE.read_text())) - known == {"repeats.py", "test_walk.py"}


def test_the_steps_and_their_cell(shown):
    assert shown["blocks"][0].startswith("5 steps of")
    assert shown["blocks"][1].startswith("8 steps of")
    assert len(shown["pieces"]) == 2
    assert shown["cell"][0].startswith("gru of mul_1")
    assert sum("gru_cell(" in line for line in shown["trace"]) == 5
    assert sum("exp(" in line for line in shown["trace"]) == 5
    assert not any("exp(gain" in line for line in shown["folded"])


def test_one_node_is_left(shown):
    for name in ("rolled", "simplified", "program"):
        assert sum(" recurrence(" in line for line in shown[name]) == 1
        assert not any("gru_cell" in line for line in shown[name])
    assert sum(" gru(" in line for line in shown["lowered"]) == 1
    assert sum(line.startswith("GRU(") for line in shown["onnx"]) == 1
    assert sum(line.startswith("Scan(") for line in shown["onnx scan"]) == 1


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as temporary:
        for stage, full in walk(Path(temporary)).items():
            print(f"\n{stage}", *full, sep="\n    ")
