#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <optional>

#include "common/checkpoint/checkpoint.h"
#include "tests/common/checkpoint/stage.h"

namespace merganser {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class Environment {
 public:
  Environment(const char* name, const std::string& value) : name_(name) {
    if (const char* old = getenv(name)) old_ = old;
    if (value.empty()) {
      unsetenv(name);
    } else {
      setenv(name, value.c_str(), 1);
    }
  }
  ~Environment() {
    if (old_.has_value()) {
      setenv(name_, old_->c_str(), 1);
    } else {
      unsetenv(name_);
    }
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  const char* name_;
  std::optional<std::string> old_;
};

class ResolveModelTest : public ::testing::Test {
 protected:
  void Write(const std::string& path, const std::string& content) {
    ASSERT_TRUE(WriteFiles({{path, content}}, folder_.path()).ok());
  }
  std::string Message(const std::string& model) {
    const auto uri = ResolveModel(model, folder_.path());
    EXPECT_FALSE(uri.ok()) << *uri;
    code_ = uri.status().code();
    return std::string(uri.status().message());
  }

  TempFolder folder_;
  std::string hub_ = folder_.path() + "/hub";
  Environment cache_{"HF_HUB_CACHE", hub_};
  absl::StatusCode code_ = absl::StatusCode::kOk;
};

TEST_F(ResolveModelTest, PathsAndUris) {
  EXPECT_EQ(*ResolveModel("/models/a/../b/", "/x"), "/models/b");
  EXPECT_EQ(*ResolveModel("./a", "/x"), "/x/a");
  EXPECT_EQ(*ResolveModel("../a", "/x/y"), "/x/a");
  EXPECT_EQ(*ResolveModel("a/b/c", "/x"), "/x/a/b/c");
  EXPECT_EQ(*ResolveModel("file:///models/a", "/x"), "/models/a");
  EXPECT_EQ(*ResolveModel("s3://bucket/a", "/x"), "s3://bucket/a");
  EXPECT_THAT(Message(""), HasSubstr("model ''"));
}

TEST_F(ResolveModelTest, AFolderWinsOverTheCache) {
  Write("org/name/config.json", "{}");
  Write("hub/models--org--name/refs/main", "abc");
  Write("hub/models--org--name/snapshots/abc/config.json", "{}");
  EXPECT_EQ(*ResolveModel("org/name", folder_.path()), folder_.path() + "/org/name");
}

TEST_F(ResolveModelTest, FollowsRefsMain) {
  Write("hub/models--org--name/refs/main", "abc\n");
  Write("hub/models--org--name/snapshots/abc/config.json", "{}");
  Write("hub/models--org--name/snapshots/older/config.json", "{}");
  EXPECT_EQ(*ResolveModel("org/name", folder_.path()), hub_ + "/models--org--name/snapshots/abc");
  Write("hub/models--gpt2/snapshots/only/config.json", "{}");
  EXPECT_EQ(*ResolveModel("gpt2", folder_.path()), hub_ + "/models--gpt2/snapshots/only");
}

TEST_F(ResolveModelTest, RevisionsOfTheCache) {
  Write("hub/models--org--name/refs/main", "abc");
  Write("hub/models--org--name/refs/dpo-v0", "def\n");
  Write("hub/models--org--name/refs/refs/pr/1", "fed");
  for (const char* commit : {"abc", "def", "fed", "0123"}) {
    Write(std::string("hub/models--org--name/snapshots/") + commit + "/config.json", "{}");
  }
  const std::string snapshots = hub_ + "/models--org--name/snapshots/";
  EXPECT_EQ(*ResolveModel("org/name@dpo-v0", folder_.path()), snapshots + "def");
  EXPECT_EQ(*ResolveModel("org/name@refs/pr/1", folder_.path()), snapshots + "fed");
  EXPECT_EQ(*ResolveModel("org/name@0123", folder_.path()), snapshots + "0123");
  EXPECT_THAT(Message("org/name@gone"),
              AllOf(HasSubstr("neither refs/gone nor a snapshot"),
                    HasSubstr("huggingface-cli download org/name --revision gone"),
                    HasSubstr("hf://org/name@gone")));
  EXPECT_EQ(code_, absl::StatusCode::kNotFound);
}

// None of them leaves the cache: what is no revision is a path.
TEST_F(ResolveModelTest, ARevisionIsNoWayOut) {
  Write("hub/models--org--name/refs/main", "abc");
  Write("hub/models--org--name/snapshots/abc/config.json", "{}");
  Write("secret/config.json", "{}");
  for (const char* model :
       {"org/name@../../../secret", "org/name@/etc", "org/name@", "org/name@a b", "org/name@."}) {
    const auto uri = ResolveModel(model, folder_.path());
    // Absolute against the folder, as any path.
    EXPECT_TRUE(!uri.ok() || uri->rfind(folder_.path(), 0) == 0) << model << ": " << *uri;
    EXPECT_TRUE(!uri.ok() || uri->find("hub") == uri->npos) << *uri;
  }
}

TEST_F(ResolveModelTest, AFolderWithAnAtSignWinsOverARevision) {
  Write("org/name@dpo/config.json", "{}");
  Write("hub/models--org--name/refs/dpo", "abc");
  Write("hub/models--org--name/snapshots/abc/config.json", "{}");
  EXPECT_EQ(*ResolveModel("org/name@dpo", folder_.path()), folder_.path() + "/org/name@dpo");
}

TEST_F(ResolveModelTest, RefsMainWithoutItsSnapshot) {
  Write("hub/models--org--name/refs/main", "abc");
  Write("hub/models--org--name/snapshots/older/config.json", "{}");
  EXPECT_THAT(Message("org/name"),
              AllOf(HasSubstr("refs/main names"), HasSubstr("snapshots/abc"),
                    HasSubstr("huggingface-cli download org/name"), HasSubstr("hf://org/name")));
  EXPECT_EQ(code_, absl::StatusCode::kNotFound);
}

TEST_F(ResolveModelTest, RefsMainIsNotAPath) {
  Write("hub/models--org--name/refs/main", "../../../secret");
  Write("secret/config.json", "{}");
  Write("hub/models--org--name/snapshots/only/config.json", "{}");
  EXPECT_EQ(*ResolveModel("org/name", folder_.path()), hub_ + "/models--org--name/snapshots/only");
}

TEST_F(ResolveModelTest, SeveralSnapshotsWithoutARef) {
  Write("hub/models--org--name/snapshots/a/config.json", "{}");
  Write("hub/models--org--name/snapshots/b/config.json", "{}");
  EXPECT_THAT(Message("org/name"), AllOf(HasSubstr("2 snapshots, expected one"),
                                         HasSubstr("snapshots/a"), HasSubstr("give the path")));
}

TEST_F(ResolveModelTest, AMissNamesThePlacesAndHowToFetch) {
  EXPECT_THAT(Message("org/name"),
              AllOf(HasSubstr("'org/name'"), HasSubstr(folder_.path() + "/org/name"),
                    HasSubstr(hub_ + "/models--org--name"),
                    HasSubstr("huggingface-cli download org/name")));
  EXPECT_EQ(code_, absl::StatusCode::kNotFound);
}

TEST_F(ResolveModelTest, TheCacheFollowsTheEnvironment) {
  const Environment no_hub("HF_HUB_CACHE", "");
  {
    const Environment home("HF_HOME", folder_.path() + "/hf");
    EXPECT_THAT(Message("org/name"), HasSubstr(folder_.path() + "/hf/hub/models--org--name"));
  }
  const Environment no_hf("HF_HOME", "");
  const Environment no_xdg("XDG_CACHE_HOME", "");
  const Environment home("HOME", folder_.path());
  EXPECT_THAT(Message("org/name"),
              HasSubstr(folder_.path() + "/.cache/huggingface/hub/models--org--name"));
}

}  // namespace
}  // namespace merganser
