// What a token may be for, and what every rpc asks for. Pure.
#ifndef MERGANSER_COORDINATOR_SERVICE_AUTH_ROLES_H_
#define MERGANSER_COORDINATOR_SERVICE_AUTH_ROLES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace merganser {

enum class Role : uint8_t {
  kRead,    // look at jobs
  kSubmit,  // make jobs, and change its own; implies read
  kWork,    // be a worker; implies nothing else
  kAdmin,   // everything
};

// "read", ...
std::string_view RoleName(Role role);

class RoleSet {
 public:
  RoleSet() = default;
  explicit RoleSet(Role role) { Add(role); }

  void Add(Role role) { bits_ |= Bit(role); }
  void Add(const RoleSet& other) { bits_ |= other.bits_; }
  bool empty() const { return bits_ == 0; }
  // Whether it holds `role` or one that implies it.
  bool Allows(Role role) const;
  // Those that were added: "read, work".
  std::string ToString() const;

  bool operator==(const RoleSet&) const = default;

 private:
  static uint8_t Bit(Role role) { return static_cast<uint8_t>(1u << static_cast<unsigned>(role)); }

  uint8_t bits_ = 0;
};

// Who calls, as the token tells.
struct Caller {
  std::string name;
  RoleSet roles;

  bool operator==(const Caller&) const = default;
};

// kInvalidArgument lists the names there are.
absl::StatusOr<Role> ParseRole(std::string_view name);

// "/package.Service/Method" and what it asks for: the whole truth about who may call
// what. An rpc that is not listed is refused to everybody; health's are not, and ask for
// nothing: probes have no token.
const std::vector<std::pair<std::string_view, Role>>& MethodRoles();
std::optional<Role> RoleOf(std::string_view method);

}  // namespace merganser

#endif  // MERGANSER_COORDINATOR_SERVICE_AUTH_ROLES_H_
