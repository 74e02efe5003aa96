// A process in which threads or memory run out at a chosen moment. Linking this into a test
// replaces operator new, mmap and pthread_create for the whole of it, libraries included;
// until Arm nothing fails.
#ifndef MERGANSER_TESTS_TESTING_SHORTAGE_H_
#define MERGANSER_TESTS_TESTING_SHORTAGE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace merganser {

// From here on an allocation is a large one.
inline constexpr size_t kLargeAllocation = size_t{64} << 10;

enum class Scarce : uint8_t {
  kThreads,
  kLargeMemory,
  // From the first that fails on, of memory there is what is given back.
  kSmallMemory,
};

struct Shortage {
  Scarce of = Scarce::kThreads;
  uint64_t nth = 0;   // the first that fails, from 1; 0: none
  uint64_t many = 1;  // threads, or large allocations, that fail from there on
};

// What was asked for since Arm.
struct Demand {
  uint64_t threads = 0;
  uint64_t large = 0;
  uint64_t small = 0;
};

void Arm(const Shortage& shortage);
// Nothing fails any more.
Demand Disarm();

struct ChildEnd {
  int code = -1;     // of its exit; -1 if it did not come to that
  int signal = 0;    // that ended it
  Demand demand;     // as `body` left it
  std::string said;  // on stdout and stderr, the last of it
};

// Runs `body` in a child process, under `shortage` from its first call to its return; what it
// returns is the exit code. A child that takes longer than `seconds` is ended by SIGALRM. To be
// called while the process has one thread.
ChildEnd RunShort(const Shortage& shortage, unsigned seconds, const std::function<int()>& body);

}  // namespace merganser

#endif  // MERGANSER_TESTS_TESTING_SHORTAGE_H_
