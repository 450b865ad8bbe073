/* The Fourier transform of n complex numbers: x [2][n], real parts first, y [2][n] to work in, w [2][n]
 * the cosines and minus the sines of 2 pi j / n. Stockham's passes, one for each factor r of n:
 *
 *     y[q + s (r p + j)] = sum_k x[q + s (p + m k)] exp(-2 pi i j (k / r + p / size)),  size = m r
 *
 * with s of them beside one another. Returns the one of x and y that holds the result. */
MODEL_STATIC const float *model_fourier(float *x, float *y, const float *w, int64_t n)
{
    for (int64_t size = n, s = 1, r; size > 1; size /= r, s *= r) {
        r = size % 4 == 0 ? 4 : (size % 2 == 0 ? 2 : 3);
        while (size % r != 0) {
            r = r * r > size ? size : r + 2; /* the smallest factor, which is odd and a prime */
        }
        const int64_t m = size / r, turn = n / r;
        for (int64_t p = 0; p < m; ++p) {
            for (int64_t j = 0; j < r; ++j) {
                float *const re = y + s * (r * p + j), *const im = re + n;
                for (int64_t q = 0; q < s; ++q) {
                    re[q] = x[s * p + q];
                    im[q] = x[n + s * p + q];
                }
                for (int64_t k = 1; k < r; ++k) {
                    const int64_t at = j * k % r * turn;
                    const float c = w[at], d = w[n + at];
                    const float *const a = x + s * (p + m * k), *const b = a + n;
                    for (int64_t q = 0; q < s; ++q) {
                        re[q] += a[q] * c - b[q] * d;
                        im[q] += a[q] * d + b[q] * c;
                    }
                }
                const int64_t at = j * p * s;
                const float c = w[at], d = w[n + at];
                for (int64_t q = 0; q < s; ++q) {
                    const float a = re[q] * c - im[q] * d;
                    im[q] = re[q] * d + im[q] * c;
                    re[q] = a;
                }
            }
        }
        float *const other = x;
        x = y;
        y = other;
    }
    return x;
}
