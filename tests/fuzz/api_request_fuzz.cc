// What is asked of the coordinator over HTTP: "METHOD PATH" below /api/v1, "%%", a query, "%%", a
// body; then a filter, an order and a place in it, for lists.
//
// A message that was read is the same when it is written and read again; filters and orders are
// orders; a place is where it was.
#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/http/api/messages.h"
#include "coordinator/http/api/routes.h"
#include "coordinator/http/site/text.h"
#include "coordinator/service/job_codec.h"
#include "coordinator/service/job_filter.h"
#include "coordinator/service/job_order.h"
#include "coordinator/service/recipe_facts.h"
#include "coordinator/service/requests.h"
#include "proto/merganser/v1/merge_service.pb.h"
#include "tests/fuzz/check.h"

namespace merganser::fuzz {
namespace {

constexpr std::initializer_list<absl::StatusCode> kInvalid = {absl::StatusCode::kInvalidArgument};

void RequireMessage(const http::ApiRoute& route, const std::string& segment, std::string_view query,
                    std::string_view body) {
  http::MessagePtr message = route.request();
  absl::Status read;
  if (route.body) {
    read = http::FromJson(body, *message);
  } else if (const auto pairs = http::ParseQuery(query); pairs.ok()) {
    read = http::FromQuery(*pairs, *message);
  } else {
    read = pairs.status();
  }
  if (read.ok() && !segment.empty()) {
    read = http::SetName(http::NameOf(route.pattern, segment), *message);
  }
  if (!read.ok()) return RequireRefusal(read, kInvalid);
  const auto json = http::ToJson(*message);
  Require(json.ok(), "a message that cannot be told", json.status().ToString());
  http::MessagePtr again = route.request();
  const absl::Status reread = http::FromJson(*json, *again);
  Require(reread.ok(), "what was told cannot be read", *json);
  const auto twice = http::ToJson(*again);
  Require(twice.ok() && *twice == *json, "told twice, it is another", *json);
}

void RequireRequest(std::string_view body) {
  v1::CreateJobRequest proto;
  if (!http::FromJson(body, proto).ok()) return;
  const JobRequest request = DecodeRequest(proto);
  Require(DecodeRequest(EncodeRequest(request, proto.request_id())) == request,
          "a request that travels as another");
  JobInfo job;
  SetRecipeFacts(request.recipe, job);
  Require(job.models.size() <= 1000 && job.method.size() <= 1000, "facts without a bound");
  const absl::Status judged = CheckJobRequest(request, proto.request_id());
  if (!judged.ok()) {
    RequireRefusal(judged,
                   {absl::StatusCode::kInvalidArgument, absl::StatusCode::kPermissionDenied,
                    absl::StatusCode::kUnimplemented, absl::StatusCode::kFailedPrecondition});
  }
}

std::vector<JobInfo> SomeJobs() {
  std::vector<JobInfo> jobs(3);
  for (size_t i = 0; i < jobs.size(); ++i) {
    JobInfo& job = jobs[i];
    job.uid = std::string(1, static_cast<char>('a' + i));
    job.name = "jobs/" + job.uid;
    job.owner = i == 0 ? "alice" : "bob";
    job.state = i == 2 ? JobState::kFailed : JobState::kRunning;
    job.request.priority = static_cast<int32_t>(i) - 1;
    job.request.display_name = i == 1 ? "night run" : "";
    job.request.source_name = "/r/resmerge.yaml";
    job.request.labels = {{"team", "rl"}};
    job.created = WallTime(std::chrono::seconds(1'700'000'000 + i));
    if (i > 0) job.started = WallTime(std::chrono::seconds(1'700'000'100));
  }
  return jobs;
}

void RequireLists(std::string_view filter_text, std::string_view order_text,
                  std::string_view place_text) {
  static const std::vector<JobInfo> jobs = SomeJobs();
  const auto filter = JobFilter::Parse(filter_text);
  if (!filter.ok()) {
    RequireRefusal(filter.status(), kInvalid);
  } else {
    for (const JobInfo& job : jobs) {
      const bool matches = filter->Matches(job);
      Require(matches || !filter->IsEverything(), "everything, but this", job.name);
    }
  }
  const auto order = JobOrder::Parse(order_text);
  if (!order.ok()) return RequireRefusal(order.status(), kInvalid);
  std::vector<JobView> views;
  for (size_t i = 0; i < jobs.size(); ++i) {
    JobView& view = views.emplace_back();
    view.info = std::make_shared<const JobInfo>(jobs[i]);
    view.sequence = i + 1;
  }
  for (const JobView& a : views) {
    const JobPlace place = order->PlaceOf(a);
    const auto unpacked = order->Unpack(order->Pack(place));
    Require(unpacked.has_value(), "a place that cannot be read");
    for (const JobView& b : views) {
      Require(!(order->Before(a, b) && order->Before(b, a)), "each before the other");
      Require(order->IsBehind(b, *unpacked) == order->Before(a, b), "another place");
    }
  }
  if (const auto place = order->Unpack(place_text); place.has_value()) {
    const std::string packed = order->Pack(*place);
    const auto again = order->Unpack(packed);
    Require(again.has_value() && order->Pack(*again) == packed, "a place that is read as another");
    for (const JobView& view : views) (void)order->IsBehind(view, *place);
  }
}

}  // namespace
}  // namespace merganser::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace merganser;
  using namespace merganser::fuzz;
  const auto parts = PartsOf(TextOf(data, size), 6);
  const size_t space = std::min(parts[0].find(' '), parts[0].size());
  const std::string_view path = parts[0].substr(std::min(parts[0].size(), space + 1));
  size_t matched = 0;
  for (const http::ApiRoute& route : http::ApiRoutes()) {
    const std::optional<std::string> segment = http::MatchPath(route.pattern, path);
    if (!segment.has_value()) continue;
    Require(segment->find('/') == std::string::npos, "a segment of two", *segment);
    if (route.method != parts[0].substr(0, space)) continue;
    ++matched;
    RequireMessage(route, *segment, parts[1], parts[2]);
  }
  Require(matched <= 1, "a request for two", path);
  RequireRequest(parts[2]);
  RequireLists(parts[3], parts[4], parts[5]);
  return 0;
}
