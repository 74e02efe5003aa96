// Folders in which merges were killed, on record in tests/data/working: those of every earlier
// version are gone on with, and a change of what this version leaves is noticed.
//
// `present` is of this version. Where it differs on purpose, MERGANSER_UPDATE_RECORDINGS=1 has this
// test write it anew; before that the folder is kept under the name of what was released.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/executor.h"
#include "common/base/status.h"
#include "common/engine/job_output.h"
#include "common/engine/keepsake.h"
#include "common/engine/progress_log.h"
#include "common/engine/result_record.h"
#include "common/publish/publish_merge.h"
#include "common/publish/report.h"
#include "common/storage/file/file_store.h"
#include "common/storage/list.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/common/engine/failing_store.h"
#include "tests/common/engine/recorded_folder.h"
#include "tests/common/engine/small_plan.h"
#include "tests/testing/temp_dir.h"

namespace merganser {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

const std::string kFolder = MERGANSER_WORKING_DATA;
const std::string kPresent = kFolder + "/present";
constexpr uint64_t kSeed = 8;
constexpr size_t kDone = 2;  // units, before it was killed

bool Updating() { return std::getenv("MERGANSER_UPDATE_RECORDINGS") != nullptr; }

class RecordedFolders : public ::testing::Test {
 protected:
  // A merge of `plan_`, begun or gone on with, one unit after the other; killed after `most`.
  absl::Status Merge(const std::string& path, bool resume, size_t most) {
    const std::shared_ptr<ObjectStore> store = MakeFileStore(path);
    JobOutputOptions options;
    options.beat_period = kNoBeats;
    options.job_uid = "merge-1";
    MERGANSER_ASSIGN_OR_RETURN(OpenedOutput opened,
                               JobOutput::Open(store, path, plan_, options, resume));
    if (resume && opened.state != OpenedOutput::State::kResumed) {
      return absl::NotFoundError("nothing to go on with");
    }
    const std::unique_ptr<JobOutput> output = std::move(opened.output);
    std::vector<UnitResult> results = std::move(opened.done);
    adopted_ = results.size();
    ProgressLog log(store, output->job_uid(), output->epoch(), plan_);
    MERGANSER_RETURN_IF_ERROR(log.Begin(output->earlier()));
    std::set<uint32_t> done;
    for (const UnitResult& result : results) done.insert(result.unit);
    for (uint32_t unit = 0; unit < plan_.units.size(); ++unit) {
      if (done.contains(unit)) continue;
      if (results.size() == most) return absl::CancelledError("killed");
      MERGANSER_ASSIGN_OR_RETURN(UnitResult result,
                                 WriteUnit(plan_, unit, output->writes(), *store, kSeed));
      result.stages = {0.25, 0.5, 1.25, 0.125, 0.0625};
      MERGANSER_RETURN_IF_ERROR(store->FlushWrite(output->writes()[plan_.units[unit].shard]));
      MERGANSER_RETURN_IF_ERROR(log.Append({result}));
      results.push_back(std::move(result));
    }
    std::sort(results.begin(), results.end(),
              [](const UnitResult& a, const UnitResult& b) { return a.unit < b.unit; });
    return PublishModel(*output, results, MakeReference({{"tokenizer.json", "{}"}}),
                        BuildReport(plan_, results, SomeRun()));
  }

  void ExpectHoldsAlone(const std::string& path) {
    const std::shared_ptr<ObjectStore> store = MakeFileStore(path);
    for (size_t i = 0; i < plan_.shards.size(); ++i) {
      EXPECT_EQ(ReadAll(*store, plan_.shards[i].key), ShardBytes(plan_, i, kSeed));
    }
    for (const auto& [name, bytes] : ReadFolder(path)) {
      EXPECT_THAT(name, ::testing::Not(::testing::StartsWith("."))) << "was left";
    }
    SerialExecutor executor;
    const auto verified = VerifyOutput(*store, executor);
    EXPECT_TRUE(verified.ok()) << verified.status();
  }

  // As a merge leaves it that is killed with two units on record.
  std::map<std::string, std::string> KilledNow() {
    const std::string path = dir_.File("killed");
    EXPECT_TRUE(absl::IsCancelled(Merge(path, false, kDone)));
    return Recordable(ReadFolder(path));
  }

  TempDir dir_;
  const Plan plan_ = [] {
    Plan plan = TwoShardPlan();
    plan.output = {};  // of free ranges, as a disk has them
    return plan;
  }();
  size_t adopted_ = 0;
};

TEST_F(RecordedFolders, WhatThisVersionLeavesIsWhatIsOnRecord) {
  const std::map<std::string, std::string> now = KilledNow();
  if (Updating()) {
    fs::remove_all(kPresent);
    for (const auto& [name, bytes] : now) {
      fs::create_directories((fs::path(kPresent) / name).parent_path());
      std::ofstream(fs::path(kPresent) / name, std::ios::binary) << bytes;
    }
  }
  const std::map<std::string, std::string> recorded = ReadFolder(kPresent);
  std::set<std::string> changed;
  for (const auto& [name, bytes] : now) {
    if (!recorded.contains(name) || recorded.at(name) != bytes) changed.insert(name);
  }
  for (const auto& [name, bytes] : recorded) {
    if (!now.contains(name)) changed.insert(name);
  }
  EXPECT_THAT(changed, ::testing::IsEmpty())
      << "If that is on purpose, copy " << kPresent
      << " to the name of the last version that left it "
      << "so, if one did, and run this with MERGANSER_UPDATE_RECORDINGS=1, which writes it anew";
}

TEST_F(RecordedFolders, ThoseOfEveryVersionAreGoneOnWith) {
  std::set<std::string> versions;
  for (const auto& entry : fs::directory_iterator(kFolder)) {
    if (!entry.is_directory()) continue;
    const std::string version = entry.path().filename().string();
    SCOPED_TRACE(version);
    versions.insert(version);
    const std::string path = dir_.File(version);
    PutFolder(ReadFolder(entry.path().string()), path);
    const absl::Status resumed = Merge(path, true, plan_.units.size());
    ASSERT_TRUE(resumed.ok()) << resumed;
    EXPECT_EQ(adopted_, kDone);
    ExpectHoldsAlone(path);
  }
  EXPECT_THAT(versions, ::testing::IsSupersetOf(
                            {"1-no-epochs", "2-epochs", "3-beats", "4-stages", "present"}));
}

TEST_F(RecordedFolders, WithOverwriteEveryVersionsIsClearedAway) {
  for (const auto& entry : fs::directory_iterator(kFolder)) {
    if (!entry.is_directory()) continue;
    SCOPED_TRACE(entry.path().filename().string());
    const std::string path = dir_.File(entry.path().filename().string());
    PutFolder(ReadFolder(entry.path().string()), path);
    const std::shared_ptr<ObjectStore> store = MakeFileStore(path);
    JobOutputOptions options;
    options.beat_period = kNoBeats;
    options.job_uid = "merge-2";
    const absl::Status refused = JobOutput::Begin(store, path, plan_, options).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
    EXPECT_THAT(std::string(refused.message()),
                AllOf(HasSubstr("--overwrite"), HasSubstr("--resume")));
    options.overwrite = true;
    {
      const auto begun = JobOutput::Begin(store, path, plan_, options);
      ASSERT_TRUE(begun.ok()) << begun.status();
      (*begun)->Abandon().IgnoreError();
    }
    EXPECT_EQ(ReadFolder(path), (std::map<std::string, std::string>()));
  }
}

// What one leaf tells another round, and what of it is refused.
TEST_F(RecordedFolders, KeepsakesHaveOneLayout) {
  const std::string file = kFolder + "/keepsakes";
  const KeepsakeOwner owner = {std::string(32, 'd'), 3, 1};
  const std::vector<Keepsake> leaves = {{{1.5, -2, 0.1}}, {}, {{1e300}}};
  const std::string bytes = PackKeepsakes(owner, leaves);
  if (Updating()) std::ofstream(file, std::ios::binary) << bytes;
  const std::map<std::string, std::string> files = ReadFolder(kFolder);
  ASSERT_TRUE(files.contains("keepsakes"));
  EXPECT_EQ(files.at("keepsakes"), bytes);
  const auto back = ParseKeepsakes(files.at("keepsakes"), owner);
  ASSERT_TRUE(back.ok()) << back.status();
  ASSERT_EQ(back->size(), leaves.size());
  for (size_t i = 0; i < leaves.size(); ++i) EXPECT_EQ(back->at(i).values, leaves[i].values);
}

}  // namespace
}  // namespace merganser
