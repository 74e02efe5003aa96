// The machine that this process runs on.
#ifndef MERGANSER_COMMON_BASE_HOST_H_
#define MERGANSER_COMMON_BASE_HOST_H_

#include <string>

namespace merganser {

// Its name, as the system has it; "unknown" where it tells none. Thread-safe.
std::string HostName();

}  // namespace merganser

#endif  // MERGANSER_COMMON_BASE_HOST_H_
