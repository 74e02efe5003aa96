#include "common/storage/stores.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "tests/testing/temp_dir.h"

namespace merganser {
namespace {

using ::testing::HasSubstr;

TEST(Stores, AMemoryNameIsOneStore) {
  ASSERT_TRUE((*Stores().Open("memory://open-test"))->Put("k", "v").ok());
  EXPECT_TRUE((*Stores().Open("memory://open-test"))->Stat("k")->has_value());
  EXPECT_FALSE((*Stores().Open("memory://open-test-2"))->Stat("k")->has_value());
}

TEST(Stores, AFileStoreNamesAbsolutePaths) {
  const TempDir dir;
  const auto store = Stores().Open("file://" + dir.path() + "/");
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ((*store)->Describe("a/b"), dir.File("a/b"));
  EXPECT_EQ((*store)->Describe(""), dir.path());
  EXPECT_TRUE(Stores().Open("/does/not/exist").ok());
  EXPECT_EQ((*Stores().Open("/"))->Describe("a"), "/a");
}

TEST(Stores, BucketsArePlannedByWhatTheirStoreCanDo) {
  setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1", 1);
  const auto store = Stores().Open("s3://models/of/ours/");
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ((*store)->Describe("a/b"), "s3://models/of/ours/a/b");
  EXPECT_EQ((*store)->Describe(""), "s3://models/of/ours");
  EXPECT_TRUE((*store)->traits().whole_pieces);
  EXPECT_EQ((*store)->traits().least_piece, uint64_t{5} << 20);
  EXPECT_FALSE((*store)->traits().equal_pieces);
  setenv("AWS_ENDPOINT_URL", "https://account.r2.cloudflarestorage.com", 1);
  EXPECT_TRUE((*Stores().Open("s3://models"))->traits().equal_pieces);
  unsetenv("AWS_ENDPOINT_URL");
  EXPECT_EQ(Stores().Open("s3://a?b/c").status().code(), absl::StatusCode::kInvalidArgument);
  // Roots go by whole segments.
  const auto roots = AllowedRoots::Make({"s3://models/in"}, "/", "the worker");
  ASSERT_TRUE(roots.ok()) << roots.status();
  EXPECT_TRUE(Stores(*roots).Open("s3://models/in/base").ok());
  for (const char* outside : {"s3://models", "s3://models/inner", "s3://other/in", "/models/in"}) {
    EXPECT_TRUE(absl::IsPermissionDenied(Stores(*roots).Open(outside).status())) << outside;
  }
}

TEST(Stores, WebServersAndTheHubAreOnlyRead) {
  setenv("HF_HUB_OFFLINE", "1", 1);
  for (const std::string uri :
       {"https://models.example/a", "http://127.0.0.1:1/a", "hf://org/name@main/a"}) {
    const auto store = Stores().Open(uri);
    ASSERT_TRUE(store.ok()) << store.status();
    EXPECT_TRUE((*store)->traits().read_only);
    EXPECT_EQ((*store)->Describe("k"), uri + "/k");
    EXPECT_EQ((*store)->Put("k", "v").code(), absl::StatusCode::kFailedPrecondition);
  }
  unsetenv("HF_HUB_OFFLINE");
  EXPECT_EQ(*Stores().Pin("/a/b"), "/a/b");
  EXPECT_EQ(*Stores().Pin("s3://a/b"), "s3://a/b");
  const std::string commit(40, 'a');
  EXPECT_EQ(*Stores().Pin("hf://org/name@" + commit), "hf://org/name@" + commit);
  EXPECT_THAT(std::string(Stores().Open("https://huggingface.co/org/name").status().message()),
              HasSubstr("expected hf://org/name"));
  EXPECT_EQ(Stores().Open("hf://datasets/org/name").status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(Stores, RootsOfWebServersAndTheHubGoByWholeSegments) {
  const auto roots =
      AllowedRoots::Make({"https://Host:443/pub", "hf://org", "hf://lab/model"}, "/", "the worker");
  ASSERT_TRUE(roots.ok()) << roots.status();
  for (const char* inside : {"https://host/pub", "https://HOST/pub/a", "hf://org/any",
                             "hf://org/any@dev/sub", "hf://lab/model@refs%2Fpr%2F1",
                             "hf://lab/model@0123456789abcdef0123456789abcdef01234567"}) {
    EXPECT_TRUE(roots->Check(inside).ok()) << inside;
  }
  for (const char* outside :
       {"https://host", "https://host/public", "https://host:8443/pub", "http://host/pub",
        "https://host.evil/pub", "https://host/pub/../private", "https://host/pub/%2e%2e/private",
        "https://host//pub", "hf://organ/any", "hf://lab/model2", "hf://lab/other", "hf://lab",
        "hf://evil/name@org", "/pub", "s3://host/pub"}) {
    EXPECT_TRUE(absl::IsPermissionDenied(roots->Check(outside))) << outside;
    EXPECT_TRUE(absl::IsPermissionDenied(Stores(*roots).Open(outside).status())) << outside;
    EXPECT_TRUE(absl::IsPermissionDenied(Stores(*roots).Pin(outside).status()) ||
                std::string(outside).find("hf://") != 0)
        << outside;
  }
  EXPECT_EQ(AllowedRoots::Make({"hf://org/name@main"}, "/", "the worker").status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(Stores, OtherSchemesAreRefusedWithTheListOfThoseThereAre) {
  const auto store = Stores().Open("gopher://x");
  EXPECT_EQ(store.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(store.status().message()), HasSubstr("\"gopher\""));
  EXPECT_THAT(std::string(store.status().message()), HasSubstr("file, memory, s3, gs, https, hf"));
  EXPECT_EQ(Stores().Open("relative/path").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Stores().Open("").status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace merganser
