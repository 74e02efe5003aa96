// The consensus beside its definition, position by position, on every instruction set.
#include "common/linalg/consensus.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string_view>
#include <vector>

#include "common/linalg/block_ops.h"
#include "common/linalg/kernels.h"

namespace merganser::linalg {
namespace {

TEST(ConsensusTest, SumsThoseOfTheMajoritysSign) {
  for (const std::string_view name : AvailableSimd()) {
    ASSERT_TRUE(ForceSimd(name).ok());
    for (const size_t n : {1, 2, 15, 16, 17, 100, 1024}) {
      std::mt19937_64 random(n);
      constexpr double kScales[] = {1, -0.5, 2}, kWeights[] = {0.25, 1, -3};
      std::vector<std::vector<double>> votes(3, std::vector<double>(PadLanes(n)));
      for (auto& of_model : votes) {
        // Few values: zeros, draws and opposites come up.
        for (size_t e = 0; e < n; ++e) of_model[e] = static_cast<double>(random() % 5) - 2;
      }
      ConsensusChunk weighed(n, true), plain(n, false);
      for (size_t i = 0; i < votes.size(); ++i) {
        weighed.Add(votes[i].data(), kScales[i], kWeights[i]);
        plain.Add(votes[i].data(), kScales[i], kWeights[i]);
      }
      std::vector<double> sums(PadLanes(n)), weights(PadLanes(n)), plain_sums(PadLanes(n));
      weighed.Settle(sums.data(), weights.data());
      plain.Settle(plain_sums.data(), nullptr);
      EXPECT_EQ(sums, plain_sums);
      for (size_t e = 0; e < n; ++e) {
        double all = 0, sum = 0, weight = 0;
        for (const auto& of_model : votes) all += of_model[e];
        for (size_t i = 0; i < votes.size(); ++i) {
          const double vote = votes[i][e];
          if (vote == 0 || (vote > 0) != (all >= 0)) continue;
          sum += kScales[i] * vote;
          weight += kWeights[i];
        }
        ASSERT_EQ(sums[e], sum) << name << ", position " << e << " of " << n;
        ASSERT_EQ(weights[e], weight) << name << ", position " << e << " of " << n;
      }
    }
  }
  ASSERT_TRUE(ForceSimd(AvailableSimd().front()).ok());
}

}  // namespace
}  // namespace merganser::linalg
