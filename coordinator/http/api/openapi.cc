#include "coordinator/http/api/openapi.h"

#include <set>
#include <vector>

#include "absl/strings/str_cat.h"
#include "coordinator/http/api/large.h"
#include "coordinator/http/api/routes.h"
#include "coordinator/service/auth/roles.h"
#include "google/protobuf/descriptor.h"
#include "nlohmann/json.hpp"

namespace merganser::http {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using Json = nlohmann::ordered_json;

Json Ref(const std::string& name) { return {{"$ref", "#/components/schemas/" + name}}; }

// "Job.Progress" of merganser.v1.Job.Progress.
std::string NameOf(const Descriptor& message) {
  const std::string& package = message.file()->package();
  return package.empty() ? message.full_name() : message.full_name().substr(package.size() + 1);
}

class Schemas {
 public:
  Json OfField(const FieldDescriptor& field) {
    if (field.is_map()) {
      return {{"type", "object"}, {"additionalProperties", One(*field.message_type()->field(1))}};
    }
    if (field.is_repeated()) return {{"type", "array"}, {"items", One(field)}};
    return One(field);
  }
  // Of the message, and all that it holds; returns a reference.
  Json OfMessage(const Descriptor& message) {
    const std::string name = NameOf(message);
    if (made_.insert(name).second) {
      Json properties = Json::object();
      for (int i = 0; i < message.field_count(); ++i) {
        properties[message.field(i)->name()] = OfField(*message.field(i));
      }
      all_[name] = {{"type", "object"},
                    {"properties", std::move(properties)},
                    {"additionalProperties", false}};
    }
    return Ref(name);
  }
  Json Take() { return std::move(all_); }

 private:
  Json One(const FieldDescriptor& field) {
    switch (field.cpp_type()) {
      case FieldDescriptor::CPPTYPE_STRING:
        return field.type() == FieldDescriptor::TYPE_BYTES
                   ? Json{{"type", "string"}, {"format", "byte"}}
                   : Json{{"type", "string"}};
      case FieldDescriptor::CPPTYPE_BOOL:
        return {{"type", "boolean"}};
      case FieldDescriptor::CPPTYPE_INT32:
        return {{"type", "integer"}, {"format", "int32"}};
      case FieldDescriptor::CPPTYPE_UINT32:
        return {{"type", "integer"}, {"format", "int64"}, {"minimum", 0}};
      case FieldDescriptor::CPPTYPE_INT64:
        return {{"type", "string"}, {"format", "int64"}};
      case FieldDescriptor::CPPTYPE_UINT64:
        return {{"type", "string"}, {"format", "uint64"}};
      case FieldDescriptor::CPPTYPE_FLOAT:
      case FieldDescriptor::CPPTYPE_DOUBLE:
        return {{"type", "number"}};
      case FieldDescriptor::CPPTYPE_ENUM: {
        Json values = Json::array();
        for (int i = 0; i < field.enum_type()->value_count(); ++i) {
          values.push_back(field.enum_type()->value(i)->name());
        }
        return {{"type", "string"}, {"enum", std::move(values)}};
      }
      case FieldDescriptor::CPPTYPE_MESSAGE:
        break;
    }
    const std::string& type = field.message_type()->full_name();
    if (type == "google.protobuf.Timestamp") return {{"type", "string"}, {"format", "date-time"}};
    if (type == "google.protobuf.Duration") return {{"type", "string"}};
    return OfMessage(*field.message_type());
  }

  std::set<std::string> made_;
  Json all_ = Json::object();
};

Json Content(Json schema) {
  return {{"content", {{"application/json", {{"schema", std::move(schema)}}}}}};
}

Json Named(const char* name) {
  return {{"name", name}, {"in", "path"}, {"required", true}, {"schema", {{"type", "string"}}}};
}

// "/api/v1/jobs/{id}:cancel"
std::string PathOf(std::string_view pattern) {
  std::string path = absl::StrCat("/api/v1", std::string(pattern));
  if (const size_t star = path.find('*'); star != std::string::npos) path.replace(star, 1, "{id}");
  return path;
}

Json Operation(const ApiRoute& route, Schemas& schemas) {
  const MessagePtr request = route.request();
  const Descriptor& asked = *request->GetDescriptor();
  const auto* rpc =
      asked.file()->FindServiceByName("MergeService")->FindMethodByName(std::string(route.rpc));
  Json parameters = Json::array();
  const bool named = route.pattern.find('*') != std::string_view::npos;
  if (named) parameters.push_back(Named("id"));
  for (int i = 0; !route.body && i < asked.field_count(); ++i) {
    const FieldDescriptor& field = *asked.field(i);
    if (field.is_repeated() || (named && field.name() == "name")) continue;
    parameters.push_back(
        {{"name", field.name()}, {"in", "query"}, {"schema", schemas.OfField(field)}});
  }
  const std::string full = absl::StrCat("/merganser.v1.MergeService/", std::string(route.rpc));
  const std::optional<Role> role = RoleOf(full);
  Json operation = {
      {"operationId", std::string(route.rpc)},
      {"description", absl::StrCat("MergeService.", std::string(route.rpc),
                                   ", whose meaning and "
                                   "errors merge_service.proto tells. Role: ",
                                   role.has_value() ? std::string(RoleName(*role)) : "none", ".")}};
  if (!parameters.empty()) operation["parameters"] = std::move(parameters);
  if (route.body) operation["requestBody"] = Content(schemas.OfMessage(asked));
  Json answer = Content(schemas.OfMessage(*rpc->output_type()));
  answer["description"] = rpc->output_type()->name();
  Json error = Content(Ref("Error"));
  error["description"] = "What is wrong";
  operation["responses"] = {{"200", std::move(answer)}, {"default", std::move(error)}};
  return operation;
}

Json ErrorSchema() {
  const Json text = {{"type", "string"}};
  const Json detail = {{"type", "object"},
                       {"properties",
                        {{"reason", text},
                         {"domain", text},
                         {"metadata", {{"type", "object"}, {"additionalProperties", text}}}}},
                       {"additionalProperties", false}};
  return {{"type", "object"},
          {"properties",
           {{"error",
             {{"type", "object"},
              {"properties",
               {{"code", {{"type", "integer"}}},
                {"status", text},
                {"message", text},
                {"retry_delay", text},
                {"details", {{"type", "array"}, {"items", detail}}}}},
              {"required", {"code", "status", "message", "details"}},
              {"additionalProperties", false}}}}},
          {"required", {"error"}},
          {"additionalProperties", false}};
}

Json SessionSchema() {
  return {{"type", "object"},
          {"properties",
           {{"name", {{"type", "string"}}},
            {"roles", {{"type", "array"}, {"items", {{"type", "string"}}}}},
            {"expires", {{"type", "string"}, {"format", "date-time"}}}}},
          {"additionalProperties", false}};
}

// What is no rpc.
void AddOthers(Json& paths) {
  Json session = Content(Ref("Session"));
  session["description"] = "Who is logged in";
  const Json responses = {
      {"200", session},
      {"default",
       {{"description", "What is wrong"}, {"content", Content(Ref("Error"))["content"]}}}};
  Json& at = paths["/api/v1/session"];
  at["get"] = {{"operationId", "GetSession"},
               {"description", "Whose the token, or the session of the cookie, is."},
               {"responses", responses}};
  at["post"] = {
      {"operationId", "Login"},
      {"description",
       "Begins a session, whose id the answer sets as a cookie. Browsers send X-Merganser: "
       "1 with this as with every change."},
      {"requestBody", Content({{"type", "object"},
                               {"properties", {{"token", {{"type", "string"}}}}},
                               {"required", {"token"}},
                               {"additionalProperties", false}})},
      {"responses", responses}};
  at["delete"] = {{"operationId", "Logout"},
                  {"description", "Ends the session of the cookie."},
                  {"responses", {{"200", {{"description", "Done"}}}}}};
  for (const LargeRoute& route : LargeRoutes()) {
    Json parameters = Json::array();
    if (route.pattern.find('*') != std::string_view::npos) parameters.push_back(Named("id"));
    for (const std::string_view parameter : route.parameters) {
      if (parameter.empty()) continue;
      parameters.push_back({{"name", std::string(parameter)},
                            {"in", "query"},
                            {"required", route.required},
                            {"schema", {{"type", "string"}}}});
    }
    paths[PathOf(route.pattern)]["get"] = {
        {"operationId", std::string(route.id)},
        {"description", absl::StrCat(std::string(route.what), " Role: read.")},
        {"parameters", std::move(parameters)},
        {"responses",
         {{"200",
           {{"description", "What was measured"},
            {"content", {{std::string(route.type), {{"schema", Json::object()}}}}}}},
          {"default", responses["default"]}}}};
  }
  Json view = {{"name", "view"},
               {"in", "query"},
               {"required", true},
               {"schema", {{"type", "string"}, {"enum", {"jobs", "workers", "job"}}}}};
  Json name = {{"name", "name"}, {"in", "query"}, {"schema", {{"type", "string"}}}};
  Json last = {{"name", "Last-Event-ID"}, {"in", "header"}, {"schema", {{"type", "string"}}}};
  paths["/api/v1/events"]["get"] = {
      {"operationId", "Follow"},
      {"description",
       "What happens, as it happens (server-sent events). Whoever shows the last id that he heard "
       "is told what came since, or `reset`: then the view is to be asked for anew. A comment "
       "every "
       "15 s. Role: read."},
      {"parameters", Json::array({std::move(view), std::move(name), std::move(last)})},
      {"responses",
       {{"200",
         {{"description", "Events"},
          {"content", {{"text/event-stream", {{"schema", {{"type", "string"}}}}}}}}},
        {"default", responses["default"]}}}};
}

std::string Make() {
  Schemas schemas;
  Json paths = Json::object();
  for (const ApiRoute& route : ApiRoutes()) {
    const std::string method = route.method == "GET"      ? "get"
                               : route.method == "DELETE" ? "delete"
                                                          : "post";
    paths[PathOf(route.pattern)][method] = Operation(route, schemas);
  }
  AddOthers(paths);
  Json all = schemas.Take();
  all["Error"] = ErrorSchema();
  all["Session"] = SessionSchema();
  const Json description = {
      {"openapi", "3.0.3"},
      {"info",
       {{"title", "Merganser"},
        {"version", "v1"},
        {"description",
         "The coordinator's gRPC service (merganser.v1.MergeService) as JSON: integers of 64 bits "
         "are strings, fields that are unset have their default, unknown ones are refused."}}},
      {"security", Json::array({{{"bearer", Json::array()}}})},
      {"paths", std::move(paths)},
      {"components",
       {{"securitySchemes", {{"bearer", {{"type", "http"}, {"scheme", "bearer"}}}}},
        {"schemas", std::move(all)}}}};
  return description.dump(1) + "\n";
}

}  // namespace

const std::string& OpenApi() {
  static const std::string* const text = new std::string(Make());
  return *text;
}

}  // namespace merganser::http
