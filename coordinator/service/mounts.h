// On which mounts paths lie, told without a look at them: a mount may hang.
#ifndef MERGANSER_COORDINATOR_SERVICE_MOUNTS_H_
#define MERGANSER_COORDINATOR_SERVICE_MOUNTS_H_

#include <string>
#include <vector>

namespace merganser {

// The mount point over `path`, which is absolute and in normal form, by the text of
// /proc/PID/mountinfo. "/" where that tells of none. Symbolic links are not followed.
std::string MountOf(const std::string& path, const std::string& mountinfo);

// Those of `paths`, each once. What is no absolute path has none.
std::vector<std::string> MountsOf(const std::vector<std::string>& paths);

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_MOUNTS_H_
