#include "tests/worker/linear_job.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

#include "common/methods/merge_method.h"
#include "common/tensor/dtype.h"

namespace merganser {

std::map<std::string, TinyCheckpoint> Models() {
  TinyCheckpoint a;
  a.tensors = {{"first", DType::kBF16, {3}},
               {"large", DType::kBF16, {2 * kLeafElements + 12345}},
               {"scalar", DType::kF32, {}},
               {"empty", DType::kBF16, {0, 8}},
               {"ids", DType::kI64, {1001}, std::string(8008, '\7')},
               {"matrix", DType::kF32, {511, 1023}},
               {"wide", DType::kF64, {1, 77777}},
               {"odd", DType::kBF16, {1}},
               {"mask", DType::kBool, {13}, std::string(13, '\1')},
               {"last", DType::kF32, {5, 7, 11}}};
  a.seed = kSeed;
  TinyCheckpoint b = a, c = a;
  b.seed = kSeed + 1;
  b.shards = 3;
  c.seed = kSeed + 2;
  c.tensors[1].dtype = DType::kF32;
  c.tensors[5].dtype = DType::kBF16;
  std::reverse(c.tensors.begin(), c.tensors.end());
  return {{"a", a}, {"b", b}, {"c", c}};
}

std::vector<TinyCheckpoint> InOrder(const std::map<std::string, TinyCheckpoint>& models) {
  std::vector<TinyCheckpoint> list;
  for (const auto& [name, model] : models) list.push_back(model);
  return list;
}

void ExpectSameFiles(const std::map<std::string, std::string>& found,
                     const std::map<std::string, std::string>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (const auto& [key, bytes] : expected) {
    ASSERT_TRUE(found.contains(key)) << key;
    const std::string& other = found.at(key);
    ASSERT_EQ(other.size(), bytes.size()) << key;
    const auto at = std::mismatch(bytes.begin(), bytes.end(), other.begin()).first;
    EXPECT_EQ(at, bytes.end()) << key << " differs at byte " << at - bytes.begin();
  }
}

}  // namespace merganser
