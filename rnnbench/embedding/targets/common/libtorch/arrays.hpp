// Arrays by name in a pair of files: NAME.json says, a line each, what is where in NAME.bin.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

struct Array {
  std::string case_name;
  std::string part;  // in, out
  std::string name;
  std::string dtype;
  std::vector<std::int64_t> shape;
  double allowed = 0;   // the largest absolute error of an output
  std::vector<double> limits;  // that of each element; empty: `allowed` for all
  bool stream = false;  // whether the case may be fed step by step
  std::vector<char> bytes;  // little-endian, the last dimension fastest
};

// Both throw std::runtime_error.
std::vector<Array> read_arrays(const std::filesystem::path& header);
void write_arrays(const std::filesystem::path& header, const std::vector<Array>& arrays);

std::string quoted(const std::string& text);  // as JSON
