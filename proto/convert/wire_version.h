// Which version of WorkerService a process speaks.
#ifndef MERGANSER_PROTO_CONVERT_WIRE_VERSION_H_
#define MERGANSER_PROTO_CONVERT_WIRE_VERSION_H_

#include <cstdint>

namespace merganser {

// Raised when a worker of one version and a coordinator of another would misunderstand each other
// in what both take to be right. 2: results of units as records. 1, which does not say so (0): as
// messages.
inline constexpr uint32_t kWireVersion = 2;

}  // namespace merganser

#endif  // MERGANSER_PROTO_CONVERT_WIRE_VERSION_H_
