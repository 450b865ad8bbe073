/* Steps of a stream, one row, each timed alone: steps LIBRARY SIZE HIDDEN STATES STEPS. A loud stream and one that
 * fell silent take turns in blocks of 1,000. Prints for each block the median and the largest step of the loud
 * one, then of the silent one, in seconds. */
#define _DEFAULT_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BLOCK = 1000, MOST = 2 };

typedef void (*runs)(const void *, void *, void *, int64_t, int64_t);
struct output {
    float *data;
    int64_t shape[3];
};
struct stream {
    float *x, *y, *state[2][MOST]; /* of before and after, changing places */
    int at;
};

static float *zeros(size_t count) { return memset(aligned_alloc(64, (count * 4 + 63) / 64 * 64), 0, count * 4); }

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    static double took[BLOCK];
    struct stream streams[2];
    size_t (*size_of)(int64_t, int64_t);
    runs run;
    void *library = argc == 6 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    if (!library) {
        fprintf(stderr, "%s\n", argc == 6 ? dlerror() : "steps LIBRARY SIZE HIDDEN STATES STEPS");
        return 2;
    }
    const size_t size = (size_t)atoll(argv[2]), hidden = (size_t)atoll(argv[3]);
    const int states = atoi(argv[4]), steps = atoi(argv[5]);
    *(void **)&size_of = dlsym(library, "model_workspace_size");
    *(void **)&run = dlsym(library, "model_run");
    void *workspace = malloc(size_of(1, 1));
    for (int s = 0; s < 2; s++) {
        streams[s] = (struct stream){.x = zeros(size), .y = zeros(hidden)};
        for (int n = 0; n < 2 * states; n++) streams[s].state[n & 1][n / 2] = zeros(hidden);
    }
    unsigned seed = 1;
    for (int block = -2; block < steps / BLOCK; block++) {
        double said[4];
        for (int s = 0; s < 2; s++) {
            struct stream *const on = &streams[s];
            for (int i = 0; i < BLOCK; i++) {
                struct timespec start, end;
                struct output out[1 + MOST] = {{.data = on->y}};
                const float *in[1 + MOST] = {on->x};
                const int loud = s == 0 || block < -1;
                for (size_t k = 0; k < size; k++) {
                    seed = seed * 1664525u + 1013904223u;
                    on->x[k] = loud ? (float)(seed >> 8) / 8388608.0f - 1.0f : 0.0f;
                }
                for (int n = 0; n < states; n++) {
                    in[1 + n] = on->state[on->at][n];
                    out[1 + n].data = on->state[!on->at][n];
                }
                on->at = !on->at;
                clock_gettime(CLOCK_MONOTONIC, &start);
                run(in, out, workspace, 1, 1);
                clock_gettime(CLOCK_MONOTONIC, &end);
                took[i] = (double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec);
            }
            qsort(took, BLOCK, sizeof *took, by_size);
            said[2 * s] = took[BLOCK / 2], said[2 * s + 1] = took[BLOCK - 1];
        }
        if (block >= 0) printf("%.9g %.9g %.9g %.9g\n", said[0], said[1], said[2], said[3]);
    }
    return 0;
}
