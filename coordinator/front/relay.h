// What passes between one client and the server, in HTTP/2.
#ifndef MERGANSER_COORDINATOR_FRONT_RELAY_H_
#define MERGANSER_COORDINATOR_FRONT_RELAY_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/clock.h"
#include "coordinator/front/admission.h"
#include "coordinator/front/conduct.h"
#include "coordinator/front/frames.h"
#include "coordinator/front/hpack.h"

namespace merganser::front {

// Reads what the client says, frame by frame; has calls admitted before the server sees them,
// answers those that are refused, and passes on the rest. The server's frames pass as they are.
// Not thread-safe.
class Relay {
 public:
  struct Step {
    Conduct::Verdict verdict = Conduct::Verdict::kPass;
    size_t used = 0;       // bytes that need not be shown again
    MonotonicTime again;   // kWait: when to show the others
    std::string_view why;  // kEnd: words for people
  };

  // `admit` and what `conduct` refers to must outlive this.
  Relay(const Conduct& conduct, const Admit& admit);

  // What the client said after the preface, from where the last call left off. What the server
  // is to be told is appended to `up`. Of what is not used, more is needed before it can be.
  Step FromClient(std::string_view bytes, MonotonicTime now, std::string& up);
  // What the server said; it is appended to `down`, with what else the client is told.
  void FromServer(std::string_view bytes, std::string& down);
  // Appends to `down` what the client is told by the front, if it can be told now.
  void Tell(std::string& down);
  // The connection is over: what it left open is counted.
  void Leave(MonotonicTime now);

  // Calls that the server has and neither side has ended.
  size_t calls() const { return streams_.size(); }
  // Whether a call with a token was ever let in.
  bool known() const { return known_; }
  // Whether a frame may be said to the client now.
  bool AtBoundary() const { return server_left_ == 0 && !server_in_headers_; }

 private:
  struct Stream {
    uint32_t id = 0;
    Caller caller = Caller::kStranger;
    bool answered = false;         // the server has begun to
    std::function<Place()> place;  // until it is asked
    std::shared_ptr<void> seat;
    // Of messages: what of the next one's prefix is there, and what of its body is to come.
    uint8_t prefix_bytes = 0;
    std::array<unsigned char, 5> prefix{};
    uint32_t body_left = 0;
    bool message = false;  // one is whole
  };
  // A block of headers that is whole; it is read once, but may have to wait.
  struct Block {
    size_t bytes = 0;  // of its frames
    bool ends_stream = false;
    Headers headers;
    Admission admission;
  };

  using Verdict = Conduct::Verdict;
  Step End(std::string_view why, size_t used) const { return {Verdict::kEnd, used, {}, why}; }
  // The block that begins here, or nothing while it is not whole. `why` says what is wrong with it.
  std::optional<Block> ReadBlock(std::string_view bytes, std::string_view& why);
  // `used` and `step.used` are about the whole of the client's bytes.
  bool OnHeaders(const FrameHeader& frame, std::string_view bytes, MonotonicTime now,
                 std::string& up, Step& step);
  bool OnData(std::string_view payload, bool last, MonotonicTime now, std::string& up, Step& step);
  bool OnOther(const FrameHeader& frame, MonotonicTime now, Step& step);
  // Whether the messages that begin in `payload` are of a size that they may have.
  bool Fits(Stream& stream, std::string_view payload, uint32_t& found) const;
  size_t MessageLimit(Caller caller) const;
  // A call of which the server has heard enough to begin.
  static std::optional<CallStatus> TakePlace(Stream& stream);
  void Answer(uint32_t stream, const CallStatus& status);
  Stream* Find(uint32_t id);
  void Forget(uint32_t id);

  Conduct conduct_;
  const Admit& admit_;
  HeaderReader reader_;
  std::optional<Block> block_;
  // Of the server: a header that is not whole, what of its payload is to come, and whether a
  // block of headers goes on after that.
  std::string server_head_;
  size_t server_left_ = 0;
  bool server_in_headers_ = false;
  bool known_ = false;
  std::vector<Stream> streams_;  // by number
  uint32_t last_ = 0;            // the highest that was opened
  // The frame whose payload is on its way.
  FrameHeader frame_;
  size_t payload_left_ = 0;
  bool passes_ = false;  // it is passed on; DATA is cut anew
  std::string told_;     // frames for the client
};

}  // namespace merganser::front

#endif  // MERGANSER_COORDINATOR_FRONT_RELAY_H_
