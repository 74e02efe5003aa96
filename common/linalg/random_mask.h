// Random numbers that are a function of what they are for, not of the order in which
// they are drawn: the same for any cut, thread count and rerun.
//
//   fin(z):  z ^= z >> 30; z *= 0xbf58476d1ce4e5b9
//            z ^= z >> 27; z *= 0x94d049bb133111eb
//            z ^= z >> 31                       (the finaliser of splitmix64)
//   name  =  FNV-1a, 64 bits, of the tensor's name
//   h     =  fin(fin(seed ^ name) + model)
//   u(e)  =  (fin(h + (e + 1) * 0x9e3779b97f4a7c15) >> 11) * 2^-53
//
// all modulo 2^64. `model` is the position among the contributing models from 0, e
// the element's index in its tensor. An element is kept when u(e) < its probability.
#ifndef MERGANSER_COMMON_LINALG_RANDOM_MASK_H_
#define MERGANSER_COMMON_LINALG_RANDOM_MASK_H_

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace merganser {

class RandomMask {
 public:
  RandomMask(uint64_t seed, uint64_t model, std::string_view tensor)
      : key_(Finalise(Finalise(seed ^ HashName(tensor)) + model)) {}

  // u of an element, in [0, 1).
  double Uniform(uint64_t element) const { return static_cast<double>(Draw(element)) * 0x1p-53; }
  bool Keeps(uint64_t element, double probability) const { return Uniform(element) < probability; }

  // The same in integers: an element is kept when Draw(e) < Threshold(its probability,
  // from 0 to 1).
  uint64_t Draw(uint64_t element) const { return Finalise(Counter(element)) >> 11; }
  static uint64_t Threshold(double probability) {
    return static_cast<uint64_t>(std::ceil(probability * 0x1p53));
  }

  // Draw of elements first, first + 1, ... in draws[0, n).
  void Draws(uint64_t first, size_t n, uint64_t* draws) const;
  // Zeroes what is not kept of x[0, n), elements first, first + 1, ...
  void Drop(uint64_t first, uint64_t threshold, size_t n, double* x) const;

  // How far the counters of neighbours lie apart.
  static constexpr uint64_t kStep = 0x9e3779b97f4a7c15;

 private:
  static constexpr uint64_t Finalise(uint64_t z) {
    z ^= z >> 30;
    z *= 0xbf58476d1ce4e5b9;
    z ^= z >> 27;
    z *= 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  static constexpr uint64_t HashName(std::string_view name) {
    uint64_t hash = 0xcbf29ce484222325;
    for (const char c : name) {
      hash ^= static_cast<unsigned char>(c);
      hash *= 0x100000001b3;
    }
    return hash;
  }

  uint64_t Counter(uint64_t element) const { return key_ + (element + 1) * kStep; }

  uint64_t key_;
};

}  // namespace merganser

#endif  // MERGANSER_COMMON_LINALG_RANDOM_MASK_H_
