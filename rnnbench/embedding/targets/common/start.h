/* What a stream starts from. */
#ifndef START_H
#define START_H

#include <stdint.h>

#include "arrays.h"
#include "ports.h"

/* Lengths that nobody gave: each row is as long as the step. */
static inline void fill_lengths(array *a, const array in[MODEL_INPUTS]) {
    long long steps = 1;
    for (int i = 0; i < MODEL_INPUTS; i++)
        if (model_inputs[i].time_axis >= 0) steps = in[i].shape[model_inputs[i].time_axis];
    for (long long k = count_of(a, 0, a->rank) - 1; k >= 0; k--)
        if (a->dtype == INT64)
            ((int64_t *)a->data)[k] = steps;
        else if (a->dtype == INT32)
            ((int32_t *)a->data)[k] = (int32_t)steps;
}

/* An input in memory of its own: as given, or zeros; -1 where there is no memory. */
static inline int start_input(array *a, int i, const array in[MODEL_INPUTS]) {
    *a = in[i];
    a->bytes = bytes_of(a);
    if (!(a->data = calloc(1, a->bytes + 1))) return -1;
    if (in[i].data)
        memcpy(a->data, in[i].data, a->bytes);
    else if (model_inputs[i].role == ROLE_LENGTHS)
        fill_lengths(a, in);
    return 0;
}

#endif
