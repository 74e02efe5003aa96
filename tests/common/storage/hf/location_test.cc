#include "common/storage/hf/location.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "common/storage/hf/model_info.h"
#include "common/storage/uri.h"

namespace merganser {
namespace {

using testing::HasSubstr;

constexpr char kCommit[] = "0123456789abcdef0123456789abcdef01234567";

TEST(HfLocationTest, ReadsWhatUsersWrite) {
  struct Case {
    std::string text, repository, revision, folder, again;
  };
  for (const Case& c : std::vector<Case>{
           {"org/name", "org/name", "main", "", "hf://org/name@main"},
           {"gpt2", "gpt2", "main", "", "hf://gpt2@main"},
           {"gpt2@v1.0", "gpt2", "v1.0", "", "hf://gpt2@v1.0"},
           {"org/na-me.x@dev", "org/na-me.x", "dev", "", "hf://org/na-me.x@dev"},
           {"org/name/a/b", "org/name", "main", "a/b", "hf://org/name@main/a/b"},
           {"org/name@dev/a", "org/name", "dev", "a", "hf://org/name@dev/a"},
           {"org/name@refs/pr/12", "org/name", "refs/pr/12", "", "hf://org/name@refs%2Fpr%2F12"},
           {"org/name@refs/pr/1/a", "org/name", "refs/pr/1", "a", "hf://org/name@refs%2Fpr%2F1/a"},
           {"org/name@feature%2Fx/a", "org/name", "feature/x", "a", "hf://org/name@feature%2Fx/a"},
           {std::string("org/name@") + kCommit, "org/name", kCommit, "",
            std::string("hf://org/name@") + kCommit}}) {
    const absl::StatusOr<HfLocation> location = ParseHfLocation(c.text);
    ASSERT_TRUE(location.ok()) << c.text << ": " << location.status();
    EXPECT_EQ(location->repository, c.repository) << c.text;
    EXPECT_EQ(location->revision, c.revision) << c.text;
    EXPECT_EQ(location->folder, c.folder) << c.text;
    EXPECT_EQ(location->ToString(), c.again);
    EXPECT_EQ(location->pinned(), c.revision == kCommit) << c.text;
    const absl::StatusOr<Uri> uri = ParseUri(location->ToString());
    ASSERT_TRUE(uri.ok()) << uri.status();
    EXPECT_EQ(ParseHfLocation(uri->path)->ToString(), c.again);
  }
}

TEST(HfLocationTest, RefusesTheRest) {
  for (const std::string text : {"",
                                 "/",
                                 "org/",
                                 "/name",
                                 "org//name",
                                 ".org/name",
                                 "org/..",
                                 "-org/name",
                                 "org/na me",
                                 "org/name@",
                                 "org/name@/a",
                                 "org/name@..",
                                 "org/name@a..b",
                                 "org/name@-x",
                                 "org/name@a b",
                                 "org/name@a%2F",
                                 "org/name@a%00",
                                 "org/name/../x",
                                 "org/name/",
                                 "org/name//a",
                                 "@main",
                                 "org/na@me@x",
                                 "datasets/org/name",
                                 "spaces/org/name",
                                 "buckets/org/name"}) {
    const absl::Status status = ParseHfLocation(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(status.message(), HasSubstr("expected hf://org/name"));
  }
}

TEST(HfModelInfoTest, ReadsCommitAndFiles) {
  const auto info = ParseHfModelInfo(R"({
    "_id": "1", "sha": "0123456789abcdef0123456789abcdef01234567", "gated": false,
    "config": {"sha": "no", "siblings": [{"rfilename": "no"}]},
    "siblings": [
      {"rfilename": "config.json", "size": 12, "blobId": "aaaa"},
      {"rfilename": "model.safetensors", "blobId": "bbbb", "size": 5000000000,
       "lfs": {"sha256": "cccc", "size": 7, "pointerSize": 135}},
      {"rfilename": "sub/plain.txt"},
      {"rfilename": "../escape", "size": 1, "blobId": "dddd"},
      {"rfilename": "odd", "size": 1, "blobId": "a/../b"},
      {"size": 1}
    ], "tags": ["sha", "siblings"]})");
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->commit, kCommit);
  ASSERT_EQ(info->files.size(), 4u);
  EXPECT_EQ(info->files.at("config.json"), (HfFile{"aaaa", 12}));
  EXPECT_EQ(info->files.at("model.safetensors"), (HfFile{"cccc", 5000000000}));
  EXPECT_EQ(info->files.at("sub/plain.txt"), std::nullopt);
  EXPECT_EQ(info->files.at("odd"), std::nullopt);
}

TEST(HfModelInfoTest, OtherAnswersAreDataLoss) {
  for (const std::string text :
       {"", "<html>", "[]", "{}", R"({"sha": "main"})", R"({"sha": 7, "siblings": []})",
        R"({"sha": "0123456789abcdef0123456789abcdef0123456g"})", R"({"siblings": [1, [], {}]})",
        R"({"sha": "0123456789abcdef0123456789abcdef01234567")"}) {
    EXPECT_EQ(ParseHfModelInfo(text).status().code(), absl::StatusCode::kDataLoss) << text;
  }
  EXPECT_EQ(ParseHfModelInfo(std::string(100'000, '[')).status().code(),
            absl::StatusCode::kDataLoss);
}

// What followed was taken for a part of the revision, and spelled anew for more of it.
TEST(HfLocationTest, NamesWithoutAnOrganisationHaveRevisionsAndFoldersToo) {
  const auto parts = [](std::string_view text) {
    const auto place = ParseHfLocation(text);
    EXPECT_TRUE(place.ok()) << place.status();
    return place.ok() ? std::vector{place->repository, place->revision, place->folder}
                      : std::vector<std::string>();
  };
  using Parts = std::vector<std::string>;
  EXPECT_EQ(parts("gpt2@main/sub/a"), (Parts{"gpt2", "main", "sub/a"}));
  EXPECT_EQ(parts("gpt2@refs/pr/1"), (Parts{"gpt2", "refs/pr/1", ""}));
  EXPECT_EQ(parts("gpt2@refs/pr/1/sub"), (Parts{"gpt2", "refs/pr/1", "sub"}));
  EXPECT_EQ(parts("gpt2@a%2Fb"), (Parts{"gpt2", "a/b", ""}));
}

TEST(HfFileTest, IdentitiesToTextAndBack) {
  EXPECT_EQ(HfFile::Parse("abc-12"), (HfFile{"abc", 12}));
  EXPECT_EQ((HfFile{"abc", 12}).ToString(), "abc-12");
  // Those of files, and what could lead out of a folder.
  for (const std::string text : {"", "abc", "-1", "abc-", "12-34-56", "a/b-1", "..-1", "abc--1",
                                 "abc-+1", "abc-01", "abc- 1"}) {
    EXPECT_FALSE(HfFile::Parse(text).has_value()) << text;
  }
  EXPECT_EQ(PlainEtag("\"abc\""), "abc");
  EXPECT_EQ(PlainEtag("W/\"abc\""), "abc");
  EXPECT_EQ(PlainEtag("abc"), "abc");
  for (const std::string text : {"", "\"", "\"\"", "\"../x\"", "a b", "\"a"}) {
    EXPECT_EQ(PlainEtag(text), "") << text;
  }
}

}  // namespace
}  // namespace merganser
