/* A bare loop over ONNX Runtime's C API, and two functions timed in turns. Prints "OURS BARE" in seconds, a round a line. */
#include <time.h>

#include "arrays.h"
#include "ports.h"
#include "ort.h"

enum { ROUNDS = 60, TURNS = 6, CALLS = 100 };

typedef void (*call)(void *);

typedef struct {
    const OrtApi *api;
    OrtSession *session;
    const char *in_names[MODEL_INPUTS], *out_names[MODEL_OUTPUTS];
    OrtValue *in[MODEL_INPUTS], *out[MODEL_OUTPUTS];
} bare;

static inline void must(const bare *b, OrtStatus *status) {
    if (status) fail("%s", b->api->GetErrorMessage(status));
}

static inline OrtValue *floats(const bare *b, OrtMemoryInfo *memory, const array *a) {
    int64_t shape[MAX_RANK];
    OrtValue *value = NULL;
    for (int d = 0; d < a->rank; d++) shape[d] = a->shape[d];
    must(b, b->api->CreateTensorWithDataAsOrtValue(memory, calloc(1, a->bytes), a->bytes, shape, (size_t)a->rank,
                                                   ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &value));
    return value;
}

/* A session of its own over float32 buffers of these shapes. */
static inline void bare_open(bare *b, const char *file, const array *in, const array *out) {
    const char *version;
    char error[1024];
    OrtEnv *env;
    OrtSessionOptions *options;
    OrtMemoryInfo *memory;
    b->api = ort_load(1, &version, error, sizeof error);
    if (!b->api) fail("%s", error);
    must(b, b->api->CreateEnv(ORT_LOGGING_LEVEL_FATAL, "bare", &env));
    must(b, b->api->CreateSessionOptions(&options));
    must(b, b->api->SetIntraOpNumThreads(options, 1));
    must(b, b->api->SetInterOpNumThreads(options, 1));
    must(b, b->api->CreateSession(env, file, options, &b->session));
    must(b, b->api->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &memory));
    for (int i = 0; i < MODEL_INPUTS; i++) b->in_names[i] = model_inputs[i].name, b->in[i] = floats(b, memory, &in[i]);
    for (int o = 0; o < MODEL_OUTPUTS; o++)
        b->out_names[o] = model_outputs[o].name, b->out[o] = floats(b, memory, &out[o]);
}

static inline void bare_step(void *self) {
    bare *b = (bare *)self;
    must(b, b->api->Run(b->session, NULL, b->in_names, (const OrtValue *const *)b->in, MODEL_INPUTS, b->out_names,
                        MODEL_OUTPUTS, b->out));
}

static inline double time_of(call step, void *self) {
    struct timespec start, end;
    step(self); /* refills the caches that the other one took */
    timespec_get(&start, TIME_UTC);
    for (int i = 0; i < CALLS; i++) step(self);
    timespec_get(&end, TIME_UTC);
    return ((double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec)) / CALLS;
}

static inline void interleave(call ours, void *model, bare *b) {
    for (int round = -5; round < ROUNDS; round++) {
        double best[2] = {1, 1};
        for (int turn = 0; turn < 2 * TURNS; turn++) {
            int which = (turn + turn / 2 + round) & 1; /* who comes first changes */
            double took = which ? time_of(bare_step, b) : time_of(ours, model);
            if (took < best[which]) best[which] = took;
        }
        if (round >= 0) printf("%.9g %.9g\n", best[0], best[1]);
    }
}
