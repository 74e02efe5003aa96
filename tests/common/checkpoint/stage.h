// A place to write checkpoints to, removed with the test.
#ifndef MERGANSER_TESTS_COMMON_CHECKPOINT_STAGE_H_
#define MERGANSER_TESTS_COMMON_CHECKPOINT_STAGE_H_

#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <filesystem>
#include <map>
#include <string>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/checkpoint/checkpoint.h"
#include "common/storage/stores.h"
#include "tests/testing/tiny_checkpoint.h"

namespace merganser {

class TempFolder {
 public:
  TempFolder() {
    std::string name =
        (std::filesystem::temp_directory_path() / "merganser-checkpoint-XXXXXX").string();
    path_ = mkdtemp(name.data()) == nullptr ? "" : name;
    EXPECT_FALSE(path_.empty());
  }
  ~TempFolder() {
    std::error_code error;
    if (!path_.empty()) std::filesystem::remove_all(path_, error);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Checkpoints by name, in memory or in a folder.
class Stage {
 public:
  explicit Stage(bool in_memory = true) : in_memory_(in_memory) {}

  std::string Uri(const std::string& name) const {
    return in_memory_ ? absl::StrCat("memory://", Unique(), "-", name)
                      : absl::StrCat(folder_.path(), "/", name);
  }
  std::string Write(const std::string& name, const std::map<std::string, std::string>& files) {
    const std::string uri = Uri(name);
    if (!in_memory_) {
      EXPECT_TRUE(WriteFiles(files, uri).ok());
      return uri;
    }
    const auto store = Stores().Open(uri);
    EXPECT_TRUE(store.ok()) << store.status();
    for (const auto& [key, content] : files) EXPECT_TRUE((*store)->Put(key, content).ok());
    return uri;
  }
  std::string Write(const std::string& name, const TinyCheckpoint& checkpoint) {
    const auto files = TinyFiles(checkpoint);
    EXPECT_TRUE(files.ok()) << files.status();
    return files.ok() ? Write(name, *files) : "";
  }
  // Writes and opens; `given` is the name.
  Checkpoint Make(const std::string& name, const TinyCheckpoint& checkpoint) {
    auto opened = OpenCheckpoint(Write(name, checkpoint), name);
    EXPECT_TRUE(opened.ok()) << opened.status();
    return opened.ok() ? *std::move(opened) : Checkpoint();
  }

 private:
  std::string Unique() const { return absl::StrCat("stage", id_); }

  static inline std::atomic<int> next_{0};
  const int id_ = next_++;
  const bool in_memory_;
  TempFolder folder_;
};

}  // namespace merganser

#endif  // MERGANSER_TESTS_COMMON_CHECKPOINT_STAGE_H_
