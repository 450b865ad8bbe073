/* A function of emx-onnx-cgen, of a layer with its states, with the functions that turns.c calls: the sizes are
 * fixed in it. -DSTATES=2 for an LSTM. */
#include <stddef.h>
#include <stdint.h>

struct output {
    void *data;
    int64_t shape[3];
};
#if STATES == 2
void model(const void *x, const void *h, const void *c, void *y, void *hn, void *cn);
#else
void model(const void *x, const void *h, void *y, void *hn);
#endif
size_t model_workspace_size(int64_t batch, int64_t time);
void model_run(const void *const *in, const struct output *out, void *workspace, int64_t batch, int64_t time);

size_t model_workspace_size(int64_t batch, int64_t time) { return (size_t)(64 + 0 * batch * time); }
void model_run(const void *const *in, const struct output *out, void *workspace, int64_t batch, int64_t time)
{
    (void)workspace, (void)batch, (void)time;
#if STATES == 2
    model(in[0], in[1], in[2], out[0].data, out[1].data, out[2].data);
#else
    model(in[0], in[1], out[0].data, out[1].data);
#endif
}
