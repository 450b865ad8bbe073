/* ./model --verify [RESULT.json] | INPUT.json OUTPUT.json [--stream] */
#include "engine.h"
#include "program.h"

static void run(void *model, const array *in, array *out) {
    engine *e = model;
    if (engine_run(e, in, out)) fail("%s", e->error);
}

static void start(void *model, const array *in) {
    engine *e = model;
    if (engine_start(e, in)) fail("%s", e->error);
}

static void step(void *model) {
    engine *e = model;
    if (engine_step(e)) fail("%s", e->error);
}

static array *input(void *model, int i) { return &((engine *)model)->in[i]; }
static const array *output(void *model, int i) { return &((engine *)model)->out[i]; }

int main(int argc, char **argv) {
    static engine e;
    char file[4096];
    double before = seconds();
    beside(argv[0], MODEL_FILE, file, sizeof file);
    if (engine_open(&e, file, 1)) fail("%s", e.error);
    double load_s = seconds() - before;
    program p = {"c-onnxruntime", "onnxruntime", e.version, load_s, &e, run, start, step, input, output};
    int code = program_main(&p, argc, argv);
    engine_close(&e);
    return code;
}
