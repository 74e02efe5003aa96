// Which instruction sets this library is built for. Include before anything
// from hwy/: every source must see the same list.
#ifndef MERGANSER_COMMON_LINALG_SIMD_CONFIG_H_
#define MERGANSER_COMMON_LINALG_SIMD_CONFIG_H_

// Sets without fused multiply-add would give other bits, and SVE vectors have
// no size at compile time, which the 16 fixed lanes need (an Arm CPU runs the
// NEON code). The plain fallback that Highway always builds is refused by
// CheckCpu at start.
#define HWY_DISABLED_TARGETS \
  (HWY_SSSE3 | HWY_SSE4 | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128)

#endif  // MERGANSER_COMMON_LINALG_SIMD_CONFIG_H_
