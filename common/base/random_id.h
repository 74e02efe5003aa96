// Ids that nobody can guess: job ids, lease tokens, request ids, names that no other process takes.
#ifndef MERGANSER_COMMON_BASE_RANDOM_ID_H_
#define MERGANSER_COMMON_BASE_RANDOM_ID_H_

#include <cstddef>
#include <string>

namespace merganser {

// `bytes` (at most 64) from the system's generator, as lower-case hex. Thread-safe.
std::string RandomHex(size_t bytes);

}  // namespace merganser

#endif  // MERGANSER_COMMON_BASE_RANDOM_ID_H_
