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
#if defined(MODEL_AVX2)
MODEL_V8 void model_block8_dynamic(float *y, const int16_t *q, const int8_t *w, const float *s, const float *b,
                                   const float *step, const int rows, int64_t pairs, int64_t n, int64_t left)
{
    __m256i sums[4][3];
    MODEL_UNROLL for (int r = 0; r < rows; ++r) {
        MODEL_UNROLL for (int v = 0; v < 3; ++v) {
            sums[r][v] = _mm256_setzero_si256();
        }
    }
    for (int64_t i = 0; i < pairs; ++i) {
        __m256i by[3];
        MODEL_UNROLL for (int v = 0; v < 3; ++v) {
            const void *const at = w + (i * 3 + v) * 16;
            by[v] = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)at));
        }
        MODEL_UNROLL for (int r = 0; r < rows; ++r) {
            int32_t two;
            memcpy(&two, q + (r * pairs + i) * 2, sizeof two);
            const __m256i a = _mm256_set1_epi32(two);
            MODEL_UNROLL for (int v = 0; v < 3; ++v) {
                sums[r][v] = _mm256_add_epi32(sums[r][v], _mm256_madd_epi16(a, by[v]));
            }
        }
    }
    MODEL_UNROLL for (int r = 0; r < rows; ++r) {
        MODEL_UNROLL for (int v = 0; v < 3; ++v) {
            const __m256 scale = _mm256_mul_ps(_mm256_set1_ps(step[r]), _mm256_loadu_ps(s + v * 8));
            float last[8];
            _mm256_storeu_ps(last, _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[r][v]), scale,
                                                   _mm256_loadu_ps(b + v * 8)));
            for (int64_t j = 0; j < model_min(left - v * 8, 8); ++j) {
                y[r * n + v * 8 + j] = last[j];
            }
        }
    }
}
MODEL_AVX2 MODEL_STATIC void model_rows_dynamic(float *y, const int16_t *q, const int8_t *w, const float *s,
                                                const float *b, const float *step, int64_t rows, int64_t pairs,
                                                int64_t n)
{
    for (int64_t p = 0; p * 24 < n; ++p, w += pairs * 48, s += 24, b += 24) {
        switch (rows) {
            case 1: model_block8_dynamic(y + p * 24, q, w, s, b, step, 1, pairs, n, n - p * 24); break;
            case 2: model_block8_dynamic(y + p * 24, q, w, s, b, step, 2, pairs, n, n - p * 24); break;
            case 3: model_block8_dynamic(y + p * 24, q, w, s, b, step, 3, pairs, n, n - p * 24); break;
            default: model_block8_dynamic(y + p * 24, q, w, s, b, step, 4, pairs, n, n - p * 24); break;
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
    for (int64_t done = 0; done < rows; done += 4, x += 4 * k, y += 4 * n) {
        const int64_t some = model_min(rows - done, 4);
        float step[4];
        for (int64_t r = 0; r < some; ++r) {
            step[r] = model_steps_of(q + r * pairs * 2, x + r * k, k, most);
        }
#if defined(MODEL_AVX2)
        if (level == 1) {
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
