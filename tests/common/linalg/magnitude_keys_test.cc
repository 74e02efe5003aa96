// Every kernel beside its definition, element by element, on every instruction set.
#include "common/linalg/magnitude_keys.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cctype>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "common/linalg/block_ops.h"
#include "common/linalg/kernels.h"
#include "common/linalg/row_divergence.h"

namespace merganser::linalg {
namespace {

constexpr size_t kSizes[] = {0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 100, 1023, 1024, 4099};

uint32_t Key(double magnitude) {
  return std::bit_cast<uint32_t>(static_cast<float>(std::abs(magnitude)));
}

// Values of all magnitudes that a float32 has and more, zeros and repeats among them.
std::vector<double> Values(size_t n, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<double> x(PadLanes(n));
  for (size_t e = 0; e < n; ++e) {
    const auto kind = random() % 8;
    const double unit = static_cast<double>(static_cast<int64_t>(random())) * 0x1p-63;
    x[e] = kind == 0   ? std::copysign(0.0, unit)
           : kind == 1 ? std::round(unit * 4) / 4
           : kind == 2 ? unit * 1e-42
           : kind == 3 ? unit * 1e39
                       : unit;
  }
  return x;
}

std::vector<uint32_t> KeysOf(const std::vector<double>& x, double scale) {
  std::vector<uint32_t> keys;
  for (const double value : x) keys.push_back(Key(std::abs(value) * scale));
  return keys;
}

class MagnitudeKeysTest : public testing::TestWithParam<std::string_view> {
 protected:
  void SetUp() override { ASSERT_TRUE(ForceSimd(GetParam()).ok()); }
  void TearDown() override { ASSERT_TRUE(ForceSimd(AvailableSimd().front()).ok()); }
};

TEST_P(MagnitudeKeysTest, AreThePatternsOfTheRoundedMagnitudes) {
  for (const size_t n : kSizes) {
    const std::vector<double> x = Values(n, n);
    for (const double scale : {1.0, 0.0, 1e-3, 1e300}) {
      std::vector<uint32_t> keys(n + 1, 77);
      MagnitudeKeys(x.data(), scale, n, keys.data());
      EXPECT_EQ(keys.back(), 77u) << "written beyond " << n;
      for (size_t e = 0; e < n; ++e) {
        ASSERT_EQ(keys[e], Key(std::abs(x[e]) * scale)) << x[e] << " * " << scale;
      }
    }
  }
}

TEST_P(MagnitudeKeysTest, LowerHalvesAreThoseOfOneUpperHalf) {
  for (const size_t n : kSizes) {
    std::vector<uint32_t> keys = KeysOf(Values(n, n + 1), 1);
    keys.resize(n);
    for (const uint32_t upper : {0u, Key(0.25) >> 16, Key(1) >> 16, 0x7f80u, 0xffffu}) {
      std::vector<uint32_t> expected;
      for (const uint32_t key : keys) {
        if (key >> 16 == upper) expected.push_back(key & 0xffff);
      }
      std::vector<uint32_t> lower(n + 1, 77);
      const size_t found = LowerHalves(keys.data(), n, upper, lower.data());
      EXPECT_EQ(lower.back(), 77u) << "written beyond " << n;
      lower.resize(found);
      EXPECT_EQ(lower, expected) << n << " keys";
    }
    // All of them.
    const std::vector<uint32_t> same(n, Key(0.25) | 5);
    std::vector<uint32_t> lower(n);
    EXPECT_EQ(LowerHalves(same.data(), n, Key(0.25) >> 16, lower.data()), n);
    EXPECT_EQ(lower, std::vector<uint32_t>(n, (Key(0.25) | 5) & 0xffff));
  }
}

TEST_P(MagnitudeKeysTest, ZeroesWhatIsOutsideOfARange) {
  for (const size_t n : kSizes) {
    const std::vector<double> x = Values(n, n + 2);
    const std::vector<uint32_t> keys = KeysOf(x, 1);
    const struct {
      uint32_t least, beyond;
    } ranges[] = {{0, 1}, {Key(0.25), Key(0.5)}, {Key(0.5), Key(0.5)}, {1, 0xffffffff}};
    for (const auto& range : ranges) {
      std::vector<double> d = x;
      d.push_back(77);
      ZeroOutsideKeys(keys.data(), range.least, range.beyond, n, d.data());
      EXPECT_EQ(d.back(), 77);
      for (size_t e = 0; e < n; ++e) {
        const bool inside = keys[e] >= range.least && keys[e] < range.beyond;
        ASSERT_EQ(d[e], inside ? x[e] : 0) << n << ", element " << e;
      }
    }
  }
}

TEST_P(MagnitudeKeysTest, TheGreatestImportanceWinsAndTiesGoToTheEarlier) {
  for (const size_t n : kSizes) {
    const size_t padded = PadLanes(n);
    std::vector<double> best(padded, -1), added(padded), taker(padded, -1);
    std::vector<double> wanted_added(padded), wanted_taker(padded, -1);
    std::vector<int64_t> wanted_best(padded, -1);
    const uint32_t least[] = {Key(0.1), 0, Key(0.25)};
    for (size_t expert = 0; expert < 3; ++expert) {
      const std::vector<double> delta = Values(n, n + expert % 2);  // the third ties the first
      const std::vector<uint32_t> keys = KeysOf(delta, 1);
      const double weight = 0.1 + static_cast<double>(expert);
      Compete(keys.data(), delta.data(), least[expert], weight, static_cast<double>(expert), n,
              {best.data(), added.data(), taker.data()});
      for (size_t e = 0; e < padded; ++e) {
        if (keys[e] < least[expert] || delta[e] == 0 || keys[e] <= wanted_best[e]) continue;
        wanted_best[e] = keys[e];
        wanted_added[e] = weight * delta[e];
        wanted_taker[e] = static_cast<double>(expert);
      }
    }
    EXPECT_EQ(added, wanted_added) << n;
    EXPECT_EQ(taker, wanted_taker) << n;
    for (size_t e = 0; e < padded; ++e) EXPECT_EQ(best[e], static_cast<double>(wanted_best[e]));
    for (const double number : {-1.0, 0.0, 1.0, 2.0}) {
      EXPECT_EQ(
          CountEqual(taker.data(), n, number),
          static_cast<size_t>(std::count(
              wanted_taker.begin(), wanted_taker.begin() + static_cast<ptrdiff_t>(n), number)));
    }
  }
}

TEST_P(MagnitudeKeysTest, TakesWhatReachesTheLeastKey) {
  for (const size_t n : kSizes) {
    const std::vector<double> delta = Values(n, n + 5), start = Values(n, n + 6);
    const std::vector<uint32_t> keys = KeysOf(delta, 1);
    std::vector<double> now = start, added(now.size(), 0.5), taker(now.size(), -1);
    Take(keys.data(), delta.data(), Key(0.25), 0.3, 4, n, now.data(), added.data(), taker.data());
    for (size_t e = 0; e < now.size(); ++e) {
      const bool takes = keys[e] >= Key(0.25) && delta[e] != 0;
      EXPECT_EQ(now[e], takes ? start[e] + 0.3 * delta[e] : start[e]);
      EXPECT_EQ(added[e], takes ? 0.5 + 0.3 * delta[e] : 0.5);
      EXPECT_EQ(taker[e], takes ? 4 : -1);
    }
  }
}

// Sums over rows: the same bits on every set, and close to long double.
TEST_P(MagnitudeKeysTest, EntropyOfRowsIsTheSameOnEveryInstructionSet) {
  constexpr double kFloor = 1e-8;
  for (const size_t n : {1, 7, 16, 100, 1023}) {
    std::vector<double> w = Values(n, n), v = w;
    for (size_t e = 0; e < n; ++e) {
      w[e] = std::fmod(w[e], 8);
      v[e] = w[e] + (e % 3 == 0 ? 2.0 : 0.01) * std::sin(static_cast<double>(e));
    }
    const auto run = [&] {
      std::vector<double> p(PadLanes(n)), q(PadLanes(n));
      double p_sums[kLanes] = {}, q_sums[kLanes] = {}, sums[kLanes] = {};
      AddExponentials(v.data(), n, LargestOf(v.data(), n), p.data(), p_sums);
      AddExponentials(w.data(), n, LargestOf(w.data(), n), q.data(), q_sums);
      AddEntropy(p.data(), SumLanes(p_sums), q.data(), SumLanes(q_sums), kFloor, n, sums);
      return SumLanes(sums);
    };
    const double here = run();
    long double p_sum = 0, q_sum = 0, expected = 0;
    for (size_t e = 0; e < n; ++e) {
      p_sum += std::exp(static_cast<long double>(v[e]));
      q_sum += std::exp(static_cast<long double>(w[e]));
    }
    for (size_t e = 0; e < n; ++e) {
      const long double p = std::exp(static_cast<long double>(v[e])) / p_sum + kFloor;
      const long double q = std::exp(static_cast<long double>(w[e])) / q_sum + kFloor;
      expected += p * std::log(p / q) - p + q;
    }
    EXPECT_NEAR(here, static_cast<double>(expected), 1e-13 * static_cast<double>(expected) + 1e-17)
        << n;
    for (const std::string_view name : AvailableSimd()) {
      ASSERT_TRUE(ForceSimd(name).ok());
      EXPECT_EQ(run(), here) << name << ", " << n;
    }
    ASSERT_TRUE(ForceSimd(GetParam()).ok());
  }
}

INSTANTIATE_TEST_SUITE_P(EveryInstructionSet, MagnitudeKeysTest, testing::ValuesIn(AvailableSimd()),
                         [](const auto& simd) {
                           std::string name(simd.param);
                           for (char& c : name) c = std::isalnum(c) ? c : '_';
                           return name;
                         });

}  // namespace
}  // namespace merganser::linalg
