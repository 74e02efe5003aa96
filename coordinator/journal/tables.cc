#include "coordinator/journal/tables.h"

#include <SQLiteCpp/SQLiteCpp.h>

#include <array>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"

namespace merganser {
namespace {

// Resets a statement for its next use, whatever happens in between.
class Use {
 public:
  explicit Use(SQLite::Statement& statement) : statement_(statement) {}
  ~Use() {
    statement_.tryReset();
    try {
      statement_.clearBindings();
    } catch (const SQLite::Exception&) {  // bound again before the next use
    }
  }

  // Binds the next parameter.
  Use& Text(const std::string& text) {
    statement_.bind(++at_, text);
    return *this;
  }
  Use& Blob(const std::string& bytes) {
    statement_.bind(++at_, bytes.data(), static_cast<int>(bytes.size()));
    return *this;
  }
  Use& Number(int64_t number) {
    statement_.bind(++at_, number);
    return *this;
  }
  Use& Null() {
    statement_.bind(++at_);
    return *this;
  }
  Use& Time(const std::optional<WallTime>& time) {
    return time.has_value() ? Number(time->time_since_epoch().count()) : Null();
  }

  bool Step() { return statement_.executeStep(); }
  void Run() { statement_.exec(); }

  std::string TextAt(int column) const { return statement_.getColumn(column).getString(); }
  int64_t NumberAt(int column) const { return statement_.getColumn(column).getInt64(); }
  bool NullAt(int column) const { return statement_.isColumnNull(column); }
  std::optional<WallTime> TimeAt(int column) const {
    if (NullAt(column)) return std::nullopt;
    return WallTime(Duration(NumberAt(column)));
  }

 private:
  SQLite::Statement& statement_;
  int at_ = 0;
};

constexpr std::array<JobState, 7> kStates = {
    JobState::kQueued,    JobState::kPlanning, JobState::kRunning,  JobState::kPublishing,
    JobState::kSucceeded, JobState::kFailed,   JobState::kCancelled};

std::optional<JobState> StateNamed(std::string_view name) {
  for (const JobState state : kStates) {
    if (JobStateName(state) == name) return state;
  }
  return std::nullopt;
}

// Cut to the width of a code, another number might be that of no error.
absl::StatusCode CodeOf(int64_t number) {
  constexpr int64_t kLast = static_cast<int64_t>(absl::StatusCode::kUnauthenticated);
  return number < 0 || number > kLast ? absl::StatusCode::kUnknown
                                      : static_cast<absl::StatusCode>(number);
}

constexpr char kSaveJob[] = R"sql(
INSERT INTO jobs (uid, sequence, request_id, state, cancelling, recipe, source_name, directories,
                  output_uri, overwrite, plan_digest, numerics_version, inputs, error_code,
                  error_message, error_reason, created, started, finished, report_summary, warnings,
                  priority, owner, ended_after, units_total, units_done, bytes_total, bytes_done,
                  retries, display_name, labels, method, models, asked_priority, verdict,
                  bytes_read, bytes_written, activity)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
        ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (uid) DO UPDATE SET
  state = excluded.state, cancelling = excluded.cancelling, plan_digest = excluded.plan_digest,
  numerics_version = excluded.numerics_version, inputs = excluded.inputs,
  error_code = excluded.error_code, error_message = excluded.error_message,
  error_reason = excluded.error_reason, started = excluded.started, finished = excluded.finished,
  report_summary = excluded.report_summary, warnings = excluded.warnings,
  ended_after = excluded.ended_after, units_total = excluded.units_total,
  units_done = excluded.units_done, bytes_total = excluded.bytes_total,
  bytes_done = excluded.bytes_done, retries = excluded.retries, priority = excluded.priority,
  asked_priority = excluded.asked_priority, verdict = excluded.verdict,
  bytes_read = excluded.bytes_read, bytes_written = excluded.bytes_written,
  activity = CASE WHEN length(excluded.activity) > 0 THEN excluded.activity ELSE activity END
)sql";

constexpr char kLoadJobs[] = R"sql(
SELECT uid, sequence, request_id, state, cancelling, recipe, source_name, directories, output_uri,
       overwrite, plan_digest, numerics_version, inputs, error_code, error_message, error_reason,
       created, started, finished, report_summary, warnings, priority, owner, ended_after,
       units_total, units_done, bytes_total, bytes_done, retries, display_name, labels, method,
       models, asked_priority, verdict, bytes_read, bytes_written
FROM jobs ORDER BY sequence
)sql";

// A result of a job that has ended is nobody's.
constexpr char kAddResult[] = R"sql(
INSERT OR IGNORE INTO results (job, round, unit, worker, threads, simd, result)
SELECT uid, ?, ?, ?, ?, ?, ? FROM jobs
WHERE uid = ? AND state NOT IN ('SUCCEEDED', 'FAILED', 'CANCELLED')
)sql";

constexpr char kKeepActivity[] = R"sql(
UPDATE jobs SET activity = ?
WHERE uid = ? AND state NOT IN ('SUCCEEDED', 'FAILED', 'CANCELLED')
)sql";

constexpr char kAddEvent[] = R"sql(
INSERT INTO events (job, time, text, round, unit, worker, reported)
SELECT uid, ?, ?, ?, ?, ?, ? FROM jobs WHERE uid = ?
)sql";

constexpr char kTrimEvents[] = R"sql(
DELETE FROM events WHERE job = ?1 AND number <= (
  SELECT number FROM events WHERE job = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2)
)sql";

}  // namespace

std::string PackTexts(const std::vector<std::string>& texts) {
  std::string bytes;
  for (const std::string& text : texts) absl::StrAppend(&bytes, text.size(), ":", text);
  return bytes;
}

bool UnpackTexts(const std::string& bytes, std::vector<std::string>& texts) {
  texts.clear();
  std::string_view rest = bytes;
  while (!rest.empty()) {
    size_t size = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), size);
    const auto digits = static_cast<size_t>(end - rest.data());
    if (error != std::errc() || digits >= rest.size() || rest[digits] != ':') return false;
    rest.remove_prefix(digits + 1);
    if (size > rest.size()) return false;
    texts.emplace_back(rest.substr(0, size));
    rest.remove_prefix(size);
  }
  return true;
}

struct Tables::Statements {
  explicit Statements(SQLite::Database& database)
      : raise_epoch(database,
                    "INSERT INTO epoch (one, epoch) VALUES (1, ?1) ON CONFLICT (one) DO UPDATE "
                    "SET epoch = max(epoch + 1, ?1)"),
        epoch(database, "SELECT epoch FROM epoch"),
        served(database, "SELECT served FROM epoch"),
        set_served(database, "UPDATE epoch SET served = ?"),
        load_jobs(database, kLoadJobs),
        save_job(database, kSaveJob),
        drop_request(database, "DELETE FROM jobs WHERE request_id = ? AND uid <> ?"),
        remove_job(database, "DELETE FROM jobs WHERE uid = ?"),
        spend_request(
            database,
            "INSERT OR REPLACE INTO requests (request_id, job, owner, state, ended_after) "
            "SELECT request_id, uid, owner, state, ended_after FROM jobs "
            "WHERE uid = ? AND request_id IS NOT NULL"),
        load_spent(database, "SELECT request_id, job, owner, state, ended_after FROM requests"),
        forget_spent(database, "DELETE FROM requests WHERE request_id = ?"),
        add_result(database, kAddResult),
        results(database,
                "SELECT round, unit, worker, threads, simd, result FROM results WHERE job = ? "
                "AND (round, unit) > (?, ?) ORDER BY round, unit"),
        forget_results(database, "DELETE FROM results WHERE job = ?"),
        add_event(database, kAddEvent),
        trim_events(database, kTrimEvents),
        events(database,
               "SELECT time, text, round, unit, worker, reported FROM events WHERE job = ? "
               "ORDER BY number"),
        activity(database, "SELECT activity FROM jobs WHERE uid = ?"),
        keep_activity(database, kKeepActivity) {}

  SQLite::Statement raise_epoch, epoch, served, set_served, load_jobs, save_job, drop_request,
      remove_job, spend_request, load_spent, forget_spent, add_result, results, forget_results,
      add_event, trim_events, events, activity, keep_activity;
};

Tables::Tables(SQLite::Database& database) : statements_(std::make_unique<Statements>(database)) {}

Tables::~Tables() = default;

uint64_t Tables::RaiseEpoch(uint64_t least) {
  Use(statements_->raise_epoch).Number(static_cast<int64_t>(least)).Run();
  Use epoch(statements_->epoch);
  epoch.Step();
  return static_cast<uint64_t>(epoch.NumberAt(0));
}

Duration Tables::Served() {
  Use row(statements_->served);
  return row.Step() ? Duration(row.NumberAt(0)) : Duration::zero();
}

void Tables::SetServed(Duration served) {
  Use(statements_->set_served).Number(served.count()).Run();
}

absl::StatusOr<std::vector<JobRecord>> Tables::LoadJobs() {
  std::vector<JobRecord> records;
  Use row(statements_->load_jobs);
  while (row.Step()) {
    JobRecord& record = records.emplace_back();
    JobInfo& info = record.info;
    info.uid = row.TextAt(0);
    info.name = absl::StrCat("jobs/", info.uid);
    record.sequence = static_cast<uint64_t>(row.NumberAt(1));
    record.request_id = row.TextAt(2);
    const std::string state = row.TextAt(3);
    const std::optional<JobState> known = StateNamed(state);
    std::vector<std::string> inputs, labels;
    if (!known.has_value() || !UnpackTexts(row.TextAt(7), info.request.directories) ||
        !UnpackTexts(row.TextAt(12), inputs) || inputs.size() % 2 != 0 ||
        !UnpackTexts(row.TextAt(20), info.warnings) || !UnpackTexts(row.TextAt(30), labels) ||
        labels.size() % 2 != 0 || !UnpackTexts(row.TextAt(32), info.models)) {
      return absl::DataLossError(absl::StrCat("found a row of ", Shown(info.name), " in state \"",
                                              Shown(state), "\" that cannot be read"));
    }
    info.state = *known;
    info.cancelling = row.NumberAt(4) != 0;
    info.request.recipe = row.TextAt(5);
    info.request.source_name = row.TextAt(6);
    info.request.output_uri = row.TextAt(8);
    info.request.overwrite = row.NumberAt(9) != 0;
    record.plan.digest = row.TextAt(10);
    record.plan.numerics_version = static_cast<int>(row.NumberAt(11));
    for (size_t i = 0; i < inputs.size(); i += 2) {
      record.plan.inputs.emplace_back(std::move(inputs[i]), std::move(inputs[i + 1]));
    }
    info.error = absl::Status(CodeOf(row.NumberAt(13)), row.TextAt(14));
    info.error_reason = row.TextAt(15);
    info.created = row.TimeAt(16);
    info.started = row.TimeAt(17);
    info.finished = row.TimeAt(18);
    info.report_summary = row.TextAt(19);
    info.request.priority = static_cast<int32_t>(row.NumberAt(21));
    info.owner = row.TextAt(22);
    record.ended_after = Duration(row.NumberAt(23));
    info.progress.units_total = static_cast<uint64_t>(row.NumberAt(24));
    info.progress.units_done = static_cast<uint64_t>(row.NumberAt(25));
    info.progress.bytes_total = static_cast<uint64_t>(row.NumberAt(26));
    info.progress.bytes_done = static_cast<uint64_t>(row.NumberAt(27));
    info.progress.retries = static_cast<uint64_t>(row.NumberAt(28));
    info.request.display_name = row.TextAt(29);
    for (size_t i = 0; i < labels.size(); i += 2) {
      info.request.labels.emplace(std::move(labels[i]), std::move(labels[i + 1]));
    }
    info.method = row.TextAt(31);
    if (!row.NullAt(33)) record.asked_priority = static_cast<int32_t>(row.NumberAt(33));
    info.verdict = row.TextAt(34);
    info.progress.bytes_read = static_cast<uint64_t>(row.NumberAt(35));
    info.progress.bytes_written = static_cast<uint64_t>(row.NumberAt(36));
  }
  return records;
}

void Tables::SaveJob(const JobRecord& record) {
  const JobInfo& info = record.info;
  if (!record.request_id.empty()) {
    Use(statements_->drop_request).Text(record.request_id).Text(info.uid).Run();
    Use(statements_->forget_spent).Text(record.request_id).Run();
  }
  std::vector<std::string> inputs;
  for (const auto& [uri, digest] : record.plan.inputs) {
    inputs.push_back(uri);
    inputs.push_back(digest);
  }
  std::vector<std::string> labels;
  for (const auto& [key, value] : info.request.labels) {
    labels.push_back(key);
    labels.push_back(value);
  }
  Use save(statements_->save_job);
  save.Text(info.uid).Number(static_cast<int64_t>(record.sequence));
  if (record.request_id.empty()) {
    save.Null();
  } else {
    save.Text(record.request_id);
  }
  save.Text(std::string(JobStateName(info.state)))
      .Number(info.cancelling)
      .Text(info.request.recipe)
      .Text(info.request.source_name)
      .Blob(PackTexts(info.request.directories))
      .Text(info.request.output_uri)
      .Number(info.request.overwrite)
      .Text(record.plan.digest)
      .Number(record.plan.numerics_version)
      .Blob(PackTexts(inputs))
      .Number(static_cast<int64_t>(info.error.code()))
      .Text(std::string(info.error.message()))
      .Text(info.error_reason)
      .Time(info.created)
      .Time(info.started)
      .Time(info.finished)
      .Text(info.report_summary)
      .Blob(PackTexts(info.warnings))
      .Number(info.request.priority)
      .Text(info.owner)
      .Number(record.ended_after.count())
      .Number(static_cast<int64_t>(info.progress.units_total))
      .Number(static_cast<int64_t>(info.progress.units_done))
      .Number(static_cast<int64_t>(info.progress.bytes_total))
      .Number(static_cast<int64_t>(info.progress.bytes_done))
      .Number(static_cast<int64_t>(info.progress.retries))
      .Text(info.request.display_name)
      .Blob(PackTexts(labels))
      .Text(info.method)
      .Blob(PackTexts(info.models));
  if (record.asked_priority.has_value()) {
    save.Number(*record.asked_priority);
  } else {
    save.Null();
  }
  save.Text(info.verdict)
      .Number(static_cast<int64_t>(info.progress.bytes_read))
      .Number(static_cast<int64_t>(info.progress.bytes_written))
      .Blob(record.activity);
  save.Run();
  if (!IsTerminal(info.state)) return;
  ForgetResults(info.uid);
  Use(statements_->trim_events).Text(info.uid).Number(int64_t{kKeptEvents}).Run();
}

void Tables::RemoveJob(const std::string& uid) { Use(statements_->remove_job).Text(uid).Run(); }

void Tables::RetireJob(const std::string& uid) {
  Use(statements_->spend_request).Text(uid).Run();
  RemoveJob(uid);
}

absl::StatusOr<std::vector<SpentRequest>> Tables::LoadSpent() {
  std::vector<SpentRequest> requests;
  Use row(statements_->load_spent);
  while (row.Step()) {
    const std::string state = row.TextAt(3);
    const std::optional<JobState> known = StateNamed(state);
    if (!known.has_value()) {
      return absl::DataLossError(absl::StrCat("found a row of the request id \"",
                                              Shown(row.TextAt(0)), "\" in state \"", Shown(state),
                                              "\" that cannot be read"));
    }
    requests.push_back(
        {row.TextAt(0), row.TextAt(1), row.TextAt(2), *known, Duration(row.NumberAt(4))});
  }
  return requests;
}

void Tables::ForgetSpent(const std::vector<std::string>& request_ids) {
  for (const std::string& id : request_ids) Use(statements_->forget_spent).Text(id).Run();
}

void Tables::AddResults(const std::vector<StoredResult>& results) {
  for (const StoredResult& result : results) {
    Use(statements_->add_result)
        .Number(result.round)
        .Number(result.unit)
        .Text(result.worker)
        .Number(result.threads)
        .Text(result.simd)
        .Blob(result.bytes)
        .Text(result.job)
        .Run();
  }
}

std::vector<StoredResult> Tables::Results(const std::string& uid,
                                          const std::optional<ResultPlace>& after, uint64_t bytes) {
  std::vector<StoredResult> results;
  Use row(statements_->results);
  row.Text(uid);
  if (after.has_value()) {
    row.Number(after->round).Number(after->unit);
  } else {
    row.Number(-1).Number(0);
  }
  uint64_t taken = 0;
  while ((results.empty() || taken < bytes) && row.Step()) {
    results.push_back({uid, static_cast<uint32_t>(row.NumberAt(0)),
                       static_cast<uint32_t>(row.NumberAt(1)), row.TextAt(5), row.TextAt(2),
                       static_cast<uint32_t>(row.NumberAt(3)), row.TextAt(4)});
    taken += results.back().bytes.size();
  }
  return results;
}

void Tables::ForgetResults(const std::string& uid) {
  Use(statements_->forget_results).Text(uid).Run();
}

void Tables::AddEvents(const std::string& uid, const std::vector<StoredEvent>& events) {
  for (const StoredEvent& stored : events) {
    Use add(statements_->add_event);
    add.Time(stored.event.time).Text(stored.event.text);
    if (const auto& attempt = stored.attempt; attempt.has_value()) {
      add.Number(attempt->round)
          .Number(attempt->unit)
          .Text(attempt->worker)
          .Number(attempt->reported);
    } else {
      add.Null().Null().Null().Null();
    }
    add.Text(uid).Run();
  }
}

void Tables::KeepActivity(const std::string& uid, const std::string& activity) {
  Use(statements_->keep_activity).Blob(activity).Text(uid).Run();
}

std::string Tables::Activity(const std::string& uid) {
  Use row(statements_->activity);
  row.Text(uid);
  return row.Step() ? row.TextAt(0) : "";
}

std::vector<StoredEvent> Tables::Events(const std::string& uid) {
  std::vector<StoredEvent> events;
  Use row(statements_->events);
  row.Text(uid);
  while (row.Step()) {
    StoredEvent& stored = events.emplace_back();
    stored.event = {row.TimeAt(0).value_or(WallTime()), row.TextAt(1)};
    if (row.NullAt(3)) continue;
    stored.attempt =
        UnitAttempt{static_cast<uint32_t>(row.NumberAt(2)), static_cast<uint32_t>(row.NumberAt(3)),
                    row.TextAt(4), row.NumberAt(5) != 0};
  }
  return events;
}

}  // namespace merganser
