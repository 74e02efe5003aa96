// How many descriptors the process may have.
#ifndef MERGANSER_COMMON_BASE_DESCRIPTORS_H_
#define MERGANSER_COMMON_BASE_DESCRIPTORS_H_

#include <cstddef>

namespace merganser {

// Raises the soft limit, which many systems set to 1,024 for the sake of programs that use
// select, to the hard one, 65,536 at most. Returns how many there may be now.
size_t RaiseDescriptorLimit();

}  // namespace merganser

#endif  // MERGANSER_COMMON_BASE_DESCRIPTORS_H_
