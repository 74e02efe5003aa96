// The task arithmetic family, as mergekit generalises it: every task vector is
// sparsified, scaled and weighted, then they are summed, with or without a consensus
// on signs. Its members differ in their sparsifier and defaults alone.
//
//   s_i = sparsified d_i, rescaled: s_i * ||d_i||_1 / ||s_i||_1 over the whole tensor
//   m   = sum of w_i s_i, of those of the majority's sign where there is consensus
//   m   normalized: divided by the weights of what was summed
//   out = W0 + lambda * m
#ifndef MERGANSER_COMMON_METHODS_GTA_H_
#define MERGANSER_COMMON_METHODS_GTA_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/methods/merge_method.h"
#include "common/methods/method_info.h"
#include "common/methods/sparsifier.h"

namespace merganser {

struct GtaParameters {
  std::string name;  // of the method
  std::vector<double> weights;
  bool consensus = false;
  bool normalize = false;
  bool rescale = false;
  double lambda = 1;
};

std::unique_ptr<MergeMethod> MakeGta(GtaParameters parameters,
                                     std::unique_ptr<Sparsifier> sparsifier);

// --- For the members' MethodInfo

// weight, normalize, rescale, lambda; the first and the last are 1.
std::vector<ParameterSpec> GtaParameterSpecs(bool normalize, bool rescale);
absl::StatusOr<GtaParameters> GtaParametersFrom(const MethodConfig& config, bool consensus);
// `seed` of methods with random masks.
ParameterSpec SeedParameter();
absl::StatusOr<uint64_t> GetSeed(const MethodConfig& config);

}  // namespace merganser

#endif  // MERGANSER_COMMON_METHODS_GTA_H_
