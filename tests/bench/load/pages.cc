#include "tests/bench/load/pages.h"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/coordinator/http/http_client.h"

namespace merganser::load {
namespace {

std::string Get(const std::string& path, const std::string& token) {
  return absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ", token,
                      "\r\n\r\n");
}

void ListAgainAndAgain(int port, const std::string& token, Clock::time_point due,
                       std::chrono::milliseconds period, PageLoad& load) {
  // As the page asks.
  const std::string request = Get("/api/v1/jobs?page_size=50", token);
  std::optional<http::Client> client;
  while (true) {
    std::this_thread::sleep_until(due);
    due += period;
    const auto began = Clock::now();
    if (!client.has_value()) client.emplace(static_cast<uint16_t>(port));
    std::optional<http::Answer> answer;
    if (client->Say(request)) answer = client->Next();
    if (answer.has_value() && answer->status == 200) {
      load.lists.Add(Seconds(Clock::now() - began));
    } else {
      load.lists.Fail(answer.has_value() ? absl::StrCat("list: ", answer->status, " ", answer->body)
                                         : "list: no answer");
      client.reset();
    }
  }
}

void FollowAll(int port, const std::string& token, int pages, PageLoad& load) {
  std::vector<std::unique_ptr<http::Client>> streams;
  for (int i = 0; i < pages; ++i) {
    streams.push_back(std::make_unique<http::Client>(static_cast<uint16_t>(port)));
    streams.back()->Say(Get("/api/v1/events?view=jobs", token));
  }
  while (!streams.empty()) {
    std::vector<pollfd> ready;
    for (const auto& stream : streams) ready.push_back({stream->fd(), POLLIN, 0});
    if (::poll(ready.data(), ready.size(), 1000) <= 0) continue;
    for (size_t i = ready.size(); i-- > 0;) {
      if (ready[i].revents == 0) continue;
      http::Client& stream = *streams[i];
      if (!stream.Hear(std::chrono::milliseconds(0))) {
        ++load.streams_ended;
        streams.erase(streams.begin() + static_cast<ptrdiff_t>(i));
        continue;
      }
      std::string& heard = stream.heard();
      load.event_bytes += heard.size();
      for (size_t at = 0; (at = heard.find("\n\n", at)) != std::string::npos; ++at) ++load.events;
      // The end of an event may come in two pieces.
      heard.erase(0, heard.size() - (heard.ends_with('\n') && !heard.ends_with("\n\n") ? 1 : 0));
    }
  }
}

std::map<double, double> BucketsOf(const std::string& text, const std::string& series) {
  std::map<double, double> buckets;
  const std::string begin = absl::StrCat(series, ",le=\"");
  for (size_t at = 0; (at = text.find(begin, at)) != std::string::npos;) {
    at += begin.size();
    const size_t end = text.find("\"} ", at);
    if (end == std::string::npos) break;
    const std::string bound = text.substr(at, end - at);
    buckets[bound == "+Inf" ? 1e300 : std::stod(bound)] = std::stod(text.substr(end + 3));
  }
  return buckets;
}

}  // namespace

void OpenPages(int port, const std::string& token, int pages, std::chrono::milliseconds period,
               PageLoad& load) {
  std::thread([=, &load] { FollowAll(port, token, pages, load); }).detach();
  for (int i = 0; i < pages; ++i) {
    const auto due = Clock::now() + period * i / pages;
    std::thread([=, &load] { ListAgainAndAgain(port, token, due, period, load); }).detach();
  }
}

std::string ReadMetrics(int port) {
  const std::optional<http::Answer> answer =
      http::Ask(static_cast<uint16_t>(port), "GET", "/metrics");
  if (!answer.has_value() || answer->status != 200) {
    Check(absl::UnavailableError("/metrics: found no answer"));
  }
  return answer->body;
}

HistogramQuantile QuantileBetween(const std::string& before, const std::string& after,
                                  const std::string& series, double q) {
  const std::map<double, double> first = BucketsOf(before, series);
  std::map<double, double> buckets = BucketsOf(after, series);
  for (auto& [bound, count] : buckets) {
    if (const auto it = first.find(bound); it != first.end()) count -= it->second;
  }
  HistogramQuantile found;
  if (buckets.empty()) return found;
  const double total = buckets.rbegin()->second;
  found.count = static_cast<uint64_t>(total);
  double below = 0, from = 0;
  for (const auto& [bound, count] : buckets) {
    if (count >= q * total && count > below) {
      const double to = std::min(bound, from * 10 + 1e-6);
      found.value =
          from + (bound < 1e300 ? bound - from : to - from) * (q * total - below) / (count - below);
      return found;
    }
    below = count;
    if (bound < 1e300) from = bound;
  }
  return found;
}

}  // namespace merganser::load
