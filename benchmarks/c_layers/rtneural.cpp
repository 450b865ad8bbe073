// A layer of RTNeural with the functions that turns.c calls, from zero states, one row:
// -DLAYER=LSTMLayerT -DSIZE=64 -DHIDDEN=128 -DWEIGHTS="\"file.json\"" (PyTorch's state_dict as lists).
#include <cstdint>
#include <cstring>
#include <fstream>

#include <RTNeural/RTNeural.h>

namespace {
using Layer = RTNeural::LAYER<float, SIZE, HIDDEN>;
using Model = RTNeural::ModelT<float, SIZE, HIDDEN, Layer>;

Model &loaded()
{
    static Model model;
    static bool is_loaded = false;
    if (!is_loaded) {
        std::ifstream file(WEIGHTS);
        const auto weights = nlohmann::json::parse(file);
        RTNeural::torch_helpers::LOAD<float>(weights, "", model.get<0>());
        is_loaded = true;
    }
    return model;
}

struct Output {
    float *data;
    std::int64_t shape[3];
};
} // namespace

extern "C" std::size_t model_workspace_size(std::int64_t, std::int64_t)
{
    loaded();
    return 64;
}

extern "C" void model_run(const float *const *inputs, Output *outputs, void *, std::int64_t, std::int64_t time)
{
    Model &model = loaded();
    model.reset();
    for (std::int64_t t = 0; t < time; ++t) {
        model.forward(inputs[0] + t * SIZE);
        std::memcpy(outputs[0].data + t * HIDDEN, model.getOutputs(), sizeof(float) * HIDDEN);
    }
}
