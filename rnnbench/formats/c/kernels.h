/* Numbers. */

MODEL_STATIC int64_t model_max(int64_t a, int64_t b) { return a > b ? a : b; }
MODEL_STATIC int64_t model_min(int64_t a, int64_t b) { return a < b ? a : b; }
MODEL_STATIC int64_t model_floor_div(int64_t a, int64_t b)
{
    const int64_t q = a / b;
    return a % b != 0 && (a < 0) != (b < 0) ? q - 1 : q;
}
MODEL_STATIC int64_t model_mod(int64_t a, int64_t b)
{
    const int64_t r = a % b;
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
/* Of floats, as PyTorch has them: the remainder has the sign of the divisor. */
MODEL_STATIC float model_modf(float a, float b)
{
    const float r = fmodf(a, b);
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
MODEL_STATIC double model_modd(double a, double b)
{
    const double r = fmod(a, b);
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
MODEL_STATIC float model_floor_divf(float a, float b)
{
    const float q = rintf((a - model_modf(a, b)) / b);
    return b == 0 ? a / b : q;
}
MODEL_STATIC double model_floor_divd(double a, double b)
{
    const double q = rint((a - model_modd(a, b)) / b);
    return b == 0 ? a / b : q;
}
/* A place that may be counted from the end; one that is outside becomes the nearest. */
MODEL_STATIC int64_t model_from(int64_t at, int64_t size)
{
    return at < 0 ? model_max(at + size, 0) : at;
}
MODEL_STATIC int64_t model_at(int64_t at, int64_t size)
{
    return model_max(model_min(model_from(at, size), size - 1), 0);
}
MODEL_STATIC int64_t model_steps(int64_t length, int64_t time)
{
    return model_max(model_min(length, time), 0);
}

union model_bits { int32_t i; float f; };

/* exp(x) = 2^n * (1 + q), q = exp(r) - 1, |r| <= log(2) / 2: Cody and Waite's reduction, and a polynomial
 * of degree 6 with the coefficients of Cephes' expf. Branch-free, so that a compiler makes vectors of it. */
MODEL_STATIC float model_exponent(float x)
{
    const float shift = 12582912.0f; /* 1.5 * 2^23: adding it rounds to a whole number */
    return (x * 1.44269504f + shift) - shift;
}
MODEL_STATIC float model_less_one(float x, float n)
{
    const float r = MODEL_FMA(n, 2.12194440e-4f, MODEL_FMA(n, -0.693359375f, x));
    float p = 1.9875691500e-4f;
    p = MODEL_FMA(p, r, 1.3981999507e-3f);
    p = MODEL_FMA(p, r, 8.3334519073e-3f);
    p = MODEL_FMA(p, r, 4.1665795894e-2f);
    p = MODEL_FMA(p, r, 1.6666665459e-1f);
    p = MODEL_FMA(p, r, 5.0000001201e-1f);
    return MODEL_FMA(p, r * r, r);
}
MODEL_STATIC float model_two_to(int32_t n)
{
    union model_bits made;
    made.i = (int32_t)((uint32_t)(n + 127) << 23);
    return made.f;
}
MODEL_STATIC float model_expf(float x)
{
    const float high = 88.72284f, low = -103.972f;
    const float c = x < low ? low : (x > high ? high : x), n = model_exponent(c);
    /* In two steps, so that neither 2^128 nor what is below 2^-126 is lost. */
    const int32_t whole = (int32_t)n, half = whole / 2;
    const float y = (model_less_one(c, n) + 1.0f) * model_two_to(half) * model_two_to(whole - half);
    return x > high ? INFINITY : (x != x ? x : y);
}
MODEL_STATIC double model_exp(double x) { return exp(x); }

/* 1 / (1 + exp(-x)); below -88 it is less than the least normal number. */
MODEL_STATIC float model_sigmoidf(float x)
{
    const float c = x < -88.0f ? 88.0f : (x > 87.0f ? -87.0f : -x), n = model_exponent(c);
    const float two = model_two_to((int32_t)n), e = MODEL_FMA(two, model_less_one(c, n), two);
    return 1.0f / (1.0f + (x != x ? x : e));
}
MODEL_STATIC double model_sigmoid(double x) { return 1.0 / (1.0 + exp(-x)); }

/* -m / (2 + m) with m = exp(-2 |x|) - 1, of which nothing is lost near 0; the sign is that of x. */
MODEL_STATIC float model_tanhf(float x)
{
    const float a = x < 0 ? x + x : -x - x, c = a < -40.0f ? -40.0f : a, n = model_exponent(c);
    const float two = model_two_to((int32_t)n), m = MODEL_FMA(two, model_less_one(c, n), two - 1.0f);
    union model_bits y, of;
    y.f = -m / (2.0f + m);
    of.f = x;
    y.i = (y.i & INT32_MAX) | (of.i & INT32_MIN);
    return x != x ? x : y.f;
}
MODEL_STATIC double model_tanh(double x) { return tanh(x); }

MODEL_STATIC void model_begin(float *into, const float *from, int64_t count)
{
    for (int64_t i = 0; i < count; ++i) {
        into[i] = from ? from[i] : 0.0f;
    }
}

/* Numbers below the least normal one count as 0 during a run, where a processor would be slow with them:
 * a stream that falls silent costs what a loud one does. The caller's mode comes back afterwards. */
#if defined(__SSE__)
#include <xmmintrin.h>
typedef unsigned model_mode;
MODEL_STATIC model_mode model_flush(void)
{
    const model_mode before = _mm_getcsr();
    _mm_setcsr(before | 0x8040u);
    return before;
}
MODEL_STATIC void model_restore(model_mode before) { _mm_setcsr(before); }
#elif defined(__GNUC__) && defined(__aarch64__)
typedef uint64_t model_mode;
MODEL_STATIC model_mode model_flush(void)
{
    model_mode before;
    __asm__ __volatile__("mrs %0, fpcr" : "=r"(before));
    __asm__ __volatile__("msr fpcr, %0" : : "r"(before | (UINT64_C(1) << 24)) : "memory");
    return before;
}
MODEL_STATIC void model_restore(model_mode before)
{
    __asm__ __volatile__("msr fpcr, %0" : : "r"(before) : "memory");
}
#else
typedef int model_mode;
MODEL_STATIC model_mode model_flush(void) { return 0; }
MODEL_STATIC void model_restore(model_mode before) { (void)before; }
#endif

/* y [rows, n] = x [rows, k] @ w [k, n] + b [n]: w in panels of 24 columns [panels][k][24]. Each
 * element is summed over k in order, whatever the number of rows: the same bits alone and in a batch.
 * As many rows at once as there are registers for. */
#if defined(__ARM_NEON) || defined(__AVX512F__)
#define MODEL_ROWS 4
#elif defined(__SSE2__)
#define MODEL_ROWS 2
#else
#define MODEL_ROWS 1
#endif
MODEL_INLINE void model_panel(float *y, const float *x, const float *w, const float *b,
                              int64_t rows, int64_t k, int64_t n, int64_t left)
{
    float sums[MODEL_ROWS][24];
    for (int64_t r = 0; r < rows; ++r) {
        for (int64_t j = 0; j < 24; ++j) {
            sums[r][j] = b[j];
        }
    }
    for (int64_t i = 0; i < k; ++i) {
        for (int64_t r = 0; r < rows; ++r) {
            const float a = x[r * k + i];
            for (int64_t j = 0; j < 24; ++j) {
                const float by = w[i * 24 + j];
                sums[r][j] = MODEL_FMA(a, by, sums[r][j]);
            }
        }
    }
    for (int64_t r = 0; r < rows; ++r) {
        for (int64_t j = 0; j < left; ++j) {
            y[r * n + j] = sums[r][j];
        }
    }
}
MODEL_STATIC void model_product_any(float *y, const float *x, const float *w, const float *b,
                                    int64_t rows, int64_t k, int64_t n)
{
    for (int64_t p = 0; p * 24 < n; ++p) {
        const int64_t left = n - p * 24 < 24 ? n - p * 24 : 24;
        const float *const panel = w + p * k * 24, *const bias = b + p * 24;
        int64_t r = 0;
        for (; r + MODEL_ROWS <= rows; r += MODEL_ROWS) {
            model_panel(y + r * n + p * 24, x + r * k, panel, bias, MODEL_ROWS, k, n, left);
        }
        for (; r < rows; ++r) {
            model_panel(y + r * n + p * 24, x + r * k, panel, bias, 1, k, n, left);
        }
    }
}

/* The instructions that there are: chosen once in each run. Level 0 is what the compiler was told of,
 * level 1 has AVX2 and FMA: 8 numbers at a time. */
#if defined(__GNUC__) && defined(__x86_64__)
#include <immintrin.h>
#define MODEL_AVX2 __attribute__((target("avx2,fma")))
#define MODEL_V8 MODEL_INLINE MODEL_AVX2
#if defined(__clang__)
#define MODEL_UNROLL _Pragma("unroll")
#else
#define MODEL_UNROLL _Pragma("GCC unroll 12") /* or an array of sums may become one in memory */
#endif

MODEL_STATIC int model_level(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? 1 : 0;
}

/* The formulas of model_sigmoidf and model_tanhf; what is no number stays none. */
MODEL_V8 __m256 model_exponent8(__m256 x)
{
    return _mm256_round_ps(_mm256_mul_ps(x, _mm256_set1_ps(1.44269504f)),
                           _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
MODEL_V8 __m256 model_less_one8(__m256 x, __m256 n)
{
    __m256 r = _mm256_fmadd_ps(n, _mm256_set1_ps(-0.693359375f), x);
    r = _mm256_fmadd_ps(n, _mm256_set1_ps(2.12194440e-4f), r);
    __m256 p = _mm256_set1_ps(1.9875691500e-4f);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.3981999507e-3f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(8.3334519073e-3f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(4.1665795894e-2f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.6666665459e-1f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(5.0000001201e-1f));
    return _mm256_fmadd_ps(p, _mm256_mul_ps(r, r), r);
}
MODEL_V8 __m256 model_two_to8(__m256 n)
{
    const __m256i whole = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(whole, 23));
}
MODEL_V8 __m256 model_sigmoid8(__m256 x)
{
    const __m256 one = _mm256_set1_ps(1.0f), minus = _mm256_xor_ps(x, _mm256_set1_ps(-0.0f));
    const __m256 c = _mm256_min_ps(_mm256_set1_ps(88.0f), _mm256_max_ps(_mm256_set1_ps(-87.0f), minus));
    const __m256 n = model_exponent8(c), two = model_two_to8(n);
    const __m256 e = _mm256_fmadd_ps(two, model_less_one8(c, n), two);
    return _mm256_div_ps(one, _mm256_add_ps(one, e));
}
MODEL_V8 __m256 model_tanh8(__m256 x)
{
    const __m256 sign = _mm256_set1_ps(-0.0f), a = _mm256_or_ps(x, sign);
    const __m256 c = _mm256_max_ps(_mm256_set1_ps(-40.0f), _mm256_add_ps(a, a));
    const __m256 n = model_exponent8(c), two = model_two_to8(n);
    const __m256 rest = _mm256_sub_ps(two, _mm256_set1_ps(1.0f));
    const __m256 m = _mm256_fmadd_ps(two, model_less_one8(c, n), rest);
    const __m256 y = _mm256_div_ps(m, _mm256_add_ps(_mm256_set1_ps(2.0f), m));
    return _mm256_or_ps(_mm256_andnot_ps(sign, y), _mm256_and_ps(x, sign));
}

/* `rows` times `vectors` sums of 8, which are in registers: 12 at most. Three vectors are a panel. */
MODEL_V8 void model_block8(float *y, const float *x, const float *w, const float *b, const int rows,
                           const int vectors, int64_t k, int64_t n, int64_t left)
{
    __m256 sums[4][6];
    MODEL_UNROLL for (int r = 0; r < rows; ++r) {
        MODEL_UNROLL for (int v = 0; v < vectors; ++v) {
            sums[r][v] = _mm256_loadu_ps(b + v * 8);
        }
    }
    for (int64_t i = 0; i < k; ++i) {
        const float *const at = w + i * 24;
        __m256 a[2], by[3];
        if (rows <= 2) { /* 12 sums, a number of each row, a vector of weights */
            MODEL_UNROLL for (int r = 0; r < rows; ++r) {
                a[r] = _mm256_broadcast_ss(x + r * k + i);
            }
            MODEL_UNROLL for (int v = 0; v < vectors; ++v) {
                by[0] = _mm256_loadu_ps(at + v / 3 * k * 24 + v % 3 * 8);
                MODEL_UNROLL for (int r = 0; r < rows; ++r) {
                    sums[r][v] = _mm256_fmadd_ps(a[r], by[0], sums[r][v]);
                }
            }
        } else { /* 12 sums, a number of one row, a panel */
            MODEL_UNROLL for (int v = 0; v < vectors; ++v) {
                by[v] = _mm256_loadu_ps(at + v * 8);
            }
            MODEL_UNROLL for (int r = 0; r < rows; ++r) {
                a[0] = _mm256_broadcast_ss(x + r * k + i);
                MODEL_UNROLL for (int v = 0; v < vectors; ++v) {
                    sums[r][v] = _mm256_fmadd_ps(a[0], by[v], sums[r][v]);
                }
            }
        }
    }
    MODEL_UNROLL for (int r = 0; r < rows; ++r) {
        MODEL_UNROLL for (int v = 0; v < vectors; ++v) {
            float *const into = y + r * n + v * 8;
            if (left >= v * 8 + 8) {
                _mm256_storeu_ps(into, sums[r][v]);
            } else {
                float last[8];
                _mm256_storeu_ps(last, sums[r][v]);
                for (int64_t j = 0; j < left - v * 8; ++j) {
                    into[j] = last[j];
                }
            }
        }
    }
}
/* Some rows of a product, y [rows, stride], in parts of one or two panels; from the last one on where
 * `back`: what was read last is in the nearest cache. */
#define MODEL_PART(v) \
    case v: model_block8(y + at, x, w + at * k, b + at, rows, rows <= 2 || v <= 3 ? v : 1, k, stride, n); break;
MODEL_V8 void model_rows8(float *y, const float *x, const float *w, const float *b, const int rows,
                          int64_t k, int64_t stride, int back)
{
    const int64_t width = rows <= 2 ? 48 : 24, parts = (stride + width - 1) / width;
    for (int64_t p = 0; p < parts; ++p) {
        const int64_t at = (back ? parts - 1 - p : p) * width, n = stride - at;
        switch ((model_min(n, width) + 7) / 8) {
            MODEL_PART(1)
            MODEL_PART(2)
            MODEL_PART(3)
            MODEL_PART(4)
            MODEL_PART(5)
            MODEL_PART(6)
            default: break;
        }
    }
}
MODEL_AVX2 MODEL_STATIC void model_product_1(float *y, const float *x, const float *w, const float *b,
                                       int64_t rows, int64_t k, int64_t n, int back)
{
    for (; rows >= 4; rows -= 4, x += 4 * k, y += 4 * n, back = !back) {
        model_rows8(y, x, w, b, 4, k, n, back);
    }
    switch (rows) {
        case 1: model_rows8(y, x, w, b, 1, k, n, back); break;
        case 2: model_rows8(y, x, w, b, 2, k, n, back); break;
        case 3: model_rows8(y, x, w, b, 3, k, n, back); break;
        default: break;
    }
}
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
MODEL_STATIC int model_level(void) { return 0; }
#define model_product_1(y, x, w, b, rows, k, n, back) model_product_any(y, x, w, b, rows, k, n)
#define model_rnn_1(y, h, xs, hs, hidden, relu)
#define model_gru_1(y, h, xs, hs, hidden)
#define model_lstm_1(y, h, c, xs, hs, hidden)
#endif

MODEL_STATIC void model_product(int level, float *y, const float *x, const float *w, const float *b,
                                 int64_t rows, int64_t k, int64_t n, int back)
{
    (void)back;
    if (level == 1) {
        model_product_1(y, x, w, b, rows, k, n, back);
    } else {
        model_product_any(y, x, w, b, rows, k, n);
    }
}

/* A step of a row: xs and hs are the products of the input and of the state, gates in the order of
 * PyTorch. With an instruction for FMA the bits are those of level 1. */
MODEL_STATIC void model_rnn(int level, float *y, float *h, const float *xs, const float *hs,
                             int64_t hidden, int relu)
{
    if (level == 1) {
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
    if (level == 1) {
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
    if (level == 1) {
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
