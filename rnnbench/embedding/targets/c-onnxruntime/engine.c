#include "engine.h"

#include "ort.h"
#include "start.h"

/* What is called here came with the first version of the C API; whether the library knows the
 * operators in the file, it says itself when it loads the file. */
enum { API_NEEDED = 1 };
#define REMEDY ": copy it from its bundle again, or install a newer ONNX Runtime"

static const ONNXTensorElementDataType types[DTYPES] = {
    ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16,
    ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32,  ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL,
};

static int no(engine *e, const char *why) {
    snprintf(e->error, sizeof e->error, "%s", why);
    for (char *at = e->error; *at; at++)
        if (*at == '\n' || *at == '\r') *at = ' ';
    return -1;
}

/* 0 where a call of the API went well. */
static int said(engine *e, OrtStatus *status) {
    if (!status) return 0;
    no(e, e->api->GetErrorMessage(status));
    e->api->ReleaseStatus(status);
    return -1;
}
#define TRY(call) \
    do { \
        if (said(e, e->api->call)) return -1; \
    } while (0)

/* Which of the model's inputs the file has. */
static int find_used(engine *e) {
    OrtAllocator *allocator;
    size_t count;
    TRY(GetAllocatorWithDefaultOptions(&allocator));
    TRY(SessionGetInputCount(e->session, &count));
    for (size_t k = 0; k < count; k++) {
        char *name;
        int found = -1;
        TRY(SessionGetInputName(e->session, k, allocator, &name));
        for (int i = 0; i < MODEL_INPUTS; i++)
            if (!strcmp(name, model_inputs[i].name)) found = i;
        TRY(AllocatorFree(allocator, name));
        if (found < 0 || e->uses == MODEL_INPUTS) return no(e, "the file has inputs that ports.h has not");
        e->used[e->uses] = found;
        e->input_names[e->uses++] = model_inputs[found].name;
    }
    return 0;
}

static int open_session(engine *e, OrtSessionOptions *options, const char *file, int threads) {
    TRY(SetIntraOpNumThreads(options, threads));
    TRY(SetInterOpNumThreads(options, 1));
    if (said(e, e->api->CreateSession(e->env, file, options, &e->session))) {
        strncat(e->error, REMEDY, sizeof e->error - strlen(e->error) - 1);
        return -1;
    }
    return find_used(e);
}

int engine_open(engine *e, const char *file, int threads) {
    OrtSessionOptions *options;
    memset(e, 0, sizeof *e);
    for (int o = 0; o < MODEL_OUTPUTS; o++) e->output_names[o] = model_outputs[o].name;
    e->api = ort_load(API_NEEDED, &e->version, e->error, sizeof e->error);
    if (!e->api) return -1;
    TRY(CreateEnv(ORT_LOGGING_LEVEL_FATAL, "model", &e->env));
    TRY(CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &e->memory));
    TRY(CreateSessionOptions(&options));
    int failed = open_session(e, options, file, threads);
    e->api->ReleaseSessionOptions(options);
    return failed;
}

static int wrap(engine *e, const array *a, OrtValue **value) {
    int64_t shape[MAX_RANK];
    for (int i = 0; i < a->rank; i++) shape[i] = a->shape[i];
    TRY(CreateTensorWithDataAsOrtValue(e->memory, a->data, a->bytes, shape, (size_t)a->rank, types[a->dtype], value));
    return 0;
}

/* Runs the file once; ONNX Runtime allocates the outputs, which are to be released. */
static int run_once(engine *e, OrtValue *const *in, OrtValue **out) {
    memset(out, 0, MODEL_OUTPUTS * sizeof *out);
    TRY(Run(e->session, NULL, e->input_names, (const OrtValue *const *)in, (size_t)e->uses, e->output_names,
            MODEL_OUTPUTS, out));
    return 0;
}

/* A copy of a value, in memory of its own. */
static int copy_value(engine *e, OrtValue *value, array *a) {
    OrtTensorTypeAndShapeInfo *info;
    ONNXTensorElementDataType type;
    int64_t shape[MAX_RANK];
    size_t rank = 0;
    void *data;
    TRY(GetTensorTypeAndShape(value, &info));
    int failed = said(e, e->api->GetTensorElementType(info, &type)) || said(e, e->api->GetDimensionsCount(info, &rank)) ||
                 (rank > MAX_RANK ? no(e, "an output has more than 8 dimensions")
                                  : said(e, e->api->GetDimensions(info, shape, rank)));
    e->api->ReleaseTensorTypeAndShapeInfo(info);
    if (failed) return -1;
    for (a->dtype = 0; a->dtype < DTYPES && types[a->dtype] != type;) a->dtype++;
    if (a->dtype == DTYPES) return no(e, "an output has a dtype that arrays.h has not");
    a->rank = (int)rank;
    for (size_t i = 0; i < rank; i++) a->shape[i] = shape[i];
    a->bytes = bytes_of(a);
    if (!(a->data = malloc(a->bytes + 1))) return no(e, "no memory for the outputs");
    TRY(GetTensorMutableData(value, &data));
    memcpy(a->data, data, a->bytes);
    return 0;
}

int engine_run(engine *e, const array in[MODEL_INPUTS], array out[MODEL_OUTPUTS]) {
    OrtValue *given[MODEL_INPUTS] = {NULL}, *made[MODEL_OUTPUTS] = {NULL};
    int failed = 0;
    for (int i = 0; i < e->uses && !failed; i++) failed = wrap(e, &in[e->used[i]], &given[i]);
    if (!failed) failed = run_once(e, given, made);
    for (int o = 0; o < MODEL_OUTPUTS; o++) out[o].data = NULL;
    for (int o = 0; o < MODEL_OUTPUTS && !failed; o++) failed = copy_value(e, made[o], &out[o]);
    for (int i = 0; i < e->uses; i++) e->api->ReleaseValue(given[i]);
    for (int o = 0; o < MODEL_OUTPUTS; o++) e->api->ReleaseValue(made[o]);
    for (int o = 0; o < MODEL_OUTPUTS && failed; o++) free(out[o].data), out[o].data = NULL;
    return failed;
}

void engine_shapes(array in[MODEL_INPUTS], long long batch, long long steps) {
    for (int i = 0; i < MODEL_INPUTS; i++) {
        const model_port *port = &model_inputs[i];
        in[i] = (array){.dtype = dtype_of(port->dtype), .rank = port->rank};
        for (int d = 0; d < port->rank; d++) {
            int n = port->shape[d];
            in[i].shape[d] = n >= 0 ? n : n == -1 ? batch : n == -2 ? steps : 1;
        }
        in[i].bytes = bytes_of(&in[i]);
    }
}

static void stop(engine *e) {
    for (int i = 0; i < MODEL_INPUTS; i++) {
        if (e->in_values[i]) e->api->ReleaseValue(e->in_values[i]);
        free(e->in[i].data);
        e->in_values[i] = NULL, e->in[i].data = NULL;
    }
    for (int o = 0; o < MODEL_OUTPUTS; o++) {
        if (e->out_values[o]) e->api->ReleaseValue(e->out_values[o]);
        free(e->out[o].data);
        e->out_values[o] = NULL, e->out[o].data = NULL;
    }
}

int engine_start(engine *e, const array in[MODEL_INPUTS]) {
    stop(e);
    for (int i = 0; i < MODEL_INPUTS; i++)
        if (start_input(&e->in[i], i, in)) return no(e, "no memory for the inputs");
    for (int i = 0; i < e->uses; i++)
        if (wrap(e, &e->in[e->used[i]], &e->in_values[i])) return -1;
    /* A first run says how large the outputs are. */
    if (engine_run(e, e->in, e->out)) return -1;
    for (int o = 0; o < MODEL_OUTPUTS; o++)
        if (wrap(e, &e->out[o], &e->out_values[o])) return -1;
    for (int i = 0; i < MODEL_INPUTS; i++) {
        int from = model_inputs[i].state;
        if (from >= 0 && e->out[from].bytes != e->in[i].bytes)
            return no(e, "a state comes out in another size than it went in");
    }
    return 0;
}

int engine_step(engine *e) {
    TRY(Run(e->session, NULL, e->input_names, (const OrtValue *const *)e->in_values, (size_t)e->uses, e->output_names,
            MODEL_OUTPUTS, e->out_values));
    for (int i = 0; i < MODEL_INPUTS; i++)
        if (model_inputs[i].state >= 0) memcpy(e->in[i].data, e->out[model_inputs[i].state].data, e->in[i].bytes);
    return 0;
}

void engine_close(engine *e) {
    if (!e->api) return;
    stop(e);
    if (e->session) e->api->ReleaseSession(e->session);
    if (e->memory) e->api->ReleaseMemoryInfo(e->memory);
    if (e->env) e->api->ReleaseEnv(e->env);
    memset(e, 0, sizeof *e);
}
