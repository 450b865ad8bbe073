/* Eight numbers at a time, in the instructions of three machines. Level 0 is what the compiler makes of plain
 * loops, level 1 is these: on x86-64 each run asks the processor for AVX2, FMA and F16C, on AArch64 and in
 * WebAssembly with SIMD they are there. Level 2 has sixteen at a time in products, on x86-64 with AVX-512; not on
 * the first of those, without VNNI, which slow down all that runs beside them. */
#if defined(__GNUC__) && defined(__x86_64__)
#include <immintrin.h>
#define MODEL_VECTOR __attribute__((target("avx2,fma,f16c")))
#define MODEL_V8 MODEL_INLINE MODEL_VECTOR
#define MODEL_HOLDS 12 /* sums of 8 numbers that stay in registers beside what is added */
#if defined(__clang__) || __GNUC__ >= 8
#define MODEL_WIDE __attribute__((target("avx512f,avx512vl,avx2,fma,f16c")))
#define MODEL_V16 MODEL_INLINE MODEL_WIDE
#endif
typedef __m256 model_v8;

MODEL_STATIC int model_level(void)
{
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
        return 0;
    }
#if defined(MODEL_WIDE)
    return __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni") ? 2 : 1;
#else
    return 1;
#endif
}
MODEL_V8 model_v8 model_get8(const float *at) { return _mm256_loadu_ps(at); }
MODEL_V8 void model_put8(float *at, model_v8 a) { _mm256_storeu_ps(at, a); }
MODEL_V8 model_v8 model_all8(float a) { return _mm256_set1_ps(a); }
MODEL_V8 model_v8 model_add8(model_v8 a, model_v8 b) { return _mm256_add_ps(a, b); }
MODEL_V8 model_v8 model_sub8(model_v8 a, model_v8 b) { return _mm256_sub_ps(a, b); }
MODEL_V8 model_v8 model_mul8(model_v8 a, model_v8 b) { return _mm256_mul_ps(a, b); }
MODEL_V8 model_v8 model_div8(model_v8 a, model_v8 b) { return _mm256_div_ps(a, b); }
MODEL_V8 model_v8 model_fma8(model_v8 a, model_v8 b, model_v8 c) { return _mm256_fmadd_ps(a, b, c); }
/* a > b ? a : b and a < b ? a : b, so that a b which is no number stays none. */
MODEL_V8 model_v8 model_max8(model_v8 a, model_v8 b) { return _mm256_max_ps(a, b); }
MODEL_V8 model_v8 model_min8(model_v8 a, model_v8 b) { return _mm256_min_ps(a, b); }
/* -x, -|x|, and |y| with the sign of x. */
MODEL_V8 model_v8 model_minus8(model_v8 x) { return _mm256_xor_ps(x, _mm256_set1_ps(-0.0f)); }
MODEL_V8 model_v8 model_below8(model_v8 x) { return _mm256_or_ps(x, _mm256_set1_ps(-0.0f)); }
MODEL_V8 model_v8 model_signed8(model_v8 y, model_v8 x)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return _mm256_or_ps(_mm256_andnot_ps(sign, y), _mm256_and_ps(x, sign));
}
/* The nearest whole number, of two the even one; 2^n of one. */
MODEL_V8 model_v8 model_nearest8(model_v8 x)
{
    return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
MODEL_V8 model_v8 model_two_to8(model_v8 n)
{
    const __m256i whole = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(whole, 23));
}
/* The first `count` of 8, or all. */
typedef struct { __m256i mask; int whole; } model_units;
MODEL_V8 model_units model_units8(int64_t count)
{
    const __m256i place = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const model_units made = {_mm256_cmpgt_epi32(_mm256_set1_epi32((int)model_min(count, 8)), place), count >= 8};
    return made;
}
MODEL_V8 model_v8 model_load8(const float *from, const model_units u)
{
    return u.whole ? _mm256_loadu_ps(from) : _mm256_maskload_ps(from, u.mask);
}
MODEL_V8 void model_store8(float *into, const model_units u, model_v8 value)
{
    if (u.whole) {
        _mm256_storeu_ps(into, value);
    } else {
        _mm256_maskstore_ps(into, u.mask, value);
    }
}

#elif defined(__GNUC__) && defined(__aarch64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#include <arm_neon.h>
#define MODEL_V4 MODEL_INLINE
#define MODEL_HOLDS 12
typedef float32x4_t model_v4;

MODEL_V4 model_v4 model_get4(const float *at) { return vld1q_f32(at); }
MODEL_V4 void model_put4(float *at, model_v4 a) { vst1q_f32(at, a); }
MODEL_V4 model_v4 model_all4(float a) { return vdupq_n_f32(a); }
MODEL_V4 model_v4 model_add4(model_v4 a, model_v4 b) { return vaddq_f32(a, b); }
MODEL_V4 model_v4 model_sub4(model_v4 a, model_v4 b) { return vsubq_f32(a, b); }
MODEL_V4 model_v4 model_mul4(model_v4 a, model_v4 b) { return vmulq_f32(a, b); }
MODEL_V4 model_v4 model_div4(model_v4 a, model_v4 b) { return vdivq_f32(a, b); }
MODEL_V4 model_v4 model_fma4(model_v4 a, model_v4 b, model_v4 c) { return vfmaq_f32(c, a, b); }
MODEL_V4 model_v4 model_max4(model_v4 a, model_v4 b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
MODEL_V4 model_v4 model_min4(model_v4 a, model_v4 b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
MODEL_V4 model_v4 model_minus4(model_v4 x) { return vnegq_f32(x); }
MODEL_V4 model_v4 model_below4(model_v4 x) { return vnegq_f32(vabsq_f32(x)); }
MODEL_V4 model_v4 model_signed4(model_v4 y, model_v4 x) { return vbslq_f32(vdupq_n_u32(0x80000000u), x, y); }
MODEL_V4 model_v4 model_nearest4(model_v4 x) { return vrndnq_f32(x); }
MODEL_V4 model_v4 model_two_to4(model_v4 n)
{
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(127)), 23));
}

#elif defined(__wasm_simd128__)
#include <wasm_simd128.h>
#define MODEL_V4 MODEL_INLINE
#define MODEL_HOLDS 6 /* in the 16 registers of an x86-64; there is no FMA */
typedef v128_t model_v4;

MODEL_V4 model_v4 model_get4(const float *at) { return wasm_v128_load(at); }
MODEL_V4 void model_put4(float *at, model_v4 a) { wasm_v128_store(at, a); }
MODEL_V4 model_v4 model_all4(float a) { return wasm_f32x4_splat(a); }
MODEL_V4 model_v4 model_add4(model_v4 a, model_v4 b) { return wasm_f32x4_add(a, b); }
MODEL_V4 model_v4 model_sub4(model_v4 a, model_v4 b) { return wasm_f32x4_sub(a, b); }
MODEL_V4 model_v4 model_mul4(model_v4 a, model_v4 b) { return wasm_f32x4_mul(a, b); }
MODEL_V4 model_v4 model_div4(model_v4 a, model_v4 b) { return wasm_f32x4_div(a, b); }
MODEL_V4 model_v4 model_fma4(model_v4 a, model_v4 b, model_v4 c) { return wasm_f32x4_add(wasm_f32x4_mul(a, b), c); }
MODEL_V4 model_v4 model_max4(model_v4 a, model_v4 b) { return wasm_f32x4_pmax(b, a); }
MODEL_V4 model_v4 model_min4(model_v4 a, model_v4 b) { return wasm_f32x4_pmin(b, a); }
MODEL_V4 model_v4 model_minus4(model_v4 x) { return wasm_f32x4_neg(x); }
MODEL_V4 model_v4 model_below4(model_v4 x) { return wasm_v128_or(x, wasm_f32x4_splat(-0.0f)); }
MODEL_V4 model_v4 model_signed4(model_v4 y, model_v4 x)
{
    return wasm_v128_bitselect(x, y, wasm_f32x4_splat(-0.0f));
}
MODEL_V4 model_v4 model_nearest4(model_v4 x) { return wasm_f32x4_nearest(x); }
MODEL_V4 model_v4 model_two_to4(model_v4 n)
{
    return wasm_i32x4_shl(wasm_i32x4_add(wasm_i32x4_trunc_sat_f32x4(n), wasm_i32x4_splat(127)), 23);
}

#else
MODEL_STATIC int model_level(void) { return 0; }
#endif

#if defined(MODEL_V4) /* 8 are two of 4 */
#define MODEL_VECTOR
#define MODEL_V8 MODEL_INLINE
typedef struct { model_v4 low, high; } model_v8;

MODEL_STATIC int model_level(void) { return 1; }
MODEL_V8 model_v8 model_both(model_v4 low, model_v4 high)
{
    const model_v8 made = {low, high};
    return made;
}
MODEL_V8 model_v8 model_get8(const float *at) { return model_both(model_get4(at), model_get4(at + 4)); }
MODEL_V8 void model_put8(float *at, model_v8 a)
{
    model_put4(at, a.low);
    model_put4(at + 4, a.high);
}
MODEL_V8 model_v8 model_all8(float a) { return model_both(model_all4(a), model_all4(a)); }
MODEL_V8 model_v8 model_fma8(model_v8 a, model_v8 b, model_v8 c)
{
    return model_both(model_fma4(a.low, b.low, c.low), model_fma4(a.high, b.high, c.high));
}
#define MODEL_OF_ONE(f) \
    MODEL_V8 model_v8 model_##f##8(model_v8 a) { return model_both(model_##f##4(a.low), model_##f##4(a.high)); }
#define MODEL_OF_TWO(f) \
    MODEL_V8 model_v8 model_##f##8(model_v8 a, model_v8 b) \
    { \
        return model_both(model_##f##4(a.low, b.low), model_##f##4(a.high, b.high)); \
    }
MODEL_OF_TWO(add)
MODEL_OF_TWO(sub)
MODEL_OF_TWO(mul)
MODEL_OF_TWO(div)
MODEL_OF_TWO(max)
MODEL_OF_TWO(min)
MODEL_OF_TWO(signed)
MODEL_OF_ONE(minus)
MODEL_OF_ONE(below)
MODEL_OF_ONE(nearest)
MODEL_OF_ONE(two_to)
typedef int64_t model_units;
MODEL_V8 model_units model_units8(int64_t count) { return model_min(count, 8); }
MODEL_V8 model_v8 model_load8(const float *from, const model_units u)
{
    float some[8] = {0};
    if (u == 8) {
        return model_get8(from);
    }
    for (int64_t i = 0; i < u; ++i) {
        some[i] = from[i];
    }
    return model_get8(some);
}
MODEL_V8 void model_store8(float *into, const model_units u, model_v8 value)
{
    if (u == 8) {
        model_put8(into, value);
        return;
    }
    float some[8];
    model_put8(some, value);
    for (int64_t i = 0; i < u; ++i) {
        into[i] = some[i];
    }
}
#endif
#if defined(MODEL_VECTOR)
#define MODEL_AT_ONCE (MODEL_HOLDS / 3) /* rows of a product, 24 columns of each */
#if defined(__clang__)
#define MODEL_UNROLL _Pragma("unroll")
#else
#define MODEL_UNROLL _Pragma("GCC unroll 12") /* or an array of sums may become one in memory */
#endif
#else
#define MODEL_AT_ONCE 4
#endif
