/* Numbers. */

MODEL_STATIC int64_t model_max(int64_t a, int64_t b) { return a > b ? a : b; }
MODEL_STATIC int64_t model_min(int64_t a, int64_t b) { return a < b ? a : b; }
MODEL_STATIC int64_t model_floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b != 0 && (a < 0) != (b < 0)); /* a branch makes GCC 12 warn of loops that never run */
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
 * of degree 6 with the coefficients of Cephes' expf. Branch-free, so that a compiler makes vectors of it.
 * What is no number counts as a limit on the way, as no integer is one. */
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
    const float c = x > low ? (x < high ? x : high) : low, n = model_exponent(c);
    /* In two steps, so that neither 2^128 nor what is below 2^-126 is lost. */
    const int32_t whole = (int32_t)n, half = whole / 2;
    const float y = (model_less_one(c, n) + 1.0f) * model_two_to(half) * model_two_to(whole - half);
    return x > high ? INFINITY : (x != x ? x : y);
}
MODEL_STATIC double model_exp(double x) { return exp(x); }

/* 1 / (1 + exp(-x)); below -88 it is less than the least normal number. */
MODEL_STATIC float model_sigmoidf(float x)
{
    const float c = x > -88.0f ? (x < 87.0f ? -x : -87.0f) : 88.0f, n = model_exponent(c);
    const float two = model_two_to((int32_t)n), e = MODEL_FMA(two, model_less_one(c, n), two);
    return 1.0f / (1.0f + (x != x ? x : e));
}
MODEL_STATIC double model_sigmoid(double x) { return 1.0 / (1.0 + exp(-x)); }

/* -m / (2 + m) with m = exp(-2 |x|) - 1, of which nothing is lost near 0; the sign is that of x. */
MODEL_STATIC float model_tanhf(float x)
{
    const float a = x < 0 ? x + x : -x - x, c = a > -40.0f ? a : -40.0f, n = model_exponent(c);
    const float two = model_two_to((int32_t)n), m = MODEL_FMA(two, model_less_one(c, n), two - 1.0f);
    union model_bits y, of;
    y.f = -m / (2.0f + m);
    of.f = x;
    y.i = (y.i & INT32_MAX) | (of.i & INT32_MIN);
    return x != x ? x : y.f;
}
MODEL_STATIC double model_tanh(double x) { return tanh(x); }

/* To the nearest of those with 8 digits, of two that are as near to the even one. */
MODEL_STATIC float model_round_bfloat16(float x)
{
    union model_bits made;
    made.f = x;
    const uint32_t bits = (uint32_t)made.i;
    made.i = (int32_t)((bits + 0x7fffu + (bits >> 16 & 1u)) & 0xffff0000u);
    return x != x ? x : made.f;
}

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
#elif defined(__GNUC__) && defined(__ARM_FP) /* Cortex-M4F is as fast with them: for the same bits */
typedef uint32_t model_mode;
MODEL_STATIC model_mode model_flush(void)
{
    model_mode before;
    __asm__ __volatile__("vmrs %0, fpscr" : "=r"(before));
    __asm__ __volatile__("vmsr fpscr, %0" : : "r"(before | (UINT32_C(1) << 24)) : "memory");
    return before;
}
MODEL_STATIC void model_restore(model_mode before)
{
    __asm__ __volatile__("vmsr fpscr, %0" : : "r"(before) : "memory");
}
#else
typedef int model_mode;
MODEL_STATIC model_mode model_flush(void) { return 0; }
MODEL_STATIC void model_restore(model_mode before) { (void)before; }
#endif

/* Rows of a product at once: as many as there are registers for. */
#if defined(__ARM_NEON) || defined(__AVX512F__)
#define MODEL_ROWS 4
#elif defined(__SSE2__)
#define MODEL_ROWS 2
#else
#define MODEL_ROWS 1
#endif
