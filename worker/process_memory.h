// What a process takes of its memory budget beside tensors.
#ifndef MERGANSER_WORKER_PROCESS_MEMORY_H_
#define MERGANSER_WORKER_PROCESS_MEMORY_H_

#include <cstdint>

#include "common/plan/plan.h"

namespace merganser {

// Part of a process's memory budget that is not for tensors: the program
// itself, its threads, plan and report. RunnerOptions::memory excludes it.
inline constexpr uint64_t kProcessMemory = uint64_t{96} << 20;

// The same for a process that runs `plan` from recipe to report: kProcessMemory,
// and what it keeps of every tensor and leaf.
uint64_t ProcessMemory(const Plan& plan);

}  // namespace merganser

#endif  // MERGANSER_WORKER_PROCESS_MEMORY_H_
