// Writes the seeds of every target below a folder, for libFuzzer:
//   fuzz_make_seeds REPOSITORY FOLDER
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/fuzz/seeds.h"
#include "tests/fuzz/targets.h"

int main(int argc, char** argv) {
  using merganser::fuzz::Seed;
  if (argc != 3) {
    std::fprintf(stderr, "usage: fuzz_make_seeds REPOSITORY FOLDER\n");
    return 2;
  }
#define MERGANSER_FUZZ_NAME(name) #name,
  for (const char* target : {MERGANSER_FUZZ_TARGETS(MERGANSER_FUZZ_NAME)}) {
    const std::filesystem::path folder = std::filesystem::path(argv[2]) / target;
    std::filesystem::create_directories(folder);
    for (const Seed& seed : merganser::fuzz::SeedsOf(argv[1], target)) {
      std::ofstream(folder / seed.name, std::ios::binary) << seed.bytes;
    }
  }
  return 0;
}
