// The model: load it once, then call it with whole sequences, or start a stream and step through it.
#pragma once

#define ORT_API_MANUAL_INIT
#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "arrays.h"
#include "ports.h"
#include "ort.h"

struct Tensor {
    int dtype = FLOAT32;
    std::vector<int64_t> shape;
    std::vector<char> bytes;

    Tensor() = default;
    Tensor(int dtype, std::vector<int64_t> shape) : dtype(dtype), shape(std::move(shape)) { bytes.resize(size() * dtype_sizes[dtype]); }

    size_t size() const {
        size_t count = 1;
        for (int64_t n : shape) count *= static_cast<size_t>(n);
        return count;
    }
    // The numbers, the last dimension fastest; T is that of the dtype.
    template <class T>
    T *data() { return reinterpret_cast<T *>(bytes.data()); }
    template <class T>
    const T *data() const { return reinterpret_cast<const T *>(bytes.data()); }
};

// Loads ONNX Runtime. What the classes used here call came with 1.5; whether the library knows the
// operators in the file, it says itself when it loads the file.
struct Library {
    static constexpr unsigned api_needed = 5;
    const char *version = "";

    Library() {
        char error[1024];
        const OrtApi *api = ort_load(api_needed, &version, error, sizeof error);
        if (!api) throw std::runtime_error(error);
        Ort::InitApi(api);
    }
};

// Every call throws a std::exception that says in a line why it failed.
class Model {
  public:
    explicit Model(const std::string &file, int threads = 1);

    // Whole sequences of any length: inputs and outputs in the order of `ports.h`.
    std::vector<Tensor> operator()(std::vector<Tensor> inputs);

    // Makes the buffers of a step: their shapes, and what the states start from.
    void start(std::vector<Tensor> inputs);
    // Computes the outputs from the inputs, and copies each new state to where the next step reads it.
    // Allocates nothing.
    void step();
    Tensor &input(int i) { return in_[i]; }
    const Tensor &output(int i) const { return out_[i]; }

    // Zeros of the right dtypes and shapes (another dynamic size than batch and time is 1).
    static std::vector<Tensor> zeros(int64_t batch, int64_t steps);
    const char *version() const { return library_.version; }

  private:
    Ort::Value wrap(Tensor &tensor) const;
    std::vector<Ort::Value> wrap_used(std::vector<Tensor> &tensors) const;

    Library library_;  // first: the others are nothing without it
    Ort::Env env_{nullptr};
    Ort::Session session_{nullptr};
    Ort::MemoryInfo memory_{nullptr};
    Ort::RunOptions plain_{nullptr};
    std::vector<int> used_;  // the inputs that the file has: an exporter drops what has no effect
    std::vector<const char *> names_, out_names_;
    std::vector<Tensor> in_, out_;
    std::vector<Ort::Value> in_values_, out_values_;
};

inline constexpr ONNXTensorElementDataType onnx_types[DTYPES] = {
    ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16,
    ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32,  ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL,
};

inline Model::Model(const std::string &file, int threads) {
    env_ = Ort::Env(ORT_LOGGING_LEVEL_FATAL, "model");
    memory_ = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
    Ort::SessionOptions options;
    options.SetIntraOpNumThreads(threads).SetInterOpNumThreads(1);
    try {
        session_ = Ort::Session(env_, file.c_str(), options);
    } catch (const Ort::Exception &error) {
        throw std::runtime_error(error.what() + std::string(": copy it from its bundle again, or install a newer ONNX Runtime"));
    }

    for (const std::string &name : session_.GetInputNames()) {
        int found = 0;
        while (found < MODEL_INPUTS && name != model_inputs[found].name) found++;
        if (found == MODEL_INPUTS) throw std::runtime_error("the file has inputs that ports.h has not");
        used_.push_back(found);
        names_.push_back(model_inputs[found].name);
    }
    for (const model_port &port : model_outputs) out_names_.push_back(port.name);
}

inline std::vector<Tensor> Model::operator()(std::vector<Tensor> inputs) {
    std::vector<Ort::Value> given = wrap_used(inputs);
    std::vector<Tensor> outputs;
    for (Ort::Value &value : session_.Run(plain_, names_.data(), given.data(), given.size(), out_names_.data(), out_names_.size())) {
        auto info = value.GetTensorTypeAndShapeInfo();
        int dtype = 0;
        while (dtype < DTYPES && onnx_types[dtype] != info.GetElementType()) dtype++;
        if (dtype == DTYPES) throw std::runtime_error("an output has a dtype that arrays.h has not");
        Tensor &made = outputs.emplace_back(dtype, info.GetShape());
        const char *data = static_cast<const char *>(value.GetTensorMutableRawData());
        made.bytes.assign(data, data + made.bytes.size());
    }
    return outputs;
}

inline void Model::start(std::vector<Tensor> inputs) {
    out_values_.clear();
    in_values_.clear();
    in_ = std::move(inputs);
    out_ = (*this)(in_);  // a first run says how large the outputs are
    in_values_ = wrap_used(in_);
    for (Tensor &tensor : out_) out_values_.push_back(wrap(tensor));
    for (int i = 0; i < MODEL_INPUTS; i++)
        if (int from = model_inputs[i].state; from >= 0 && out_[from].bytes.size() != in_[i].bytes.size())
            throw std::runtime_error("a state comes out in another size than it went in");
}

inline void Model::step() {
    session_.Run(plain_, names_.data(), in_values_.data(), in_values_.size(), out_names_.data(), out_values_.data(), out_values_.size());
    for (int i = 0; i < MODEL_INPUTS; i++)
        if (int from = model_inputs[i].state; from >= 0) std::copy(out_[from].bytes.begin(), out_[from].bytes.end(), in_[i].bytes.begin());
}

inline std::vector<Tensor> Model::zeros(int64_t batch, int64_t steps) {
    std::vector<Tensor> tensors;
    for (const model_port &port : model_inputs) {
        std::vector<int64_t> shape;
        for (int d = 0; d < port.rank; d++) {
            int64_t n = port.shape[d];
            shape.push_back(n >= 0 ? n : n == -1 ? batch : n == -2 ? steps : 1);
        }
        Tensor &tensor = tensors.emplace_back(dtype_of(port.dtype), shape);
        if (port.role != ROLE_LENGTHS) continue;
        if (tensor.dtype == INT64) std::fill_n(tensor.data<int64_t>(), tensor.size(), steps);
        if (tensor.dtype == INT32) std::fill_n(tensor.data<int32_t>(), tensor.size(), static_cast<int32_t>(steps));
    }
    return tensors;
}

inline Ort::Value Model::wrap(Tensor &t) const {
    return Ort::Value::CreateTensor(memory_, t.bytes.data(), t.bytes.size(), t.shape.data(), t.shape.size(), onnx_types[t.dtype]);
}

inline std::vector<Ort::Value> Model::wrap_used(std::vector<Tensor> &tensors) const {
    std::vector<Ort::Value> values;
    for (int i : used_) values.push_back(wrap(tensors.at(i)));
    return values;
}
