#include "bare.h"
#include "engine.h"

static void step(void *model) {
    engine *e = model;
    if (engine_step(e)) fail("%s", e->error);
}

int main(void) {
    static engine e;
    static bare b;
    array in[MODEL_INPUTS];
    engine_shapes(in, 1, 1);
    if (engine_open(&e, MODEL_FILE, 1) || engine_start(&e, in)) fail("%s", e.error);
    bare_open(&b, MODEL_FILE, e.in, e.out);
    interleave(step, &e, &b);
}
