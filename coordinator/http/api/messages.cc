#include "coordinator/http/api/messages.h"

#include <cstdint>
#include <map>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/util/json_util.h"
#include "proto/convert/status_codec.h"

namespace merganser::http {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

absl::Status Invalid(std::string_view reason, const std::string& message,
                     const std::string& field = "") {
  std::map<std::string, std::string> metadata;
  if (!field.empty()) metadata["field"] = field;
  return ReasonedError(absl::StatusCode::kInvalidArgument, reason, message, metadata);
}

// False where `value` is none of the field's.
bool Set(const std::string& value, const FieldDescriptor& field, Message& message) {
  const Reflection& reflection = *message.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      reflection.SetString(&message, &field, value);
      return true;
    case FieldDescriptor::CPPTYPE_INT32: {
      int32_t number = 0;
      const bool ok = absl::SimpleAtoi(value, &number);
      reflection.SetInt32(&message, &field, number);
      return ok;
    }
    case FieldDescriptor::CPPTYPE_UINT32: {
      uint32_t number = 0;
      const bool ok = absl::SimpleAtoi(value, &number);
      reflection.SetUInt32(&message, &field, number);
      return ok;
    }
    case FieldDescriptor::CPPTYPE_INT64: {
      int64_t number = 0;
      const bool ok = absl::SimpleAtoi(value, &number);
      reflection.SetInt64(&message, &field, number);
      return ok;
    }
    case FieldDescriptor::CPPTYPE_UINT64: {
      uint64_t number = 0;
      const bool ok = absl::SimpleAtoi(value, &number);
      reflection.SetUInt64(&message, &field, number);
      return ok;
    }
    case FieldDescriptor::CPPTYPE_DOUBLE: {
      double number = 0;
      const bool ok = absl::SimpleAtod(value, &number);
      reflection.SetDouble(&message, &field, number);
      return ok;
    }
    case FieldDescriptor::CPPTYPE_BOOL:
      reflection.SetBool(&message, &field, value == "true");
      return value == "true" || value == "false";
    case FieldDescriptor::CPPTYPE_ENUM: {
      const auto* known = field.enum_type()->FindValueByName(value);
      if (known == nullptr) return false;
      reflection.SetEnum(&message, &field, known);
      return true;
    }
    default:
      return false;
  }
}

}  // namespace

absl::StatusOr<std::string> ToJson(const Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.always_print_primitive_fields = true;
  options.preserve_proto_field_names = true;
  std::string json;
  const auto status = google::protobuf::util::MessageToJsonString(message, &json, options);
  if (!status.ok()) {
    return absl::InternalError(
        absl::StrCat("the answer cannot be told as JSON: ", OneLine(status.ToString())));
  }
  return json;
}

absl::Status FromJson(std::string_view json, Message& message) {
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = false;
  const auto status = google::protobuf::util::JsonStringToMessage(
      google::protobuf::StringPiece(json.data(), json.size()), &message, options);
  if (status.ok()) return absl::OkStatus();
  return Invalid("JSON_INVALID",
                 absl::StrCat("the body: found ", OneLine(status.ToString().substr(0, 300)),
                              "; expected a ", message.GetDescriptor()->name(), " as JSON"));
}

absl::Status FromQuery(const std::vector<std::pair<std::string, std::string>>& query,
                       Message& message) {
  std::set<std::string> seen;
  for (const auto& [name, value] : query) {
    const std::string shown = OneLine(name.substr(0, 100));
    const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName(name);
    if (field == nullptr || field->is_repeated()) {
      return Invalid(
          "QUERY_INVALID",
          absl::StrCat("found a parameter \"", shown, "\", which is none of this request's"),
          shown);
    }
    if (!seen.insert(name).second) {
      return Invalid("QUERY_INVALID", absl::StrCat("found the parameter ", shown, " twice"), shown);
    }
    if (!Set(value, *field, message)) {
      return Invalid("QUERY_INVALID",
                     absl::StrCat("parameter ", shown, ": found \"", OneLine(value.substr(0, 100)),
                                  "\", expected ", std::string(field->cpp_type_name())),
                     shown);
    }
  }
  return absl::OkStatus();
}

absl::Status SetName(const std::string& name, Message& message) {
  const FieldDescriptor* field = message.GetDescriptor()->FindFieldByName("name");
  if (field == nullptr || field->cpp_type() != FieldDescriptor::CPPTYPE_STRING) {
    return absl::InternalError("the request has no name");
  }
  const Reflection& reflection = *message.GetReflection();
  const std::string there = reflection.GetString(message, field);
  if (!there.empty() && there != name) {
    return Invalid("JSON_INVALID", "name: found another than that of the path", "name");
  }
  reflection.SetString(&message, field, name);
  return absl::OkStatus();
}

}  // namespace merganser::http
