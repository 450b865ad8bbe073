// ./model --verify [RESULT.json] | INPUT.json OUTPUT.json [--stream]
#include "engine.hpp"
#include "program.h"

// Between the arrays of files and tensors.
static array view(const Tensor &tensor) {
    array a = {tensor.dtype, static_cast<int>(tensor.shape.size()), {}, tensor.bytes.size(), const_cast<char *>(tensor.bytes.data())};
    std::copy(tensor.shape.begin(), tensor.shape.end(), a.shape);
    return a;
}

static Tensor tensor_of(const array &a) {
    Tensor tensor(a.dtype, {a.shape, a.shape + a.rank});
    if (a.data) std::memcpy(tensor.bytes.data(), a.data, a.bytes);
    return tensor;
}

struct Running {
    Model model;
    array in[MODEL_INPUTS], out[MODEL_OUTPUTS];
};

static void run(void *self, const array *in, array *out) {
    std::vector<Tensor> inputs;
    for (int i = 0; i < MODEL_INPUTS; i++) inputs.push_back(tensor_of(in[i]));
    for (const Tensor &made : static_cast<Running *>(self)->model(std::move(inputs))) {
        *out = view(made);
        out->data = std::malloc(made.bytes.size() + 1);
        std::memcpy(out++->data, made.bytes.data(), made.bytes.size());
    }
}

static void start(void *self, const array *in) {
    Running *r = static_cast<Running *>(self);
    std::vector<Tensor> inputs = Model::zeros(1, 1);
    for (int i = 0; i < MODEL_INPUTS; i++) {
        Tensor lengths = inputs[i];
        inputs[i] = tensor_of(in[i]);
        if (!in[i].data && model_inputs[i].role == ROLE_LENGTHS)  // each row is as long as the step
            for (size_t k = 0; k < inputs[i].size(); k++)
                std::copy_n(lengths.bytes.data(), dtype_sizes[in[i].dtype], &inputs[i].bytes[k * dtype_sizes[in[i].dtype]]);
    }
    r->model.start(std::move(inputs));
    for (int i = 0; i < MODEL_INPUTS; i++) r->in[i] = view(r->model.input(i));
    for (int o = 0; o < MODEL_OUTPUTS; o++) r->out[o] = view(r->model.output(o));
}

static void step(void *self) { static_cast<Running *>(self)->model.step(); }
static array *input(void *self, int i) { return &static_cast<Running *>(self)->in[i]; }
static const array *output(void *self, int i) { return &static_cast<Running *>(self)->out[i]; }

int main(int argc, char **argv) try {
    char file[4096];
    double before = seconds();
    beside(argv[0], MODEL_FILE, file, sizeof file);
    Running r = {Model(file), {}, {}};
    double load_s = seconds() - before;
    program p = {"cpp-onnxruntime", "onnxruntime", r.model.version(), load_s, &r, run, start, step, input, output};
    return program_main(&p, argc, argv);
} catch (const std::exception &error) {
    std::string line = error.what();
    for (char &c : line)
        if (c == '\n' || c == '\r') c = ' ';
    fail("%s", line.c_str());
}
