// run --verify [RESULT.json] | INPUT.json OUTPUT.json [--stream]

#include <torch/version.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <map>
#include <sstream>

#include "arrays.hpp"
#include "model.hpp"

namespace {

namespace fs = std::filesystem;

const char* const kUsage = "run --verify [RESULT.json] | INPUT.json OUTPUT.json [--stream]";

double seconds() {
  using Clock = std::chrono::steady_clock;
  return std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
}

at::Tensor to_tensor(const Array& array) {
  at::Tensor tensor = at::empty(array.shape, scalar_type(array.dtype));
  std::memcpy(tensor.data_ptr(), array.bytes.data(), array.bytes.size());
  return tensor;
}

Array to_array(const Port& port, const at::Tensor& given) {
  const at::Tensor tensor = given.contiguous();
  if (tensor.scalar_type() != scalar_type(port.dtype)) {
    throw std::runtime_error("output " + port.name + " is not " + port.dtype);
  }
  const char* first = static_cast<const char*>(tensor.data_ptr());
  Array array;
  array.case_name = "result";
  array.part = "out";
  array.name = port.name;
  array.dtype = port.dtype;
  array.shape = tensor.sizes().vec();
  array.bytes.assign(first, first + tensor.nbytes());
  return array;
}

// The inputs of one case, in the model's order.
Tensors inputs_of(const std::vector<Array>& arrays, const std::string& case_name) {
  Tensors inputs;
  for (const Port& port : description().inputs) {
    const auto found = std::find_if(arrays.begin(), arrays.end(), [&](const Array& array) {
      return array.part == "in" && array.case_name == case_name && array.name == port.name;
    });
    if (found == arrays.end()) {
      throw std::runtime_error("input " + port.name + " is missing in case " + case_name);
    }
    inputs.push_back(to_tensor(*found));
  }
  check_inputs(inputs);
  return inputs;
}

struct Row {
  std::string case_name, how, output;
  double error;  // NaN: another shape or dtype, or a NaN
  double allowed;
  bool ok() const { return error <= allowed; }
};

// The element that is the worst for what it is allowed.
void find_worst(Row& row, const at::Tensor& apart, const Array& wanted) {
  const at::Tensor flat = apart.flatten().contiguous();
  const double* const errors = flat.data_ptr<double>();
  double share = 0;
  row.error = 0;
  for (std::int64_t i = 0; i < flat.numel(); ++i) {
    const double error = errors[i];
    const double allowed = wanted.limits.empty() ? wanted.allowed : wanted.limits[i];
    const double own = allowed > 0 ? error / allowed : error <= allowed ? 0 : HUGE_VAL;
    if (own > share || (own == share && error > row.error)) {
      share = own;
      row.error = error;
      row.allowed = allowed;
    }
  }
}

Row compared(const Array& wanted, const char* how, const Tensors& outputs) {
  Row row{wanted.case_name, how, wanted.name, std::nan(""), wanted.allowed};
  const at::Tensor exact = to_tensor(wanted);
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (description().outputs[i].name == wanted.name && outputs[i].sizes() == exact.sizes() &&
        outputs[i].scalar_type() == exact.scalar_type()) {
      const at::Tensor apart = (outputs[i].to(at::kDouble) - exact.to(at::kDouble)).abs();
      row.error = apart.numel() ? apart.max().item<double>() : 0.0;
      if (std::isfinite(row.error)) {
        find_worst(row, apart, wanted);
      }
    }
  }
  return row;
}

// Every golden case at once and, where it may be, step by step.
std::vector<Row> verify(Model& model, const std::vector<Array>& golden) {
  std::vector<Row> rows;
  std::map<std::pair<std::string, std::string>, Tensors> done;
  for (const Array& array : golden) {
    if (array.part != "out") {
      continue;
    }
    for (const char* how : {"whole", "stream"}) {
      const bool stream = how[0] == 's';
      if (stream && !(array.stream && description().streams)) {
        continue;
      }
      const auto key = std::make_pair(array.case_name, std::string(how));
      if (!done.count(key)) {
        const Tensors inputs = inputs_of(golden, array.case_name);
        done[key] = stream ? streamed(model, inputs) : model(inputs);
      }
      rows.push_back(compared(array, how, done[key]));
    }
  }
  return rows;
}

// The time of the smallest call, the best of 200.
double step_seconds(Model& model, const std::vector<Array>& golden) {
  std::string smallest = golden.front().case_name;
  for (const Array& array : golden) {
    smallest = array.case_name == "batch-1-time-1" ? array.case_name : smallest;
  }
  const Tensors inputs = inputs_of(golden, smallest);
  double best = 1e9;
  for (int i = 0; i < 200; ++i) {
    const double start = seconds();
    model(inputs);
    best = std::min(best, seconds() - start);
  }
  return best;
}

void write_result(const fs::path& file, const std::vector<Row>& rows, double load_s, double step_s) {
  const bool package = fs::path(description().file).extension() == ".pt2";
  std::ostringstream text;
  text.precision(17);
  text << "{\"format\": \"rnnbench-result-1\", \"target\": \""
       << (package ? "cpp-aoti" : "cpp-libtorch") << "\", \"versions\": {\"libtorch\": \""
       << TORCH_VERSION << "\"},\n \"load_s\": " << load_s << ", \"step_s\": " << step_s
       << ", \"rows\": [";
  for (const Row& row : rows) {
    text << (&row == &rows.front() ? "\n" : ",\n") << "  {\"case\": " << quoted(row.case_name)
         << ", \"how\": \"" << row.how << "\", \"output\": " << quoted(row.output)
         << ", \"error\": ";
    if (std::isfinite(row.error)) {
      text << row.error;
    } else {
      text << "null";
    }
    text << ", \"allowed\": " << row.allowed << ", \"ok\": " << (row.ok() ? "true" : "false") << "}";
  }
  text << "]}\n";
  std::ofstream out(file, std::ios::binary);
  if (!(out << text.str()).flush()) {
    throw std::runtime_error("cannot write " + file.string() + ": give another file");
  }
}

int report(const std::vector<Row>& rows) {
  std::size_t right = 0;
  double worst = 0;
  for (const Row& row : rows) {
    right += row.ok();
    worst = std::isfinite(row.error) ? std::max(worst, row.error) : worst;
    if (!row.ok()) {
      std::cout << "WRONG " << row.case_name << ' ' << row.how << ' ' << row.output << ": off by "
                << row.error << '\n';
    }
  }
  std::printf("%zu of %zu right, worst error %.1e\n", right, rows.size(), worst);
  return right && right == rows.size() ? 0 : 1;
}

// What a terminal can show in one line.
std::string plain(std::string text) {
  for (char& c : text) {
    c = static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  }
  return text;
}

// A line: the name, dtype and shape of an output, and its first numbers.
void print(const std::string& name, const at::Tensor& tensor) {
  const at::Tensor flat = tensor.flatten().to(at::kDouble);
  std::cout << plain(name) << ' ' << dtype_and_shape(tensor) << ':' << std::setprecision(5);
  for (std::int64_t i = 0; i < std::min<std::int64_t>(flat.numel(), 6); ++i) {
    std::cout << ' ' << flat[i].item<double>();
  }
  std::cout << (flat.numel() > 6 ? " ...\n" : "\n");
}

int run(const fs::path& folder, const std::vector<std::string>& words) {
  const bool verifies = !words.empty() && words[0] == "--verify" && words.size() <= 2;
  const bool streams = words.size() == 3 && words[2] == "--stream";
  if (!verifies && ((words.size() != 2 && !streams) || words[0][0] == '-')) {
    std::cerr << kUsage << '\n';
    return 2;
  }
  const double start = seconds();
  Model model(folder);
  const double load_s = seconds() - start;
  if (verifies) {
    const fs::path file = folder / "golden" / "cases.json";
    if (!fs::is_regular_file(file)) {
      throw std::runtime_error("there is no " + file.string() + " to verify with: embed it again");
    }
    const std::vector<Array> golden = read_arrays(file);
    if (golden.empty()) {
      throw std::runtime_error("golden/cases.json has no case");
    }
    const std::vector<Row> rows = verify(model, golden);
    if (words.size() > 1) {
      write_result(fs::u8path(words[1]), rows, load_s, step_seconds(model, golden));
    }
    return report(rows);
  }
  const std::vector<Array> arrays = read_arrays(fs::u8path(words[0]));
  const std::string first = arrays.empty() ? "" : arrays.front().case_name;
  const Tensors inputs = inputs_of(arrays, first);
  const Tensors outputs = streams ? streamed(model, inputs) : model(inputs);
  std::vector<Array> results;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    results.push_back(to_array(description().outputs[i], outputs[i]));
  }
  write_arrays(fs::u8path(words[1]), results);
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    print(results[i].name, outputs[i]);
  }
  return 0;
}

// Of the many lines that libtorch says, the one that tells.
std::string one_line(const std::string& text) {
  std::istringstream lines(text);
  std::string line, first;
  while (std::getline(lines, line)) {
    if (line.rfind("RuntimeError:", 0) == 0) {
      return line;
    }
    first = first.empty() ? line : first;
  }
  return first;
}

}  // namespace

int main(int count, char** words) {
  // build/run is in a folder of the project's.
  std::error_code ignored;
  const fs::path program = fs::weakly_canonical(fs::u8path(words[0]), ignored);
  try {
    return run(program.parent_path().parent_path(), {words + 1, words + count});
  } catch (const c10::Error& error) {
    std::cerr << plain(one_line(error.what_without_backtrace())) << '\n';
  } catch (const std::exception& error) {
    std::cerr << plain(one_line(error.what())) << '\n';
  }
  return 2;
}
