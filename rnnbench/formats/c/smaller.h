/* Weights in fewer bits, as the floats that they are. */
MODEL_STATIC float model_load_bfloat16(uint16_t w)
{
    union model_bits made;
    made.i = (int32_t)((uint32_t)w << 16);
    return made.f;
}
MODEL_STATIC float model_load_float16(uint16_t w)
{
    const uint32_t sign = (uint32_t)(w & 0x8000u) << 16, rest = w & 0x7fffu;
    union model_bits made;
    if (rest < 0x400u) { /* below the least normal one: a multiple of 2^-24 */
        made.f = (float)rest * 5.9604644775390625e-8f;
    } else {
        made.i = (int32_t)((rest << 13) + (112u << 23)); /* of 2^(e - 15), of 2^(e - 127) */
    }
    made.i = (int32_t)((uint32_t)made.i | sign);
    return made.f;
}
MODEL_STATIC float model_load_int8(int8_t w) { return (float)w; }
#if defined(MODEL_AVX2)
MODEL_V8 __m256 model_load8_bfloat16(const uint16_t *w)
{
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)w));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}
MODEL_V8 __m256 model_load8_float16(const uint16_t *w)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)w));
}
MODEL_V8 __m256 model_load8_int8(const int8_t *w)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)w)));
}
#endif
