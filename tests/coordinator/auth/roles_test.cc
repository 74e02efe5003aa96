// The table of rpcs and roles, held against the protos.
#include "coordinator/service/auth/roles.h"

#include <map>
#include <set>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proto/merganser/v1/merge_service.pb.h"
#include "proto/merganser/v1/worker_service.pb.h"

namespace merganser {
namespace {

using google::protobuf::FileDescriptor;

std::set<std::string> DeclaredMethods() {
  std::set<std::string> methods;
  for (const FileDescriptor* file :
       {v1::Job::descriptor()->file(), v1::SyncRequest::descriptor()->file()}) {
    for (int s = 0; s < file->service_count(); ++s) {
      const auto* service = file->service(s);
      for (int m = 0; m < service->method_count(); ++m) {
        methods.insert("/" + service->full_name() + "/" + service->method(m)->name());
      }
    }
  }
  return methods;
}

TEST(MethodRoles, CoverEveryRpcAndNothingElse) {
  const std::set<std::string> declared = DeclaredMethods();
  EXPECT_EQ(declared.size(), 14u);
  for (const std::string& method : declared) {
    EXPECT_TRUE(RoleOf(method).has_value()) << method << " has no role: nobody may call it";
  }
  std::set<std::string> listed;
  for (const auto& [method, role] : MethodRoles()) {
    EXPECT_TRUE(listed.insert(std::string(method)).second) << method << " is listed twice";
    if (method.substr(0, 14) == "/merganser.v1.") {
      EXPECT_TRUE(declared.contains(std::string(method))) << method;
    }
  }
}

TEST(MethodRoles, AreThoseOfTheDocumentation) {
  const std::map<std::string, Role> expected = {
      {"MergeService/CreateJob", Role::kSubmit},    {"MergeService/CancelJob", Role::kSubmit},
      {"MergeService/GetJob", Role::kRead},         {"MergeService/ListJobs", Role::kRead},
      {"MergeService/DeleteJob", Role::kSubmit},    {"MergeService/SetJobPriority", Role::kSubmit},
      {"MergeService/WatchJob", Role::kRead},       {"MergeService/PlanJob", Role::kSubmit},
      {"MergeService/GetJobActivity", Role::kRead}, {"MergeService/ListWorkers", Role::kRead},
      {"MergeService/GetCluster", Role::kRead},     {"WorkerService/Sync", Role::kWork},
      {"WorkerService/GetJobPlan", Role::kWork},    {"WorkerService/GetJobGates", Role::kWork},
  };
  for (const auto& [method, role] : expected) {
    EXPECT_EQ(RoleOf("/merganser.v1." + method), role) << method;
  }
  for (const char* version : {"v1", "v1alpha"}) {
    EXPECT_EQ(RoleOf(std::string("/grpc.reflection.") + version +
                     ".ServerReflection/ServerReflectionInfo"),
              Role::kRead);
  }
  EXPECT_FALSE(RoleOf("/merganser.v1.MergeService/NewRpc").has_value());
  EXPECT_FALSE(RoleOf("").has_value());
  EXPECT_FALSE(RoleOf("/merganser.v1.MergeService/GetJob ").has_value());
}

TEST(RoleSet, AdminImpliesAllAndSubmitImpliesRead) {
  const std::map<Role, std::set<Role>> implied = {
      {Role::kRead, {Role::kRead}},
      {Role::kSubmit, {Role::kSubmit, Role::kRead}},
      {Role::kWork, {Role::kWork}},
      {Role::kAdmin, {Role::kRead, Role::kSubmit, Role::kWork, Role::kAdmin}},
  };
  for (const auto& [held, allowed] : implied) {
    for (const Role asked : {Role::kRead, Role::kSubmit, Role::kWork, Role::kAdmin}) {
      EXPECT_EQ(RoleSet(held).Allows(asked), allowed.contains(asked))
          << RoleName(held) << " " << RoleName(asked);
    }
  }
  EXPECT_TRUE(RoleSet().empty());
  EXPECT_FALSE(RoleSet().Allows(Role::kRead));
  RoleSet both(Role::kWork);
  both.Add(Role::kRead);
  EXPECT_EQ(both.ToString(), "read, work");
}

}  // namespace
}  // namespace merganser
