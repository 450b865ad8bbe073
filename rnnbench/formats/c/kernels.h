/* Numbers. */

static inline int64_t model_max(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t model_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t model_floor_div(int64_t a, int64_t b)
{
    const int64_t q = a / b;
    return a % b != 0 && (a < 0) != (b < 0) ? q - 1 : q;
}
static inline int64_t model_mod(int64_t a, int64_t b)
{
    const int64_t r = a % b;
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
/* A place that may be counted from the end; one that is outside becomes the nearest. */
static inline int64_t model_from(int64_t at, int64_t size)
{
    return at < 0 ? model_max(at + size, 0) : at;
}
static inline int64_t model_at(int64_t at, int64_t size)
{
    return model_max(model_min(model_from(at, size), size - 1), 0);
}
static inline int64_t model_steps(int64_t length, int64_t time)
{
    return model_max(model_min(length, time), 0);
}

/* exp(x) = 2^n * exp(r), |r| <= log(2) / 2: Cody and Waite's reduction, and a polynomial of degree 6
 * with the coefficients of Cephes' expf. Branch-free, so that a compiler makes vectors of it. */
static inline float model_expf(float x)
{
    const float high = 88.72284f, low = -103.972f;
    const float c = x < low ? low : (x > high ? high : x);
    const float shift = 12582912.0f; /* 1.5 * 2^23: adding it rounds to a whole number */
    const float n = (c * 1.44269504f + shift) - shift;
    const float r = (c - n * 0.693359375f) - n * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    /* In two steps, so that neither 2^128 nor what is below 2^-126 is lost. */
    const int32_t whole = (int32_t)n, half = whole / 2;
    union { int32_t i; float f; } a, b;
    a.i = (int32_t)((uint32_t)(half + 127) << 23);
    b.i = (int32_t)((uint32_t)(whole - half + 127) << 23);
    const float y = p * a.f * b.f;
    return x > high ? INFINITY : (x != x ? x : y);
}
static inline double model_exp(double x) { return exp(x); }

/* 1 / (1 + e) and e / (1 + e) with e = exp(-|x|): as near to 0 as to 1. */
static inline float model_sigmoidf(float x)
{
    const float e = model_expf(x < 0 ? x : -x), r = 1.0f / (1.0f + e);
    return x < 0 ? e * r : r;
}
static inline double model_sigmoid(double x) { return 1.0 / (1.0 + exp(-x)); }

/* tanh: an odd polynomial (Cephes' tanhf) below 0.625, else 1 - 2 / (exp(2 |x|) + 1). */
static inline float model_tanhf(float x)
{
    const float a = x < 0 ? -x : x, s = x * x;
    float p = -5.70498872745e-3f;
    p = p * s + 2.06390887954e-2f;
    p = p * s - 5.37397155531e-2f;
    p = p * s + 1.33314422036e-1f;
    p = p * s - 3.33332819422e-1f;
    const float small = x + x * s * p;
    const float large = 1.0f - 2.0f / (model_expf(2.0f * a) + 1.0f);
    return a < 0.625f ? small : (x < 0 ? -large : large);
}
static inline double model_tanh(double x) { return tanh(x); }

static inline void model_begin(float *into, const float *from, int64_t count)
{
    for (int64_t i = 0; i < count; ++i) {
        into[i] = from ? from[i] : 0.0f;
    }
}

/* y [rows, n] = x [rows, k] @ w [k, n] + b [n]: w in panels of 16 columns [panels][k][16]. Each
 * element is summed over k in order, whatever the number of rows: the same bits alone and in a batch.
 * `fused` says whether a product and its sum are rounded once, and is known to the compiler. */
MODEL_INLINE void model_panel(float *y, const float *x, const float *w, const float *b,
                              int64_t rows, int64_t k, int64_t n, int64_t left, int fused)
{
    float sums[4][16];
    for (int64_t r = 0; r < rows; ++r) {
        for (int64_t j = 0; j < 16; ++j) {
            sums[r][j] = b[j];
        }
    }
    for (int64_t i = 0; i < k; ++i) {
        for (int64_t r = 0; r < rows; ++r) {
            const float a = x[r * k + i];
            for (int64_t j = 0; j < 16; ++j) {
                const float by = w[i * 16 + j];
                sums[r][j] = fused ? MODEL_FMA(a, by, sums[r][j]) : a * by + sums[r][j];
            }
        }
    }
    for (int64_t r = 0; r < rows; ++r) {
        for (int64_t j = 0; j < left; ++j) {
            y[r * n + j] = sums[r][j];
        }
    }
}
MODEL_INLINE void model_product_any(float *y, const float *x, const float *w, const float *b,
                                    int64_t rows, int64_t k, int64_t n, int fused)
{
    for (int64_t p = 0; p * 16 < n; ++p) {
        const int64_t left = n - p * 16 < 16 ? n - p * 16 : 16;
        const float *const panel = w + p * k * 16, *const bias = b + p * 16;
        int64_t r = 0;
        for (; r + 4 <= rows; r += 4) {
            model_panel(y + r * n + p * 16, x + r * k, panel, bias, 4, k, n, left, fused);
        }
        for (; r < rows; ++r) {
            model_panel(y + r * n + p * 16, x + r * k, panel, bias, 1, k, n, left, fused);
        }
    }
}

/* One step of a row: xs and hs are the products of the input and of the state, gates in the order
 * of PyTorch. */
MODEL_INLINE void model_rnn_any(float *y, float *h, const float *xs, const float *hs, int64_t hidden,
                                int relu)
{
    for (int64_t i = 0; i < hidden; ++i) {
        const float a = xs[i] + hs[i];
        h[i] = relu ? (a < 0 ? 0.0f : a) : model_tanhf(a);
        y[i] = h[i];
    }
}
MODEL_INLINE void model_gru_any(float *y, float *h, const float *xs, const float *hs, int64_t hidden)
{
    for (int64_t i = 0; i < hidden; ++i) {
        const float r = model_sigmoidf(xs[i] + hs[i]);
        const float z = model_sigmoidf(xs[hidden + i] + hs[hidden + i]);
        const float g = model_tanhf(xs[2 * hidden + i] + r * hs[2 * hidden + i]);
        h[i] = (1.0f - z) * g + z * h[i];
        y[i] = h[i];
    }
}
MODEL_INLINE void model_lstm_any(float *y, float *h, float *c, const float *xs, const float *hs,
                                 int64_t hidden)
{
    for (int64_t i = 0; i < hidden; ++i) {
        const float in = model_sigmoidf(xs[i] + hs[i]);
        const float forget = model_sigmoidf(xs[hidden + i] + hs[hidden + i]);
        const float g = model_tanhf(xs[2 * hidden + i] + hs[2 * hidden + i]);
        const float out = model_sigmoidf(xs[3 * hidden + i] + hs[3 * hidden + i]);
        c[i] = forget * c[i] + in * g;
        h[i] = out * model_tanhf(c[i]);
        y[i] = h[i];
    }
}

/* The instructions that there are: chosen once in each run. Level 0 is what the compiler was told,
 * level 1 has AVX2 and FMA. */
#if defined(__GNUC__) && defined(__x86_64__)
#define MODEL_AVX2 __attribute__((target("avx2,fma")))
static inline int model_level(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? 1 : 0;
}
/* Each function for every level, and the choice between them. */
#define MODEL_EACH(name, parameters, arguments)                                                    \
    static void name##_0 parameters { enum { fused = MODEL_FUSED }; name##_any arguments; }        \
    MODEL_AVX2 static void name##_1 parameters { enum { fused = 1 }; name##_any arguments; }
#define MODEL_CHOOSE(name, arguments)                                                              \
    if (level == 1) {                                                                              \
        name##_1 arguments;                                                                        \
    } else {                                                                                       \
        name##_0 arguments;                                                                        \
    }
#else
static inline int model_level(void) { return 0; }
#define MODEL_EACH(name, parameters, arguments)                                                    \
    static void name##_0 parameters { enum { fused = MODEL_FUSED }; name##_any arguments; }
#define MODEL_CHOOSE(name, arguments) name##_0 arguments;
#endif

MODEL_EACH(model_product,
           (float *y, const float *x, const float *w, const float *b, int64_t rows, int64_t k,
            int64_t n),
           (y, x, w, b, rows, k, n, fused))
static inline void model_product(int level, float *y, const float *x, const float *w, const float *b,
                                 int64_t rows, int64_t k, int64_t n)
{
    (void)level;
    MODEL_CHOOSE(model_product, (y, x, w, b, rows, k, n))
}
MODEL_EACH(model_rnn, (float *y, float *h, const float *xs, const float *hs, int64_t hidden, int relu),
           (y, h, xs, hs, hidden, relu))
static inline void model_rnn_tanh(int level, float *y, float *h, const float *xs, const float *hs,
                                  int64_t hidden)
{
    (void)level;
    MODEL_CHOOSE(model_rnn, (y, h, xs, hs, hidden, 0))
}
static inline void model_rnn_relu(int level, float *y, float *h, const float *xs, const float *hs,
                                  int64_t hidden)
{
    (void)level;
    MODEL_CHOOSE(model_rnn, (y, h, xs, hs, hidden, 1))
}
MODEL_EACH(model_gru, (float *y, float *h, const float *xs, const float *hs, int64_t hidden),
           (y, h, xs, hs, hidden))
static inline void model_gru(int level, float *y, float *h, const float *xs, const float *hs,
                             int64_t hidden)
{
    (void)level;
    MODEL_CHOOSE(model_gru, (y, h, xs, hs, hidden))
}
MODEL_EACH(model_lstm, (float *y, float *h, float *c, const float *xs, const float *hs, int64_t hidden),
           (y, h, c, xs, hs, hidden))
static inline void model_lstm(int level, float *y, float *h, float *c, const float *xs,
                              const float *hs, int64_t hidden)
{
    (void)level;
    MODEL_CHOOSE(model_lstm, (y, h, c, xs, hs, hidden))
}
