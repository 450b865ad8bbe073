/* The model: open it once, then run whole sequences, or start a stream and step through it. */
#ifndef ENGINE_H
#define ENGINE_H

#include <onnxruntime_c_api.h>

#include "arrays.h"
#include "ports.h"

typedef struct {
    const OrtApi *api;
    const char *version;
    OrtEnv *env;
    OrtSession *session;
    OrtMemoryInfo *memory;
    const char *input_names[MODEL_INPUTS], *output_names[MODEL_OUTPUTS];
    int used[MODEL_INPUTS], uses; /* the inputs that the file has: an exporter drops what has no effect */
    array in[MODEL_INPUTS];       /* of a step: write before it; the states write themselves */
    array out[MODEL_OUTPUTS];     /* of a step: read after it */
    OrtValue *in_values[MODEL_INPUTS], *out_values[MODEL_OUTPUTS];
    char error[1024]; /* why the last call failed, in a line */
} engine;

/* Every int here is 0, or -1 where it failed. */

int engine_open(engine *e, const char *file, int threads);
void engine_close(engine *e);

/* Whole sequences of any length; the data of the outputs are malloc'ed. */
int engine_run(engine *e, const array in[MODEL_INPUTS], array out[MODEL_OUTPUTS]);

/* Fills in dtypes and shapes; data are NULL. Another dynamic size than batch and time is 1. */
void engine_shapes(array in[MODEL_INPUTS], long long batch, long long steps);

/* Makes the buffers of a step: shapes as given, what they start from where data are given, else 0. */
int engine_start(engine *e, const array in[MODEL_INPUTS]);

/* Computes `out` from `in`, and copies each new state to where the next step reads it. Allocates nothing. */
int engine_step(engine *e);

#endif
