// A weighted sum of three models of all kinds of tensors, for tests of what runs write.
#ifndef MERGANSER_TESTS_WORKER_LINEAR_JOB_H_
#define MERGANSER_TESTS_WORKER_LINEAR_JOB_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tests/testing/tiny_checkpoint.h"

namespace merganser {

inline constexpr uint64_t kSeed = 4;
inline constexpr std::string_view kLinear =
    "merge_method: linear\nmodels:\n"
    "- {model: a, parameters: {weight: 0.5}}\n"
    "- {model: b, parameters: {weight: 1.25}}\n"
    "- {model: c, parameters: {weight: -0.25}}\n"
    "max_shard_size: 3MiB\n";
// Of kLinear, for ExpectedLinear.
inline const std::vector<double> kWeights = {0.5, 1.25, -0.25};
inline constexpr double kDivisor = 1.5;

// Small and large tensors, all kinds of shape, models that store them in different types and files.
std::map<std::string, TinyCheckpoint> Models();

std::vector<TinyCheckpoint> InOrder(const std::map<std::string, TinyCheckpoint>& models);

// Names the first byte that differs instead of printing megabytes.
void ExpectSameFiles(const std::map<std::string, std::string>& found,
                     const std::map<std::string, std::string>& expected);

}  // namespace merganser

#endif  // MERGANSER_TESTS_WORKER_LINEAR_JOB_H_
