#include "coordinator/service/plan_previews.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/base/utf8.h"
#include "common/plan/encoding.h"
#include "common/plan/model_origin.h"
#include "common/tensor/dtype.h"
#include "coordinator/service/job_limits.h"
#include "coordinator/service/requests.h"
#include "proto/convert/status_codec.h"

namespace merganser {
namespace {

constexpr size_t kMostText = 1024;
constexpr size_t kMostModels = 256;

std::string KeyOf(const JobRequest& request) {
  Digester digest;
  digest.UpdateField(request.recipe);
  digest.UpdateField(request.source_name);
  digest.UpdateField(request.output_uri);
  for (const std::string& directory : request.directories) digest.UpdateField(directory);
  return digest.Hex();
}

std::string TextOf(const std::string& text) { return OneLine(Cut(text, kMostText)); }

void EncodeModels(const Plan& plan, v1::PlanJobResponse& response) {
  for (size_t i = 0; i < std::min(plan.models.size(), kMostModels); ++i) {
    v1::PlanJobResponse::Model& model = *response.add_models();
    model.set_given(TextOf(plan.models[i].given));
    model.set_uri(TextOf(plan.models[i].uri));
    model.set_base(plan.has_base && i == 0);
    model.set_shards(static_cast<uint32_t>(plan.models[i].shards.size()));
    uint64_t bytes = 0;
    for (const CheckpointShard& shard : plan.models[i].shards) bytes += shard.info.size;
    model.set_bytes(bytes);
    model.set_origin(TextOf(DescribeOrigin(plan.models[i])));
  }
}

void EncodeModes(const Plan& plan, v1::PlanJobResponse& response) {
  std::map<std::pair<std::string, std::string>, std::pair<uint64_t, uint64_t>> modes;
  for (const PlannedTensor& tensor : plan.tensors) {
    auto& [tensors, parameters] = modes[{tensor.needs.mode, tensor.needs.family}];
    ++tensors;
    parameters += tensor.elements;
  }
  for (const auto& [what, counts] : modes) {
    v1::PlanJobResponse::Mode& mode = *response.add_modes();
    mode.set_mode(TextOf(what.first));
    mode.set_family(TextOf(what.second));
    mode.set_tensors(counts.first);
    mode.set_parameters(counts.second);
  }
}

v1::PlanJobResponse Encode(const Plan& plan) {
  v1::PlanJobResponse response;
  response.set_method(plan.method.method);
  response.set_parameters(plan.parameters);
  response.set_tensors_total(plan.tensors.size());
  response.set_bytes_read(plan.bytes_read);
  response.set_bytes_written(plan.bytes_written);
  response.set_memory_bytes(plan.peak_leaf_memory);
  response.set_units(plan.units.size());
  response.set_rounds(static_cast<uint32_t>(plan.rounds));
  response.set_shards(static_cast<uint32_t>(plan.shards.size()));
  EncodeModes(plan, response);
  std::vector<std::string> warnings = plan.warnings;
  BoundWarnings(kMaxPlanWarnings, warnings);
  for (const std::string& warning : warnings) response.add_warnings()->set_text(OneLine(warning));
  std::vector<std::string> notes = plan.notes;
  BoundWarnings(kMaxPlanWarnings, notes);
  for (const std::string& note : notes) response.add_notes(OneLine(note));
  EncodeModels(plan, response);
  return response;
}

// Tensors from `first` on; their texts are cut, so that a page stays below what clients take.
void EncodeTensors(const Plan& plan, size_t first, int size, const std::string& key,
                   v1::PlanJobResponse& response) {
  const size_t last = std::min(plan.tensors.size(), first + static_cast<size_t>(size));
  for (size_t i = first; i < last; ++i) {
    const PlannedTensor& tensor = plan.tensors[i];
    v1::PlanJobResponse::Tensor& added = *response.add_tensors();
    added.set_name(TextOf(tensor.spec.name));
    for (const uint64_t side : tensor.spec.shape) added.add_shape(side);
    added.set_dtype(OutputTypeName(tensor));
    added.set_mode(TextOf(tensor.needs.mode));
    added.set_family(TextOf(tensor.needs.family));
    added.set_note(TextOf(tensor.needs.note));
  }
  if (last < plan.tensors.size()) response.set_next_page_token(absl::StrCat(key, "-", last));
}

absl::StatusOr<size_t> FirstOf(const std::string& token, const std::string& key) {
  if (token.empty()) return 0;
  uint64_t first = 0;
  if (token.substr(0, key.size() + 1) == key + "-" &&
      absl::SimpleAtoi(token.substr(key.size() + 1), &first)) {
    return static_cast<size_t>(first);
  }
  return ReasonedError(absl::StatusCode::kInvalidArgument, "PAGE_TOKEN_INVALID",
                       "page_token: found one of another plan, expected that of the last answer; "
                       "begin with the first page",
                       {{"field", "page_token"}});
}

absl::Status TooMany(const std::string& message, const std::string& owner) {
  return RetryAfter(ReasonedError(absl::StatusCode::kResourceExhausted, "TOO_MANY_PLANS", message,
                                  {{"owner", owner}}),
                    std::chrono::seconds(2));
}

}  // namespace

absl::StatusOr<PlanPreviews::Made> PlanPreviews::Make(const JobRequest& request,
                                                      const std::string& key,
                                                      const std::string& owner,
                                                      const std::function<bool()>& gone) {
  {
    MutexLock lock(mutex_);
    if (owners_.contains(owner)) {
      return TooMany(absl::StrCat("found a plan of ", owner,
                                  " being made, expected one at a time; try again when it is done"),
                     owner);
    }
    if (owners_.size() >= kMost) {
      return TooMany(absl::StrCat("found ", owners_.size(),
                                  " plans being made, expected fewer than ", kMost, "; try again"),
                     owner);
    }
    owners_.insert(owner);
  }
  struct Leave {
    PlanPreviews& previews;
    const std::string& owner;
    ~Leave() {
      MutexLock lock(previews.mutex_);
      previews.owners_.erase(owner);
    }
  } leave{*this, owner};
  const auto made = std::make_shared<Made>();
  made->key = key;
  const auto plan = [runs = runs_, request, made]() -> absl::Status {
    JobInfo job;
    job.request = request;
    made->run = runs(job);
    MERGANSER_ASSIGN_OR_RETURN(made->plan, made->run->Prepare());
    return absl::OkStatus();
  };
  const absl::Status planned = calls_.Run(kLimit, plan, gone);
  if (absl::IsCancelled(planned)) return planned;
  if (planned.ok()) {
    made->at = SystemClock().Now();
    return *made;
  }
  if (IsRetryable(planned)) {
    return RetryAfter(ReasonedError(absl::StatusCode::kUnavailable, "PLAN_UNSEEN",
                                    absl::StrCat("the models were not seen: ",
                                                 OneLine(std::string(planned.message())))),
                      std::chrono::seconds(5));
  }
  const bool denied = absl::IsPermissionDenied(planned);
  return ReasonedError(denied ? planned.code() : absl::StatusCode::kInvalidArgument, "PLAN_REFUSED",
                       std::string(planned.message()), {{"field", "recipe"}});
}

absl::StatusOr<v1::PlanJobResponse> PlanPreviews::Plan(const JobRequest& request,
                                                       const std::string& owner, int page_size,
                                                       const std::string& page_token,
                                                       const std::function<bool()>& gone) {
  const std::string key = KeyOf(request);
  MERGANSER_ASSIGN_OR_RETURN(const int size, CoercePageSize(page_size));
  MERGANSER_ASSIGN_OR_RETURN(const size_t first, FirstOf(page_token, key));
  std::optional<Made> made;
  if (first > 0) {
    MutexLock lock(mutex_);
    const MonotonicTime now = SystemClock().Now();
    for (const Made& kept : made_) {
      if (kept.key == key && now - kept.at < kKeptFor) made = kept;
    }
  }
  if (!made.has_value()) {
    MERGANSER_ASSIGN_OR_RETURN(made, Make(request, key, owner, gone));
    MutexLock lock(mutex_);
    std::erase_if(
        made_, [&](const Made& kept) { return kept.key == key || made->at - kept.at >= kKeptFor; });
    made_.push_back(*made);
    if (made_.size() > kKept) made_.pop_front();
  }
  v1::PlanJobResponse response = Encode(*made->plan);
  EncodeTensors(*made->plan, first, size, key, response);
  return response;
}

}  // namespace merganser
