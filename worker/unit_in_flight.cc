#include "worker/unit_in_flight.h"

#include <chrono>
#include <iterator>
#include <memory>
#include <thread>
#include <utility>

#include "common/base/guarded.h"
#include "common/engine/rounding_report.h"

namespace merganser {
namespace {

template <typename T>
void Append(std::vector<T>& from, std::vector<T>& to) {
  std::move(from.begin(), from.end(), std::back_inserter(to));
}

}  // namespace

UnitInFlight::UnitInFlight(const LeasedUnit& leased, UnitSource& source, const std::string& worker,
                           const WorkerMetrics& metrics)
    : leased_(leased), source_(source), metrics_(metrics), started_(SystemClock().Now()) {
  result_.unit = leased_.unit;
  result_.round = leased_.round;
  result_.worker = worker;
  if (leased_.gates == nullptr) {
    leased_.gates = std::make_shared<const Gates>(job().plan.groups.size());
  }
  uint64_t at = unit().begin;
  for (uint32_t i = 0; i < unit().segments.size(); ++i) {
    const Segment& segment = unit().segments[i];
    if (TakesPart(job().plan, segment, leased_.round, *leased_.gates)) {
      parts_.push_back({i, at});
    }
    at += segment.bytes_out;
  }
  const size_t parts = parts_.size();
  findings_.resize(parts);
  left_ = parts;
  if (writes()) {
    result_.segment_digests.resize(parts);
    pieces_.emplace(job().plan, unit(), job().writes[unit().shard]);
  } else {
    result_.keepsake_digests.resize(parts);
  }
  metrics_.UnitBegan();  // last: what was not made has no end
}

size_t UnitInFlight::ScalesPart(uint32_t tensor) const {
  size_t part = 0;
  while (!segment(part).scales || segment(part).tensor != tensor) ++part;
  return part;
}

bool UnitInFlight::Alive() {
  if (dropped()) return false;
  if (source_.Progress(leased_, 0)) return true;
  Drop();
  return false;
}

absl::Status UnitInFlight::Fail(const absl::Status& status) {
  {
    MutexLock lock(mutex_);
    if (dropped_) return absl::OkStatus();
    dropped_ = true;
    end_ = UnitEnd::kFailed;
  }
  constexpr int kLooks = 50;
  constexpr Duration kPause = std::chrono::milliseconds(100);
  absl::Status told;
  for (int i = 0; i < kLooks; ++i) {
    if (i > 0) std::this_thread::sleep_for(kPause);
    told = Guarded([&] { source_.Fail(leased_, status); });
    if (told.ok()) break;
  }
  return told;
}

void UnitInFlight::PartDone(size_t part, std::string digest, SegmentFindings findings,
                            const StageSeconds& stages) {
  const Segment& done = segment(part);
  if (!source_.Progress(leased_, writes() ? done.bytes_out : done.bytes_in)) Drop();
  UnitResult finished;
  {
    MutexLock lock(mutex_);
    if (writes()) {
      result_.segment_digests[part] = std::move(digest);
      result_.bytes_written += done.bytes_out;
    } else {
      result_.keepsake_digests[part] = std::move(digest);
    }
    result_.bytes_read += done.bytes_in;
    result_.stages += stages;
    findings_[part] = std::move(findings);
    if (--left_ != 0 || dropped_) return;
    Gather();
    end_ = UnitEnd::kCompleted;
    finished = std::move(result_);
  }
  source_.Complete(leased_, std::move(finished));
}

void UnitInFlight::Gather() {
  if (writes()) result_.receipts = pieces_->TakeReceipts();
  BlockRounding rounding;  // of the tensor whose segments come by
  for (size_t part = 0; part < parts(); ++part) {
    SegmentFindings& findings = findings_[part];
    if (findings.rounding.has_value()) rounding.Add(*findings.rounding);
    if (segment(part).scales) {
      const uint32_t tensor = segment(part).tensor;
      LeafReport& report = result_.leaves.emplace_back();
      report.tensor = tensor;
      report.leaf = job().plan.tensors[tensor].leaves - 1;
      report.fields.push_back(RoundingField(std::exchange(rounding, {})));
    }
    Append(findings.leaves, result_.leaves);
    Append(findings.groups, result_.groups);
    Append(findings.sums, result_.sums);
    for (GroupCounts& counts : findings.counts) {
      if (!result_.counts.empty() && result_.counts.back().group == counts.group) {
        AddCounts(counts.counts, result_.counts.back().counts);
      } else {
        result_.counts.push_back(std::move(counts));
      }
    }
  }
  took_ = SystemClock().Now() - started_;
  result_.seconds = std::chrono::duration<double>(took_).count();
}

}  // namespace merganser
