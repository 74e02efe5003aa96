// The inner loops of ranking by magnitude and of taking what reaches a rank, each
// dispatched at run time, each element by itself: the same result on every
// instruction set.
//
// A key is the float32 pattern of a magnitude, rounded to nearest even: keys order
// as the magnitudes do, and stay below 2^31.
//
// Buffers need not be aligned. Nothing allocates; all are thread-safe.
#ifndef MERGANSER_COMMON_LINALG_MAGNITUDE_KEYS_H_
#define MERGANSER_COMMON_LINALG_MAGNITUDE_KEYS_H_

#include <cstddef>
#include <cstdint>

namespace merganser::linalg {

// keys[0, n) are those of |x| * scale, scale >= 0. A product beyond float32 has the
// key of infinity.
void MagnitudeKeys(const double* x, double scale, size_t n, uint32_t* keys);

// Writes the lower 16 bits of those keys whose upper 16 bits are `upper`, in their
// order, and returns how many there are. `lower` has room for n.
size_t LowerHalves(const uint32_t* keys, size_t n, uint32_t upper, uint32_t* lower);

// Zeroes d[e], e < n, where keys[e] is not within [least, beyond).
void ZeroOutsideKeys(const uint32_t* keys, uint32_t least, uint32_t beyond, size_t n, double* d);

// Coordinates that experts compete for. Buffers are padded (block_ops.h).
struct Contest {
  double* best;   // the winner's key; negative while there is none
  double* added;  // the winner's weight * delta
  double* taker;  // the winner's number
};
// Expert `number` wins the coordinates with delta != 0 whose key is at least `least`
// and beyond the best so far. `keys` and `delta` are padded.
void Compete(const uint32_t* keys, const double* delta, uint32_t least, double weight,
             double number, size_t n, const Contest& contest);

// Adds weight * delta to `now` and `added` where delta != 0 and the key is at least
// `least`, and writes the number to `taker` there. All are padded.
void Take(const uint32_t* keys, const double* delta, uint32_t least, double weight, double number,
          size_t n, double* now, double* added, double* taker);

// How many of x[0, n) equal `value`.
size_t CountEqual(const double* x, size_t n, double value);

}  // namespace merganser::linalg

#endif  // MERGANSER_COMMON_LINALG_MAGNITUDE_KEYS_H_
