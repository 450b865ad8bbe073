#include "arrays.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <stdexcept>

namespace {

namespace fs = std::filesystem;

const char* const kFormat = "rnnbench-cases-1";

const std::map<std::string, std::uint64_t> kItemSize = {
    {"float32", 4}, {"float64", 8}, {"float16", 2}, {"int64", 8},
    {"int32", 4},   {"int16", 2},   {"int8", 1},    {"uint8", 1},
    {"bool", 1}};

// One line of a header: an object of strings, numbers and lists of numbers.
class Line {
 public:
  explicit Line(const std::string& text) : at_(text.c_str()) {
    expect('{');
    while (peek() == '"') {
      const std::string key = string();
      expect(':');
      if (peek() == '"') {
        strings_[key] = string();
      } else if (peek() == '[') {
        ++at_;
        if (peek() == '\0') {
          return;  // the list of all arrays: they are the next lines
        }
        auto& list = lists_[key];
        while (peek() != ']') {
          list.push_back(static_cast<std::int64_t>(number()));
          if (peek() == ',') {
            ++at_;
          }
        }
        ++at_;
      } else {
        numbers_[key] = number();
      }
      if (peek() == ',') {
        ++at_;
      }
    }
    expect('}');
  }

  const std::string& text(const char* key) const { return value(strings_, key); }
  const std::vector<std::int64_t>& list(const char* key) const { return value(lists_, key); }
  double number(const char* key) const { return value(numbers_, key); }
  bool has_number(const char* key) const { return numbers_.count(key) != 0; }

 private:
  template <typename T>
  static const T& value(const std::map<std::string, T>& from, const char* key) {
    const auto found = from.find(key);
    if (found == from.end()) {
      throw std::runtime_error(std::string("an array without \"") + key + "\"");
    }
    return found->second;
  }

  char peek() {
    while (*at_ && std::strchr(" \t\r\n", *at_)) {
      ++at_;
    }
    return *at_;
  }

  void expect(char c) {
    if (peek() != c) {
      std::string rest = std::string(at_).substr(0, 20);
      for (char& other : rest) {
        other = other >= ' ' && other <= '~' ? other : '?';
      }
      throw std::runtime_error(std::string("no '") + c + "' before \"" + rest + "\"");
    }
    ++at_;
  }

  double number() {
    char* end = nullptr;
    const double found = std::strtod(at_, &end);
    if (end == at_) {
      expect('0');
    }
    at_ = end;
    return found;
  }

  unsigned hex() {
    unsigned code = 0;
    for (int i = 0; i < 4; ++i) {
      const char* const digits = "0123456789abcdef";
      const char lower = static_cast<char>(*at_ | 0x20);
      const char* digit = *at_ ? std::strchr(digits, lower) : nullptr;
      if (!digit) {
        throw std::runtime_error("a \\u without four digits");
      }
      code = code * 16 + static_cast<unsigned>(digit - digits);
      ++at_;
    }
    return code;
  }

  std::string string() {
    std::string found;
    expect('"');
    for (; *at_ != '"';) {
      if (!*at_) {
        throw std::runtime_error("a string that does not end");
      }
      if (*at_ != '\\') {
        found += *at_++;
        continue;
      }
      const char escape = *++at_;
      if (escape) {
        ++at_;
      }
      if (escape == 'u') {
        unsigned code = hex();
        if (code >= 0xD800 && code < 0xDC00 && at_[0] == '\\' && at_[1] == 'u') {
          at_ += 2;
          code = 0x10000 + ((code - 0xD800) << 10) + (hex() - 0xDC00);
        }
        append_utf8(found, code);
      } else {
        const char* const from = "nrtbf";
        const char* which = escape ? std::strchr(from, escape) : nullptr;
        found += which ? "\n\r\t\b\f"[which - from] : escape;
      }
    }
    ++at_;
    return found;
  }

  static void append_utf8(std::string& text, unsigned code) {
    if (code < 0x80) {
      text += static_cast<char>(code);
      return;
    }
    const int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    const unsigned head[] = {0, 0xC0, 0xE0, 0xF0};
    text += static_cast<char>(head[more] | (code >> (6 * more)));
    for (int i = more - 1; i >= 0; --i) {
      text += static_cast<char>(0x80 | ((code >> (6 * i)) & 0x3F));
    }
  }

  const char* at_;
  std::map<std::string, std::string> strings_;
  std::map<std::string, std::vector<std::int64_t>> lists_;
  std::map<std::string, double> numbers_;
};

// So many bytes of the data file.
std::vector<char> part_of(const std::vector<char>& data, double offset, double size, const Array& array) {
  if (!(offset >= 0) || !(size >= 0) || offset + size > static_cast<double>(data.size())) {
    throw std::runtime_error("the bytes of " + array.name + " in case " + array.case_name +
                             " are not all there");
  }
  const auto first = data.begin() + static_cast<std::ptrdiff_t>(offset);
  return {first, first + static_cast<std::ptrdiff_t>(size)};
}

template <typename T>
std::vector<double> doubles_of(const std::vector<char>& bytes) {
  std::vector<T> numbers(bytes.size() / sizeof(T));
  if (!numbers.empty()) {
    std::memcpy(numbers.data(), bytes.data(), bytes.size());
  }
  return {numbers.begin(), numbers.end()};
}

// How far off each element may be, where that is not `allowed` for all.
std::vector<double> limits_of(const Line& line, const std::vector<char>& data, const Array& array) {
  const char* const key = "allowed_offset";
  if (!line.has_number(key)) {
    return {};
  }
  const bool wide = array.dtype == "float64";
  const double count = static_cast<double>(array.bytes.size() / kItemSize.at(array.dtype));
  const std::vector<char> bytes = part_of(data, line.number(key), count * (wide ? 8 : 4), array);
  return wide ? doubles_of<double>(bytes) : doubles_of<float>(bytes);
}

Array array_of(const Line& line, const std::vector<char>& data) {
  Array array;
  array.case_name = line.text("case");
  array.part = line.text("part");
  array.name = line.text("name");
  array.dtype = line.text("dtype");
  array.shape = line.list("shape");
  array.allowed = line.number("allowed");
  array.stream = line.number("stream") != 0;
  const auto item = kItemSize.find(array.dtype);
  if (item == kItemSize.end()) {
    throw std::runtime_error("dtype " + array.dtype + " is not known here");
  }
  const double size = line.number("bytes");
  double wanted = static_cast<double>(item->second);
  for (const std::int64_t n : array.shape) {
    wanted *= n < 0 ? -1e300 : static_cast<double>(n);
  }
  array.bytes = part_of(data, line.number("offset"), wanted == size ? size : -1, array);
  array.limits = limits_of(line, data, array);
  return array;
}

std::vector<Array> read_lines(const fs::path& header) {
  std::ifstream lines(header, std::ios::binary);
  std::string text;
  if (!std::getline(lines, text)) {
    throw std::runtime_error("it is not there, or is empty");
  }
  const Line head(text);
  if (head.text("format") != kFormat) {
    throw std::runtime_error("format " + quoted(head.text("format")) + ", and this reads " +
                             quoted(kFormat));
  }
  const fs::path file = header.parent_path() / fs::u8path(head.text("data"));
  std::ifstream raw(file, std::ios::binary);
  if (!raw) {
    throw std::runtime_error(file.string() + " is not there");
  }
  const std::vector<char> data{std::istreambuf_iterator<char>(raw), {}};
  std::vector<Array> arrays;
  while (std::getline(lines, text)) {
    if (text.find('{') != std::string::npos) {
      arrays.push_back(array_of(Line(text), data));
    }
  }
  return arrays;
}

}  // namespace

std::vector<Array> read_arrays(const fs::path& header) {
  try {
    return read_lines(header);
  } catch (const std::exception& error) {
    throw std::runtime_error(header.string() + " is no file of arrays (" + error.what() +
                             "): give one, as input.json is");
  }
}

void write_arrays(const fs::path& header, const std::vector<Array>& arrays) {
  const fs::path data = fs::path(header).replace_extension(".bin");
  if (data == header) {
    throw std::runtime_error(header.string() + " is the data file's name: give another");
  }
  const auto utf8 = data.filename().u8string();  // of char in C++17, of char8_t in C++20
  std::ofstream lines(header, std::ios::binary), raw(data, std::ios::binary);
  lines << "{\"format\": " << quoted(kFormat)
        << ", \"data\": " << quoted(std::string(utf8.begin(), utf8.end()))
        << ", \"arrays\": [\n";
  std::size_t offset = 0;
  for (const Array& array : arrays) {
    lines << (offset || &array != &arrays.front() ? ",\n" : "") << "{\"case\": "
          << quoted(array.case_name) << ", \"part\": " << quoted(array.part)
          << ", \"name\": " << quoted(array.name) << ", \"dtype\": " << quoted(array.dtype)
          << ", \"shape\": [";
    for (std::size_t i = 0; i < array.shape.size(); ++i) {
      lines << (i ? ", " : "") << array.shape[i];
    }
    lines << "], \"offset\": " << offset << ", \"bytes\": " << array.bytes.size()
          << ", \"allowed\": " << array.allowed << ", \"stream\": " << array.stream << "}";
    raw.write(array.bytes.data(), static_cast<std::streamsize>(array.bytes.size()));
    offset += array.bytes.size();
  }
  lines << "\n]}\n";
  if (!lines.flush() || !raw.flush()) {
    throw std::runtime_error("cannot write " + header.string() + ": give another file");
  }
}

std::string quoted(const std::string& text) {
  std::string found = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      found += '\\';
      found += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
      found += escape;
    } else {
      found += c;
    }
  }
  return found + '"';
}
