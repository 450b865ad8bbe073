// The model: load it once, then call it with whole sequences, or step by step.
#pragma once

#include <ATen/Parallel.h>
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>
#include <torch/script.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "description.hpp"

using Tensors = std::vector<at::Tensor>;

const std::pair<const char*, at::ScalarType> kDtypes[] = {
    {"float32", at::kFloat}, {"float64", at::kDouble}, {"float16", at::kHalf},
    {"int64", at::kLong},    {"int32", at::kInt},      {"bool", at::kBool},
    {"int16", at::kShort},   {"int8", at::kChar},     {"uint8", at::kByte}};

inline at::ScalarType scalar_type(const std::string& dtype) {
  for (const auto& [name, type] : kDtypes) {
    if (dtype == name) {
      return type;
    }
  }
  throw std::runtime_error("dtype " + dtype + " is not known here");
}

inline std::string dtype_and_shape(const at::Tensor& tensor) {
  for (const auto& [name, type] : kDtypes) {
    if (tensor.scalar_type() == type) {
      return c10::str(name, tensor.sizes());
    }
  }
  return c10::str(tensor.scalar_type(), tensor.sizes());
}

// Tensors go in and come out in the order of description().inputs and outputs.
class Model {
 public:
  // The artifact is in `folder`. A package is machine code, TorchScript a program: load those that
  // you trust.
  explicit Model(const std::filesystem::path& folder, int threads = 1) {
    at::set_num_threads(threads);
    const std::string file = (folder / description().file).string();
    if (!std::filesystem::is_regular_file(file)) {
      throw std::runtime_error(file + " is not there: run this in the project's folder");
    }
    try {
      load(file);
    } catch (const std::exception& error) {
      const std::string said = error.what();
      throw std::runtime_error(file + " cannot be loaded by this libtorch: embed it again (" +
                               said.substr(0, said.find('\n')) + ")");
    }
  }

  Tensors operator()(const Tensors& inputs) {
    const c10::InferenceMode no_gradients;
    Tensors outputs;
    if (package_) {
      outputs = package_->run(inputs);
    } else {
      outputs.reserve(description().outputs.size());
      collect((*forward_)(std::vector<c10::IValue>(inputs.begin(), inputs.end())), outputs);
    }
    if (outputs.size() != description().outputs.size()) {
      throw std::runtime_error("the model gives " + std::to_string(outputs.size()) +
                               " outputs, and ports.h has " +
                               std::to_string(description().outputs.size()));
    }
    return outputs;
  }

 private:
  void load(const std::string& file) {
    if (std::filesystem::path(file).extension() == ".pt2") {
      // A package reads this at its first call, and then refuses shapes that it was not made for.
#ifdef _WIN32
      _putenv_s("AOTI_RUNTIME_CHECK_INPUTS", "1");
#else
      setenv("AOTI_RUNTIME_CHECK_INPUTS", "1", 1);
#endif
      package_ = std::make_unique<torch::inductor::AOTIModelPackageLoader>(file);
    } else {
      torch::jit::Module module = torch::jit::load(file, at::kCPU);
      module.eval();
      forward_ = module.get_method("forward");
    }
  }

  static void collect(const c10::IValue& value, Tensors& outputs) {
    if (value.isTensor()) {
      outputs.push_back(value.toTensor());
    } else if (value.isTuple()) {
      for (const c10::IValue& element : value.toTupleRef().elements()) {
        collect(element, outputs);
      }
    } else if (value.isTensorList() || value.isList()) {
      for (const c10::IValue& element : value.toList()) {
        collect(element, outputs);
      }
    }
  }

  std::optional<torch::jit::Method> forward_;
  std::unique_ptr<torch::inductor::AOTIModelPackageLoader> package_;
};

// Inputs of zeros; lengths are whole. Another dynamic size than batch and time is 1.
inline Tensors zeros(std::int64_t batch, std::int64_t time) {
  Tensors tensors;
  for (const Port& port : description().inputs) {
    std::vector<std::int64_t> shape;
    for (const std::int64_t n : port.shape) {
      shape.push_back(n >= 0 ? n : n == kBatch ? batch : n == kTime ? time : 1);
    }
    const std::int64_t fill = port.role == Role::lengths ? time : 0;
    tensors.push_back(at::full(shape, fill, scalar_type(port.dtype)));
  }
  return tensors;
}

// Throws what is wrong with inputs, and what is right.
inline void check_inputs(const Tensors& inputs) {
  std::int64_t sizes[2] = {-1, -1};  // of batch and time
  const auto& ports = description().inputs;
  if (inputs.size() != ports.size()) {
    throw std::runtime_error("give " + std::to_string(ports.size()) + " inputs");
  }
  for (std::size_t i = 0; i < ports.size(); ++i) {
    std::string wanted;
    bool fits = inputs[i].dim() == static_cast<std::int64_t>(ports[i].shape.size()) &&
                inputs[i].scalar_type() == scalar_type(ports[i].dtype);
    for (std::size_t axis = 0; axis < ports[i].shape.size(); ++axis) {
      std::int64_t size = ports[i].shape[axis];
      std::string word = size == kBatch ? "batch" : size == kTime ? "time" : "any";
      if (size == kBatch || size == kTime) {
        std::int64_t& shared = sizes[size == kBatch ? 0 : 1];
        if (shared < 0 && fits) {
          shared = inputs[i].size(static_cast<std::int64_t>(axis));
        }
        size = shared;
        word += size < 0 ? "" : "=" + std::to_string(size);
      } else if (size >= 0) {
        word = std::to_string(size);
      }
      fits = fits && (size < 0 || size == inputs[i].size(static_cast<std::int64_t>(axis)));
      wanted += (axis ? ", " : "") + word;
    }
    if (!fits) {
      throw std::runtime_error("input " + ports[i].name + " is " + dtype_and_shape(inputs[i]) +
                               ": give " + ports[i].dtype + "[" + wanted + "]");
    }
  }
}

// One step after the other, or a few: `Stream stream(model, inputs); stream.step(part)`.
class Stream {
 public:
  // `inputs`: the states to start from are in here, and all that has no time axis.
  Stream(Model& model, Tensors inputs) : model_(&model), inputs_(std::move(inputs)) {
    if (!description().streams) {
      throw std::runtime_error(description().name +
                               " needs whole sequences: run it without --stream");
    }
  }

  // `part`: of the inputs that have a time axis, the steps to do now; others are not read.
  Tensors step(const Tensors& part) {
    const c10::InferenceMode no_gradients;
    const auto& ports = description().inputs;
    std::int64_t steps = 1;
    for (std::size_t i = 0; i < ports.size(); ++i) {
      if (ports[i].time_axis >= 0) {
        inputs_[i] = part[i];
        steps = part[i].size(ports[i].time_axis);
      }
    }
    for (std::size_t i = 0; i < ports.size(); ++i) {
      if (ports[i].role == Role::lengths) {
        inputs_[i] = at::full_like(inputs_[i], steps);
      }
    }
    Tensors outputs = (*model_)(inputs_);
    for (std::size_t i = 0; i < ports.size(); ++i) {
      if (ports[i].state >= 0) {
        inputs_[i] = outputs[static_cast<std::size_t>(ports[i].state)];
      }
    }
    return outputs;
  }

 private:
  Model* model_;
  Tensors inputs_;
};

// A whole sequence fed in steps; the outputs are put together as one call would give them.
inline Tensors streamed(Model& model, const Tensors& inputs, std::int64_t steps = 1) {
  Stream stream(model, inputs);
  const auto& in = description().inputs;
  const auto& out = description().outputs;
  std::int64_t total = 0;
  for (std::size_t i = 0; i < in.size(); ++i) {
    if (in[i].time_axis >= 0) {
      total = inputs[i].size(in[i].time_axis);
    }
  }
  if (total == 0) {
    throw std::runtime_error("there is no step to stream: give a sequence of at least one");
  }
  std::vector<Tensors> parts(out.size());
  for (std::int64_t start = 0; start < total; start += steps) {
    Tensors part = inputs;
    for (std::size_t i = 0; i < in.size(); ++i) {
      if (in[i].time_axis >= 0) {
        const std::int64_t width = std::min(steps, total - start);
        part[i] = inputs[i].narrow(in[i].time_axis, start, width);
        part[i] = part[i].clone(at::MemoryFormat::Contiguous);
      }
    }
    const Tensors outputs = stream.step(part);
    for (std::size_t i = 0; i < out.size(); ++i) {
      if (out[i].time_axis < 0) {
        parts[i].clear();  // only the last counts
      }
      parts[i].push_back(outputs[i]);
    }
  }
  Tensors whole;
  for (std::size_t i = 0; i < out.size(); ++i) {
    whole.push_back(out[i].time_axis < 0 ? parts[i].back() : at::cat(parts[i], out[i].time_axis));
  }
  return whole;
}
