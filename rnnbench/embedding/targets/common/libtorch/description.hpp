// What the model takes and gives, as ports.h says it. No torch in here.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

enum class Role { data, lengths, state };

// Sizes of a shape that are not fixed.
constexpr std::int64_t kBatch = -1, kTime = -2, kOther = -3;

struct Port {
  std::string name;
  std::string dtype;  // float32, int64, ...
  Role role;
  int time_axis;   // -1: none
  int batch_axis;  // -1: none
  int state;       // of an input: the output to feed back as it; of an output: the input; or -1
  std::vector<std::int64_t> shape;  // of an input
};

struct Description {
  std::string name;
  std::string file;
  bool streams;  // whether it gives the same step by step, with the states handed on
  std::vector<Port> inputs;
  std::vector<Port> outputs;
};

const Description& description();
