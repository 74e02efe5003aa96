// What fuzzing begins with: small inputs of every kind that a target knows.
#ifndef MERGANSER_TESTS_FUZZ_SEEDS_H_
#define MERGANSER_TESTS_FUZZ_SEEDS_H_

#include <string>
#include <string_view>
#include <vector>

namespace merganser::fuzz {

struct Seed {
  std::string name;
  std::string bytes;
};

// The target's files in tests/fuzz/seeds, and what is made of the repository's own samples and of
// this version's codecs: those would be out of date as files. By name; the same every time.
// `source` is the repository.
std::vector<Seed> SeedsOf(const std::string& source, std::string_view target);

// Of these, those that are made.
std::vector<Seed> MadeSeeds(const std::string& source, std::string_view target);

// The bytes of a file, which has to be there.
std::string FileBytes(const std::string& path);

}  // namespace merganser::fuzz

#endif  // MERGANSER_TESTS_FUZZ_SEEDS_H_
