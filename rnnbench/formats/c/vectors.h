/* The instructions that there are: chosen once in each run. Level 0 is what the compiler was told of,
 * level 1 has AVX2, FMA and F16C: 8 numbers at a time. */
#if defined(__GNUC__) && defined(__x86_64__)
#include <immintrin.h>
#define MODEL_AVX2 __attribute__((target("avx2,fma,f16c")))
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
#else
MODEL_STATIC int model_level(void) { return 0; }
#endif
