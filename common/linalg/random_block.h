// Counter-based random numbers: entry i of a stream is a function of (seed,
// stream, i) alone, so blocks are the same bits however they are cut.
#ifndef MERGANSER_COMMON_LINALG_RANDOM_BLOCK_H_
#define MERGANSER_COMMON_LINALG_RANDOM_BLOCK_H_

#include <cstdint>

namespace merganser::linalg {

// A bijection that mixes all 64 bits (two multiply-xorshift rounds).
inline constexpr uint64_t MixBits(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

// Uniform in [-1, 1), a multiple of 2^-52; only integer steps and one exact
// conversion.
inline constexpr double RandomEntry(uint64_t seed, uint64_t stream, uint64_t index) {
  const uint64_t key = MixBits(MixBits(seed + 0x9e3779b97f4a7c15ull) + stream);
  const uint64_t bits = MixBits(key + (index + 1) * 0x9e3779b97f4a7c15ull);
  return static_cast<double>(static_cast<int64_t>(bits >> 11) - (int64_t{1} << 52)) * 0x1p-52;
}

}  // namespace merganser::linalg

#endif  // MERGANSER_COMMON_LINALG_RANDOM_BLOCK_H_
