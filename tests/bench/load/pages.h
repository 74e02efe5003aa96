// Browsers with the dashboard open, as the coordinator's HTTP server sees them.
#ifndef MERGANSER_TESTS_BENCH_LOAD_PAGES_H_
#define MERGANSER_TESTS_BENCH_LOAD_PAGES_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include "tests/bench/load/load.h"

namespace merganser::load {

struct PageLoad {
  Latencies lists;
  std::atomic<uint64_t> events{0};  // that streams brought
  std::atomic<uint64_t> event_bytes{0};
  std::atomic<size_t> streams_ended{0};
};

// `pages` pages of the list of jobs on 127.0.0.1:`port`, each with an event stream that stays open
// and a list that is asked for every `period`, on a connection of its own, in turns. Their threads
// live as long as the process, and `load` as long as them.
void OpenPages(int port, const std::string& token, int pages, std::chrono::milliseconds period,
               PageLoad& load);

// What /metrics says.
std::string ReadMetrics(int port);

// Of a histogram in the exposition format, between two readings: the quantile, linear within its
// bucket, and how many values there were. `series` is the name and all labels but le, such as
// `x_seconds_bucket{operation="y"`.
struct HistogramQuantile {
  double value = 0;
  uint64_t count = 0;
};
HistogramQuantile QuantileBetween(const std::string& before, const std::string& after,
                                  const std::string& series, double q);

}  // namespace merganser::load

#endif  // MERGANSER_TESTS_BENCH_LOAD_PAGES_H_
