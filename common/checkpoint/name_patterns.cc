#include "common/checkpoint/name_patterns.h"

#include <algorithm>
#include <cstddef>
#include <unordered_map>
#include <utility>

#include "common/checkpoint/names.h"

namespace merganser {
namespace {

constexpr size_t kMaxShapes = 4;

bool IsNumber(std::string_view part) {
  return !part.empty() &&
         std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

NameParts SplitName(std::string_view name) {
  NameParts parts;
  for (size_t begin = 0; begin <= name.size();) {
    const size_t end = std::min(name.find('.', begin), name.size());
    parts.push_back(name.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

std::string JoinName(const NameParts& parts, size_t begin, size_t end) {
  std::string name;
  for (size_t i = begin; i < end; ++i) {
    if (i > begin) name.push_back('.');
    name += parts[i];
  }
  return name;
}

std::string NumberlessName(std::string_view name) {
  std::string out;
  out.reserve(name.size());
  for (size_t begin = 0; begin <= name.size();) {
    const size_t end = std::min(name.find('.', begin), name.size());
    const std::string_view part = name.substr(begin, end - begin);
    if (begin > 0) out.push_back('.');
    if (begin > 0 && IsNumber(part)) {
      out.push_back('*');
    } else {
      out += part;
    }
    begin = end + 1;
  }
  return out;
}

std::vector<std::string_view> NumbersOf(std::string_view name) {
  std::vector<std::string_view> numbers;
  for (size_t begin = 0; begin <= name.size();) {
    const size_t end = std::min(name.find('.', begin), name.size());
    const std::string_view part = name.substr(begin, end - begin);
    if (begin > 0 && IsNumber(part)) numbers.push_back(part);
    begin = end + 1;
  }
  return numbers;
}

std::string FillPattern(std::string_view pattern, const std::vector<std::string_view>& numbers) {
  std::string name;
  size_t next = 0;
  for (const std::string_view part : SplitName(pattern)) {
    if (!name.empty()) name.push_back('.');
    name += part == "*" && next < numbers.size() ? numbers[next++] : part;
  }
  return name;
}

std::vector<NamePattern> GroupNames(const Checkpoint& model, const std::vector<bool>& skip) {
  std::vector<NamePattern> patterns;
  std::unordered_map<std::string, size_t> index;
  for (uint32_t t = 0; t < model.tensors.size(); ++t) {
    if (skip[t]) continue;
    const CheckpointTensor& tensor = model.tensors[t];
    std::string text = NumberlessName(tensor.name);
    const auto [it, added] = index.try_emplace(text, patterns.size());
    if (added) {
      patterns.push_back({std::move(text), {}, {}, IsComputedBuffer(tensor.name, tensor.shape)});
    }
    NamePattern& pattern = patterns[it->second];
    pattern.tensors.push_back(t);
    if (pattern.shapes.size() < kMaxShapes &&
        std::find(pattern.shapes.begin(), pattern.shapes.end(), tensor.shape) ==
            pattern.shapes.end()) {
      pattern.shapes.push_back(tensor.shape);
    }
  }
  return patterns;
}

bool ShareShape(const NamePattern& a, const NamePattern& b) {
  return std::any_of(a.shapes.begin(), a.shapes.end(), [&](const Shape& shape) {
    return std::find(b.shapes.begin(), b.shapes.end(), shape) != b.shapes.end();
  });
}

}  // namespace merganser
