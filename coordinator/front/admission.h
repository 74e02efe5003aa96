// Who may call what, as the front asks before the server sees a call.
#ifndef MERGANSER_COORDINATOR_FRONT_ADMISSION_H_
#define MERGANSER_COORDINATOR_FRONT_ADMISSION_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace merganser::front {

enum class Caller : uint8_t {
  kStranger,  // has shown no token for this call
  kUser,
  kWorker,
};

// The end of a call: grpc-status and what belongs to it.
struct CallStatus {
  int code = 0;
  std::string message;
  std::string details;  // a serialized google.rpc.Status, or nothing
};

// A call's place among those that the server has at a time.
struct Place {
  std::shared_ptr<void> seat;  // kept until the call has ended
  std::optional<CallStatus> refusal;
};

struct Admission {
  Caller caller = Caller::kStranger;
  // What the call is answered at once; nothing where the server is to answer.
  std::optional<CallStatus> refusal;
  // Asked once, when the server would begin with the call. None: it needs no place.
  std::function<Place()> place;
};

// `path` is the method, `authorization` all values of that header. Called on the front's
// thread; quick.
using Admit = std::function<Admission(std::string_view path,
                                      const std::vector<std::string_view>& authorization)>;

}  // namespace merganser::front

#endif  // MERGANSER_COORDINATOR_FRONT_ADMISSION_H_
