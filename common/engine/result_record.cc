#include "common/engine/result_record.h"

#include <cstdint>
#include <span>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/status.h"
#include "common/base/wire.h"
#include "common/engine/result_check.h"

namespace merganser {
namespace {

// By version: the first has no times of stages, the first and the second have histograms' keys and
// counts in 8 bytes each.
constexpr std::string_view kMagics[] = {"MRGPROG1", "MRGPROG2", "MRGPROG3"};
constexpr int kVersion = 3;
constexpr std::string_view kFamily = "MRGPROG";  // what those of all versions begin with
constexpr size_t kMagicBytes = 8;
constexpr size_t kDigestBytes = 32;

template <typename Archive, typename Fields>
void VisitFields(Archive& archive, Fields& fields) {
  archive.List(fields, [&](auto& field) {
    archive.Field(field.key);
    archive.Field(field.values);
    archive.Field(field.list);
    archive.Field(field.adds);
  });
}

template <typename Archive, typename Stages>
void VisitStages(Archive& archive, Stages& stages) {
  archive.Field(stages.wait);
  archive.Field(stages.read);
  archive.Field(stages.compute);
  archive.Field(stages.write);
  archive.Field(stages.flush);
}

// Keys ascend: each is told as the distance to the one before.
template <typename Archive, typename Entries>
void VisitCounts(Archive& archive, Entries& entries, int version) {
  if (version < 3) {
    const auto plain = [&](auto& entry) {
      archive.Field(entry.first);
      archive.Field(entry.second);
    };
    return archive.List(entries, plain, 16);
  }
  uint64_t last = 0;
  bool first = true;
  const auto step = [&](auto& entry) {
    if constexpr (Archive::kReads) {
      uint64_t distance = 0;
      archive.Short(distance);
      archive.Demand((first || distance > 0) && distance <= UINT64_MAX - last);
      entry.first = last + distance;
    } else {
      archive.Short(entry.first - last);
    }
    archive.Short(entry.second);
    last = entry.first;
    first = false;
  };
  archive.List(entries, step, 2);
}

template <typename Archive, typename Result>
void VisitResult(Archive& archive, Result& result, int version = kVersion) {
  const auto text = [&](auto& item) { archive.Field(item); };
  archive.Field(result.unit);
  archive.Field(result.round);
  archive.List(result.sums, [&](auto& leaf) {
    archive.Field(leaf.tensor);
    archive.Field(leaf.leaf);
    archive.Field(leaf.sums);
  });
  archive.List(result.counts, [&](auto& group) {
    archive.Field(group.group);
    VisitCounts(archive, group.counts, version);
  });
  archive.List(result.keepsake_digests, text);
  archive.List(result.segment_digests, text);
  archive.List(result.receipts, [&](auto& receipt) {
    archive.Field(receipt.offset);
    archive.Field(receipt.size);
    archive.Field(receipt.proof);
  });
  archive.List(result.leaves, [&](auto& leaf) {
    archive.Field(leaf.tensor);
    archive.Field(leaf.leaf);
    VisitFields(archive, leaf.fields);
    archive.Field(leaf.seconds);
  });
  archive.List(result.groups, [&](auto& group) {
    archive.Field(group.group);
    VisitFields(archive, group.fields);
  });
  archive.Field(result.bytes_read);
  archive.Field(result.bytes_written);
  archive.Field(result.seconds);
  archive.Field(result.worker);
  if (version >= 2) VisitStages(archive, result.stages);
}

// Which version wrote it; 0: none.
int VersionOf(std::string_view bytes) {
  for (int version = kVersion; version > 0; --version) {
    if (bytes.starts_with(kMagics[version - 1])) return version;
  }
  return 0;
}

std::string Pack(const std::string& plan_digest, std::span<const UnitResult> results) {
  WireWriter writer;
  writer.Bytes(kMagics[kVersion - 1]);
  writer.Field(plan_digest);
  writer.List(results, [&](const UnitResult& result) { VisitResult(writer, result); });
  writer.Bytes(DigestHex(writer.bytes()));
  return writer.Take();
}

}  // namespace

std::string PackResults(const std::string& plan_digest, const std::vector<UnitResult>& results) {
  return Pack(plan_digest, results);
}

std::string PackResult(const std::string& plan_digest, const UnitResult& result) {
  return Pack(plan_digest, std::span<const UnitResult>(&result, 1));
}

absl::StatusOr<std::vector<UnitResult>> ParseResults(std::string_view bytes, const Plan& plan) {
  absl::Status damaged = absl::DataLossError(absl::StrCat(
      "found ", bytes.size(), " bytes that are damaged or cut off, expected results of units"));
  const int version = VersionOf(bytes);
  if (bytes.size() < kMagicBytes + kDigestBytes || !bytes.starts_with(kFamily)) return damaged;
  const std::string_view digest = bytes.substr(bytes.size() - kDigestBytes);
  bytes.remove_suffix(kDigestBytes);
  if (DigestHex(bytes) != digest) return damaged;
  if (version == 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        "found results that another version of merganser put on record (",
        OneLine(bytes.substr(0, kMagicBytes)), "), expected ", std::string(kMagics[kVersion - 1]),
        " or an earlier one; go on with the version that began it, or begin again with "
        "--overwrite"));
  }
  WireReader reader(bytes.substr(kMagicBytes));
  std::string plan_digest;
  reader.Field(plan_digest);
  if (reader.fine() && plan_digest != plan.digest) {
    return absl::FailedPreconditionError(absl::StrCat(
        "found the progress of a merge whose plan has digest ", OneLine(plan_digest), ", expected ",
        plan.digest,
        ": the recipe, an input, or the program's numerics changed since; what was done cannot be "
        "used, begin again with --overwrite"));
  }
  std::vector<UnitResult> results;
  reader.List(results, [&](UnitResult& result) { VisitResult(reader, result, version); });
  if (!reader.fine() || !reader.ended()) return damaged;
  for (const UnitResult& result : results) MERGANSER_RETURN_IF_ERROR(CheckResult(result, plan));
  return results;
}

absl::StatusOr<UnitResult> ParseResult(std::string_view bytes, const Plan& plan) {
  MERGANSER_ASSIGN_OR_RETURN(std::vector<UnitResult> results, ParseResults(bytes, plan));
  if (results.size() != 1) {
    return absl::DataLossError(
        absl::StrCat("found the results of ", results.size(), " units, expected that of one"));
  }
  return std::move(results.front());
}

}  // namespace merganser
