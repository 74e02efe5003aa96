#include "common/publish/small_files.h"

#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "common/auxiliary/chat_templates.h"
#include "common/base/status.h"
#include "common/config/config_json.h"
#include "common/engine/output_files.h"
#include "common/storage/read_whole.h"

namespace merganser {
namespace {

constexpr char kGenerationKey[] = "generation_config.json";
// The output's config.json has what the reference's has, with more spaces.
constexpr uint64_t kMaxConfig = 64 << 20;

absl::Status Compare(ObjectStore& output, std::string_view key, uint64_t max_bytes,
                     std::string_view expected, std::string_view from) {
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<std::string> found,
                             ReadWhole(output, key, max_bytes));
  if (found == expected) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      output.Describe(key), found.has_value() ? ": is not what " : ": is missing, expected what ",
      std::string(from),
      " gives now; the weights are those of this merge: put the file in order by hand, or merge "
      "again with --overwrite"));
}

}  // namespace

absl::StatusOr<SmallFiles> SmallFilesOf(const Plan& plan, const OutputDonors& donors) {
  const Checkpoint& reference = *donors.reference;
  SmallFiles files;
  if (!reference.config.text.empty()) {
    MERGANSER_ASSIGN_OR_RETURN(files.config,
                               RewriteConfig(reference.config.text, DominantTorchDtype(plan),
                                             reference.store->Describe(kConfigKey), donors.config));
  }
  MERGANSER_ASSIGN_OR_RETURN(files.auxiliary, ListAuxiliaryFiles(reference, *donors.tokenizer));
  PutTokenizerFiles(donors.tokenizer_files, donors.left_out, files.auxiliary, files.written);
  if (donors.chat_template.has_value()) {
    MERGANSER_RETURN_IF_ERROR(
        PutChatTemplate(*donors.chat_template, files.auxiliary, files.written));
  }
  if (donors.generation_config.has_value()) {
    std::erase_if(files.auxiliary,
                  [](const AuxiliaryFile& from) { return from.file.key == kGenerationKey; });
    files.written.emplace_back(kGenerationKey, *donors.generation_config);
  }
  return files;
}

absl::Status CompareSmallFiles(ObjectStore& output, const Plan& plan, const OutputDonors& donors) {
  MERGANSER_ASSIGN_OR_RETURN(const SmallFiles files, SmallFilesOf(plan, donors));
  if (!files.config.empty()) {
    MERGANSER_RETURN_IF_ERROR(Compare(output, kConfigKey, kMaxConfig, files.config,
                                      donors.reference->store->Describe(kConfigKey)));
  }
  for (const auto& [key, bytes] : files.written) {
    MERGANSER_RETURN_IF_ERROR(
        Compare(output, key, kMaxAuxiliaryBytes, bytes, "the recipe with its models' tokenizers"));
  }
  for (const AuxiliaryFile& from : files.auxiliary) {
    MERGANSER_ASSIGN_OR_RETURN(const std::string bytes, ReadAuxiliaryFile(from));
    MERGANSER_RETURN_IF_ERROR(Compare(output, from.file.key, kMaxAuxiliaryBytes, bytes,
                                      from.checkpoint->store->Describe(from.file.key)));
  }
  return absl::OkStatus();
}

}  // namespace merganser
