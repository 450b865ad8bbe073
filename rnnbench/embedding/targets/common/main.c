/* ./model --verify [RESULT.json] | INPUT.json OUTPUT.json [--stream] | --sizes */
#define _POSIX_C_SOURCE 199309L /* clock_gettime, where C99 is asked for */
#include "bind.h"
#include "program.h"
#include "start.h"

#if defined(__clang__)
#define COMPILER "clang"
#define COMPILER_VERSION __clang_version__
#elif defined(__GNUC__)
#define COMPILER "gcc"
#define COMPILER_VERSION __VERSION__
#else
#define COMPILER "cc"
#define COMPILER_VERSION ""
#endif

#ifndef TARGET
#define TARGET "c"
#endif

/* What a call needs; the inputs and outputs of a step stay where they are. */
typedef struct {
    model_sizes sizes;
    void *workspace;
    array in[MODEL_INPUTS], out[MODEL_OUTPUTS];
} engine;

static void *room_for(size_t bytes) {
    void *room = calloc(1, bytes + 1);
    if (!room) fail("no memory for %lu bytes", (unsigned long)bytes);
    return room;
}

/* The workspace and the outputs of calls with such inputs. */
static void make_room(const array *in, engine *e, array *out) {
    size_t elements[MODEL_OUTPUTS];
    const char *wrong = measure(in, &e->sizes);
    if (wrong) fail("%s", wrong);
    e->workspace = room_for(workspace_of(&e->sizes));
    elements_of(elements, &e->sizes);
    for (int o = 0; o < MODEL_OUTPUTS; o++) {
        memset(&out[o], 0, sizeof out[o]);
        out[o].dtype = dtype_of(model_outputs[o].dtype);
        out[o].rank = model_outputs[o].rank;
        out[o].data = room_for(elements[o] * dtype_sizes[out[o].dtype]);
    }
}

static void run_once(const array *in, engine *e, array *out) {
    call(in, out, e->workspace, &e->sizes);
    for (int o = 0; o < MODEL_OUTPUTS; o++) out[o].bytes = bytes_of(&out[o]);
}

static void run(void *model, const array *in, array *out) {
    engine e;
    (void)model;
    make_room(in, &e, out);
    run_once(in, &e, out);
    free(e.workspace);
}

static void stop(engine *e) {
    free(e->workspace);
    for (int i = 0; i < MODEL_INPUTS; i++) free(e->in[i].data);
    for (int o = 0; o < MODEL_OUTPUTS; o++) free(e->out[o].data);
    memset(e, 0, sizeof *e);
}

static void start(void *model, const array *in) {
    engine *e = model;
    stop(e);
    for (int i = 0; i < MODEL_INPUTS; i++)
        if (start_input(&e->in[i], i, in)) fail("no memory for the inputs");
    make_room(e->in, e, e->out);
    run_once(e->in, e, e->out); /* which says the shapes of the outputs */
    for (int i = 0; i < MODEL_INPUTS; i++) {
        int from = model_inputs[i].state;
        if (from >= 0 && e->out[from].bytes != e->in[i].bytes) fail("a state comes out in another size than it went in");
    }
}

static void step(void *model) {
    engine *e = model;
    run_once(e->in, e, e->out);
    for (int i = 0; i < MODEL_INPUTS; i++)
        if (model_inputs[i].state >= 0) memcpy(e->in[i].data, e->out[model_inputs[i].state].data, e->in[i].bytes);
}

static array *input(void *model, int i) { return &((engine *)model)->in[i]; }
static const array *output(void *model, int i) { return &((engine *)model)->out[i]; }

/* What a step of one sequence takes besides code and constants. */
static void print_sizes(void) {
    array in[MODEL_INPUTS];
    model_sizes s;
    size_t elements[MODEL_OUTPUTS], given = 0, made = 0;
    for (int i = 0; i < MODEL_INPUTS; i++) {
        in[i].dtype = dtype_of(model_inputs[i].dtype);
        in[i].rank = model_inputs[i].rank;
        for (int d = 0; d < in[i].rank; d++) in[i].shape[d] = model_inputs[i].shape[d] < 0 ? 1 : model_inputs[i].shape[d];
        given += bytes_of(&in[i]);
    }
    const char *wrong = measure(in, &s);
    if (wrong) fail("%s: a step of one sequence is none of this model", wrong);
    elements_of(elements, &s);
    for (int o = 0; o < MODEL_OUTPUTS; o++) made += elements[o] * dtype_sizes[dtype_of(model_outputs[o].dtype)];
    printf("a step: workspace %lu bytes, inputs %lu, outputs %lu\n", (unsigned long)workspace_of(&s),
           (unsigned long)given, (unsigned long)made);
}

int main(int argc, char **argv) {
    static engine e;
    if (argc == 2 && !strcmp(argv[1], "--sizes")) return print_sizes(), 0;
    program p = {TARGET, COMPILER, COMPILER_VERSION, 0, &e, run, start, step, input, output};
    int code = program_main(&p, argc, argv);
    stop(&e);
    return code;
}
