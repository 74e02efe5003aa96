// Damage to an input, the same every time: what a test does in a second where a fuzzer has hours.
#ifndef MERGANSER_TESTS_FUZZ_MUTATIONS_H_
#define MERGANSER_TESTS_FUZZ_MUTATIONS_H_

#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace merganser::fuzz {

// `input` changed in one to four places: bits, bytes, pieces of itself or of `other`, numbers that
// become the least and largest there are.
std::string Mutated(std::mt19937& random, std::string input, std::string_view other);

// `input` with nested lists and objects in the place of one of its values, far deeper than any file
// has them: for each value, but no more than `most`. Whoever walks them by calls runs out of stack.
std::vector<std::string> Deepened(std::string_view input, size_t most);

}  // namespace merganser::fuzz

#endif  // MERGANSER_TESTS_FUZZ_MUTATIONS_H_
