#include "common/storage/s3/aws/run_command.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <optional>
#include <thread>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"

namespace merganser::s3 {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kPoll(10);

int64_t Seconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::seconds>(duration).count();
}

// Begins the program in a group of its own, with its output into `out`; 0 or an errno.
int Spawn(const std::vector<std::string>& words, int out, pid_t& pid) {
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  if (const int error = posix_spawn_file_actions_init(&actions); error != 0) return error;
  const absl::Cleanup end_actions = [&] { posix_spawn_file_actions_destroy(&actions); };
  posix_spawnattr_t attributes;
  if (const int error = posix_spawnattr_init(&attributes); error != 0) return error;
  const absl::Cleanup end_attributes = [&] { posix_spawnattr_destroy(&attributes); };
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  int error = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  if (error == 0) error = posix_spawn_file_actions_adddup2(&actions, out, 1);
  if (error == 0) error = posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
  if (error == 0) error = posix_spawn_file_actions_addclosefrom_np(&actions, 3);
  if (error == 0) error = posix_spawnattr_setsigmask(&attributes, &none);
  if (error == 0) error = posix_spawnattr_setsigdefault(&attributes, &all);
  if (error == 0) error = posix_spawnattr_setpgroup(&attributes, 0);
  constexpr short kFlags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP;
  if (error == 0) error = posix_spawnattr_setflags(&attributes, kFlags);
  if (error != 0) return error;
  return posix_spawnp(&pid, arguments[0], &actions, &attributes, arguments.data(), environ);
}

// Until the output ends; false where there was no time for it.
absl::StatusOr<bool> ReadAll(int fd, std::chrono::steady_clock::time_point until, size_t most,
                             std::string& text) {
  while (text.size() <= most) {
    const auto left =
        std::chrono::duration_cast<milliseconds>(until - std::chrono::steady_clock::now());
    if (left <= milliseconds::zero()) return false;
    struct pollfd poll = {fd, POLLIN, 0};
    const int ready = ::poll(&poll, 1, static_cast<int>(std::min<int64_t>(left.count(), 60'000)));
    if (ready < 0 && errno != EINTR) return ErrnoStatus(errno, "wait for it");
    if (ready <= 0) continue;
    char room[4096];
    const ssize_t got = ::read(fd, room, sizeof(room));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, "read from it");
    if (got == 0) break;
    text.append(room, static_cast<size_t>(got));
  }
  return true;
}

// What waitpid says of a program that ended by then.
std::optional<int> WaitFor(pid_t pid, std::chrono::steady_clock::time_point until) {
  while (true) {
    int state = 0;
    const pid_t ended = ::waitpid(pid, &state, WNOHANG);
    if (ended == pid) return state;
    // Somebody else waits for all children, or lets the system do it: how it ended is not known.
    if (ended < 0 && errno == ECHILD) return 0;
    if (std::chrono::steady_clock::now() >= until) return std::nullopt;
    std::this_thread::sleep_for(kPoll);
  }
}

}  // namespace

absl::StatusOr<std::string> RunCommand(const std::vector<std::string>& words,
                                       const CommandLimits& limits) {
  const auto failed = [](const std::string& what) { return absl::UnauthenticatedError(what); };
  if (words.empty() || words.front().empty()) return failed("found no program, expected one");
  const std::string program = Shown(words.front());
  int pipe[2];
  if (::pipe2(pipe, O_CLOEXEC) != 0) return ErrnoStatus(errno, "make a pipe");
  const absl::Cleanup close_reader = [&] { ::close(pipe[0]); };
  pid_t pid = 0;
  const int error = Spawn(words, pipe[1], pid);
  ::close(pipe[1]);
  if (error != 0) {
    return failed(std::string(ErrnoStatus(error, absl::StrCat("run ", program)).message()));
  }
  const auto until = std::chrono::steady_clock::now() + limits.time;
  std::string text;
  const absl::StatusOr<bool> read = ReadAll(pipe[0], until, limits.output, text);
  const bool too_much = text.size() > limits.output;
  std::optional<int> state;
  if (read.ok() && *read && !too_much) state = WaitFor(pid, until);
  if (!state.has_value()) {
    ::kill(-pid, SIGKILL);
    while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    if (!read.ok()) return Annotate(read.status(), program);
    if (too_much)
      return failed(absl::StrCat(program, " wrote more than ", limits.output, " bytes"));
    return failed(absl::StrCat(program, " was not done after ", Seconds(limits.time), " s"));
  }
  if (WIFSIGNALED(*state)) {
    return failed(absl::StrCat(program, " was ended by signal ", WTERMSIG(*state)));
  }
  if (WEXITSTATUS(*state) != 0) {
    return failed(absl::StrCat(program, " ended with code ", WEXITSTATUS(*state),
                               "; run it by hand to see what it says"));
  }
  return text;
}

}  // namespace merganser::s3
