#include "coordinator/service/story_codec.h"

#include <chrono>
#include <cmath>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "common/base/shown.h"
#include "common/base/status.h"
#include "common/base/utf8.h"
#include "coordinator/service/job_codec.h"
#include "coordinator/service/requests.h"

namespace merganser {
namespace {

// A job's own text is bounded; what workers sent is cut here.
constexpr size_t kMostTensorName = 512;

void Encode(const Moved& moved, v1::Throughput::Point* proto) {
  proto->set_bytes_read(moved.bytes_read);
  proto->set_bytes_written(moved.bytes_written);
  proto->set_units_done(moved.units_done);
}

void Encode(const StageSeconds& stages, v1::StageSeconds* proto) {
  proto->set_wait(stages.wait);
  proto->set_read(stages.read);
  proto->set_compute(stages.compute);
  proto->set_write(stages.write);
  proto->set_flush(stages.flush);
}

void Encode(const NotedTrouble& trouble, v1::UnitTrouble* proto) {
  EncodeTime(trouble.time, proto->mutable_time());
  proto->set_job(JobName(Utf8(trouble.job)));
  proto->set_unit(trouble.unit);
  proto->set_message(OneLine(trouble.message));
}

void Encode(const HeldUnit& unit, const TensorNames& tensors, WallTime now, v1::HeldUnit* proto) {
  proto->set_job(JobName(unit.job));
  proto->set_round(unit.round);
  proto->set_unit(unit.unit);
  proto->set_tensor(OneLine(Cut(tensors(unit), kMostTensorName)));
  EncodeTime(now - unit.held, proto->mutable_since());
  proto->set_bytes_done(unit.bytes_done);
}

void Encode(const History& history, v1::Throughput* proto) {
  proto->set_step_seconds(std::chrono::duration<double>(history.step()).count());
  EncodeTime(history.begin(), proto->mutable_begin());
  for (const Moved& point : history.points()) Encode(point, proto->add_points());
}

v1::Worker::State Encode(WorkerState state) {
  switch (state) {
    case WorkerState::kAlive:
      return v1::Worker::ALIVE;
    case WorkerState::kDraining:
      return v1::Worker::DRAINING;
    case WorkerState::kGone:
      return v1::Worker::GONE;
  }
  return v1::Worker::STATE_UNSPECIFIED;
}

}  // namespace

void EncodeRecent(const std::vector<Moved>& recent, WallTime now, v1::Throughput* proto) {
  proto->set_step_seconds(std::chrono::duration<double>(RecentRates::kStep).count());
  // The last step has begun, and ends with `now`.
  EncodeTime(now - RecentRates::kStep * static_cast<int64_t>(recent.size()),
             proto->mutable_begin());
  for (const Moved& point : recent) Encode(point, proto->add_points());
}

v1::JobActivity EncodeStory(const JobStory& story, const TensorNames& tensors, WallTime now) {
  v1::JobActivity proto;
  proto.set_name(Utf8(story.info.name));
  for (const RoundProgress& round : story.rounds) {
    v1::JobActivity::Round& added = *proto.add_rounds();
    added.set_number(round.number);
    added.set_analyzes(round.analyzes);
    added.set_units_total(round.units_total);
    added.set_units_done(round.units_done);
    added.set_bytes_total(round.bytes_total);
    added.set_bytes_done(round.bytes_done);
  }
  Encode(story.stages, proto.mutable_stages());
  Encode(story.stages_last_minute, proto.mutable_stages_last_minute());
  for (size_t i = 0; i < story.phases.size(); ++i) {
    v1::JobActivity::Phase& phase = *proto.add_phases();
    phase.set_state(EncodeState(story.phases[i].state));
    EncodeTime(story.phases[i].begin, phase.mutable_begin());
    if (i + 1 < story.phases.size()) EncodeTime(story.phases[i + 1].begin, phase.mutable_end());
  }
  if (story.history.has_value()) Encode(*story.history, proto.mutable_history());
  for (const SlowUnit& unit : story.slowest) {
    v1::JobActivity::SlowUnit& added = *proto.add_slowest();
    added.set_round(unit.round);
    added.set_unit(unit.unit);
    added.set_seconds(unit.seconds);
    added.set_worker(OneLine(unit.worker));
    added.set_tensor(OneLine(Cut(unit.tensor, kMostTensorName)));
  }
  for (const FoldedEvents& events : story.events) {
    v1::JobActivity::EventKind& kind = *proto.add_event_kinds();
    kind.set_kind(std::string(events.kind->name));
    kind.set_count(events.count);
    EncodeTime(events.first, kind.mutable_first());
    EncodeTime(events.last, kind.mutable_last());
    kind.set_means(std::string(events.kind->means));
    kind.set_advice(std::string(events.kind->advice));
    for (const auto& [time, text] : events.recent) {
      v1::Job::Event& event = *kind.add_recent();
      EncodeTime(time, event.mutable_time());
      event.set_text(OneLine(text));
    }
  }
  std::set<std::string> told;
  const auto worker = [&](const JobWorker& of) {
    v1::JobActivity::JobWorker& added = *proto.add_workers();
    told.insert(of.name);
    added.set_name(OneLine(of.name));
    added.set_units_done(of.moved.units_done);
    added.set_bytes_read(of.moved.bytes_read);
    added.set_bytes_written(of.moved.bytes_written);
    added.set_bytes_per_second(of.bytes_per_second);
    added.set_straggles(of.straggles);
    if (of.last_trouble.has_value()) Encode(*of.last_trouble, added.mutable_last_trouble());
    const auto held = story.held.find(of.name);
    if (held == story.held.end()) return;
    for (const HeldUnit& unit : held->second) Encode(unit, tensors, now, added.add_holds());
  };
  for (const JobWorker& of : story.workers) worker(of);
  for (const auto& [name, held] : story.held) {
    if (!told.contains(name)) worker({name, {}, 0, false, std::nullopt});
  }
  proto.set_retries(story.info.progress.retries);
  return proto;
}

std::optional<History> HistoryOf(const std::string& activity) {
  v1::JobActivity proto;
  if (activity.empty() || !proto.ParseFromString(activity)) return std::nullopt;
  const v1::Throughput& history = proto.history();
  const double step = history.step_seconds();
  // NaN is none either.
  constexpr double kMost = 1e8;
  const std::optional<WallTime> begin = DecodeTime(history.begin());
  if (!(step > 0 && step < kMost) || !begin.has_value() || history.points().empty()) {
    return std::nullopt;
  }
  std::vector<Moved> points;
  for (const v1::Throughput::Point& point : history.points()) {
    points.push_back({point.bytes_read(), point.bytes_written(), point.units_done()});
  }
  return History(*begin, std::chrono::duration_cast<Duration>(std::chrono::duration<double>(step)),
                 std::move(points));
}

v1::Worker EncodeWorker(const WorkerStory& worker, const TensorNames& tensors, WallTime now) {
  const WorkerInfo& info = worker.info;
  v1::Worker proto;
  proto.set_name(OneLine(info.name));
  proto.set_host(OneLine(info.host));
  proto.set_version(OneLine(info.version));
  proto.set_threads(info.threads);
  proto.set_memory_bytes(info.memory);
  proto.set_simd(OneLine(info.simd));
  proto.set_state(Encode(info.state));
  EncodeTime(info.first_seen, proto.mutable_first_seen());
  EncodeTime(info.last_seen, proto.mutable_last_seen());
  for (const HeldUnit& unit : worker.held) Encode(unit, tensors, now, proto.add_holds());
  proto.set_bytes_read_per_second(info.rates.read);
  proto.set_bytes_written_per_second(info.rates.written);
  proto.set_units_done(info.units_done);
  proto.set_units_failed(info.units_failed);
  if (info.last_trouble.has_value()) Encode(*info.last_trouble, proto.mutable_last_trouble());
  EncodeRecent(info.recent, now, proto.mutable_rates());
  return proto;
}

}  // namespace merganser
