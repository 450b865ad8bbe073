#if defined(MODEL_AVX2)
/* 8 units, or where `left` is less those that are left: a mask says which. */
typedef struct { __m256i mask; int whole; } model_units;
MODEL_V8 model_units model_units8(int64_t left)
{
    const __m256i place = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const model_units made = {_mm256_cmpgt_epi32(_mm256_set1_epi32((int)model_min(left, 8)), place), left >= 8};
    return made;
}
MODEL_V8 __m256 model_load8(const float *from, const model_units u)
{
    return u.whole ? _mm256_loadu_ps(from) : _mm256_maskload_ps(from, u.mask);
}
MODEL_V8 void model_store8(float *into, const model_units u, __m256 value)
{
    if (u.whole) {
        _mm256_storeu_ps(into, value);
    } else {
        _mm256_maskstore_ps(into, u.mask, value);
    }
}
MODEL_V8 __m256 model_sum8(const float *xs, const float *hs, const model_units u)
{
    return _mm256_add_ps(model_load8(xs, u), model_load8(hs, u));
}
MODEL_V8 void model_rnn8(float *y, float *h, const float *xs, const float *hs, const model_units u,
                         const int relu)
{
    const __m256 a = model_sum8(xs, hs, u);
    const __m256 s = relu ? _mm256_max_ps(_mm256_setzero_ps(), a) : model_tanh8(a);
    model_store8(h, u, s);
    model_store8(y, u, s);
}
MODEL_V8 void model_gru8(float *y, float *h, const float *xs, const float *hs, const model_units u,
                         int64_t hidden)
{
    const __m256 r = model_sigmoid8(model_sum8(xs, hs, u));
    const __m256 z = model_sigmoid8(model_sum8(xs + hidden, hs + hidden, u));
    const __m256 g = model_tanh8(_mm256_fmadd_ps(r, model_load8(hs + 2 * hidden, u),
                                                 model_load8(xs + 2 * hidden, u)));
    const __m256 rest = _mm256_sub_ps(_mm256_set1_ps(1.0f), z);
    const __m256 s = _mm256_fmadd_ps(z, model_load8(h, u), _mm256_mul_ps(rest, g));
    model_store8(h, u, s);
    model_store8(y, u, s);
}
MODEL_V8 void model_lstm8(float *y, float *h, float *c, const float *xs, const float *hs,
                          const model_units u, int64_t hidden)
{
    const __m256 in = model_sigmoid8(model_sum8(xs, hs, u));
    const __m256 forget = model_sigmoid8(model_sum8(xs + hidden, hs + hidden, u));
    const __m256 g = model_tanh8(model_sum8(xs + 2 * hidden, hs + 2 * hidden, u));
    const __m256 out = model_sigmoid8(model_sum8(xs + 3 * hidden, hs + 3 * hidden, u));
    const __m256 cell = _mm256_fmadd_ps(forget, model_load8(c, u), _mm256_mul_ps(in, g));
    const __m256 s = _mm256_mul_ps(out, model_tanh8(cell));
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
MODEL_AVX2 MODEL_STATIC void model_rnn_1(float *y, float *h, const float *xs, const float *hs, int64_t hidden,
                                   int relu)
{
    MODEL_EACH8(model_rnn8(y + i, h + i, xs + i, hs + i, u, relu))
}
MODEL_AVX2 MODEL_STATIC void model_gru_1(float *y, float *h, const float *xs, const float *hs, int64_t hidden)
{
    MODEL_EACH8(model_gru8(y + i, h + i, xs + i, hs + i, u, hidden))
}
MODEL_AVX2 MODEL_STATIC void model_lstm_1(float *y, float *h, float *c, const float *xs, const float *hs,
                                    int64_t hidden)
{
    MODEL_EACH8(model_lstm8(y + i, h + i, c + i, xs + i, hs + i, u, hidden))
}
#else
#define model_rnn_1(y, h, xs, hs, hidden, relu)
#define model_gru_1(y, h, xs, hs, hidden)
#define model_lstm_1(y, h, c, xs, hs, hidden)
#endif

/* Clang makes vectors of these loops for WebAssembly where it is told to: the arrays may overlap, as far as
 * it knows, and a vector costs more by its account. */
#if defined(__clang__) && defined(__wasm_simd128__) && defined(__wasm_nontrapping_fptoint__) \
    && !defined(__OPTIMIZE_SIZE__)
#define MODEL_VECTORS _Pragma("clang loop vectorize(enable)")
#else
#define MODEL_VECTORS
#endif

/* A step of a row: xs and hs are the products of the input and of the state, gates in the order of
 * PyTorch. With an instruction for FMA the bits are those of level 1. */
MODEL_STATIC void model_rnn(int level, float *y, float *h, const float *xs, const float *hs,
                             int64_t hidden, int relu)
{
    if (level == 1) {
        model_rnn_1(y, h, xs, hs, hidden, relu);
        return;
    }
    MODEL_VECTORS for (int64_t i = 0; i < hidden; ++i) {
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
    if (level == 1) {
        model_gru_1(y, h, xs, hs, hidden);
        return;
    }
    MODEL_VECTORS for (int64_t i = 0; i < hidden; ++i) {
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
    if (level == 1) {
        model_lstm_1(y, h, c, xs, hs, hidden);
        return;
    }
    MODEL_VECTORS for (int64_t i = 0; i < hidden; ++i) {
        const float in = model_sigmoidf(xs[i] + hs[i]);
        const float forget = model_sigmoidf(xs[hidden + i] + hs[hidden + i]);
        const float g = model_tanhf(xs[2 * hidden + i] + hs[2 * hidden + i]);
        const float out = model_sigmoidf(xs[3 * hidden + i] + hs[3 * hidden + i]);
        c[i] = MODEL_FMA(forget, c[i], in * g);
        h[i] = out * model_tanhf(c[i]);
        y[i] = h[i];
    }
}
