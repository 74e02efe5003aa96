#include "common/base/guarded.h"

#include <exception>
#include <filesystem>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/base/memory_reserve.h"
#include "common/base/status.h"

namespace merganser {
namespace {

// Made as the program starts: later there may be no memory to make them of. Copies share
// their text.
const absl::Status& OutOfMemory() {
  static const absl::Status* const status = new absl::Status(absl::ResourceExhaustedError(
      "the system has no memory left; give the process more (ulimit -v, memory.max), or lower "
      "--memory and --threads"));
  return *status;
}

const absl::Status& OutOfThreads() {
  static const absl::Status* const status = new absl::Status(absl::ResourceExhaustedError(
      "the system refuses to start threads; raise its limit (ulimit -u, pids.max; "
      "ulimit -v for their stacks) or lower --threads"));
  return *status;
}

[[maybe_unused]] const bool made_at_start = !OutOfMemory().ok() && !OutOfThreads().ok();

// Of the exception that is being handled.
absl::Status Translate() {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    return OutOfMemory();
  } catch (const std::length_error&) {  // a size that no memory could hold
    return OutOfMemory();
  } catch (const std::filesystem::filesystem_error& error) {
    return ErrnoStatus(error.code().value(), OneLine(error.what()));
  } catch (const std::system_error& error) {
    if (error.code() == std::errc::resource_unavailable_try_again) return OutOfThreads();
    if (error.code() == std::errc::not_enough_memory) return OutOfMemory();
    return absl::InternalError(absl::StrCat("the system refused: ", OneLine(error.what())));
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat("an unexpected error: ", OneLine(error.what())));
  } catch (...) {
    return absl::InternalError("an unexpected error that has no text");
  }
}

}  // namespace

absl::Status CaughtStatus() noexcept {
  absl::Status status;
  try {
    status = Translate();
  } catch (...) {
    status = OutOfMemory();
  }
  RefillMemoryReserve();
  return status;
}

}  // namespace merganser
