#include <fstream>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "common/base/metrics.h"
#include "coordinator/http/api/large.h"
#include "coordinator/http/api/merge_json.h"
#include "coordinator/http/api/messages.h"
#include "coordinator/http/api/openapi.h"
#include "coordinator/http/api/routes.h"
#include "coordinator/http/http_metrics.h"
#include "coordinator/http/site/site.h"
#include "coordinator/http/site/text.h"
#include "gmock/gmock.h"
#include "google/protobuf/descriptor.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "proto/convert/status_codec.h"
#include "proto/merganser/v1/merge_service.pb.h"

namespace merganser::http {
namespace {

using testing::HasSubstr;

TEST(RoutesTest, EveryRpcThatAnswersOnceHasOneRoute) {
  std::multiset<std::string> routes;
  for (const ApiRoute& route : ApiRoutes()) routes.insert(std::string(route.rpc));
  const auto& service = *v1::Job::descriptor()->file()->FindServiceByName("MergeService");
  for (int i = 0; i < service.method_count(); ++i) {
    const auto& method = *service.method(i);
    // Streams are /events.
    EXPECT_EQ(routes.count(method.name()), method.server_streaming() ? 0u : 1u) << method.name();
    routes.erase(method.name());
  }
  EXPECT_TRUE(routes.empty());
}

TEST(RoutesTest, ARouteHasTheRequestOfItsRpc) {
  const auto& service = *v1::Job::descriptor()->file()->FindServiceByName("MergeService");
  std::set<std::string> seen;
  for (const ApiRoute& route : ApiRoutes()) {
    SCOPED_TRACE(route.pattern);
    const auto* method = service.FindMethodByName(std::string(route.rpc));
    ASSERT_NE(method, nullptr);
    EXPECT_EQ(route.request()->GetDescriptor(), method->input_type());
    EXPECT_TRUE(seen.insert(std::string(route.method) + std::string(route.pattern)).second);
    EXPECT_EQ(route.body, route.body_limit > 0);
    EXPECT_TRUE(route.method != "GET" || !route.body);
    if (route.pattern.find('*') != std::string_view::npos) {
      EXPECT_TRUE(SetName("jobs/a", *route.request()).ok());
    }
  }
}

TEST(RoutesTest, EachIsASeriesOfTheMetrics) {
  std::vector<std::string> routes = SiteRoutes();
  for (const std::string& route : MergeJsonRoutes()) routes.push_back(route);
  for (const ApiRoute& route : ApiRoutes()) {
    EXPECT_THAT(routes, testing::Contains("/api/v1" + std::string(route.pattern)));
  }
  const auto registry = std::make_shared<MetricRegistry>();
  const HttpMetrics metrics(registry, routes);
  EXPECT_THAT(registry->problems(), testing::IsEmpty());
  for (const std::string& route : routes) metrics.Answered(route, 200, Duration(1));
  for (const MetricFamily& family : registry->Snapshot()) {
    if (family.name != "merganser_http_requests_total") continue;
    EXPECT_EQ(family.samples.size(), std::set<std::string>(routes.begin(), routes.end()).size());
  }
}

TEST(RoutesTest, PathsMatchOnePattern) {
  EXPECT_EQ(MatchPath("/jobs", "/jobs"), "");
  EXPECT_EQ(MatchPath("/jobs", "/jobs/"), std::nullopt);
  EXPECT_EQ(MatchPath("/jobs/*", "/jobs/a%20b"), "a b");
  EXPECT_EQ(NameOf("/jobs/*:cancel", "a"), "jobs/a");
  EXPECT_EQ(MatchPath("/jobs/*:cancel", "/jobs/a:cancel"), "a");
  for (const char* path : {"/jobs/", "/jobs/a:cancel", "/jobs/a/b", "/jobs/a%2fb", "/jobs/%zz",
                           "/jobs/a%00", "/job/a"}) {
    EXPECT_EQ(MatchPath("/jobs/*", path), std::nullopt) << path;
  }
  EXPECT_EQ(MatchPath("/jobs/*:cancel", "/jobs/:cancel"), std::nullopt);
}

TEST(MessagesTest, JsonHasTheNamesOfTheProtoAndDefaults) {
  v1::Job job;
  job.set_name("jobs/a");
  job.mutable_progress()->set_bytes_total(uint64_t{1} << 60);
  job.mutable_create_time()->set_seconds(0);
  const auto json = nlohmann::json::parse(*ToJson(job));
  EXPECT_EQ(json["progress"]["bytes_total"], "1152921504606846976");
  EXPECT_EQ(json["state"], "STATE_UNSPECIFIED");
  EXPECT_EQ(json["recipe_source"], "");
  EXPECT_EQ(json["warnings"], nlohmann::json::array());
  EXPECT_EQ(json["create_time"], "1970-01-01T00:00:00Z");
}

TEST(MessagesTest, WhatTheRequestDoesNotHaveIsRefused) {
  v1::CreateJobRequest request;
  ASSERT_TRUE(FromJson("{\"recipe\":\"a\\nb\",\"priority\":3,\"request_id\":\"r\"}", request).ok());
  EXPECT_EQ(request.recipe(), "a\nb");
  for (const char* text : {"", "[]", "{", "{\"recipes\":\"a\"}", "{\"priority\":\"many\"}",
                           "{\"recipe\":1.5e}", "{\"priority\":99999999999}"}) {
    v1::CreateJobRequest other;
    const absl::Status status = FromJson(text, other);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << text;
    EXPECT_EQ(ReasonOf(status), "JSON_INVALID");
  }
  const std::string deep = "{\"recipe\":" + std::string(100'000, '[');
  EXPECT_FALSE(FromJson(deep, request).ok());
}

TEST(MessagesTest, QueriesSetFields) {
  v1::ListJobsRequest request;
  ASSERT_TRUE(FromQuery({{"page_size", "20"}, {"page_token", "x y"}}, request).ok());
  EXPECT_EQ(request.page_size(), 20);
  EXPECT_EQ(request.page_token(), "x y");
  for (const auto& [name, value] :
       {std::pair("page_size", "x"), std::pair("page_size", "1e3"), std::pair("page_size", ""),
        std::pair("pageSize", "1"), std::pair("nothing", "1")}) {
    EXPECT_EQ(ReasonOf(FromQuery({{name, value}}, request)), "QUERY_INVALID") << name << value;
  }
  EXPECT_FALSE(FromQuery({{"page_size", "1"}, {"page_size", "1"}}, request).ok());
}

TEST(MessagesTest, ThePathNamesTheJob) {
  v1::CancelJobRequest request;
  EXPECT_TRUE(SetName("jobs/a", request).ok());
  EXPECT_EQ(request.name(), "jobs/a");
  EXPECT_TRUE(SetName("jobs/a", request).ok());
  EXPECT_TRUE(absl::IsInvalidArgument(SetName("jobs/b", request)));
}

TEST(OpenApiTest, TheFileIsTheOneThatIsServed) {
  std::ifstream file(std::string(MERGANSER_SOURCE) + "/coordinator/http/api/openapi.json");
  std::stringstream text;
  text << file.rdbuf();
  // Write anew: curl http://HOST/api/v1/openapi.json > coordinator/http/api/openapi.json
  EXPECT_TRUE(text.str() == OpenApi()) << "found another file than the one that is served";
}

TEST(OpenApiTest, EveryRouteAndEveryReferenceIsThere) {
  const auto api = nlohmann::json::parse(OpenApi());
  size_t operations = 0;
  for (const auto& [path, methods] : api["paths"].items()) operations += methods.size();
  // Three of sessions, and events.
  EXPECT_EQ(operations, ApiRoutes().size() + LargeRoutes().size() + 4);
  const std::string text = OpenApi();
  for (size_t at = text.find("#/components/schemas/"); at != std::string::npos;
       at = text.find("#/components/schemas/", at + 1)) {
    const size_t begin = at + std::string("#/components/schemas/").size();
    const std::string name = text.substr(begin, text.find('"', begin) - begin);
    EXPECT_TRUE(api["components"]["schemas"].contains(name)) << name;
  }
}

}  // namespace
}  // namespace merganser::http
