// The ranks that mpirun or srun started, over MPI. No other file knows MPI.
#ifndef MERGANSER_WORKER_SOURCES_MPI_MPI_WORLD_H_
#define MERGANSER_WORKER_SOURCES_MPI_MPI_WORLD_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/sources/mpi/transport.h"

namespace merganser {

// MPI is used funneled: Init, every method and the destructor belong to one
// thread. Nothing blocks in MPI but Init and the destructor, since a blocking
// call spins on a core that computes: who waits sleeps between two calls.
class MpiWorld final : public Transport {
 public:
  // Once a process. kFailedPrecondition when this MPI has no support for threads
  // beside the one that communicates.
  static absl::StatusOr<std::unique_ptr<MpiWorld>> Init();
  // Leaves the run; waits for the other ranks to do the same.
  ~MpiWorld() override;

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  absl::Status Send(int to, std::string bytes) override;
  absl::StatusOr<std::optional<Arrived>> Receive() override;
  absl::Status Broadcast(std::string bytes) override;
  absl::Status Expect(uint64_t size) override;
  absl::StatusOr<std::optional<std::string>> TakeBroadcast() override;
  absl::StatusOr<bool> AllSent() override;

  // Cores that this rank may use, divided by the ranks of this machine that may use
  // the same ones.
  int cores() const { return cores_; }

  // Ends all ranks at once; mpirun exits with `code`.
  [[noreturn]] void Abort(int code);

 private:
  struct State;
  MpiWorld();
  absl::Status FindCores();
  // Moves what was sent and broadcast along.
  absl::Status Progress();

  int rank_ = 0;
  int size_ = 1;
  int cores_ = 1;
  const std::unique_ptr<State> state_;
};

}  // namespace merganser

#endif  // MERGANSER_WORKER_SOURCES_MPI_MPI_WORLD_H_
