#include "coordinator/service/auth/roles.h"

#include <array>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace merganser {
namespace {

constexpr std::array<Role, 4> kRoles = {Role::kRead, Role::kSubmit, Role::kWork, Role::kAdmin};

}  // namespace

std::string_view RoleName(Role role) {
  switch (role) {
    case Role::kRead:
      return "read";
    case Role::kSubmit:
      return "submit";
    case Role::kWork:
      return "work";
    case Role::kAdmin:
      return "admin";
  }
  return "unknown";
}

bool RoleSet::Allows(Role role) const {
  uint8_t enough = Bit(role) | Bit(Role::kAdmin);
  if (role == Role::kRead) enough |= Bit(Role::kSubmit);
  return (bits_ & enough) != 0;
}

std::string RoleSet::ToString() const {
  std::string names;
  for (const Role role : kRoles) {
    if ((bits_ & Bit(role)) == 0) continue;
    absl::StrAppend(&names, names.empty() ? "" : ", ", std::string(RoleName(role)));
  }
  return names;
}

absl::StatusOr<Role> ParseRole(std::string_view name) {
  for (const Role role : kRoles) {
    if (name == RoleName(role)) return role;
  }
  return absl::InvalidArgumentError(absl::StrCat("found the role \"", OneLine(name.substr(0, 32)),
                                                 "\", expected read, submit, work or admin"));
}

const std::vector<std::pair<std::string_view, Role>>& MethodRoles() {
  static const auto* const roles = new std::vector<std::pair<std::string_view, Role>>{
      {"/merganser.v1.MergeService/CreateJob", Role::kSubmit},
      {"/merganser.v1.MergeService/GetJob", Role::kRead},
      {"/merganser.v1.MergeService/ListJobs", Role::kRead},
      {"/merganser.v1.MergeService/CancelJob", Role::kSubmit},
      {"/merganser.v1.MergeService/DeleteJob", Role::kSubmit},
      {"/merganser.v1.MergeService/SetJobPriority", Role::kSubmit},
      {"/merganser.v1.MergeService/WatchJob", Role::kRead},
      {"/merganser.v1.MergeService/PlanJob", Role::kSubmit},
      {"/merganser.v1.MergeService/GetJobActivity", Role::kRead},
      {"/merganser.v1.MergeService/ListWorkers", Role::kRead},
      {"/merganser.v1.MergeService/GetCluster", Role::kRead},
      {"/merganser.v1.WorkerService/Sync", Role::kWork},
      {"/merganser.v1.WorkerService/GetJobPlan", Role::kWork},
      {"/merganser.v1.WorkerService/GetJobGates", Role::kWork},
      {"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Role::kRead},
      {"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Role::kRead},
  };
  return *roles;
}

std::optional<Role> RoleOf(std::string_view method) {
  for (const auto& [name, role] : MethodRoles()) {
    if (name == method) return role;
  }
  return std::nullopt;
}

}  // namespace merganser
