// What an output has beside its weights: config.json, and the files of models that
// go along.
#ifndef MERGANSER_COMMON_PUBLISH_SMALL_FILES_H_
#define MERGANSER_COMMON_PUBLISH_SMALL_FILES_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/auxiliary/auxiliary_files.h"
#include "common/plan/plan.h"
#include "common/prepare/output_donors.h"
#include "common/storage/object_store.h"

namespace merganser {

struct SmallFiles {
  std::string config;  // the text of config.json; empty where the reference has none
  std::vector<AuxiliaryFile> auxiliary;  // copied
  // Others than the donors have: keys and bytes.
  std::vector<std::pair<std::string, std::string>> written;
};

// Those of an output of `plan`. Nothing but config.json's rewriting and listings: of auxiliary
// files none is read, but tokenizer_config.json where `donors` say another chat template.
// `donors` must outlive it.
absl::StatusOr<SmallFiles> SmallFilesOf(const Plan& plan, const OutputDonors& donors);

// OK when `output`, which holds the merge of `plan`, has each of these as it would be
// written now. kFailedPrecondition that names the first that differs or is missing: a
// tokenizer or configuration was changed since, here or at the donor. More files are no
// difference.
absl::Status CompareSmallFiles(ObjectStore& output, const Plan& plan, const OutputDonors& donors);

}  // namespace merganser

#endif  // MERGANSER_COMMON_PUBLISH_SMALL_FILES_H_
