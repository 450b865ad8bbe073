/* Every kernel of the C files on numbers that are the same everywhere: what they give, byte for byte.
 * The kernels stand before this text. */
static unsigned char out[1 << 21];
static size_t used;
static uint32_t seed;

static float number(float size)
{
    seed = seed * 1664525u + 1013904223u;
    return ((float)(seed >> 8) / 8388608.0f - 1.0f) * size; /* exact: no rounding differs */
}
static void numbers(float *into, int64_t count, float size)
{
    for (int64_t i = 0; i < count; ++i) {
        into[i] = number(size);
    }
}
static void keep(const void *from, size_t bytes)
{
    memcpy(out + used, from, bytes);
    used += bytes;
}

enum { MOST = 72 };
static float x[12 * MOST], y[12 * MOST], w[MOST * MOST], b[MOST + 24], s[MOST + 24];
static uint16_t half[MOST * MOST];
static int8_t whole[2 * MOST * MOST];
static int16_t q[4 * (MOST + 1)];
static float xs[4 * MOST], hs[4 * MOST], h[MOST], c[MOST];

static void products(int level)
{
    for (int64_t n = 1; n <= 50; ++n) {
        const int64_t k = 1 + (n * 7) % 40, rows = 1 + (n * 5) % 11;
        numbers(x, rows * k, 2.0f);
        numbers(w, MOST * MOST, 1.0f);
        numbers(b, MOST + 24, 1.0f);
        numbers(s, MOST + 24, 0.1f);
        for (int64_t i = 0; i < MOST * MOST; ++i) {
            half[i] = (uint16_t)((0x3000u + (seed >> 20)) ^ (i % 3 == 0 ? 0x8000u : 0u));
            whole[i] = (int8_t)number(127.0f);
            whole[MOST * MOST + i] = (int8_t)number(127.0f);
        }
        const size_t made = (size_t)(rows * n) * sizeof *y;
        model_product(level, y, x, w, b, rows, k, n, (int)(n & 1));
        keep(y, made);
        model_product_float16(level, y, x, half, b, rows, k, n, 0);
        keep(y, made);
        model_product_bfloat16(level, y, x, half, b, rows, k, n, 0);
        keep(y, made);
        model_product_int8(level, y, x, whole, s, b, rows, k, n, 1);
        keep(y, made);
        model_product_dynamic(level, y, x, q, whole, s, b, 32767.0f, rows, k, n);
        keep(y, made);
    }
}
static void layers(int level)
{
    for (int64_t hidden = 1; hidden <= 40; ++hidden) {
        for (int kind = 0; kind < 4; ++kind) {
            numbers(xs, 4 * hidden, hidden % 5 == 0 ? 60.0f : 3.0f);
            numbers(hs, 4 * hidden, hidden % 7 == 0 ? 60.0f : 3.0f);
            numbers(h, hidden, 1.0f);
            numbers(c, hidden, 4.0f);
            if (hidden == 12) { /* a zero that is negative, and infinities */
                xs[0] = hs[0] = -0.0f;
                xs[1] = INFINITY;
                xs[2] = -INFINITY;
            }
            switch (kind) {
                case 0: model_rnn_tanh(level, y, h, xs, hs, hidden); break;
                case 1: model_rnn_relu(level, y, h, xs, hs, hidden); break;
                case 2: model_gru(level, y, h, xs, hs, hidden); break;
                default: model_lstm(level, y, h, c, xs, hs, hidden); keep(c, (size_t)hidden * sizeof *c); break;
            }
            keep(y, (size_t)hidden * sizeof *y);
            keep(h, (size_t)hidden * sizeof *h);
        }
    }
}
const unsigned char *all_of(int level);
size_t bytes_of(void);
int best_level(void);

const unsigned char *all_of(int level)
{
    const model_mode mode = model_flush();
    used = 0;
    seed = 1;
    products(level);
    layers(level);
    model_restore(mode);
    return out;
}
size_t bytes_of(void) { return used; }
int best_level(void) { return model_level(); }

#if !defined(__wasm__)
#include <stdio.h>
int main(int count, char **words)
{
    const int level = count > 1 ? words[1][0] - '0' : best_level();
    if (level > best_level()) {
        return 3;
    }
    const unsigned char *const made = all_of(level);
    return fwrite(made, 1, bytes_of(), stdout) == bytes_of() ? 0 : 1;
}
#endif
