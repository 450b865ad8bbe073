#include "engine.hpp"

#include "bare.h"

static array shape_of(const Tensor &tensor) {
    array a = {tensor.dtype, static_cast<int>(tensor.shape.size()), {}, tensor.bytes.size(), nullptr};
    std::copy(tensor.shape.begin(), tensor.shape.end(), a.shape);
    return a;
}

static void step(void *model) { static_cast<Model *>(model)->step(); }

int main() {
    static bare b;
    array in[MODEL_INPUTS], out[MODEL_OUTPUTS];
    Model model(MODEL_FILE);
    model.start(Model::zeros(1, 1));
    for (int i = 0; i < MODEL_INPUTS; i++) in[i] = shape_of(model.input(i));
    for (int o = 0; o < MODEL_OUTPUTS; o++) out[o] = shape_of(model.output(o));
    bare_open(&b, MODEL_FILE, in, out);
    interleave(step, &model, &b);
}
