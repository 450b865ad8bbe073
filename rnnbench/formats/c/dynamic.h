/* A product of whole numbers: y [rows, n] = x [rows, k] @ w [k, n] * s [n] + b [n]. The numbers of a row of x
 * are rounded to multiples of a step of its own, so small that `most` of them are its largest: no sum of k
 * products of int16 and int8 leaves int32. Sums of whole numbers are exact: the same bits everywhere.
 * w in panels of 24 columns, two of k beside one another [panels][k / 2][24][2]. */
MODEL_STATIC float model_steps_of(int16_t *q, const float *x, int64_t k, float most)
{
    const float shift = 12582912.0f; /* 1.5 * 2^23: adding it rounds to a whole number */
    float largest = 0;
    for (int64_t i = 0; i < k; ++i) {
        const float a = x[i] < 0 ? -x[i] : x[i];
        largest = a > largest || a != a ? a : largest; /* no number stays none */
    }
    const float by = most / largest;
    if (!(by > 0 && by < INFINITY)) { /* nothing, too little to divide by, or no number */
        memset(q, 0, (size_t)(k + 1) / 2 * 2 * sizeof *q);
        return largest - largest;
    }
    for (int64_t i = 0; i < k; ++i) {
        q[i] = (int16_t)((x[i] * by + shift) - shift);
    }
    if (k % 2 != 0) {
        q[k] = 0;
    }
    return largest / most;
}
MODEL_INLINE void model_sums_dynamic(float *y, const int16_t *q, const int8_t *w, const float *s, const float *b,
                                     float step, int64_t pairs, int64_t left)
{
    int32_t sums[24] = {0};
    for (int64_t i = 0; i < pairs; ++i) {
        for (int64_t j = 0; j < 24; ++j) {
            const int8_t *const two = w + (i * 24 + j) * 2;
            sums[j] += q[2 * i] * two[0] + q[2 * i + 1] * two[1];
        }
    }
    for (int64_t j = 0; j < left; ++j) {
        y[j] = MODEL_FMA((float)sums[j], step * s[j], b[j]);
    }
}
/* 8 pairs of weights; 8 sums of products with a pair of numbers; these as floats. */
#if defined(MODEL_VECTOR) && defined(__x86_64__)
typedef __m256i model_pairs;
typedef __m256i model_sums;
MODEL_V8 model_pairs model_pairs8(const int8_t *at)
{
    return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)at));
}
MODEL_V8 model_sums model_none8(void) { return _mm256_setzero_si256(); }
MODEL_V8 model_sums model_add_pairs8(model_sums sums, int32_t two, model_pairs by)
{
    return _mm256_add_epi32(sums, _mm256_madd_epi16(_mm256_set1_epi32(two), by));
}
MODEL_V8 model_v8 model_floats8(model_sums sums) { return _mm256_cvtepi32_ps(sums); }
#elif defined(MODEL_VECTOR) && defined(__aarch64__)
typedef struct { int16x8_t low, high; } model_pairs;
typedef struct { int32x4_t low, high; } model_sums;
MODEL_V8 model_pairs model_pairs8(const int8_t *at)
{
    const model_pairs made = {vmovl_s8(vld1_s8(at)), vmovl_s8(vld1_s8(at + 8))};
    return made;
}
MODEL_V8 model_sums model_none8(void)
{
    const model_sums made = {vdupq_n_s32(0), vdupq_n_s32(0)};
    return made;
}
MODEL_V8 int32x4_t model_add_pairs4(int32x4_t sums, int16x8_t two, int16x8_t by)
{
    const int32x4_t low = vmull_s16(vget_low_s16(two), vget_low_s16(by));
    return vaddq_s32(sums, vpaddq_s32(low, vmull_high_s16(two, by)));
}
MODEL_V8 model_sums model_add_pairs8(model_sums sums, int32_t two, model_pairs by)
{
    const int16x8_t all = vreinterpretq_s16_s32(vdupq_n_s32(two));
    const model_sums made = {model_add_pairs4(sums.low, all, by.low), model_add_pairs4(sums.high, all, by.high)};
    return made;
}
MODEL_V8 model_v8 model_floats8(model_sums sums)
{
    return model_both(vcvtq_f32_s32(sums.low), vcvtq_f32_s32(sums.high));
}
#elif defined(MODEL_VECTOR)
typedef struct { v128_t low, high; } model_pairs;
typedef struct { v128_t low, high; } model_sums;
MODEL_V8 model_pairs model_pairs8(const int8_t *at)
{
    const model_pairs made = {wasm_i16x8_load8x8(at), wasm_i16x8_load8x8(at + 8)};
    return made;
}
MODEL_V8 model_sums model_none8(void)
{
    const model_sums made = {wasm_i32x4_splat(0), wasm_i32x4_splat(0)};
    return made;
}
MODEL_V8 model_sums model_add_pairs8(model_sums sums, int32_t two, model_pairs by)
{
    const v128_t all = wasm_i32x4_splat(two);
    const model_sums made = {wasm_i32x4_add(sums.low, wasm_i32x4_dot_i16x8(all, by.low)),
                             wasm_i32x4_add(sums.high, wasm_i32x4_dot_i16x8(all, by.high))};
    return made;
}
MODEL_V8 model_v8 model_floats8(model_sums sums)
{
    return model_both(wasm_f32x4_convert_i32x4(sums.low), wasm_f32x4_convert_i32x4(sums.high));
}
#endif
#if defined(MODEL_VECTOR)
MODEL_V8 void model_block8_dynamic(float *y, const int16_t *q, const int8_t *w, const float *s, const float *b,
                                   const float *step, const int rows, int64_t pairs, int64_t n, int64_t left)
{
    model_sums sums[MODEL_AT_ONCE][3];
    MODEL_UNROLL for (int r = 0; r < rows; ++r) {
        MODEL_UNROLL for (int v = 0; v < 3; ++v) {
            sums[r][v] = model_none8();
        }
    }
    for (int64_t i = 0; i < pairs; ++i) {
        model_pairs by[3];
        MODEL_UNROLL for (int v = 0; v < 3; ++v) {
            by[v] = model_pairs8(w + (i * 3 + v) * 16);
        }
        MODEL_UNROLL for (int r = 0; r < rows; ++r) {
            int32_t two;
            memcpy(&two, q + (r * pairs + i) * 2, sizeof two);
            MODEL_UNROLL for (int v = 0; v < 3; ++v) {
                sums[r][v] = model_add_pairs8(sums[r][v], two, by[v]);
            }
        }
    }
    MODEL_UNROLL for (int r = 0; r < rows; ++r) {
        MODEL_UNROLL for (int v = 0; v < 3; ++v) {
            const model_v8 scale = model_mul8(model_all8(step[r]), model_get8(s + v * 8));
            float last[8];
            model_put8(last, model_fma8(model_floats8(sums[r][v]), scale, model_get8(b + v * 8)));
            for (int64_t j = 0; j < model_max(model_min(left - v * 8, 8), 0); ++j) {
                y[r * n + v * 8 + j] = last[j];
            }
        }
    }
}
MODEL_VECTOR MODEL_STATIC void model_rows_dynamic(float *y, const int16_t *q, const int8_t *w, const float *s,
                                                  const float *b, const float *step, int64_t rows, int64_t pairs,
                                                  int64_t n)
{
    for (int64_t p = 0; p * 24 < n; ++p, w += pairs * 48, s += 24, b += 24) {
        switch (rows) {
            case 1: model_block8_dynamic(y + p * 24, q, w, s, b, step, 1, pairs, n, n - p * 24); break;
#if MODEL_AT_ONCE > 2
            case 2: model_block8_dynamic(y + p * 24, q, w, s, b, step, 2, pairs, n, n - p * 24); break;
            case 3: model_block8_dynamic(y + p * 24, q, w, s, b, step, 3, pairs, n, n - p * 24); break;
#endif
            default:
                model_block8_dynamic(y + p * 24, q, w, s, b, step, MODEL_AT_ONCE, pairs, n, n - p * 24);
                break;
        }
    }
}
#endif
/* q has room for 4 rows of k numbers, or one more where k is odd. */
MODEL_STATIC void model_product_dynamic(int level, float *y, const float *x, int16_t *q, const int8_t *w,
                                        const float *s, const float *b, float most, int64_t rows, int64_t k,
                                        int64_t n)
{
    const int64_t pairs = (k + 1) / 2;
    (void)level;
    for (int64_t done = 0; done < rows; done += MODEL_AT_ONCE, x += MODEL_AT_ONCE * k, y += MODEL_AT_ONCE * n) {
        const int64_t some = model_min(rows - done, MODEL_AT_ONCE);
        float step[MODEL_AT_ONCE];
        for (int64_t r = 0; r < some; ++r) {
            step[r] = model_steps_of(q + r * pairs * 2, x + r * k, k, most);
        }
#if defined(MODEL_VECTOR)
        if (level >= 1) {
            model_rows_dynamic(y, q, w, s, b, step, some, pairs, n);
            continue;
        }
#endif
        for (int64_t r = 0; r < some; ++r) {
            for (int64_t p = 0; p * 24 < n; ++p) {
                model_sums_dynamic(y + r * n + p * 24, q + r * pairs * 2, w + p * pairs * 48, s + p * 24, b + p * 24,
                                   step[r], pairs, model_min(n - p * 24, 24));
            }
        }
    }
}
