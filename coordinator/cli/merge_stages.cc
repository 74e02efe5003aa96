#include "coordinator/cli/merge_stages.h"

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/guarded.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/engine/claim.h"
#include "common/prepare/prepare.h"
#include "common/publish/report.h"
#include "common/recipe/stages.h"
#include "common/storage/list.h"
#include "common/storage/read_whole.h"
#include "common/storage/uri.h"
#include "coordinator/cli/embedded_executor.h"
#include "coordinator/cli/exit_code.h"
#include "coordinator/cli/merge_run.h"
#include "coordinator/cli/plan_stages.h"
#include "coordinator/cli/process_log.h"
#include "coordinator/cli/verify_merge.h"

namespace merganser::cli {
namespace {

constexpr uint64_t kMaxReport = uint64_t{1} << 30;

struct Places {
  std::string output;  // URIs
  std::string stages;  // the folder that has a folder for each
  StageContext context;
};

absl::StatusOr<std::string> AbsoluteUri(const std::string& text, const std::string& directory) {
  MERGANSER_ASSIGN_OR_RETURN(Uri uri, ParseUri(text));
  MERGANSER_ASSIGN_OR_RETURN(uri, Absolute(uri, directory));
  std::string found = uri.ToString();
  while (found.size() > 1 && found.back() == '/') found.pop_back();
  return found;
}

absl::StatusOr<Places> FindPlaces(const MergeFlags& flags, const std::string& directory,
                                  const RecipeStages& stages) {
  Places places;
  MERGANSER_ASSIGN_OR_RETURN(places.output, AbsoluteUri(flags.output, directory));
  if (!flags.stages.empty()) {
    MERGANSER_ASSIGN_OR_RETURN(places.stages, AbsoluteUri(flags.stages, directory));
  } else {
    // Beside a whole bucket there is no other place of the same kind.
    const size_t authority = places.output.find("://");
    if (authority != std::string::npos &&
        places.output.find('/', authority + 3) == std::string::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat(Shown(places.output),
                       ": is a whole bucket, beside which there is no place for the outputs of "
                       "stages; name one with --stages"));
    }
    places.stages = places.output + ".stages";
  }
  for (const RecipeStage& stage : stages.stages) {
    if (!stage.name.empty()) {
      places.context.outputs[stage.name] = absl::StrCat(places.stages, "/", stage.name);
    }
  }
  return places;
}

// The report of what lies there, if it is the merge of this very text; else null.
absl::StatusOr<nlohmann::json> ReportOf(ObjectStore& store, const std::string& text) {
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<std::string> written,
                             ReadWhole(store, kReportKey, kMaxReport));
  if (!written.has_value()) return nlohmann::json();
  nlohmann::json report = nlohmann::json::parse(*written, nullptr, /*allow_exceptions=*/false);
  const bool ours = report.is_object() && report.contains("recipe") && report["recipe"] == text;
  return ours ? std::move(report) : nlohmann::json();
}

// Whether the output is the merge of this very file, whole and visible: its stages are gone then,
// and its plan cannot be made without them.
absl::StatusOr<bool> HoldsMergeOf(ObjectStore& store, const std::string& text) {
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> claim, store.Stat(kClaimKey));
  if (claim.has_value()) return false;
  MERGANSER_ASSIGN_OR_RETURN(const nlohmann::json report, ReportOf(store, text));
  if (report.is_null()) return false;
  if (!report.contains("shards") || !report["shards"].is_array()) return false;
  const nlohmann::json& shards = report["shards"];
  if (shards.size() > 1) {
    MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> index,
                               store.Stat("model.safetensors.index.json"));
    if (!index.has_value()) return false;
  }
  for (const nlohmann::json& shard : shards) {
    if (!shard.is_object() || !shard.contains("file") || !shard["file"].is_string()) return false;
    MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> info,
                               store.Stat(shard["file"].get<std::string>()));
    if (!info.has_value() || shard["size"] != info->size) return false;
  }
  return true;
}

// Better known now than after the stages.
absl::Status CheckEmpty(ObjectStore& store) {
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<std::string> any,
                             FindAnyObject(store, {kWorkPrefix}));
  if (!any.has_value()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat(Shown(store.Describe(*any)),
                   ": the output is not empty: it holds this; choose an empty output or repeat "
                   "with --overwrite"));
}

// A stage's output, where one lies there: nothing else is touched.
absl::Status Remove(const Stores& stores, const std::string& uri, const std::string& text) {
  MERGANSER_ASSIGN_OR_RETURN(const std::shared_ptr<ObjectStore> store, stores.Open(uri));
  MERGANSER_ASSIGN_OR_RETURN(const nlohmann::json report, ReportOf(*store, text));
  if (report.is_null()) return absl::OkStatus();
  MERGANSER_ASSIGN_OR_RETURN(const std::vector<ListedObject> objects, ListAll(*store, ""));
  // The report goes last: a run that is killed meanwhile knows by it what is its own.
  for (const bool report_itself : {false, true}) {
    for (const ListedObject& object : objects) {
      if ((object.key == kReportKey) != report_itself) continue;
      MERGANSER_RETURN_IF_ERROR(store->Delete(object.key, object.info.identity));
    }
  }
  return absl::OkStatus();
}

// Where stores have folders, and it is empty.
void RemoveFolder(const std::string& path) {
  if (path.find("://") != std::string::npos) return;
  std::error_code ignored;
  const std::filesystem::path folder = path;
  for (const char* inner : {"additional_chat_templates", ".merganser"}) {
    std::filesystem::remove(folder / inner, ignored);
  }
  std::filesystem::remove(folder, ignored);
}

void RemoveStages(const Stores& stores, const Places& places, const RecipeStages& stages) {
  for (const RecipeStage& stage : stages.stages) {
    const auto at = places.context.outputs.find(stage.name);
    if (at == places.context.outputs.end()) continue;
    const std::string& uri = at->second;
    const absl::Status removed = Guarded([&] { return Remove(stores, uri, stage.recipe.text); });
    if (!removed.ok()) {
      Log(LogLevel::kWarn,
          absl::StrCat("the merge is complete, but its stage ", Shown(uri),
                       " could not be removed: ", removed.message(), "; it may be deleted"));
      continue;
    }
    RemoveFolder(uri);
  }
  RemoveFolder(places.stages);
}

}  // namespace

int MergeStages(const MergeFlags& flags, const std::string& text, InterruptWatcher& interrupts) {
  const std::vector<std::string> directories = RecipeDirectories(flags.recipe);
  absl::StatusOr<RecipeStages> stages = ReadStages(text, flags.recipe);
  if (!stages.ok()) return Fail(stages.status(), Phase::kPlanning);
  absl::StatusOr<Places> places = FindPlaces(flags, directories.front(), *stages);
  if (!places.ok()) return Fail(places.status(), Phase::kPlanning);
  // One without a name, or the last that has one: its output is the file's.
  const std::string last = stages->stages.back().name;
  if (!last.empty()) places->context.outputs.erase(last);
  const Stores stores(flags.storage);
  const absl::StatusOr<std::shared_ptr<ObjectStore>> store = stores.Open(places->output);
  if (!store.ok()) return Fail(store.status(), Phase::kPlanning);
  if (flags.resume) {
    const absl::StatusOr<bool> there = HoldsMergeOf(**store, text);
    if (!there.ok()) return Fail(there.status(), Phase::kPlanning);
    if (*there) {
      RemoveStages(stores, *places, *stages);  // a run that was killed between its end and this
      std::printf("%s holds this merge already\n", OneLine(places->output).c_str());
      return flags.verify ? VerifyMerge(stores, places->output, flags.threads) : kDone;
    }
  } else if (!flags.overwrite) {
    if (const absl::Status empty = CheckEmpty(**store); !empty.ok()) {
      return Fail(empty, Phase::kPlanning);
    }
  }
  if (const absl::Status fit = CheckStages(*stages, directories, stores, places->context);
      !fit.ok()) {
    return Fail(fit, Phase::kPlanning);
  }
  for (const std::string& warning : stages->warnings) Log(LogLevel::kWarn, warning);

  for (size_t i = 0; i < stages->stages.size(); ++i) {
    const RecipeStage& stage = stages->stages[i];
    const bool final = i + 1 == stages->stages.size();
    StageRun run{stage.text, places->context};
    run.context.recipe_text = final ? text : stage.recipe.text;
    MergeFlags own = flags;
    own.output = final ? places->output : places->context.outputs.at(stage.name);
    if (!final) {
      own.verify = false;
      // One that is complete is not merged again, as mergekit-multi has it.
      own.resume = !flags.overwrite;
    }
    Log(LogLevel::kInfo, absl::StrCat("stage ", i + 1, " of ", stages->stages.size(),
                                      stage.name.empty() ? "" : ": ", Shown(stage.name)));
    EmbeddedExecutor executor(flags.threads);
    const int code = MergeWith(executor, own, interrupts, &run);
    if (code != kDone) {
      if (i > 0) {
        Log(LogLevel::kInfo, absl::StrCat("stages that are complete are kept in ",
                                          Shown(places->stages), " for a run that goes on"));
      }
      return code;
    }
  }
  RemoveStages(stores, *places, *stages);
  return kDone;
}

}  // namespace merganser::cli
