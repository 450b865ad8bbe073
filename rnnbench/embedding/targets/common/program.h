/* --verify [RESULT.json] | INPUT.json OUTPUT.json [--stream], for any model behind five functions. */
#ifndef PROGRAM_H
#define PROGRAM_H

#include <math.h>
#include <time.h>

#include "arrays.h"
#include "ports.h"

/* Every function ends the program where it fails. */
typedef struct {
    const char *target, *runtime, *version;
    double load_s;
    void *model;
    void (*run)(void *model, const array *in, array *out);      /* whole sequences; allocates the outputs */
    void (*start)(void *model, const array *in);                /* shapes of a step, what to start from */
    void (*step)(void *model);                                  /* hands the states on */
    array *(*input)(void *model, int i);                        /* of a step: to be written before it */
    const array *(*output)(void *model, int i);                 /* of a step: to be read after it */
} program;

#if defined(OWN_CLOCK)
double seconds(void); /* of the program: there is no system that has one */
#else
static inline double seconds(void) {
    struct timespec now;
#if defined(CLOCK_MONOTONIC)
    clock_gettime(CLOCK_MONOTONIC, &now);
#else
    timespec_get(&now, TIME_UTC); /* of C11 */
#endif
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
#endif

/* ---- Inputs and outputs of a call ---- */

/* Ends the program where an array is not what `ports.h` says. */
static inline void check_input(const array *a, const model_port *port, long long *batch, long long *steps) {
    if (a->dtype != dtype_of(port->dtype))
        fail("input %s is %s: it must be %s", port->name, dtype_names[a->dtype], port->dtype);
    if (a->rank != port->rank) fail("input %s has %d dimensions: it must have %d", port->name, a->rank, port->rank);
    for (int i = 0; i < a->rank; i++) {
        long long want = port->shape[i], *same = want == -1 ? batch : want == -2 ? steps : NULL;
        if (same && *same < 0) *same = a->shape[i];
        if (same) want = *same;
        if (want >= 0 && a->shape[i] != want)
            fail("input %s: dimension %d is %lld, and must be %lld", port->name, i, a->shape[i], want);
    }
}

/* The inputs of a case in the order of `ports.h`; of the first case where `name` is NULL. */
static inline void find_inputs(const entry *entries, int count, const char *name, array *in) {
    long long batch = -1, steps = -1;
    for (int k = 0; k < count && !name; k++)
        if (!strcmp(entries[k].part, "in")) name = entries[k].case_name;
    for (int i = 0; i < MODEL_INPUTS; i++) {
        const entry *found = NULL;
        for (int k = 0; k < count; k++)
            if (!strcmp(entries[k].part, "in") && !strcmp(entries[k].name, model_inputs[i].name) &&
                name && !strcmp(entries[k].case_name, name))
                found = &entries[k];
        if (!found) fail("input %s is missing: see input.json for all of them", model_inputs[i].name);
        in[i] = found->values;
        check_input(&in[i], &model_inputs[i], &batch, &steps);
    }
}

/* Copies a part of the steps out of the whole (or back into it), along an axis, from step `at` on. */
static inline void copy_steps(const array *whole, const array *part, int axis, long long at, int back) {
    size_t each = (size_t)count_of(whole, axis + 1, whole->rank) * dtype_sizes[whole->dtype];
    size_t row = each * (size_t)whole->shape[axis], chunk = each * (size_t)part->shape[axis];
    char *big = (char *)whole->data + each * (size_t)at, *small = (char *)part->data;
    for (long long i = count_of(whole, 0, axis); i > 0; i--, big += row, small += chunk)
        memcpy(back ? big : small, back ? small : big, chunk);
}

/* A step after the other, the states handed on; the outputs as one call gives them. */
static inline void run_stream(const program *p, const array *in, array *out) {
    array first[MODEL_INPUTS];
    long long steps = -1;
    for (int i = 0; i < MODEL_INPUTS; i++) {
        int axis = model_inputs[i].time_axis;
        first[i] = in[i];
        if (axis >= 0) steps = in[i].shape[axis], first[i].shape[axis] = 1, first[i].data = NULL;
        if (model_inputs[i].role == ROLE_LENGTHS) first[i].data = NULL; /* each as long as the step */
        first[i].bytes = bytes_of(&first[i]);
    }
    if (steps < 1) fail("there are no steps to stream: run it without --stream");
    p->start(p->model, first);
    for (int o = 0; o < MODEL_OUTPUTS; o++) {
        int axis = model_outputs[o].time_axis;
        out[o] = *p->output(p->model, o);
        if (axis >= 0) out[o].shape[axis] *= steps;
        out[o].bytes = bytes_of(&out[o]);
        if (!(out[o].data = malloc(out[o].bytes + 1))) fail("no memory for output %s", model_outputs[o].name);
    }
    for (long long t = 0; t < steps; t++) {
        for (int i = 0; i < MODEL_INPUTS; i++)
            if (model_inputs[i].time_axis >= 0)
                copy_steps(&in[i], p->input(p->model, i), model_inputs[i].time_axis, t, 0);
        p->step(p->model);
        for (int o = 0; o < MODEL_OUTPUTS; o++) {
            const array *made = p->output(p->model, o);
            int axis = model_outputs[o].time_axis;
            if (axis >= 0)
                copy_steps(&out[o], made, axis, t * made->shape[axis], 1);
            else if (t == steps - 1)
                memcpy(out[o].data, made->data, made->bytes);
        }
    }
}

static inline void free_outputs(array *out) {
    for (int o = 0; o < MODEL_OUTPUTS; o++) free(out[o].data);
}

/* ---- Verification ---- */

/* How far an element is off, and how far it may be. */
typedef struct {
    double error, allowed;
} deviation;

/* That of the element which is the worst for what it is allowed; an error of NAN for another shape or
   dtype, or where a number is none. */
static inline deviation deviation_of(const array *made, const entry *wanted) {
    const array *exact = &wanted->values;
    deviation none = {(double)NAN, wanted->allowed}, worst = {0, wanted->allowed};
    double share = 0;
    if (made->dtype != exact->dtype || made->rank != exact->rank) return none;
    for (int i = 0; i < made->rank; i++)
        if (made->shape[i] != exact->shape[i]) return none;
    for (long long i = count_of(made, 0, made->rank) - 1; i >= 0; i--) {
        double error = fabs(number_at(made, i) - number_at(exact, i));
        double allowed = wanted->limits.data ? number_at(&wanted->limits, i) : wanted->allowed;
        double own = allowed > 0 ? error / allowed : error <= allowed ? 0 : (double)INFINITY;
        if (!isfinite(error)) return none;
        if (own > share || (own == share && error > worst.error)) share = own, worst.error = error, worst.allowed = allowed;
    }
    return worst;
}

/* The time of the smallest call, the best of 200. */
static inline double step_seconds(const program *p, const entry *entries, int count) {
    array in[MODEL_INPUTS];
    const char *name = NULL;
    double best = INFINITY;
    for (int k = 0; k < count; k++)
        if (!name || !strcmp(entries[k].case_name, "batch-1-time-1")) name = entries[k].case_name;
    find_inputs(entries, count, name, in);
    p->start(p->model, in);
    for (int i = 0; i < 200; i++) {
        double start = seconds();
        p->step(p->model);
        double took = seconds() - start;
        if (took < best) best = took;
    }
    return best;
}

/* Compares one case, once or also streamed; counts what is right, and writes rows where asked. */
static inline void verify_case(const program *p, const entry *entries, int count, const entry *first, int stream,
                               FILE *result, int *rows, int *right, double *worst) {
    array in[MODEL_INPUTS], out[MODEL_OUTPUTS];
    const char *how = stream ? "stream" : "whole";
    find_inputs(entries, count, first->case_name, in);
    if (stream)
        run_stream(p, in, out);
    else
        p->run(p->model, in, out);
    for (const entry *e = entries; e < entries + count; e++) {
        if (strcmp(e->part, "out") || strcmp(e->case_name, first->case_name)) continue;
        deviation found = {(double)NAN, e->allowed};
        for (int o = 0; o < MODEL_OUTPUTS; o++)
            if (!strcmp(model_outputs[o].name, e->name)) found = deviation_of(&out[o], e);
        double error = found.error, allowed = found.allowed;
        int ok = error <= allowed;
        *right += ok;
        if (error > *worst) *worst = error;
        if (!ok) printf("WRONG %s %s %s: off by %.3g, allowed %.3g\n", e->case_name, how, e->name, error, allowed);
        if (result) {
            fprintf(result, "%s\n  {\"case\": ", *rows ? "," : "");
            put_text(result, e->case_name);
            fprintf(result, ", \"how\": \"%s\", \"output\": ", how);
            put_text(result, e->name);
            fputs(", \"error\": ", result);
            isfinite(error) ? fprintf(result, "%.17g", error) : fprintf(result, "null");
            fprintf(result, ", \"allowed\": %.17g, \"ok\": %s}", allowed, ok ? "true" : "false");
        }
        ++*rows;
    }
    free_outputs(out);
}

/* Every golden case at once and, where it may be, step by step. */
static inline int verify(const program *p, const char *golden, const char *path) {
    entry *entries;
    FILE *there = fopen(golden, "r");
    if (!there) fail("there is no %s to verify with: embed it again", golden);
    fclose(there);
    int count = arrays_read(golden, &entries), rows = 0, right = 0;
    double worst = 0;
    if (!count) fail("%s has no cases", golden);
    double step_s = step_seconds(p, entries, count);
    FILE *result = path ? fopen(path, "w") : NULL;
    if (path && !result) fail("cannot write %s: give another result file", path);
    if (result) {
        fprintf(result, "{\"format\": \"rnnbench-result-1\", \"target\": \"%s\",\n", p->target);
        fprintf(result, " \"versions\": {\"%s\": ", p->runtime);
        put_text(result, p->version);
        fprintf(result, "},\n \"load_s\": %.9f, \"step_s\": %.9f, \"rows\": [", p->load_s, step_s);
    }
    for (int k = 0; k < count; k++) {
        int seen = 0;
        for (int i = 0; i < k; i++) seen |= !strcmp(entries[i].case_name, entries[k].case_name);
        for (int stream = 0; !seen && stream <= (MODEL_STREAMS && entries[k].stream); stream++)
            verify_case(p, entries, count, &entries[k], stream, result, &rows, &right, &worst);
    }
    int cut = result && fputs("\n]}\n", result) < 0;
    if ((result && fclose(result) != 0) || cut) fail("cannot write all of %s", path);
    printf("%d of %d right, worst error %.1e\n", right, rows, worst);
    arrays_free(entries, count);
    return right < rows || !rows;
}

/* ---- The command line ---- */

static inline int program_main(const program *p, int argc, char **argv) {
    char golden[4096];
    int stream = argc == 4 && !strcmp(argv[3], "--stream");
    if (argc > 1 && argc < 4 && !strcmp(argv[1], "--verify")) {
        beside(argv[0], "golden/cases.json", golden, sizeof golden);
        return verify(p, golden, argc > 2 ? argv[2] : NULL);
    }
    if (argc != 3 + stream || argv[1][0] == '-')
        fail("give --verify [RESULT.json], or INPUT.json OUTPUT.json [--stream]");
    if (stream && !MODEL_STREAMS) fail("%s needs whole sequences: run it without --stream", MODEL_NAME);
    entry *entries;
    array in[MODEL_INPUTS], out[MODEL_OUTPUTS];
    const char *names[MODEL_OUTPUTS];
    int count = arrays_read(argv[1], &entries);
    find_inputs(entries, count, NULL, in);
    if (stream)
        run_stream(p, in, out);
    else
        p->run(p->model, in, out);
    for (int o = 0; o < MODEL_OUTPUTS; o++) names[o] = model_outputs[o].name;
    arrays_write(argv[2], names, out, MODEL_OUTPUTS);
    for (int o = 0; o < MODEL_OUTPUTS; o++) array_print(names[o], &out[o]);
    free_outputs(out);
    arrays_free(entries, count);
    return 0;
}

#endif
