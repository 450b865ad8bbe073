#if defined(MODEL_VECTOR)
MODEL_V8 model_v8 model_sum8(const float *xs, const float *hs, const model_units u)
{
    return model_add8(model_load8(xs, u), model_load8(hs, u));
}
MODEL_V8 void model_rnn8(float *y, float *h, const float *xs, const float *hs, const model_units u,
                         const int relu)
{
    const model_v8 a = model_sum8(xs, hs, u);
    const model_v8 s = relu ? model_max8(model_all8(0.0f), a) : model_tanh8(a);
    model_store8(h, u, s);
    model_store8(y, u, s);
}
MODEL_V8 void model_gru8(float *y, float *h, const float *xs, const float *hs, const model_units u,
                         int64_t hidden)
{
    const model_v8 r = model_sigmoid8(model_sum8(xs, hs, u));
    const model_v8 z = model_sigmoid8(model_sum8(xs + hidden, hs + hidden, u));
    const model_v8 g = model_tanh8(model_fma8(r, model_load8(hs + 2 * hidden, u),
                                              model_load8(xs + 2 * hidden, u)));
    const model_v8 rest = model_sub8(model_all8(1.0f), z);
    const model_v8 s = model_fma8(z, model_load8(h, u), model_mul8(rest, g));
    model_store8(h, u, s);
    model_store8(y, u, s);
}
MODEL_V8 void model_lstm8(float *y, float *h, float *c, const float *xs, const float *hs,
                          const model_units u, int64_t hidden)
{
    const model_v8 in = model_sigmoid8(model_sum8(xs, hs, u));
    const model_v8 forget = model_sigmoid8(model_sum8(xs + hidden, hs + hidden, u));
    const model_v8 g = model_tanh8(model_sum8(xs + 2 * hidden, hs + 2 * hidden, u));
    const model_v8 out = model_sigmoid8(model_sum8(xs + 3 * hidden, hs + 3 * hidden, u));
    const model_v8 cell = model_fma8(forget, model_load8(c, u), model_mul8(in, g));
    const model_v8 s = model_mul8(out, model_tanh8(cell));
    model_store8(c, u, cell);
    model_store8(h, u, s);
    model_store8(y, u, s);
}
/* All units: whole vectors, and a last one of those that are left. */
#define MODEL_EACH8(call)                                   \
    int64_t i = 0;                                          \
    model_units u = model_units8(8);                        \
    for (; i + 8 <= hidden; i += 8) {                       \
        call;                                               \
    }                                                       \
    if (i < hidden) {                                       \
        u = model_units8(hidden - i);                       \
        call;                                               \
    }
MODEL_VECTOR MODEL_STATIC void model_rnn_1(float *y, float *h, const float *xs, const float *hs, int64_t hidden,
                                     int relu)
{
    MODEL_EACH8(model_rnn8(y + i, h + i, xs + i, hs + i, u, relu))
}
MODEL_VECTOR MODEL_STATIC void model_gru_1(float *y, float *h, const float *xs, const float *hs, int64_t hidden)
{
    MODEL_EACH8(model_gru8(y + i, h + i, xs + i, hs + i, u, hidden))
}
MODEL_VECTOR MODEL_STATIC void model_lstm_1(float *y, float *h, float *c, const float *xs, const float *hs,
                                      int64_t hidden)
{
    MODEL_EACH8(model_lstm8(y + i, h + i, c + i, xs + i, hs + i, u, hidden))
}
#else
#define model_rnn_1(y, h, xs, hs, hidden, relu)
#define model_gru_1(y, h, xs, hs, hidden)
#define model_lstm_1(y, h, c, xs, hs, hidden)
#endif

/* A step of a row: xs and hs are the products of the input and of the state, gates in the order of
 * PyTorch. With an instruction for FMA the bits are those of level 1. */
MODEL_STATIC void model_rnn(int level, float *y, float *h, const float *xs, const float *hs,
                             int64_t hidden, int relu)
{
    if (level >= 1) {
        model_rnn_1(y, h, xs, hs, hidden, relu);
        return;
    }
    for (int64_t i = 0; i < hidden; ++i) {
        const float a = xs[i] + hs[i];
        h[i] = relu ? (a < 0 ? 0.0f : a) : model_tanhf(a);
        y[i] = h[i];
    }
}
MODEL_STATIC void model_rnn_tanh(int level, float *y, float *h, const float *xs, const float *hs,
                                  int64_t hidden)
{
    model_rnn(level, y, h, xs, hs, hidden, 0);
}
MODEL_STATIC void model_rnn_relu(int level, float *y, float *h, const float *xs, const float *hs,
                                  int64_t hidden)
{
    model_rnn(level, y, h, xs, hs, hidden, 1);
}
MODEL_STATIC void model_gru(int level, float *y, float *h, const float *xs, const float *hs,
                             int64_t hidden)
{
    if (level >= 1) {
        model_gru_1(y, h, xs, hs, hidden);
        return;
    }
    for (int64_t i = 0; i < hidden; ++i) {
        const float r = model_sigmoidf(xs[i] + hs[i]);
        const float z = model_sigmoidf(xs[hidden + i] + hs[hidden + i]);
        const float g = model_tanhf(MODEL_FMA(r, hs[2 * hidden + i], xs[2 * hidden + i]));
        h[i] = MODEL_FMA(z, h[i], (1.0f - z) * g);
        y[i] = h[i];
    }
}
MODEL_STATIC void model_lstm(int level, float *y, float *h, float *c, const float *xs,
                              const float *hs, int64_t hidden)
{
    if (level >= 1) {
        model_lstm_1(y, h, c, xs, hs, hidden);
        return;
    }
    for (int64_t i = 0; i < hidden; ++i) {
        const float in = model_sigmoidf(xs[i] + hs[i]);
        const float forget = model_sigmoidf(xs[hidden + i] + hs[hidden + i]);
        const float g = model_tanhf(xs[2 * hidden + i] + hs[2 * hidden + i]);
        const float out = model_sigmoidf(xs[3 * hidden + i] + hs[3 * hidden + i]);
        c[i] = MODEL_FMA(forget, c[i], in * g);
        h[i] = out * model_tanhf(c[i]);
        y[i] = h[i];
    }
}
