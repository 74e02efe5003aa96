// What is done to connections, counted, and told to people now and then.
#ifndef MERGANSER_COORDINATOR_FRONT_TALLY_H_
#define MERGANSER_COORDINATOR_FRONT_TALLY_H_

#include <cstddef>
#include <map>
#include <string>
#include <string_view>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "coordinator/front/peer.h"

namespace merganser::front {

// At most three lines a minute, whatever happens. Not thread-safe.
class Tally {
 public:
  // `log` may be empty.
  explicit Tally(LogSink log) : log_(std::move(log)) {}

  // A connection of `peer` was ended; without `why` it ended as connections do.
  void Add(std::string_view why, const PeerKey& peer, MonotonicTime now);
  // To be called every second or so.
  void Tell(MonotonicTime now);

 private:
  const LogSink log_;
  std::map<std::string, size_t, std::less<>> counts_;
  PeerKey last_;
  MonotonicTime told_ = MonotonicTime::min();
};

}  // namespace merganser::front

#endif  // MERGANSER_COORDINATOR_FRONT_TALLY_H_
