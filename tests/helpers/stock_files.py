"""Files for `inspect`: by the stock exporters, and by editing a graph made by hand."""

import warnings
import zipfile

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from rnnbench.core.known_warnings import export_warnings, torchscript_deprecation
from tests.helpers import handmade


class Layer(nn.Module):
    def __init__(self, kind="GRU", hidden=4, **options):
        super().__init__()
        self.rnn = getattr(nn, kind)(3, hidden, **options)

    def forward(self, x):
        return self.rnn(x)[0]


class Loop(nn.Module):
    def __init__(self, kind="GRU"):
        super().__init__()
        self.lstm = kind == "LSTM"
        self.cell = getattr(nn, f"{kind}Cell")(3, 4)

    def forward(self, x):
        h = c = x.new_zeros(x.shape[1], 4)
        steps = []
        for t in range(x.shape[0]):
            if self.lstm:
                h, c = self.cell(x[t], (h, c))
            else:
                h = self.cell(x[t], h)
            steps.append(h)
        return torch.stack(steps)


class Whole(nn.Module):
    def forward(self, x):
        return x.to(torch.int32).to(torch.float32)


class Doubled(nn.Module):
    def forward(self, x):
        return x.to(torch.float64).to(torch.float32)


class Cast(nn.Module):
    """A loop over an Elman cell that casts before its activation."""

    def __init__(self, cast):
        super().__init__()
        self.x, self.h, self.cast = nn.Linear(3, 4), nn.Linear(4, 4), cast

    def forward(self, x):
        h = torch.zeros(x.shape[1], 4)
        for t in range(x.shape[0]):
            h = torch.tanh(self.cast(self.x(x[t]) + self.h(h)))
        return h


class WeighedGru(nn.Module):
    """A loop over a GRU cell whose candidate is weighed with 1 - alpha z."""

    def __init__(self, alpha):
        super().__init__()
        self.x, self.h, self.alpha = nn.Linear(3, 12), nn.Linear(4, 12), alpha

    def forward(self, x):
        h = torch.zeros(x.shape[1], 4)
        for t in range(x.shape[0]):
            (a, b, c), (d, e, f) = self.x(x[t]).chunk(3, -1), self.h(h).chunk(3, -1)
            z = torch.sigmoid(b + e)
            n = torch.tanh(c + torch.sigmoid(a + d) * f)
            h = torch.rsub(z, 1, alpha=self.alpha) * n + z * h
        return h


class TwoLstms(nn.Module):
    """A loop over two LSTM cells, the second of which has the first's state for its input.

    The first has the second's old state as well, if they are mutual.
    """

    __constants__ = ("mutual",)

    def __init__(self, mutual):
        super().__init__()
        self.x, self.h, self.up, self.g = (nn.Linear(n, 16) for n in (3, 4, 4, 4))
        self.down, self.mutual = nn.Linear(4, 16), mutual

    def forward(self, x):
        h = c = g = d = torch.zeros(x.shape[1], 4)
        for t in range(x.shape[0]):
            first = self.x(x[t]) + self.h(h)
            second = self.up(h) + self.g(g)
            if self.mutual:
                first = first + self.down(g)
            i, f, n, o = first.chunk(4, -1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(n)
            h = torch.sigmoid(o) * torch.tanh(c)
            i, f, n, o = second.chunk(4, -1)
            d = torch.sigmoid(f) * d + torch.sigmoid(i) * torch.tanh(n)
            g = torch.sigmoid(o) * torch.tanh(d)
        return g


class Normed(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.rnn = nn.BatchNorm1d(3), nn.GRU(3, 4)

    def forward(self, x):
        return self.rnn(self.norm(x.transpose(1, 2)).transpose(1, 2))[0]


class Kept(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(3, 4)
        self.h = torch.zeros(1, 4)

    def forward(self, x):
        self.h = self.cell(x, self.h)
        return self.h


class MixedGru(nn.Module):
    """As many products and activations as a GRU has, put together in another way."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.x, self.h, self.both = nn.Linear(8, 48), nn.Linear(16, 48), nn.Linear(8, 16)

    def forward(self, x, h):
        (a, b, c), (d, e, f) = self.x(x).chunk(3, -1), self.h(h).chunk(3, -1)
        r, z = torch.sigmoid(a + d), torch.sigmoid(b + e)
        n = torch.tanh(c + r * f)
        return ((1 - z) * h + r * n,)


class TwoGates(nn.Module):
    """A GRU but for its two update gates, which have weights of their own."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.r, self.z, self.other, self.n = (nn.Linear(16, 16, bias=False) for _ in range(4))
        self.x = nn.Linear(8, 16)

    def forward(self, x, h):
        r, z, other = (torch.sigmoid(gate(h)) for gate in (self.r, self.z, self.other))
        n = torch.tanh(self.x(x) + r * self.n(h))
        return ((1 - z) * n + other * h,)


class Flipped(nn.Module):
    """A GRU but for its state, which is kept back to front."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.x, self.h = nn.Linear(8, 48), nn.Linear(16, 48)

    def forward(self, x, h):
        (a, b, c), (d, e, f) = self.x(x).chunk(3, -1), self.h(h).chunk(3, -1)
        z = torch.sigmoid(b + e)
        return ((1 - z) * torch.tanh(c + torch.sigmoid(a + d) * f) + z * h.flip(-1),)


class PeepholeLstm(nn.Module):
    """An LSTM whose output gate looks at its cell state, with the products of an ordinary one."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.x, self.h, self.c = nn.Linear(8, 64), nn.Linear(16, 64), nn.Linear(16, 16)

    def forward(self, x, h, c):
        i, f, g, o = (self.x(x) + self.h(h)).chunk(4, -1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o + self.c(c)) * torch.tanh(c), c


class Stepped(nn.Module):
    """A loop of a cell over time, which returns every step and the last states."""

    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def forward(self, x, *states):
        steps = []
        for step in x.unbind(0):
            states = self.cell(step, *states)
            steps.append(states[0])
        return torch.stack(steps), *states


X = torch.zeros(5, 2, 3)


def old(module, path, *, dynamic=True, inputs=(X,), names=("x",)):
    axes = {"x": {0: "time", 1: "batch"}} if dynamic else None
    if dynamic and "lengths" in names:
        axes["lengths"] = {0: "batch"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(), inputs, path, dynamo=False, input_names=list(names), dynamic_axes=axes
        )
    return path


def traced_onnx(bundle, path):
    """The bundle's module as the old exporter unrolls it."""
    module = Stepped(globals()[bundle.name]())
    inputs = tuple(torch.zeros(spec.resolve({"time": 6, "batch": 2})) for spec in bundle.inputs)
    names = [spec.name for spec in bundle.inputs]
    return old(module, path, dynamic=False, inputs=inputs, names=names)


def new(module, path, shapes=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(), (X,), path, dynamo=True, verbose=False, dynamic_shapes=shapes
        )
    return path


def declared_dynamic(path):
    """What the exporter writes where it does not refuse: the length lives on in a Reshape."""
    proto = onnx.load(path)
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "time"
    del proto.graph.value_info[:]
    onnx.save(proto, path)
    return path


def traced(module, path, example=X):
    with torchscript_deprecation(), warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        torch.jit.trace(module, (example,), check_trace=False).save(str(path))
    return path


def scripted(module, path):
    with torchscript_deprecation():
        torch.jit.script(module).save(str(path))
    return path


def exported(module, path, inputs=(X,), shapes=None):
    with export_warnings(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The tensor attributes .* assigned during export")
        torch.export.save(torch.export.export(module, inputs, dynamic_shapes=shapes), path)
    return path


def decomposed(module, path):
    with export_warnings():
        program = torch.export.export(module, (X,)).run_decompositions()
        torch.export.save(program, path)
    return path


def edited(path, edit):
    proto = handmade.onnx_gru(handmade.gru())
    edit(proto)
    onnx.save(proto, str(path))
    return path


def attribute(**values):
    def edit(proto):
        for name, value in values.items():
            kept = [a for a in proto.graph.node[0].attribute if a.name != name]
            del proto.graph.node[0].attribute[:]
            proto.graph.node[0].attribute.extend([*kept, helper.make_attribute(name, value)])

    return edit


def opset(version):
    def edit(proto):
        proto.opset_import[0].version = version

    return edit


def own_operator(domain, name):
    """Puts an operator of another domain behind the first output."""

    def edit(proto):
        output = proto.graph.output[0].name
        proto.opset_import.append(helper.make_opsetid(domain, 1))
        source = proto.graph.input[0].name
        proto.graph.node.append(helper.make_node(name, [source], [f"{output}_own"], domain=domain))
        proto.graph.output[0].name = f"{output}_own"

    return edit


def doubled(proto):
    for name in "WRB":
        array = handmade.initializer(proto, name).astype(np.float64)
        handmade.replace_initializer(proto, name, array)


def constant_lengths(proto):
    proto.graph.initializer.append(numpy_helper.from_array(np.array([5, 5], np.int32), "lens"))
    proto.graph.node[0].input[4] = "lens"


def without_state(proto):
    del proto.graph.node[0].input[4:]


def sequence(proto):
    proto.graph.node.append(helper.make_node("SequenceConstruct", ["y"], ["steps"]))


def dropout(proto):
    proto.graph.initializer.append(numpy_helper.from_array(np.array(True), "training"))
    proto.graph.node.append(helper.make_node("Dropout", ["y", "", "training"], ["dropped"]))


def stale(proto):
    """A Scan that adds up its input, with a size that only the exporter knew."""
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Add", ["s", "xt"], ["n"]), helper.make_node("Identity", ["n"], ["o"])],
        "body",
        [info(n, TensorProto.FLOAT, ["s27", 3]) for n in ("s", "xt")],
        [info(n, TensorProto.FLOAT, ["s27", 3]) for n in ("n", "o")],
    )
    scan = helper.make_node("Scan", ["zero", "x"], ["last", "all"], body=body, num_scan_inputs=1)
    proto.graph.initializer.append(numpy_helper.from_array(np.zeros((2, 3), np.float32), "zero"))
    proto.graph.node.append(scan)


def shared(proto):
    """The same Scan, whose step gives the sum as both of its results."""
    stale(proto)
    body = proto.graph.node[-1].attribute[0].g
    assert body.output[1].name == body.node[-1].output[0]
    body.output[1].name = body.output[0].name
    del body.node[-1]


def in_training(module, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, (X,), path, dynamo=False, training=torch.onnx.TrainingMode.TRAINING
        )
    return path


def looped(op):
    """A GRU cell's linear half as a Scan or a Loop that walks along the time of x."""

    def edit(proto):
        info = helper.make_tensor_value_info
        body = [
            helper.make_node("MatMul", ["xt", "w"], ["a"]),
            helper.make_node("MatMul", ["h", "r"], ["b"]),
            helper.make_node("Add", ["a", "b"], ["c"]),
            helper.make_node("Tanh", ["c"], ["next"]),
            helper.make_node("Identity", ["next"], ["out"]),
        ]
        state = info("h", TensorProto.FLOAT, None)
        results = [info(n, TensorProto.FLOAT, None) for n in ("next", "out")]
        if op == "Scan":
            inputs = [state, info("xt", TensorProto.FLOAT, None)]
            graph = helper.make_graph(body, "body", inputs, results)
            node = helper.make_node(
                op, ["first", "x"], ["last", "all"], body=graph, num_scan_inputs=1
            )
        else:
            body.insert(0, helper.make_node("Gather", ["x", "i"], ["xt"], axis=0))
            body.append(helper.make_node("Identity", ["go"], ["on"]))
            inputs = [info("i", TensorProto.INT64, []), info("go", TensorProto.BOOL, []), state]
            results = [info("on", TensorProto.BOOL, []), *results]
            graph = helper.make_graph(body, "body", inputs, results)
            node = helper.make_node(op, ["steps", "yes", "first"], ["last", "all"], body=graph)
        tensors = {"w": np.ones((3, 4), np.float32), "r": np.eye(4, dtype=np.float32)}
        tensors |= {"zero": np.array(0), "yes": np.array(True)}
        for name, array in tensors.items():
            proto.graph.initializer.append(numpy_helper.from_array(array, name))
        del proto.graph.node[:], proto.graph.output[:]
        proto.graph.node.extend(
            [
                helper.make_node("Shape", ["x"], ["shape"]),
                helper.make_node("Gather", ["shape", "zero"], ["steps"]),
                helper.make_node("Squeeze", ["h0", "axes"], ["first"]),
                node,
            ]
        )
        handmade.replace_initializer(proto, "axes", np.array([0], np.int64))
        shapes = {"all": ["time", "batch", 4], "last": ["batch", 4]}
        proto.graph.output.extend(info(n, TensorProto.FLOAT, s) for n, s in shapes.items())

    return edit


def scanned(*nodes, states=("h",)):
    """A Scan along x over a body of one's own: (operator, inputs, output[, attributes]).

    It is handed `xt` and every state, and makes `h_next` of the state `h`; its weights are `w` for
    the input, `r` and `u` for states, and `b`.
    """

    def edit(proto):
        info = helper.make_tensor_value_info
        made = [helper.make_node(op, ins, [out], **dict(*a)) for op, ins, out, *a in nodes]
        inputs = [info(s, TensorProto.FLOAT, ["batch", 4]) for s in states]
        results = [info(f"{s}_next", TensorProto.FLOAT, ["batch", 4]) for s in states]
        step = info("xt", TensorProto.FLOAT, ["batch", 3])
        body = helper.make_graph(made, "body", [*inputs, step], results)
        firsts, lasts = ["first"] * len(states), [f"{s}_last" for s in states]
        loop = helper.make_node("Scan", [*firsts, "x"], lasts, body=body, num_scan_inputs=1)
        tensors = {"w": np.ones((3, 4), np.float32), "r": np.eye(4, dtype=np.float32)}
        tensors |= {"u": 2 * tensors["r"], "b": np.ones(4, np.float32)}
        del proto.graph.node[:], proto.graph.output[:]
        for name, array in tensors.items():
            proto.graph.initializer.append(numpy_helper.from_array(array, name))
        handmade.replace_initializer(proto, "axes", np.array([0], np.int64))
        proto.graph.node.extend([helper.make_node("Squeeze", ["h0", "axes"], ["first"]), loop])
        proto.graph.output.extend(info(n, TensorProto.FLOAT, ["batch", 4]) for n in lasts)
        onnx.checker.check_model(proto, full_check=True)

    return edit


def package(path):
    """What an AOTInductor package holds, as far as names go."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("model/archive_format", "pt2")
        file.writestr("model/data/aotinductor/model/code.wrapper.cpp", "")
        file.writestr("model/data/aotinductor/model/code.wrapper.so", "")
    return path
