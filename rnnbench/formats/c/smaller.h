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
#if defined(MODEL_VECTOR) && defined(__x86_64__)
MODEL_V8 model_v8 model_load8_bfloat16(const uint16_t *w)
{
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)w));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}
MODEL_V8 model_v8 model_load8_float16(const uint16_t *w)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)w));
}
MODEL_V8 model_v8 model_load8_int8(const int8_t *w)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)w)));
}
#if defined(MODEL_WIDE)
MODEL_V16 __m512 model_load16_bfloat16(const uint16_t *w)
{
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)w));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}
MODEL_V16 __m512 model_load16_float16(const uint16_t *w)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)w));
}
MODEL_V16 __m512 model_load16_int8(const int8_t *w)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)w)));
}
#endif
#elif defined(MODEL_VECTOR) && defined(__aarch64__)
MODEL_V8 model_v8 model_load8_bfloat16(const uint16_t *w)
{
    const uint16x8_t all = vld1q_u16(w);
    const uint32x4_t low = vmovl_u16(vget_low_u16(all)), high = vmovl_u16(vget_high_u16(all));
    return model_both(vreinterpretq_f32_u32(vshlq_n_u32(low, 16)), vreinterpretq_f32_u32(vshlq_n_u32(high, 16)));
}
MODEL_V8 model_v8 model_load8_float16(const uint16_t *w)
{
    const float16x4_t low = vreinterpret_f16_u16(vld1_u16(w)), high = vreinterpret_f16_u16(vld1_u16(w + 4));
    return model_both(vcvt_f32_f16(low), vcvt_f32_f16(high));
}
MODEL_V8 model_v8 model_load8_int8(const int8_t *w)
{
    const int16x8_t all = vmovl_s8(vld1_s8(w));
    const int32x4_t low = vmovl_s16(vget_low_s16(all)), high = vmovl_s16(vget_high_s16(all));
    return model_both(vcvtq_f32_s32(low), vcvtq_f32_s32(high));
}
#elif defined(MODEL_VECTOR)
MODEL_V8 model_v8 model_load8_bfloat16(const uint16_t *w)
{
    const v128_t all = wasm_v128_load(w);
    const v128_t low = wasm_u32x4_extend_low_u16x8(all), high = wasm_u32x4_extend_high_u16x8(all);
    return model_both(wasm_i32x4_shl(low, 16), wasm_i32x4_shl(high, 16));
}
MODEL_V8 model_v8 model_load8_float16(const uint16_t *w)
{
    float all[8];
    for (int64_t i = 0; i < 8; ++i) {
        all[i] = model_load_float16(w[i]);
    }
    return model_get8(all);
}
MODEL_V8 model_v8 model_load8_int8(const int8_t *w)
{
    const v128_t all = wasm_i16x8_load8x8(w);
    const v128_t low = wasm_i32x4_extend_low_i16x8(all), high = wasm_i32x4_extend_high_i16x8(all);
    return model_both(wasm_f32x4_convert_i32x4(low), wasm_f32x4_convert_i32x4(high));
}
#endif
