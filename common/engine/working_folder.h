// What lies in the working folder beside the claim: which planned writes a job has begun, and how
// what a job left is cleared away.
//
//   .merganser/JOB-UID/writes/EPOCH.json        the shards that the job is about to begin
//   .merganser/JOB-UID/writes/EPOCH-begun.json  the same, with their uploads
//   .merganser/JOB-UID/writes/EPOCH.N.json, EPOCH.N-begun.json
//                                               the shards that are begun again, for the N-th time
//                                               under this epoch, as the store dropped them
//   .merganser/JOB-UID/writes/EPOCH-files.json  the small files that it is about to publish
//
// EPOCH is that of the claim under which they were begun. Nobody else has it, and writes under it:
// what a process that was thought dead puts later is never taken for its successor's.
//
// A job's folder lives only while the job holds the claim, so whoever holds it may clear the
// folders of others. He looks up what there is and checks his claim afterwards: what was there
// while he held it is not of whoever took it from him since.
#ifndef MERGANSER_COMMON_ENGINE_WORKING_FOLDER_H_
#define MERGANSER_COMMON_ENGINE_WORKING_FOLDER_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/storage/object_store.h"

namespace merganser {

// Creates the object. One that is there with the same bytes is our own of an attempt whose answer
// was lost; with others kFailedPrecondition.
absl::Status PutOnce(ObjectStore& store, std::string_view key, std::string_view bytes);

// The writer of planned writes that are begun under a claim of `epoch`.
std::string WriterOf(std::string_view job, int64_t epoch);

enum class WritesRecord { kIntended, kBegun, kFiles };

// Puts down planned writes under the writer of `epoch`. Those without an upload may have been
// begun: put down before BeginWrite, they let whoever takes over find what a killed job left.
// `again`: 0 for all shards; else those that are begun again, for the so-manieth time.
absl::Status RecordWrites(ObjectStore& store, std::string_view job, int64_t epoch,
                          WritesRecord record, std::span<const PlannedWrite> writes,
                          uint32_t again = 0);

struct BegunWrites {
  int64_t epoch = 0;                 // under which all were begun; some again since
  std::vector<PlannedWrite> writes;  // none: nothing is on record
};
// The shards that `job` begun last. kDataLoss for a record that cannot be understood.
absl::StatusOr<BegunWrites> ReadBegunWrites(ObjectStore& store, std::string_view job);

// Whether anything that RecordWrites put down is still there: the job lives, and its working
// folder is not being cleared up.
absl::StatusOr<bool> HasRecordedWrites(ObjectStore& store, std::string_view job);

// What one job has in the working folder, looked up at one moment.
struct JobFolder {
  struct Write {
    PlannedWrite write;  // without an upload: of `writer`
    std::string writer;
    int64_t epoch = 0;
    bool shard = false;
    // Nothing of it was begun before, by the store's clock.
    std::optional<WallTime> since = {};
  };
  std::string job;
  std::vector<ListedObject> objects;
  std::vector<Write> writes;  // which its records name
};

// kUnavailable and the like where storage fails; a record that cannot be understood now will not
// be later, and counts as none.
absl::StatusOr<JobFolder> LookUpJob(ObjectStore& store, std::string_view job);

// Aborts the folder's writes. Then removes its objects, the records last and only if nothing that
// they name may be left; no object that was put in its place since. Does all it can and returns
// the first error.
absl::Status ClearJob(ObjectStore& store, const JobFolder& folder);

// Aborts the small files that processes before `epoch` may yet have made visible, and forgets
// them.
absl::Status AbortEarlierFiles(ObjectStore& store, std::string_view job, int64_t epoch);

// ClearJob for every job of the output but for the object `keep`. `claim` is the text of ours:
// kFailedPrecondition, and nothing is touched, where it is no longer there.
absl::Status ClearAllJobs(ObjectStore& store, std::string_view claim, std::string_view keep);

// Removes folders of jobs that hold nothing, as a process leaves that is killed while
// it clears up; stores without folders have none. Needs no claim.
absl::Status ClearEmptyFolders(ObjectStore& store);

}  // namespace merganser

#endif  // MERGANSER_COMMON_ENGINE_WORKING_FOLDER_H_
