#include "tests/fuzz/seeds.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/fuzz/check.h"

namespace merganser::fuzz {

std::string FileBytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  Require(file.good(), "a file that is not there", path);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<Seed> SeedsOf(const std::string& source, std::string_view target) {
  std::vector<Seed> seeds = MadeSeeds(source, target);
  const std::filesystem::path folder =
      absl::StrCat(source, "/tests/fuzz/seeds/", std::string(target));
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(folder, none)) {
    seeds.push_back({entry.path().filename().string(), FileBytes(entry.path().string())});
  }
  std::sort(seeds.begin(), seeds.end(),
            [](const Seed& a, const Seed& b) { return a.name < b.name; });
  Require(!seeds.empty(), "a target without seeds", target);
  return seeds;
}

}  // namespace merganser::fuzz
