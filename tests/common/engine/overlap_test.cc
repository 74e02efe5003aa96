#include "common/engine/overlap.h"

#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace merganser {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

absl::Status Check(const std::string& output, const std::string& input) {
  PlannedModel model;
  model.uri = input;
  return CheckApart(output, {model});
}

class OverlapOnDisk : public ::testing::Test {
 protected:
  OverlapOnDisk() {
    root_ =
        fs::path(::testing::TempDir()) /
        ("overlap-" + std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()));
    fs::remove_all(root_);
    fs::create_directories(root_ / "models" / "a");
    fs::create_directories(root_ / "out");
  }
  ~OverlapOnDisk() override {
    std::error_code ignored;
    fs::remove_all(root_, ignored);
  }
  std::string At(const std::string& path) const { return (root_ / path).string(); }

  fs::path root_;
};

TEST(CheckApart, FoldersOfAdaptersAreInputsToo) {
  PlannedModel model;
  model.uri = "/models/base";
  model.places = {"/adapters/a", "s3://bucket/b"};
  EXPECT_TRUE(CheckApart("/out", {model}).ok());
  for (const std::string output : {"/adapters/a/out", "/adapters", "s3://bucket/b"}) {
    const absl::Status apart = CheckApart(output, {model});
    EXPECT_TRUE(absl::IsFailedPrecondition(apart)) << output << ": " << apart;
  }
  EXPECT_TRUE(CheckApart("/adapters/ab", {model}).ok());
}

// One bucket has many names: that of another scheme at the same endpoint, and a web address.
TEST(CheckPlacesApart, ComparesHostAndPath) {
  ::setenv("AWS_ENDPOINT_URL", "https://storage.googleapis.com", 1);
  ::setenv("AWS_REGION", "auto", 1);
  const Stores stores;
  const auto check = [&](const std::string& output, const std::string& input) {
    PlannedModel model;
    model.uri = input;
    return CheckPlacesApart(stores, output, {model});
  };
  for (const char* input : {"gs://models/a/b", "s3://models/a/b", "s3://models//a/b/",
                            "https://storage.googleapis.com/models/a/b",
                            "https://STORAGE.googleapis.com:443/models/a/b"}) {
    for (const char* output : {"s3://models/a/b", "gs://models/a", "s3://models/a/b/c"}) {
      const absl::Status apart = check(output, input);
      EXPECT_TRUE(absl::IsFailedPrecondition(apart)) << output << " " << input << " " << apart;
      EXPECT_THAT(std::string(apart.message()), HasSubstr(output));
    }
    EXPECT_TRUE(check("s3://models/a/bc", input).ok()) << input;
    EXPECT_TRUE(check("s3://other/a/b", input).ok()) << input;
    EXPECT_TRUE(check("/models/a/b", input).ok()) << input;
  }
  EXPECT_TRUE(check("s3://models/a", "/models/a").ok());
  EXPECT_TRUE(check("s3://models/a", "hf://models/a").ok());
}

TEST(CheckApart, ComparesWholeSegments) {
  EXPECT_TRUE(Check("s3://b/models/ab", "s3://b/models/a").ok());
  EXPECT_TRUE(Check("s3://b/models/a", "s3://b/models/ab").ok());
  EXPECT_TRUE(Check("s3://b/out", "s3://c/out").ok());
  EXPECT_TRUE(Check("memory://x", "s3://x").ok());
}

TEST(CheckApart, RefusesTheSameAnInnerAndAnOuterPlace) {
  const struct {
    const char *output, *input, *how;
  } cases[] = {{"s3://b/models/a", "s3://b/models/a", " is "},
               {"s3://b/models/a/", "s3://b/models//a", " is "},
               {"s3://b/models/a/out", "s3://b/models/a", "lies inside"},
               {"s3://b/models", "s3://b/models/a", "contains"}};
  for (const auto& c : cases) {
    const absl::Status status = Check(c.output, c.input);
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << c.output;
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.how));
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.input));
  }
}

TEST_F(OverlapOnDisk, PathsAreComparedWithoutRegardToSpelling) {
  EXPECT_TRUE(Check(At("out"), At("models/a")).ok());
  EXPECT_FALSE(Check("file://" + At("models/a"), At("models/a")).ok());
  EXPECT_FALSE(Check(At("out/../models/a"), At("models/a")).ok());
  EXPECT_FALSE(Check(At("models/a/new/deeper"), At("models/a")).ok());
  EXPECT_FALSE(Check(At("models"), At("models/a")).ok());
}

TEST_F(OverlapOnDisk, SymbolicLinksAreFollowed) {
  fs::create_directory_symlink(root_ / "models" / "a", root_ / "link");
  EXPECT_FALSE(Check(At("link"), At("models/a")).ok());
  EXPECT_FALSE(Check(At("link/new"), At("models/a")).ok());
  EXPECT_FALSE(Check(At("models/a"), At("link")).ok());
  EXPECT_FALSE(Check(At("models"), At("link")).ok());
  EXPECT_TRUE(Check(At("out/link"), At("link")).ok());
}

TEST_F(OverlapOnDisk, EveryInputIsChecked) {
  PlannedModel a, b;
  a.uri = At("models/a");
  b.uri = At("models/b");
  EXPECT_FALSE(CheckApart(At("models/b/x"), {a, b}).ok());
  EXPECT_TRUE(CheckApart(At("models/c"), {a, b}).ok());
}

}  // namespace
}  // namespace merganser
