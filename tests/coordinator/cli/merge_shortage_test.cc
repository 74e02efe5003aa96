// `merganser merge` where the n-th thread, or the n-th allocation, cannot be had, for every n
// that there is: it ends with a status, and leaves a whole model or nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/cli/embedded_executor.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/interrupt.h"
#include "coordinator/cli/merge_flags.h"
#include "coordinator/cli/merge_run.h"
#include "coordinator/cli/run_main.h"
#include "tests/testing/shortage.h"
#include "tests/testing/temp_dir.h"
#include "tests/testing/tiny_checkpoint.h"

namespace merganser::cli {
namespace {

namespace fs = std::filesystem;

constexpr unsigned kLimitSeconds = 120;

bool Long() {
  const char* set = std::getenv("MERGANSER_LONG");
  return set != nullptr && std::string(set) == "1";
}

std::map<std::string, std::string> Files(const fs::path& folder) {
  std::map<std::string, std::string> files;
  if (!fs::exists(folder)) return files;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    std::stringstream text;
    text << std::ifstream(entry.path(), std::ios::binary).rdbuf();
    files[fs::relative(entry.path(), folder).string()] = text.str();
  }
  return files;
}

class MergeShortageTest : public ::testing::Test {
 protected:
  // Two shards in and two out; a method that needs workspace, a gate over all of the model,
  // rounds and keepsakes.
  MergeShortageTest() {
    TinyCheckpoint model;
    for (int t = 0; t < 4; ++t) {
      model.tensors.push_back({absl::StrCat("model.layers.", t, ".w"), DType::kF32, {96, 200}});
    }
    model.shards = 2;
    for (const char* name : {"base", "a", "b"}) {
      ++model.seed;
      EXPECT_TRUE(WriteTinyCheckpoint(model, Path(name)).ok());
    }
    std::ofstream(Path("recipe.yaml"))
        << "merge_method: resmerge\nbase_model: " << Path("base") << "\nmodels: [" << Path("a")
        << ", " << Path("b") << "]\nparameters: {scope: model}\nmax_shard_size: 200KB\n";
    const ChildEnd undisturbed = Run({});
    EXPECT_EQ(undisturbed.code, kDone) << undisturbed.said;
    demand_ = undisturbed.demand;
    expected_ = Weights();
    EXPECT_EQ(expected_.size(), 3u);  // two shards and the index
  }

  std::string Path(const std::string& name) const {
    return (fs::path(dir_.path()) / name).string();
  }

  ChildEnd Run(const Shortage& shortage) const {
    fs::remove_all(Path("out"));
    return RunShort(shortage, kLimitSeconds, [&] {
      return RunMain([&] {
        return WithInterrupts([&](InterruptWatcher& interrupts) {
          MergeFlags flags;
          flags.recipe = Path("recipe.yaml");
          flags.output = Path("out");
          flags.threads = 3;
          flags.memory = uint64_t{1} << 30;
          EmbeddedExecutor executor(flags.threads);
          return MergeWith(executor, flags, interrupts);
        });
      });
    });
  }

  std::map<std::string, std::string> Weights() const {
    std::map<std::string, std::string> weights;
    for (auto& [name, text] : Files(Path("out"))) {
      if (name.find("safetensors") != std::string::npos) weights[name] = text;
    }
    return weights;
  }

  std::vector<std::string> Names() const {
    std::vector<std::string> names;
    for (const auto& [name, text] : Files(Path("out"))) names.push_back(name);
    return names;
  }

  // Whether the shortage was met at all.
  bool Check(const Shortage& shortage, const std::string& what) {
    const ChildEnd end = Run(shortage);
    SCOPED_TRACE(
        absl::StrCat(what, " ", shortage.nth, ", ", shortage.many, " of them:\n", end.said));
    EXPECT_EQ(end.signal, 0);
    EXPECT_THAT(end.code, ::testing::AnyOf(kDone, kRetryable));
    if (end.code == kDone) {
      EXPECT_TRUE(Weights() == expected_);
    } else if (Weights() != expected_) {  // else it was published, and could not say so
      ++failed_;
      EXPECT_THAT(Names(), ::testing::IsEmpty());
      EXPECT_THAT(end.said, ::testing::HasSubstr("merganser: error: "));
    }
    return !HasFailure();
  }

  TempDir dir_;
  Demand demand_;
  std::map<std::string, std::string> expected_;
  int failed_ = 0;
};

TEST_F(MergeShortageTest, EveryThread) {
  ASSERT_GT(demand_.threads, 5u);
  for (uint64_t n = 1; n <= demand_.threads; ++n) {
    for (const uint64_t many : {uint64_t{1}, demand_.threads}) {
      if (!Check({Scarce::kThreads, n, many}, "thread")) return;
    }
  }
  EXPECT_GT(failed_, 0);
}

TEST_F(MergeShortageTest, EveryLargeAllocation) {
  ASSERT_GT(demand_.large, 10u);
  for (uint64_t n = 1; n <= demand_.large; ++n) {
    if (!Check({Scarce::kLargeMemory, n}, "large allocation")) return;
  }
  EXPECT_GT(failed_, 0);
}

TEST_F(MergeShortageTest, SmallAllocationsAtRandom) {
  ASSERT_GT(demand_.small, 1000u);
  std::mt19937_64 random(20261129);
  const int runs = Long() ? 3000 : 250;
  for (int i = 0; i < runs; ++i) {
    if (!Check({Scarce::kSmallMemory, 1 + random() % demand_.small}, "small allocation")) return;
  }
  EXPECT_GT(failed_, runs / 2);
}

}  // namespace
}  // namespace merganser::cli
