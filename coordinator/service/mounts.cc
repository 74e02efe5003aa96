#include "coordinator/service/mounts.h"

#include <algorithm>
#include <cstddef>
#include <fstream>
#include <iterator>
#include <string_view>
#include <utility>

namespace merganser {
namespace {

// The field with its octal escapes taken away.
std::string Unescaped(std::string_view field) {
  std::string text;
  for (size_t i = 0; i < field.size(); ++i) {
    const auto digit = [&](size_t at) { return field[at] >= '0' && field[at] <= '7'; };
    if (field[i] == '\\' && i + 3 < field.size() && digit(i + 1) && digit(i + 2) && digit(i + 3)) {
      text += static_cast<char>((field[i + 1] - '0') * 64 + (field[i + 2] - '0') * 8 +
                                (field[i + 3] - '0'));
      i += 3;
    } else {
      text += field[i];
    }
  }
  return text;
}

}  // namespace

std::string MountOf(const std::string& path, const std::string& mountinfo) {
  std::string best = "/";
  std::string_view rest = mountinfo;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    // "36 35 98:0 /root /mount/point options ..."
    for (int skipped = 0; skipped < 4; ++skipped) {
      line.remove_prefix(std::min(line.find(' '), line.size()));
      line.remove_prefix(std::min<size_t>(1, line.size()));
    }
    const std::string point = Unescaped(line.substr(0, std::min(line.find(' '), line.size())));
    if (point.size() > best.size() && path.starts_with(point) &&
        (path.size() == point.size() || path[point.size()] == '/')) {
      best = point;
    }
  }
  return best;
}

std::vector<std::string> MountsOf(const std::vector<std::string>& paths) {
  std::ifstream file("/proc/self/mountinfo");
  const std::string mountinfo((std::istreambuf_iterator<char>(file)), {});
  std::vector<std::string> mounts;
  for (const std::string& path : paths) {
    if (path.empty() || path[0] != '/') continue;
    std::string mount = MountOf(path, mountinfo);
    if (std::find(mounts.begin(), mounts.end(), mount) == mounts.end()) {
      mounts.push_back(std::move(mount));
    }
  }
  return mounts;
}

}  // namespace merganser
