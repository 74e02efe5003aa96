// Ranks as threads of the test: what MpiWorld is to processes.
#ifndef MERGANSER_TESTS_WORKER_SOURCES_MPI_LOCAL_WORLD_H_
#define MERGANSER_TESTS_WORKER_SOURCES_MPI_LOCAL_WORLD_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/base/mutex.h"
#include "worker/sources/mpi/message.h"
#include "worker/sources/mpi/transport.h"

namespace merganser {

class LocalWorld {
 public:
  explicit LocalWorld(int size);

  // Of rank `rank`; lives as long as the world.
  Transport& of(int rank);

  // From now on nothing that the rank says arrives.
  void Silence(int rank);
  // From now on every call fails, as if the others were gone.
  void Break();
  // How many messages of the kind the rank sent.
  int sent(MessageKind kind, int from) const;

 private:
  class Place;

  mutable Mutex mutex_;
  std::vector<std::deque<Arrived>> inboxes_ MERGANSER_GUARDED_BY(mutex_);
  std::vector<std::string> broadcasts_ MERGANSER_GUARDED_BY(mutex_);
  std::vector<std::pair<MessageKind, int>> sent_ MERGANSER_GUARDED_BY(mutex_);
  std::set<int> silenced_ MERGANSER_GUARDED_BY(mutex_);
  bool broken_ MERGANSER_GUARDED_BY(mutex_) = false;
  std::vector<std::unique_ptr<Transport>> places_;
};

}  // namespace merganser

#endif  // MERGANSER_TESTS_WORKER_SOURCES_MPI_LOCAL_WORLD_H_
