// Header blocks of HTTP/2 (HPACK, RFC 7541).
#ifndef MERGANSER_COORDINATOR_FRONT_HPACK_H_
#define MERGANSER_COORDINATOR_FRONT_HPACK_H_

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/front/admission.h"

struct nghttp2_hd_inflater;

namespace merganser::front {

using Header = std::pair<std::string, std::string>;
using Headers = std::vector<Header>;

// What one client's blocks say; they have to be read in order, and all of them. Not thread-safe.
class HeaderReader {
 public:
  // `max_bytes`: of all names and values of a block together.
  explicit HeaderReader(size_t max_bytes);

  // kInvalidArgument when it is no header block: no other can be read after it.
  // kResourceExhausted when it says more than may be said, or memory ran out: likewise.
  absl::StatusOr<Headers> Read(std::string_view block);

 private:
  struct Free {
    void operator()(nghttp2_hd_inflater* inflater) const;
  };
  const size_t max_bytes_;
  std::unique_ptr<nghttp2_hd_inflater, Free> inflater_;
};

// A block that any reader takes at any time: it uses no table and changes none.
std::string WriteHeaders(const Headers& headers);

// The answer to a call that ends with `status` and nothing else.
Headers AnswerHeaders(const CallStatus& status);

}  // namespace merganser::front

#endif  // MERGANSER_COORDINATOR_FRONT_HPACK_H_
