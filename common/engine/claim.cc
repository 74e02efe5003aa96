#include "common/engine/claim.h"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/guarded.h"
#include "common/base/status.h"
#include "nlohmann/json.hpp"

namespace merganser {
namespace {

using Json = nlohmann::ordered_json;
// Of what others may have written: a tree that keeps the order of members is copied, by calls as
// deep as it is, while it grows, and this one is not.
using ReadJson = nlohmann::json;

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

// A number that a holder may have, of which there is another one for whoever takes over. Of
// fractions and truth values the library would make some.
std::optional<int64_t> Whole(const ReadJson& value) {
  constexpr uint64_t kMost = uint64_t{1} << 53;
  if (!value.is_number_unsigned() || value.get<uint64_t>() > kMost) return std::nullopt;
  return value.get<int64_t>();
}

absl::Status Claimed(ObjectStore& store, std::string_view text) {
  absl::StatusOr<ClaimRecord> claim = ParseClaim(text);
  const std::string who =
      claim.ok()
          ? absl::StrCat("held by job ", OneLine(claim->job), " (started ", OneLine(claim->started),
                         ", host ", OneLine(claim->host), ", pid ", claim->pid, ")")
          : std::string("held by an unknown job (its text cannot be read)");
  return absl::FailedPreconditionError(absl::StrCat(
      store.Describe(kClaimKey), ": ", who,
      ": another merge is writing here, or one was killed; if none runs, "
      "--overwrite begins again, merge or merganser-mpi with --resume goes on with what "
      "they left, and a coordinator's job with its coordinator"));
}

struct FoundClaim {
  std::string text;
  std::string identity;  // of the object
};

// As ReadClaimText. Again where it is taken over just while it is read.
absl::StatusOr<std::optional<FoundClaim>> FindClaim(ObjectStore& store) {
  constexpr int kTries = 10;
  std::string before;
  absl::Status read;
  for (int i = 0; i < kTries; ++i) {
    MERGANSER_ASSIGN_OR_RETURN(const std::optional<ObjectInfo> info, store.Stat(kClaimKey));
    if (!info.has_value()) return std::nullopt;
    // Nothing came between: storage itself does not answer.
    if (info->identity == before && absl::IsUnavailable(read)) return read;
    before = info->identity;
    if (info->size > kMaxClaimBytes) return FoundClaim{"", info->identity};
    std::string text(info->size, '\0');
    read =
        store.Read(kClaimKey, 0, std::as_writable_bytes(std::span<char>(text.data(), text.size())),
                   info->identity);
    if (read.ok()) return FoundClaim{std::move(text), info->identity};
    if (!absl::IsDataLoss(read) && !absl::IsUnavailable(read)) return read;
  }
  return read;
}

}  // namespace

bool IsJobUid(std::string_view uid) {
  return !uid.empty() && uid.size() <= 64 && std::all_of(uid.begin(), uid.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

absl::Status RefuseCoordinatorsJob(ObjectStore& store, const ClaimRecord& claim,
                                   const absl::Status& recorded) {
  if (!absl::IsNotFound(recorded) || claim.job.starts_with(kMergeRunPrefix)) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      absl::StrCat(store.Describe(kClaimKey), ": held by job ", OneLine(claim.job),
                   " of a coordinator, which alone knows how far it came: start the coordinator "
                   "again with its --state to go on, or begin again with --overwrite"));
}

std::string WriteClaim(const ClaimRecord& claim) {
  return Dump({{"job", claim.job},
               {"epoch", claim.epoch},
               {"started", claim.started},
               {"host", claim.host},
               {"pid", claim.pid},
               {"process", claim.process},
               {"beat_ms", claim.beat_ms}});
}

absl::StatusOr<ClaimRecord> ParseClaim(std::string_view text) {
  try {
    const ReadJson json = ReadJson::parse(text);
    ClaimRecord claim;
    json.at("job").get_to(claim.job);
    const std::optional<int64_t> epoch = Whole(json.at("epoch")), pid = Whole(json.at("pid"));
    if (!epoch.has_value() || !pid.has_value()) {
      return absl::DataLossError(
          "found no claim: epoch or pid is another value, expected whole numbers");
    }
    claim.epoch = *epoch;
    claim.pid = *pid;
    json.at("started").get_to(claim.started);
    json.at("host").get_to(claim.host);
    claim.process = json.value("process", "");
    claim.beat_ms = json.value("beat_ms", claim.beat_ms);
    claim.text = text;
    return claim;
  } catch (const Json::exception& error) {
    return absl::DataLossError(absl::StrCat("found no claim: ", OneLine(error.what())));
  }
}

absl::StatusOr<std::optional<std::string>> ReadClaimText(ObjectStore& store) {
  MERGANSER_ASSIGN_OR_RETURN(std::optional<FoundClaim> found, FindClaim(store));
  if (!found.has_value()) return std::nullopt;
  return std::move(found->text);
}

absl::StatusOr<std::string> TakeClaim(ObjectStore& store, const ClaimRecord& claim,
                                      const std::optional<std::string>& in_place_of) {
  std::string text = WriteClaim(claim);
  // One attempt, and one more after what was there has been removed.
  for (const bool may_remove : {in_place_of.has_value(), false}) {
    const absl::StatusOr<bool> created =
        Guarded([&] { return store.PutIfAbsent(kClaimKey, text); });
    if (!created.ok()) {
      // It may have been created all the same.
      (void)ReleaseClaim(store, text);
      return created.status();
    }
    if (*created) return text;
    MERGANSER_ASSIGN_OR_RETURN(const std::optional<std::string> other, ReadClaimText(store));
    if (other && *other == text) return text;  // a retried request that had succeeded
    absl::Status claimed = Claimed(store, other.value_or(""));
    if (!in_place_of.has_value()) return claimed;
    // Whether that one may be taken over nobody has asked yet.
    if (!may_remove || (other && *other != *in_place_of)) {
      return absl::AbortedError(claimed.message());
    }
    if (other) MERGANSER_RETURN_IF_ERROR(ReleaseClaim(store, *other));
  }
  return absl::InternalError("unreachable");
}

absl::StatusOr<std::optional<ClaimRecord>> ReadClaim(ObjectStore& store) {
  MERGANSER_ASSIGN_OR_RETURN(std::optional<std::string> text, ReadClaimText(store));
  if (!text.has_value()) return std::nullopt;
  absl::StatusOr<ClaimRecord> claim = ParseClaim(*text);
  if (!claim.ok()) {
    return absl::DataLossError(absl::StrCat(
        store.Describe(kClaimKey), ": ", claim.status().message(),
        ": whose output this is, and whether a merge runs, cannot be told; if none runs, begin "
        "again with --overwrite"));
  }
  return *std::move(claim);
}

absl::Status CheckClaim(ObjectStore& store, std::string_view text) {
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<std::string> now, ReadClaimText(store));
  if (now && *now == text) return absl::OkStatus();
  if (now) return Annotate(Claimed(store, *now), "this job's claim was taken over");
  return absl::FailedPreconditionError(
      absl::StrCat(store.Describe(kClaimKey),
                   ": this job's claim is gone; another merge took the output over, or the file "
                   "was removed"));
}

absl::Status ReleaseClaim(ObjectStore& store, std::string_view text) {
  MERGANSER_ASSIGN_OR_RETURN(const std::optional<FoundClaim> now, FindClaim(store));
  if (!now || now->text != text) return absl::OkStatus();
  return store.Delete(kClaimKey, now->identity);
}

}  // namespace merganser
