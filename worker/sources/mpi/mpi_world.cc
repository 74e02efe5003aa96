#include "worker/sources/mpi/mpi_world.h"

#include <mpi.h>
#include <sched.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdlib>
#include <deque>
#include <list>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/bytes.h"
#include "common/base/status.h"

namespace merganser {
namespace {

constexpr int kTag = 1;
// Counts are int in MPI; a plan of so many bytes has tens of millions of tensors.
constexpr uint64_t kMaxBytes = uint64_t{1} << 30;

absl::Status MpiStatus(int code, const std::string& action) {
  if (code == MPI_SUCCESS) return absl::OkStatus();
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  if (MPI_Error_string(code, text.data(), &length) != MPI_SUCCESS) length = 0;
  return absl::UnavailableError(
      absl::StrCat("MPI: ", action, ": ", OneLine(std::string(text.data(), length))));
}

// Open MPI ends the process by a signal where it finds no address space for its components. No
// merge fits into what this refuses.
absl::Status CheckAddressSpace() {
  constexpr size_t kOpenMpi = size_t{96} << 20;
  void* const found =
      mmap(nullptr, kOpenMpi, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (found == MAP_FAILED) {
    return absl::ResourceExhaustedError(
        absl::StrCat("MPI: found no address space for its library, expected ",
                     FormatBytes(kOpenMpi), ": raise the limit (ulimit -v) of the ranks"));
  }
  munmap(found, kOpenMpi);
  return absl::OkStatus();
}

absl::Status CheckSize(uint64_t size) {
  if (size <= kMaxBytes) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat("a message between ranks: found ",
                                                   FormatBytes(size), ", expected at most ",
                                                   FormatBytes(kMaxBytes)));
}

}  // namespace

struct MpiWorld::State {
  struct Sending {
    std::string bytes;
    MPI_Request request = MPI_REQUEST_NULL;
  };
  std::list<Sending> sending;
  std::deque<Arrived> to_self;
  // The message that is being received. One at a time: they stay in order.
  Arrived arriving;
  MPI_Request receiving = MPI_REQUEST_NULL;
  // Broadcasts; the first is under way once `casting` is set. One at a time: all
  // ranks must begin them in the same order.
  std::deque<std::string> broadcasts;
  MPI_Request casting = MPI_REQUEST_NULL;
  std::deque<std::string> arrived_broadcasts;
};

MpiWorld::MpiWorld() : state_(std::make_unique<State>()) {}

absl::StatusOr<std::unique_ptr<MpiWorld>> MpiWorld::Init() {
  MERGANSER_RETURN_IF_ERROR(CheckAddressSpace());
  int provided = MPI_THREAD_SINGLE;
  MERGANSER_RETURN_IF_ERROR(
      MpiStatus(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided), "init"));
  std::unique_ptr<MpiWorld> world(new MpiWorld);
  if (provided < MPI_THREAD_FUNNELED) {
    return absl::FailedPreconditionError(
        "MPI: found a library without threads, expected MPI_THREAD_FUNNELED");
  }
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MERGANSER_RETURN_IF_ERROR(MpiStatus(MPI_Comm_rank(MPI_COMM_WORLD, &world->rank_), "rank"));
  MERGANSER_RETURN_IF_ERROR(MpiStatus(MPI_Comm_size(MPI_COMM_WORLD, &world->size_), "size"));
  MERGANSER_RETURN_IF_ERROR(world->FindCores());
  return world;
}

MpiWorld::~MpiWorld() { MPI_Finalize(); }

absl::Status MpiWorld::FindCores() {
  cpu_set_t mine;
  CPU_ZERO(&mine);
  if (sched_getaffinity(0, sizeof(mine), &mine) != 0) CPU_SET(0, &mine);
  MPI_Comm machine = MPI_COMM_NULL;
  MERGANSER_RETURN_IF_ERROR(MpiStatus(
      MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &machine),
      "ranks of this machine"));
  int ranks = 1;
  MPI_Comm_size(machine, &ranks);
  std::vector<cpu_set_t> all(static_cast<size_t>(ranks));
  const int code =
      MPI_Allgather(&mine, sizeof(mine), MPI_BYTE, all.data(), sizeof(mine), MPI_BYTE, machine);
  MPI_Comm_free(&machine);
  MERGANSER_RETURN_IF_ERROR(MpiStatus(code, "ranks of this machine"));
  const auto sharing = std::count_if(all.begin(), all.end(), [&mine](const cpu_set_t& other) {
    return CPU_EQUAL(&mine, &other) != 0;
  });
  cores_ = std::max(1, CPU_COUNT(&mine) / std::max(1, static_cast<int>(sharing)));
  return absl::OkStatus();
}

absl::Status MpiWorld::Send(int to, std::string bytes) {
  MERGANSER_RETURN_IF_ERROR(CheckSize(bytes.size()));
  if (to == rank_) {
    state_->to_self.push_back({rank_, std::move(bytes)});
    return absl::OkStatus();
  }
  State::Sending& sending = state_->sending.emplace_back();
  sending.bytes = std::move(bytes);
  return MpiStatus(MPI_Isend(sending.bytes.data(), static_cast<int>(sending.bytes.size()), MPI_BYTE,
                             to, kTag, MPI_COMM_WORLD, &sending.request),
                   absl::StrCat("send to rank ", to));
}

absl::Status MpiWorld::Progress() {
  for (auto it = state_->sending.begin(); it != state_->sending.end();) {
    int done = 0;
    MERGANSER_RETURN_IF_ERROR(MpiStatus(MPI_Test(&it->request, &done, MPI_STATUS_IGNORE), "send"));
    it = done != 0 ? state_->sending.erase(it) : std::next(it);
  }
  while (!state_->broadcasts.empty()) {
    std::string& bytes = state_->broadcasts.front();
    if (state_->casting == MPI_REQUEST_NULL) {
      MERGANSER_RETURN_IF_ERROR(MpiStatus(MPI_Ibcast(bytes.data(), static_cast<int>(bytes.size()),
                                                     MPI_BYTE, 0, MPI_COMM_WORLD, &state_->casting),
                                          "broadcast"));
    }
    int done = 0;
    MERGANSER_RETURN_IF_ERROR(
        MpiStatus(MPI_Test(&state_->casting, &done, MPI_STATUS_IGNORE), "broadcast"));
    if (done == 0) break;
    state_->casting = MPI_REQUEST_NULL;
    if (rank_ != 0) state_->arrived_broadcasts.push_back(std::move(bytes));
    state_->broadcasts.pop_front();
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<Arrived>> MpiWorld::Receive() {
  MERGANSER_RETURN_IF_ERROR(Progress());
  if (!state_->to_self.empty()) {
    Arrived arrived = std::move(state_->to_self.front());
    state_->to_self.pop_front();
    return arrived;
  }
  if (state_->receiving == MPI_REQUEST_NULL) {
    int there = 0;
    MPI_Status status;
    MERGANSER_RETURN_IF_ERROR(MpiStatus(
        MPI_Iprobe(MPI_ANY_SOURCE, kTag, MPI_COMM_WORLD, &there, &status), "look for messages"));
    if (there == 0) return std::nullopt;
    int size = 0;
    MERGANSER_RETURN_IF_ERROR(MpiStatus(MPI_Get_count(&status, MPI_BYTE, &size), "message size"));
    state_->arriving.from = status.MPI_SOURCE;
    state_->arriving.bytes.assign(static_cast<size_t>(size), '\0');
    MERGANSER_RETURN_IF_ERROR(
        MpiStatus(MPI_Irecv(state_->arriving.bytes.data(), size, MPI_BYTE, status.MPI_SOURCE, kTag,
                            MPI_COMM_WORLD, &state_->receiving),
                  absl::StrCat("receive from rank ", status.MPI_SOURCE)));
  }
  int done = 0;
  MERGANSER_RETURN_IF_ERROR(MpiStatus(MPI_Test(&state_->receiving, &done, MPI_STATUS_IGNORE),
                                      absl::StrCat("receive from rank ", state_->arriving.from)));
  if (done == 0) return std::nullopt;
  state_->receiving = MPI_REQUEST_NULL;
  return std::exchange(state_->arriving, {});
}

absl::Status MpiWorld::Broadcast(std::string bytes) {
  MERGANSER_RETURN_IF_ERROR(CheckSize(bytes.size()));
  state_->broadcasts.push_back(std::move(bytes));
  return Progress();
}

absl::Status MpiWorld::Expect(uint64_t size) {
  MERGANSER_RETURN_IF_ERROR(CheckSize(size));
  state_->broadcasts.emplace_back(size, '\0');
  return Progress();
}

absl::StatusOr<std::optional<std::string>> MpiWorld::TakeBroadcast() {
  MERGANSER_RETURN_IF_ERROR(Progress());
  if (state_->arrived_broadcasts.empty()) return std::nullopt;
  std::string bytes = std::move(state_->arrived_broadcasts.front());
  state_->arrived_broadcasts.pop_front();
  return bytes;
}

absl::StatusOr<bool> MpiWorld::AllSent() {
  MERGANSER_RETURN_IF_ERROR(Progress());
  return state_->sending.empty() && state_->broadcasts.empty();
}

void MpiWorld::Abort(int code) {
  MPI_Abort(MPI_COMM_WORLD, code);
  std::_Exit(code);
}

}  // namespace merganser
