// ListJobs over a board of 10,000 jobs: what a page of the dashboard asks every few seconds.
#include <benchmark/benchmark.h>

#include <chrono>
#include <memory>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"
#include "coordinator/service/job_list.h"

namespace merganser {
namespace {

constexpr uint64_t kJobs = 10'000;

const JobBoard& Board() {
  static const auto* const board = [] {
    auto* made = new JobBoard;
    std::mt19937 random(1);
    for (uint64_t i = 1; i <= kJobs; ++i) {
      auto info = std::make_shared<JobInfo>();
      info->uid = absl::StrCat("0123456789abcd", i);
      info->name = absl::StrCat("jobs/", info->uid);
      info->owner = absl::StrCat("owner", random() % 20);
      info->request.display_name = absl::StrCat("sweep ", random() % 1000);
      info->request.source_name = absl::StrCat("/home/somebody/recipes/run", i, ".yaml");
      info->request.output_uri = absl::StrCat("s3://models/merged/run", i);
      info->request.labels = {{"team", absl::StrCat("t", random() % 5)}, {"run", absl::StrCat(i)}};
      info->method = "resmerge";
      for (int m = 0; m < 5; ++m) {
        info->models.push_back(absl::StrCat("s3://models/qwen2.5-7b-rl-", random() % 100));
      }
      info->state = static_cast<JobState>(random() % kJobStates);
      info->created = WallTime(std::chrono::seconds(1'700'000'000 + i));
      made->Post({info, nullptr, nullptr, i});
    }
    return made;
  }();
  return *board;
}

void List(benchmark::State& state, const char* filter, const char* order_by) {
  const JobQuery query = {50, "", filter, order_by};
  if (!ListJobs(Board(), query).ok()) state.SkipWithError("refused");
  for (auto _ : state) benchmark::DoNotOptimize(ListJobs(Board(), query));
}

BENCHMARK_CAPTURE(List, plain, "", "");
BENCHMARK_CAPTURE(List, filtered, "state = FAILED AND labels.team = t3", "");
BENCHMARK_CAPTURE(List, ordered, "", "display_name, owner desc");
BENCHMARK_CAPTURE(List, words_found_nowhere, "no-such-model -sweep", "display_name");
BENCHMARK_CAPTURE(List, filtered_and_ordered,
                  "labels.team != t3 (qwen2.5 OR owner = owner1*) create_time > "
                  "2023-11-14T22:13:21Z",
                  "state, finish_time desc, display_name");

}  // namespace
}  // namespace merganser

BENCHMARK_MAIN();
