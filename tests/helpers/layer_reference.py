"""RNN, GRU and LSTM in numpy, in float64, line by line as the operators' definitions have them.

https://onnx.ai/onnx/operators/onnx__RNN.html, onnx__GRU.html, onnx__LSTM.html; the onnx package's
own evaluator ignores half of the attributes, so that it is no judge.
"""

import numpy as np

DEFAULTS = {
    "RNN": ["Tanh"],
    "GRU": ["Sigmoid", "Tanh"],
    "LSTM": ["Sigmoid", "Tanh", "Tanh"],
}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


FUNCTIONS = {  # name -> (function of x, alpha, beta; default alpha; default beta)
    "Relu": (lambda x, a, b: np.maximum(x, 0), None, None),
    "Tanh": (lambda x, a, b: np.tanh(x), None, None),
    "Sigmoid": (lambda x, a, b: sigmoid(x), None, None),
    "Affine": (lambda x, a, b: a * x + b, 1.0, 0.0),
    "LeakyRelu": (lambda x, a, b: np.where(x < 0, a * x, x), 0.01, None),
    "ThresholdedRelu": (lambda x, a, b: np.where(x < a, 0, x), 1.0, None),
    "ScaledTanh": (lambda x, a, b: a * np.tanh(b * x), 1.0, 1.0),
    "HardSigmoid": (lambda x, a, b: np.clip(a * x + b, 0, 1), 0.2, 0.5),
    "Elu": (lambda x, a, b: np.where(x < 0, a * np.expm1(x), x), 1.0, None),
    "Softsign": (lambda x, a, b: x / (1 + np.abs(x)), None, None),
    "Softplus": (lambda x, a, b: np.log1p(np.exp(x)), None, None),
}


def functions(attributes, op, directions):
    """A list of functions for each direction; those with an alpha or beta take them in order."""
    names = attributes.get("activations", DEFAULTS[op] * directions)
    alphas = iter(attributes.get("activation_alpha", ()))
    betas = iter(attributes.get("activation_beta", ()))
    made = []
    for name in names:
        function, a, b = FUNCTIONS[name]
        a = next(alphas, a) if a is not None else None
        b = next(betas, b) if b is not None else None
        made.append(lambda x, f=function, a=a, b=b: f(x, a, b))
    each = len(DEFAULTS[op])
    return [made[d * each : (d + 1) * each] for d in range(directions)]


def compute(op, attributes, given, clip_cell=False):
    """Outputs Y, Y_h and, of an LSTM, Y_c by name, in float64.

    Args:
        op: RNN, GRU or LSTM.
        attributes: of the node; `hidden_size` among them.
        given: the operator's inputs by their names in its definition: X, W, R and any of B,
            sequence_lens, initial_h, initial_c, P.
        clip_cell: whether what goes into the last activation of an LSTM is clipped as well; ONNX
            Runtime and OpenVINO clip the gates alone, the definition says "the input of
            activations".
    """
    g = {k: v.astype(np.float64) if v.dtype.kind == "f" else v for k, v in given.items()}
    first = attributes.get("layout", 0)
    x = g["X"].transpose(1, 0, 2) if first else g["X"]
    h0, c0 = g.get("initial_h"), g.get("initial_c")
    if first:
        h0, c0 = (None if s is None else s.transpose(1, 0, 2) for s in (h0, c0))
    time, batch, _ = x.shape
    directions = g["W"].shape[0]
    hidden = attributes["hidden_size"]
    none = np.zeros((directions, batch, hidden))
    h0, c0 = (none if s is None else s for s in (h0, c0))
    lengths = g.get("sequence_lens", np.full(batch, time))
    clip = attributes.get("clip")
    step = {"RNN": rnn, "GRU": gru, "LSTM": lstm}[op]
    y = np.zeros((time, directions, batch, hidden))
    hn, cn = h0.copy(), c0.copy()
    kinds = functions(attributes, op, directions)
    direction = attributes.get("direction", "forward")
    for d in range(directions):
        backward = direction == "reverse" or d == 1
        b = g["B"][d] if "B" in g else np.zeros(2 * g["W"].shape[1])
        p = g["P"][d] if "P" in g else np.zeros(3 * hidden)
        fs = [lambda v, f=f: f(v if clip is None else np.clip(v, -clip, clip)) for f in kinds[d]]
        if op == "LSTM" and not clip_cell:
            fs[2] = kinds[d][2]
        for row in range(batch):
            h, c = h0[d, row], c0[d, row]
            steps = range(lengths[row])
            for t in reversed(steps) if backward else steps:
                h, c = step(x[t, row], h, c, g["W"][d], g["R"][d], b, p, fs, attributes)
                y[t, d, row] = h
            hn[d, row], cn[d, row] = h, c
    if first:
        y, hn, cn = y.transpose(2, 0, 1, 3), hn.transpose(1, 0, 2), cn.transpose(1, 0, 2)
    found = {"Y": y, "Y_h": hn, "Y_c": cn}
    return found if op == "LSTM" else {k: found[k] for k in ("Y", "Y_h")}


def rnn(x, h, c, w, r, b, p, fs, attributes):
    """Ht = f(Xt W^T + Ht-1 R^T + Wb + Rb)."""
    wb, rb = np.split(b, 2)
    return fs[0](w @ x + r @ h + wb + rb), c


def gru(x, h, c, w, r, b, p, fs, attributes):
    """Gates z, r, h; Ht = (1 - zt) (.) ht + zt (.) Ht-1."""
    f, g = fs
    wz, wr, wh = np.split(w, 3)
    rz, rr, rh = np.split(r, 3)
    bz, br, bh, cz, cr, ch = np.split(b, 6)
    zt = f(wz @ x + rz @ h + bz + cz)
    rt = f(wr @ x + rr @ h + br + cr)
    if attributes.get("linear_before_reset", 0):
        ht = g(wh @ x + rt * (rh @ h + ch) + bh)
    else:
        ht = g(wh @ x + rh @ (rt * h) + ch + bh)
    return (1 - zt) * ht + zt * h, c


def lstm(x, h, c, w, r, b, p, fs, attributes):
    """Gates i, o, f, c; peepholes Pi, Po, Pf."""
    f, g, last = fs
    wi, wo, wf, wc = np.split(w, 4)
    ri, ro, rf, rc = np.split(r, 4)
    bi, bo, bf, bc, ci, co, cf, cc = np.split(b, 8)
    pi, po, pf = np.split(p, 3)
    it = f(wi @ x + ri @ h + pi * c + bi + ci)
    ft = 1 - it if attributes.get("input_forget", 0) else f(wf @ x + rf @ h + pf * c + bf + cf)
    ct = g(wc @ x + rc @ h + bc + cc)
    after = ft * c + it * ct
    ot = f(wo @ x + ro @ h + po * after + bo + co)
    return ot * last(after), after
