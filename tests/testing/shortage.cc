#include "tests/testing/shortage.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>

namespace {

using merganser::Scarce;

std::atomic<bool> armed = false;
std::atomic<uint64_t> first = 0, behind = 0;  // those from `first` up to `behind` fail
std::atomic<Scarce> scarce = Scarce::kThreads;
std::atomic<uint64_t> asked[3];

// Counts one, and says whether it fails.
bool Fails(Scarce of) {
  if (!armed.load(std::memory_order_relaxed)) return false;
  const uint64_t number = asked[static_cast<int>(of)].fetch_add(1) + 1;
  return of == scarce && number >= first && number < behind;
}

std::atomic<bool> used_up = false;
std::atomic<int64_t> room = 0;  // bytes that were given back since

bool HasRoom(size_t bytes) {
  if (!used_up) return true;
  if (room.fetch_sub(static_cast<int64_t>(bytes)) >= static_cast<int64_t>(bytes)) return true;
  room.fetch_add(static_cast<int64_t>(bytes));
  return false;
}

void* Allocate(size_t bytes, size_t alignment) {
  const bool large = bytes >= merganser::kLargeAllocation;
  const bool fails = Fails(large ? Scarce::kLargeMemory : Scarce::kSmallMemory);
  if (fails && !large) used_up = true;
  while ((fails && large) || !HasRoom(bytes)) {
    const std::new_handler handler = std::get_new_handler();
    if (handler == nullptr) throw std::bad_alloc();
    handler();
  }
  void* found =
      alignment <= alignof(std::max_align_t)
          ? std::malloc(std::max<size_t>(bytes, 1))
          : std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (found == nullptr) throw std::bad_alloc();
  return found;
}

void Free(void* there) noexcept {
  if (there == nullptr) return;
  if (used_up) room.fetch_add(static_cast<int64_t>(malloc_usable_size(there)));
  std::free(there);
}

// Says where it was that an exception found no barrier.
[[noreturn]] void Terminate() {
  void* frames[64];
  backtrace_symbols_fd(frames, backtrace(frames, 64), STDERR_FILENO);
  std::abort();
}

}  // namespace

// The other forms of new come here by way of the library's own.
void* operator new(size_t bytes) { return Allocate(bytes, 0); }
void* operator new(size_t bytes, std::align_val_t alignment) {
  return Allocate(bytes, static_cast<size_t>(alignment));
}
void operator delete(void* there) noexcept { Free(there); }
void operator delete(void* there, size_t) noexcept { Free(there); }
void operator delete(void* there, std::align_val_t) noexcept { Free(there); }
void operator delete(void* there, size_t, std::align_val_t) noexcept { Free(there); }

extern "C" {

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*start)(void*),
                   void* argument) {
  if (Fails(Scarce::kThreads)) return EAGAIN;
  static const auto next =
      reinterpret_cast<decltype(&pthread_create)>(dlsym(RTLD_NEXT, "pthread_create"));
  return next(thread, attributes, start, argument);
}

void* mmap(void* address, size_t bytes, int protection, int flags, int fd, off_t offset) noexcept {
  if (bytes >= merganser::kLargeAllocation && (flags & MAP_ANONYMOUS) != 0 &&
      Fails(Scarce::kLargeMemory)) {
    errno = ENOMEM;
    return MAP_FAILED;
  }
  // Called before anything can be looked up, by a sanitizer's start.
  return reinterpret_cast<void*>(syscall(SYS_mmap, address, bytes, protection, flags, fd, offset));
}

}  // extern "C"

namespace merganser {

void Arm(const Shortage& shortage) {
  scarce = shortage.of;
  first = shortage.nth;
  behind = shortage.nth == 0 ? 0 : shortage.nth + shortage.many;
  for (std::atomic<uint64_t>& count : asked) count = 0;
  armed = true;
}

Demand Disarm() {
  armed = used_up = false;
  return {asked[static_cast<int>(Scarce::kThreads)], asked[static_cast<int>(Scarce::kLargeMemory)],
          asked[static_cast<int>(Scarce::kSmallMemory)]};
}

ChildEnd RunShort(const Shortage& shortage, unsigned seconds, const std::function<int()>& body) {
  ChildEnd end;
  std::FILE* const said = std::tmpfile();
  int ends[2];
  if (said == nullptr || pipe2(ends, O_CLOEXEC) != 0) return end;
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    dup2(fileno(said), STDOUT_FILENO);
    dup2(fileno(said), STDERR_FILENO);
    alarm(seconds);
    std::set_terminate(Terminate);
    Arm(shortage);
    const int code = body();
    const Demand demand = Disarm();
    std::fflush(nullptr);
    if (write(ends[1], &demand, sizeof demand) != sizeof demand) _exit(99);
    _exit(code);
  }
  close(ends[1]);
  Demand demand;
  if (read(ends[0], &demand, sizeof demand) == sizeof demand) end.demand = demand;
  close(ends[0]);
  int status = 0;
  if (child > 0 && waitpid(child, &status, 0) == child) {
    if (WIFEXITED(status)) end.code = WEXITSTATUS(status);
    if (WIFSIGNALED(status)) end.signal = WTERMSIG(status);
  }
  constexpr long kShown = 2000;
  std::fseek(said, 0, SEEK_END);
  const long size = std::ftell(said);
  std::fseek(said, std::max(0L, size - kShown), SEEK_SET);
  end.said.resize(static_cast<size_t>(std::min(size, kShown)));
  end.said.resize(std::fread(end.said.data(), 1, end.said.size(), said));
  std::fclose(said);
  return end;
}

}  // namespace merganser
