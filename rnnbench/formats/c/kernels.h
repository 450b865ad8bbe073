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
/* Of floats, as PyTorch has them: the remainder has the sign of the divisor. */
static inline float model_modf(float a, float b)
{
    const float r = fmodf(a, b);
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
static inline double model_modd(double a, double b)
{
    const double r = fmod(a, b);
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
static inline float model_floor_divf(float a, float b)
{
    const float q = rintf((a - model_modf(a, b)) / b);
    return b == 0 ? a / b : q;
}
static inline double model_floor_divd(double a, double b)
{
    const double q = rint((a - model_modd(a, b)) / b);
    return b == 0 ? a / b : q;
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
 * element is summed over k in order, whatever the number of rows: the same bits alone and in a batch. */
MODEL_INLINE void model_panel(float *y, const float *x, const float *w, const float *b,
                              int64_t rows, int64_t k, int64_t n, int64_t left)
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
static inline void model_product_any(float *y, const float *x, const float *w, const float *b,
                                    int64_t rows, int64_t k, int64_t n)
{
    for (int64_t p = 0; p * 16 < n; ++p) {
        const int64_t left = n - p * 16 < 16 ? n - p * 16 : 16;
        const float *const panel = w + p * k * 16, *const bias = b + p * 16;
        int64_t r = 0;
        for (; r + 4 <= rows; r += 4) {
            model_panel(y + r * n + p * 16, x + r * k, panel, bias, 4, k, n, left);
        }
        for (; r < rows; ++r) {
            model_panel(y + r * n + p * 16, x + r * k, panel, bias, 1, k, n, left);
        }
    }
}

/* The instructions that there are: chosen once in each run. Level 0 is what the compiler was told of,
 * level 1 has AVX2 and FMA: 8 numbers at a time. */
#if defined(__GNUC__) && defined(__x86_64__)
#include <immintrin.h>
#define MODEL_AVX2 __attribute__((target("avx2,fma")))
#define MODEL_V8 MODEL_INLINE MODEL_AVX2

static inline int model_level(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? 1 : 0;
}

/* The formulas of model_expf, model_sigmoidf and model_tanhf; where exp would be infinite it is the
 * largest number, which both of the others do not tell apart. */
MODEL_V8 __m256 model_exp8(__m256 x)
{
    const __m256 c = _mm256_min_ps(_mm256_set1_ps(88.72284f),
                                   _mm256_max_ps(_mm256_set1_ps(-103.972f), x));
    const __m256 n = _mm256_round_ps(_mm256_mul_ps(c, _mm256_set1_ps(1.44269504f)),
                                     _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693359375f), c);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(-2.12194440e-4f), r);
    __m256 p = _mm256_set1_ps(1.9875691500e-4f);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.3981999507e-3f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(8.3334519073e-3f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(4.1665795894e-2f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.6666665459e-1f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(5.0000001201e-1f));
    p = _mm256_add_ps(_mm256_fmadd_ps(p, _mm256_mul_ps(r, r), r), _mm256_set1_ps(1.0f));
    const __m256i whole = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(whole, 1);
    const __m256i bias = _mm256_set1_epi32(127);
    const __m256i a = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
    const __m256i b = _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(whole, half), bias), 23);
    p = _mm256_mul_ps(_mm256_mul_ps(p, _mm256_castsi256_ps(a)), _mm256_castsi256_ps(b));
    return _mm256_blendv_ps(p, x, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
}
MODEL_V8 __m256 model_sigmoid8(__m256 x)
{
    const __m256 sign = _mm256_set1_ps(-0.0f), one = _mm256_set1_ps(1.0f);
    const __m256 e = model_exp8(_mm256_or_ps(x, sign));
    const __m256 r = _mm256_div_ps(one, _mm256_add_ps(one, e));
    return _mm256_blendv_ps(r, _mm256_mul_ps(e, r), x); /* by the sign of x */
}
MODEL_V8 __m256 model_tanh8(__m256 x)
{
    const __m256 sign = _mm256_and_ps(x, _mm256_set1_ps(-0.0f));
    const __m256 a = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x), s = _mm256_mul_ps(x, x);
    __m256 p = _mm256_set1_ps(-5.70498872745e-3f);
    p = _mm256_fmadd_ps(p, s, _mm256_set1_ps(2.06390887954e-2f));
    p = _mm256_fmadd_ps(p, s, _mm256_set1_ps(-5.37397155531e-2f));
    p = _mm256_fmadd_ps(p, s, _mm256_set1_ps(1.33314422036e-1f));
    p = _mm256_fmadd_ps(p, s, _mm256_set1_ps(-3.33332819422e-1f));
    const __m256 small = _mm256_fmadd_ps(_mm256_mul_ps(x, s), p, x);
    const __m256 one = _mm256_set1_ps(1.0f), two = _mm256_set1_ps(2.0f);
    const __m256 e = model_exp8(_mm256_add_ps(a, a));
    const __m256 large = _mm256_sub_ps(one, _mm256_div_ps(two, _mm256_add_ps(e, one)));
    const __m256 is_small = _mm256_cmp_ps(a, _mm256_set1_ps(0.625f), _CMP_LT_OQ);
    return _mm256_blendv_ps(_mm256_or_ps(large, sign), small, is_small);
}

/* `rows` times `panels` times 16 sums, which are in registers: 8 of 8 where rows * panels is 4. */
MODEL_V8 void model_block8(float *y, const float *x, const float *w, const float *b, const int rows,
                           const int panels, int64_t k, int64_t n, int64_t left)
{
    __m256 sums[4][2];
    for (int p = 0; p < panels; ++p) {
        for (int r = 0; r < rows; ++r) {
            sums[p * rows + r][0] = _mm256_loadu_ps(b + p * 16);
            sums[p * rows + r][1] = _mm256_loadu_ps(b + p * 16 + 8);
        }
    }
    for (int64_t i = 0; i < k; ++i) {
        for (int p = 0; p < panels; ++p) {
            const float *const at = w + (p * k + i) * 16;
            const __m256 low = _mm256_loadu_ps(at), high = _mm256_loadu_ps(at + 8);
            for (int r = 0; r < rows; ++r) {
                const __m256 a = _mm256_broadcast_ss(x + r * k + i);
                sums[p * rows + r][0] = _mm256_fmadd_ps(a, low, sums[p * rows + r][0]);
                sums[p * rows + r][1] = _mm256_fmadd_ps(a, high, sums[p * rows + r][1]);
            }
        }
    }
    for (int p = 0; p < panels; ++p) {
        for (int r = 0; r < rows; ++r) {
            float *const into = y + r * n + p * 16;
            if (left - p * 16 >= 16) {
                _mm256_storeu_ps(into, sums[p * rows + r][0]);
                _mm256_storeu_ps(into + 8, sums[p * rows + r][1]);
            } else {
                float last[16];
                _mm256_storeu_ps(last, sums[p * rows + r][0]);
                _mm256_storeu_ps(last + 8, sums[p * rows + r][1]);
                for (int64_t j = 0; j < left - p * 16; ++j) {
                    into[j] = last[j];
                }
            }
        }
    }
}
MODEL_AVX2 static void model_product_1(float *y, const float *x, const float *w, const float *b,
                                       int64_t rows, int64_t k, int64_t n)
{
    const int64_t panels = (n + 15) / 16;
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4) {
        for (int64_t p = 0; p < panels; ++p) {
            model_block8(y + r * n + p * 16, x + r * k, w + p * k * 16, b + p * 16, 4, 1, k, n,
                         n - p * 16);
        }
    }
    for (; r < rows; ++r) {
        int64_t p = 0;
        for (; p + 4 <= panels; p += 4) {
            model_block8(y + r * n + p * 16, x + r * k, w + p * k * 16, b + p * 16, 1, 4, k, n,
                         n - p * 16);
        }
        for (; p < panels; ++p) {
            model_block8(y + r * n + p * 16, x + r * k, w + p * k * 16, b + p * 16, 1, 1, k, n,
                         n - p * 16);
        }
    }
}
MODEL_V8 __m256 model_sum8(const float *xs, const float *hs)
{
    return _mm256_add_ps(_mm256_loadu_ps(xs), _mm256_loadu_ps(hs));
}
/* Whole vectors of units; returns how many units that were. */
MODEL_AVX2 static int64_t model_rnn8(float *y, float *h, const float *xs, const float *hs,
                                     int64_t hidden, int relu)
{
    int64_t i = 0;
    for (; i + 8 <= hidden; i += 8) {
        const __m256 a = model_sum8(xs + i, hs + i);
        const __m256 s = relu ? _mm256_max_ps(_mm256_setzero_ps(), a) : model_tanh8(a);
        _mm256_storeu_ps(h + i, s);
        _mm256_storeu_ps(y + i, s);
    }
    return i;
}
MODEL_AVX2 static int64_t model_gru8(float *y, float *h, const float *xs, const float *hs, int64_t hidden)
{
    int64_t i = 0;
    for (; i + 8 <= hidden; i += 8) {
        const __m256 r = model_sigmoid8(model_sum8(xs + i, hs + i));
        const __m256 z = model_sigmoid8(model_sum8(xs + hidden + i, hs + hidden + i));
        const __m256 g = model_tanh8(_mm256_fmadd_ps(r, _mm256_loadu_ps(hs + 2 * hidden + i),
                                                     _mm256_loadu_ps(xs + 2 * hidden + i)));
        const __m256 before = _mm256_loadu_ps(h + i);
        const __m256 rest = _mm256_sub_ps(_mm256_set1_ps(1.0f), z);
        const __m256 s = _mm256_fmadd_ps(z, before, _mm256_mul_ps(rest, g));
        _mm256_storeu_ps(h + i, s);
        _mm256_storeu_ps(y + i, s);
    }
    return i;
}
MODEL_AVX2 static int64_t model_lstm8(float *y, float *h, float *c, const float *xs, const float *hs,
                                      int64_t hidden)
{
    int64_t i = 0;
    for (; i + 8 <= hidden; i += 8) {
        const __m256 in = model_sigmoid8(model_sum8(xs + i, hs + i));
        const __m256 forget = model_sigmoid8(model_sum8(xs + hidden + i, hs + hidden + i));
        const __m256 g = model_tanh8(model_sum8(xs + 2 * hidden + i, hs + 2 * hidden + i));
        const __m256 out = model_sigmoid8(model_sum8(xs + 3 * hidden + i, hs + 3 * hidden + i));
        const __m256 cell = _mm256_fmadd_ps(forget, _mm256_loadu_ps(c + i), _mm256_mul_ps(in, g));
        const __m256 s = _mm256_mul_ps(out, model_tanh8(cell));
        _mm256_storeu_ps(c + i, cell);
        _mm256_storeu_ps(h + i, s);
        _mm256_storeu_ps(y + i, s);
    }
    return i;
}
#else
static inline int model_level(void) { return 0; }
#define model_product_1 model_product_any
#define model_rnn8(y, h, xs, hs, hidden, relu) 0
#define model_gru8(y, h, xs, hs, hidden) 0
#define model_lstm8(y, h, c, xs, hs, hidden) 0
#endif

static inline void model_product(int level, float *y, const float *x, const float *w, const float *b,
                                 int64_t rows, int64_t k, int64_t n)
{
    if (level == 1) {
        model_product_1(y, x, w, b, rows, k, n);
    } else {
        model_product_any(y, x, w, b, rows, k, n);
    }
}

/* A step of a row: xs and hs are the products of the input and of the state, gates in the order of
 * PyTorch. Whole vectors first, then the units that are left. */
static inline void model_rnn(int level, float *y, float *h, const float *xs, const float *hs,
                             int64_t hidden, int relu)
{
    for (int64_t i = level == 1 ? model_rnn8(y, h, xs, hs, hidden, relu) : 0; i < hidden; ++i) {
        const float a = xs[i] + hs[i];
        h[i] = relu ? (a < 0 ? 0.0f : a) : model_tanhf(a);
        y[i] = h[i];
    }
}
static inline void model_rnn_tanh(int level, float *y, float *h, const float *xs, const float *hs,
                                  int64_t hidden)
{
    model_rnn(level, y, h, xs, hs, hidden, 0);
}
static inline void model_rnn_relu(int level, float *y, float *h, const float *xs, const float *hs,
                                  int64_t hidden)
{
    model_rnn(level, y, h, xs, hs, hidden, 1);
}
static inline void model_gru(int level, float *y, float *h, const float *xs, const float *hs,
                             int64_t hidden)
{
    for (int64_t i = level == 1 ? model_gru8(y, h, xs, hs, hidden) : 0; i < hidden; ++i) {
        const float r = model_sigmoidf(xs[i] + hs[i]);
        const float z = model_sigmoidf(xs[hidden + i] + hs[hidden + i]);
        const float g = model_tanhf(xs[2 * hidden + i] + r * hs[2 * hidden + i]);
        h[i] = (1.0f - z) * g + z * h[i];
        y[i] = h[i];
    }
}
static inline void model_lstm(int level, float *y, float *h, float *c, const float *xs,
                              const float *hs, int64_t hidden)
{
    for (int64_t i = level == 1 ? model_lstm8(y, h, c, xs, hs, hidden) : 0; i < hidden; ++i) {
        const float in = model_sigmoidf(xs[i] + hs[i]);
        const float forget = model_sigmoidf(xs[hidden + i] + hs[hidden + i]);
        const float g = model_tanhf(xs[2 * hidden + i] + hs[2 * hidden + i]);
        const float out = model_sigmoidf(xs[3 * hidden + i] + hs[3 * hidden + i]);
        c[i] = forget * c[i] + in * g;
        h[i] = out * model_tanhf(c[i]);
        y[i] = h[i];
    }
}
