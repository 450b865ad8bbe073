/* Two ways to compute a layer, timed in turns in one process, one thread: turns OTHER LIBRARY BATCH TIME CALLS.
 * LIBRARY has the functions of --format c; OTHER is another such, or the ONNX file of the same layer, which runs in
 * ONNX Runtime's C API with its buffers bound. Prints "LIBRARY OTHER" in seconds, a round a line. */
#define _DEFAULT_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ort.h"

enum { ROUNDS = 40, TURNS = 4, MOST = 3 };

static const OrtApi *api;
static OrtSession *session;
static OrtIoBinding *binding;
static int calls;
static int64_t batch, steps;

static void must(OrtStatus *status) {
    if (status) {
        fprintf(stderr, "%s\n", api->GetErrorMessage(status));
        exit(1);
    }
}

typedef void (*runs)(const void *, void *, void *, int64_t, int64_t);
typedef struct { runs run; void *workspace; } functions;
static functions own, other;
static float *in[MOST];
static struct { void *data; int64_t shape[3]; } out[MOST];

static void ours(void) { own.run(in, out, own.workspace, batch, steps); }
static void theirs(void) { other.run(in, out, other.workspace, batch, steps); }
static void bare(void) { must(api->RunWithBinding(session, NULL, binding)); }

static functions load(const char *file) {
    functions made;
    size_t (*size)(int64_t, int64_t);
    void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        exit(1);
    }
    *(void **)&size = dlsym(library, "model_workspace_size");
    *(void **)&made.run = dlsym(library, "model_run");
    made.workspace = malloc(size(batch, steps));
    return made;
}

/* Buffers of its own for each side; inputs are the same small numbers. */
static float *numbers(size_t count) {
    float *made = aligned_alloc(64, (count * sizeof(float) + 63) / 64 * 64);
    for (size_t i = 0; i < count; i++) made[i] = (float)(i * 2654435761u % 1000) / 1000.0f - 0.5f;
    return made;
}

static size_t sized(OrtTypeInfo *info, int64_t *shape, size_t *rank) {
    const OrtTensorTypeAndShapeInfo *tensor;
    size_t count = 1, open = 0;
    must(api->CastTypeInfoToTensorInfo(info, &tensor));
    must(api->GetDimensionsCount(tensor, rank));
    must(api->GetDimensions(tensor, shape, *rank));
    for (size_t d = 0; d < *rank; d++) {
        if (shape[d] < 0) shape[d] = open++ ? steps : batch; /* x [batch, time, 64], h [1, batch, 128] */
        count *= (size_t)shape[d];
    }
    return count;
}

static void bind(void) {
    OrtAllocator *names;
    OrtMemoryInfo *memory;
    must(api->GetAllocatorWithDefaultOptions(&names));
    must(api->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &memory));
    must(api->CreateIoBinding(session, &binding));
    for (int given = 1; given >= 0; given--) {
        size_t ports;
        must(given ? api->SessionGetInputCount(session, &ports) : api->SessionGetOutputCount(session, &ports));
        for (size_t i = 0; i < ports; i++) {
            OrtTypeInfo *info;
            OrtValue *value;
            char *name;
            int64_t shape[8];
            size_t rank;
            must(given ? api->SessionGetInputTypeInfo(session, i, &info)
                       : api->SessionGetOutputTypeInfo(session, i, &info));
            must(given ? api->SessionGetInputName(session, i, names, &name)
                       : api->SessionGetOutputName(session, i, names, &name));
            const size_t count = sized(info, shape, &rank);
            must(api->CreateTensorWithDataAsOrtValue(memory, numbers(count), count * sizeof(float), shape, rank,
                                                     ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &value));
            must(given ? api->BindInput(binding, name, value) : api->BindOutput(binding, name, value));
            if (given)
                in[i] = numbers(count);
            else
                out[i].data = numbers(count);
        }
    }
}

static double time_of(void (*call)(void)) {
    struct timespec start, end;
    call(); /* refills the caches that the other one took */
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (int i = 0; i < calls; i++) call();
    clock_gettime(CLOCK_MONOTONIC, &end);
    return ((double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec)) / calls;
}

int main(int argc, char **argv) {
    const char *version;
    char error[1024];
    OrtEnv *env;
    OrtSessionOptions *options;
    if (argc != 6 || !(api = ort_load(17, &version, error, sizeof error))) {
        fprintf(stderr, "%s\n", argc != 6 ? "turns OTHER LIBRARY BATCH TIME CALLS" : error);
        return 2;
    }
    const int is_onnx = strstr(argv[1], ".onnx") != NULL;
    batch = atoll(argv[3]), steps = atoll(argv[4]), calls = atoi(argv[5]);
    if (is_onnx) {
        must(api->CreateEnv(ORT_LOGGING_LEVEL_FATAL, "bare", &env));
        must(api->CreateSessionOptions(&options));
        must(api->SetIntraOpNumThreads(options, 1));
        must(api->SetInterOpNumThreads(options, 1));
        must(api->CreateSession(env, argv[1], options, &session));
        bind();
    } else {
        other = load(argv[1]);
        for (int i = 0; i < MOST; i++) { /* room for any of the three */
            in[i] = numbers((size_t)(batch * steps * 1024));
            out[i].data = numbers((size_t)(batch * steps * 1024));
        }
    }
    own = load(argv[2]);
    for (int round = -3; round < ROUNDS; round++) {
        double best[2] = {1e9, 1e9};
        for (int turn = 0; turn < 2 * TURNS; turn++) {
            const int which = (turn + turn / 2 + round) & 1; /* who comes first changes */
            const double took = time_of(which ? (is_onnx ? bare : theirs) : ours);
            if (took < best[which]) best[which] = took;
        }
        if (round >= 0) printf("%.9g %.9g\n", best[0], best[1]);
    }
    return 0;
}
