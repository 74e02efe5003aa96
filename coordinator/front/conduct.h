// What a client does to the server behind, frame by frame, and whether it may.
#ifndef MERGANSER_COORDINATOR_FRONT_CONDUCT_H_
#define MERGANSER_COORDINATOR_FRONT_CONDUCT_H_

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "coordinator/front/bucket.h"
#include "coordinator/front/frames.h"
#include "coordinator/front/limits.h"

namespace merganser::front {

// What connections of one peer, or all connections, have left together.
struct Shared {
  Shared(Rate opened_in, Rate resets_in) : opened(opened_in), resets(resets_in) {}
  Bucket opened, resets;
  size_t streams = 0;  // that are open
};

// Of one connection. Not thread-safe.
class Conduct {
 public:
  enum class Verdict : uint8_t { kPass, kWait, kEnd };
  struct Judgement {
    Verdict verdict = Verdict::kPass;
    size_t passed = 0;     // bytes that may go to the server
    MonotonicTime again;   // kWait: when to ask again, for the bytes that were left
    std::string_view why;  // kEnd: words for people
  };

  // All must outlive this.
  Conduct(const FrameLimits& limits, Shared& peer, Shared& all);
  Conduct(Conduct&& other) noexcept = default;  // of one that saw nothing yet

  // What the client sent, in order and without the preface.
  Judgement Judge(std::string_view bytes, MonotonicTime now);
  // What the server sent.
  void SeeServer(std::string_view bytes);
  // The connection is over: what it left open is charged.
  void Leave(MonotonicTime now);

  // Streams that neither side has ended.
  size_t streams() const { return streams_.size(); }
  // Whether what the server sent ends where a frame does.
  bool ServerAtBoundary() const { return server_.AtBoundary(); }

 private:
  Verdict See(const FrameHeader& frame, MonotonicTime now, Judgement& judgement);
  Verdict Open(MonotonicTime now, Judgement& judgement);
  bool Reset(uint32_t stream, MonotonicTime now);
  void Forget(uint32_t stream);

  const FrameLimits& limits_;
  Shared& peer_;
  Shared& all_;
  Bucket opened_own_, opened_, resets_own_, resets_, controls_, empties_;
  FrameScanner client_, server_;
  std::vector<uint32_t> streams_;  // in order
  uint32_t last_ = 0;              // the highest stream that was opened
  size_t header_block_ = 0;
};

}  // namespace merganser::front

#endif  // MERGANSER_COORDINATOR_FRONT_CONDUCT_H_
