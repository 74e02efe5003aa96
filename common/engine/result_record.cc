#include "common/engine/result_record.h"

#include <bit>
#include <cstdint>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/status.h"
#include "common/engine/rounds.h"

namespace merganser {
namespace {

static_assert(std::endian::native == std::endian::little, "values are written as they lie");

constexpr std::string_view kMagic = "MRGPROG2";
// Without the times of stages.
constexpr std::string_view kEarlierMagic = "MRGPROG1";
static_assert(kMagic.size() == kEarlierMagic.size());
constexpr size_t kDigestBytes = 32;

// One description of every field serves both ways: Writer appends what it is
// shown, Reader fills it.
class Writer {
 public:
  void Field(uint64_t value) { Raw(&value, sizeof(value)); }
  void Field(uint32_t value) { Field(uint64_t{value}); }
  void Field(bool value) { Field(uint64_t{value}); }
  void Field(double value) { Raw(&value, sizeof(value)); }
  void Field(const std::string& text) {
    Field(uint64_t{text.size()});
    bytes_ += text;
  }
  template <typename T, typename Each>
  void List(const std::vector<T>& list, Each each) {
    Field(uint64_t{list.size()});
    for (const T& item : list) each(item);
  }
  std::string& bytes() { return bytes_; }

 private:
  void Raw(const void* data, size_t size) { bytes_.append(static_cast<const char*>(data), size); }

  std::string bytes_;
};

class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  void Field(uint64_t& value) { Raw(&value, sizeof(value)); }
  void Field(uint32_t& value) {
    uint64_t wide = 0;
    Field(wide);
    fine_ = fine_ && wide <= UINT32_MAX;
    value = static_cast<uint32_t>(wide);
  }
  void Field(bool& value) {
    uint64_t wide = 0;
    Field(wide);
    fine_ = fine_ && wide <= 1;
    value = wide != 0;
  }
  void Field(double& value) { Raw(&value, sizeof(value)); }
  void Field(std::string& text) {
    uint64_t size = 0;
    Field(size);
    if (!Has(size)) return;
    text = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
  }
  // Every item takes 8 bytes at least: a length beyond the rest is a lie.
  template <typename T, typename Each>
  void List(std::vector<T>& list, Each each) {
    uint64_t size = 0;
    Field(size);
    if (!Has(size) || !Has(8 * size)) return;
    list.resize(size);
    for (T& item : list) each(item);
  }
  bool fine() const { return fine_; }
  bool ended() const { return bytes_.empty(); }

 private:
  bool Has(uint64_t size) {
    fine_ = fine_ && size <= bytes_.size();
    return fine_;
  }
  void Raw(void* data, size_t size) {
    if (!Has(size)) return;
    std::memcpy(data, bytes_.data(), size);
    bytes_.remove_prefix(size);
  }

  std::string_view bytes_;
  bool fine_ = true;
};

template <typename Archive, typename Fields>
void VisitFields(Archive& archive, Fields& fields) {
  archive.List(fields, [&](auto& field) {
    archive.Field(field.key);
    archive.List(field.values, [&](auto& value) { archive.Field(value); });
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

template <typename Archive, typename Result>
void VisitResult(Archive& archive, Result& result, bool earlier = false) {
  const auto text = [&](auto& item) { archive.Field(item); };
  archive.Field(result.unit);
  archive.Field(result.round);
  archive.List(result.sums, [&](auto& leaf) {
    archive.Field(leaf.tensor);
    archive.Field(leaf.leaf);
    archive.List(leaf.sums, [&](auto& value) { archive.Field(value); });
  });
  archive.List(result.counts, [&](auto& group) {
    archive.Field(group.group);
    archive.List(group.counts, [&](auto& entry) {
      archive.Field(entry.first);
      archive.Field(entry.second);
    });
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
  if (!earlier) VisitStages(archive, result.stages);
}

// Whether everything that the result names is in the plan.
bool Fits(const UnitResult& result, const Plan& plan) {
  if (result.unit >= plan.units.size() || static_cast<int64_t>(result.round) >= plan.rounds) {
    return false;
  }
  const size_t segments = plan.units[result.unit].segments.size();
  const bool last = IsLastRound(plan, result.round);
  if (result.segment_digests.size() != (last ? segments : 0)) return false;
  for (const auto& leaf : result.sums) {
    if (leaf.tensor >= plan.tensors.size() || plan.tensors[leaf.tensor].group < 0) return false;
  }
  for (const auto& leaf : result.leaves) {
    if (leaf.tensor >= plan.tensors.size()) return false;
  }
  for (const auto& group : result.counts) {
    if (group.group >= plan.groups.size()) return false;
  }
  return true;
}

}  // namespace

std::string PackResults(const std::string& plan_digest, const std::vector<UnitResult>& results) {
  Writer writer;
  writer.bytes() = kMagic;
  writer.Field(plan_digest);
  writer.List(results, [&](const UnitResult& result) { VisitResult(writer, result); });
  std::string bytes = std::move(writer.bytes());
  bytes += DigestHex(bytes);
  return bytes;
}

absl::StatusOr<std::vector<UnitResult>> ParseResults(std::string_view bytes, const Plan& plan) {
  absl::Status damaged = absl::DataLossError(absl::StrCat(
      "found ", bytes.size(), " bytes that are damaged or cut off, expected results of units"));
  const bool earlier = bytes.starts_with(kEarlierMagic);
  if (bytes.size() < kMagic.size() + kDigestBytes || !(earlier || bytes.starts_with(kMagic))) {
    return damaged;
  }
  const std::string_view digest = bytes.substr(bytes.size() - kDigestBytes);
  bytes.remove_suffix(kDigestBytes);
  if (DigestHex(bytes) != digest) return damaged;
  Reader reader(bytes.substr(kMagic.size()));
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
  reader.List(results, [&](UnitResult& result) { VisitResult(reader, result, earlier); });
  if (!reader.fine() || !reader.ended()) return damaged;
  for (const UnitResult& result : results) {
    if (!Fits(result, plan)) {
      return absl::DataLossError(
          absl::StrCat("found a result of unit ", result.unit,
                       " that does not fit the plan, expected one that does"));
    }
  }
  return results;
}

}  // namespace merganser
