// Workers that compute nothing and people who watch jobs, over gRPC.
#ifndef MERGANSER_TESTS_BENCH_LOAD_FLEET_H_
#define MERGANSER_TESTS_BENCH_LOAD_FLEET_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "common/plan/plan.h"
#include "grpcpp/completion_queue.h"
#include "tests/bench/load/load.h"

namespace merganser::load {

// Every client has a connection of its own; one thread serves them all. It lives as long as the
// process: calls that are under way are ended by its end.
class Fleet {
 public:
  // `address` is HOST:PORT. Results are made up for units of `plan`, which all jobs share.
  Fleet(std::string address, std::string token, const Plan& plan);

  // A worker that calls every `period`, from `first` on, with the one unit that it was given.
  void AddWorker(size_t number, Clock::time_point first, std::chrono::milliseconds period);
  // Somebody who watches `job` to its end.
  void AddWatcher(const std::string& job);

  Latencies& syncs() { return syncs_; }
  uint64_t units() const { return units_; }        // whose results were taken
  uint64_t messages() const { return messages_; }  // that watchers were sent
  uint64_t watches_ended() const { return watches_ended_; }
  // Of a worker's message with one result.
  size_t message_bytes() const { return message_bytes_; }

 private:
  class Call;
  class Worker;
  class Watcher;

  const std::string address_, token_;
  const Plan& plan_;
  grpc::CompletionQueue queue_;
  std::vector<std::unique_ptr<Call>> calls_;
  Latencies syncs_;
  std::atomic<uint64_t> units_{0}, messages_{0}, watches_ended_{0};
  std::atomic<size_t> message_bytes_{0};
  std::thread thread_;
};

}  // namespace merganser::load

#endif  // MERGANSER_TESTS_BENCH_LOAD_FLEET_H_
