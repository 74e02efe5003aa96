#include "coordinator/service/reflection.h"

#include <chrono>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/guarded.h"
#include "common/base/shown.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/descriptor.pb.h"
#include "grpcpp/support/server_callback.h"
#include "proto/convert/status_codec.h"

namespace merganser {
namespace {

namespace v1 = grpc::reflection::v1;
namespace v1alpha = grpc::reflection::v1alpha;
using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;

// The two versions differ in their package alone.
struct Version1 {
  using Request = v1::ServerReflectionRequest;
  using Response = v1::ServerReflectionResponse;
  static constexpr std::string_view kMethod =
      "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
};
struct Version1Alpha {
  using Request = v1alpha::ServerReflectionRequest;
  using Response = v1alpha::ServerReflectionResponse;
  static constexpr std::string_view kMethod =
      "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
};

// What a request names is short: the answer holds it twice.
constexpr size_t kMaxRequestBytes = 4096;

// `file` first, then what it imports.
void AddFiles(const FileDescriptor& file, google::protobuf::RepeatedPtrField<std::string>& out) {
  std::vector<const FileDescriptor*> files = {&file};
  std::set<const FileDescriptor*> seen = {&file};
  for (size_t i = 0; i < files.size(); ++i) {
    google::protobuf::FileDescriptorProto proto;
    files[i]->CopyTo(&proto);
    *out.Add() = proto.SerializeAsString();
    for (int d = 0; d < files[i]->dependency_count(); ++d) {
      const FileDescriptor* const dependency = files[i]->dependency(d);
      if (seen.insert(dependency).second) files.push_back(dependency);
    }
  }
}

template <typename Version>
class Stream final
    : public grpc::ServerBidiReactor<typename Version::Request, typename Version::Response> {
 public:
  Stream(Reflected& reflected, const grpc::CallbackServerContext& context) : reflected_(reflected) {
    const auto admitted = Admit(reflected_.authorizer, context, Version::kMethod);
    if (!admitted.ok()) {
      this->Finish(ToGrpc(admitted.status()));
      return;
    }
    const std::string& who = admitted->caller.name;
    seat_ = reflected_.streams.Take(who);
    if (seat_.has_value()) {
      this->StartRead(&request_);
      return;
    }
    this->Finish(ToGrpc(
        RetryAfter(ReasonedError(absl::StatusCode::kResourceExhausted, "TOO_MANY_STREAMS",
                                 absl::StrCat("found too many streams of reflection open by ", who,
                                              ", expected fewer; try again later"),
                                 {{"owner", who}}),
                   std::chrono::seconds(10))));
  }

  void OnReadDone(bool ok) override {
    if (!ok) {  // the client has no more questions, or is gone
      this->Finish(grpc::Status::OK);
    } else if (++requests_ > kMaxReflectionRequests) {
      Refuse(absl::StatusCode::kResourceExhausted, "TOO_MANY_REQUESTS",
             absl::StrCat("found more than ", kMaxReflectionRequests,
                          " requests on one stream; open another one"));
    } else if (const size_t bytes = request_.ByteSizeLong(); bytes > kMaxRequestBytes) {
      Refuse(absl::StatusCode::kInvalidArgument, "REQUEST_INVALID",
             absl::StrCat("found a request of ", bytes, " bytes, expected at most ",
                          kMaxRequestBytes));
    } else if (const absl::Status answered = Guarded([this] { Answer(); }); !answered.ok()) {
      this->Finish(ToGrpc(answered));
    } else {
      this->StartWrite(&response_);
    }
  }
  void OnWriteDone(bool ok) override {
    if (ok) {
      this->StartRead(&request_);
    } else {
      this->Finish(grpc::Status::OK);
    }
  }
  void OnDone() override { delete this; }

 private:
  using Request = typename Version::Request;

  void Refuse(absl::StatusCode code, std::string_view reason, const std::string& message) {
    this->Finish(ToGrpc(ReasonedError(code, reason, message)));
  }

  void Answer() {
    response_.Clear();
    response_.set_valid_host(request_.host());
    *response_.mutable_original_request() = request_;
    const DescriptorPool& pool = *DescriptorPool::generated_pool();
    switch (request_.message_request_case()) {
      case Request::kFileByFilename:
        return AnswerFile(pool.FindFileByName(request_.file_by_filename()), "file",
                          request_.file_by_filename());
      case Request::kFileContainingSymbol:
        return AnswerFile(pool.FindFileContainingSymbol(request_.file_containing_symbol()),
                          "symbol", request_.file_containing_symbol());
      case Request::kFileContainingExtension: {
        const auto& asked = request_.file_containing_extension();
        const Descriptor* const type = pool.FindMessageTypeByName(asked.containing_type());
        const FieldDescriptor* const extension =
            type == nullptr ? nullptr : pool.FindExtensionByNumber(type, asked.extension_number());
        return AnswerFile(extension == nullptr ? nullptr : extension->file(), "extension of",
                          asked.containing_type());
      }
      case Request::kAllExtensionNumbersOfType:
        return AnswerExtensions(pool, request_.all_extension_numbers_of_type());
      case Request::kListServices:
        for (const std::string& name : reflected_.services) {
          response_.mutable_list_services_response()->add_service()->set_name(name);
        }
        return;
      case Request::MESSAGE_REQUEST_NOT_SET:
        break;
    }
    Error(absl::StatusCode::kInvalidArgument, "found a request that asks for nothing known here");
  }

  void AnswerFile(const FileDescriptor* file, std::string_view kind, const std::string& name) {
    if (file == nullptr) return NotThere(kind, name);
    AddFiles(*file, *response_.mutable_file_descriptor_response()->mutable_file_descriptor_proto());
  }

  void AnswerExtensions(const DescriptorPool& pool, const std::string& name) {
    const Descriptor* const type = pool.FindMessageTypeByName(name);
    if (type == nullptr) return NotThere("message", name);
    auto& answer = *response_.mutable_all_extension_numbers_response();
    answer.set_base_type_name(name);
    std::vector<const FieldDescriptor*> extensions;
    pool.FindAllExtensions(type, &extensions);
    for (const FieldDescriptor* extension : extensions) {
      answer.add_extension_number(extension->number());
    }
  }

  void NotThere(std::string_view kind, const std::string& name) {
    Error(absl::StatusCode::kNotFound,
          absl::StrCat("found no ", std::string(kind), " \"", Shown(name), "\""));
  }

  void Error(absl::StatusCode code, const std::string& message) {
    response_.mutable_error_response()->set_error_code(static_cast<int>(code));
    response_.mutable_error_response()->set_error_message(message);
  }

  Reflected& reflected_;
  std::optional<FairSeats::Seat> seat_;
  Request request_;
  typename Version::Response response_;
  int requests_ = 0;
};

}  // namespace

grpc::ServerBidiReactor<v1::ServerReflectionRequest, v1::ServerReflectionResponse>*
ReflectionService::ServerReflectionInfo(grpc::CallbackServerContext* context) {
  return new Stream<Version1>(reflected_, *context);
}

grpc::ServerBidiReactor<v1alpha::ServerReflectionRequest, v1alpha::ServerReflectionResponse>*
ReflectionServiceV1Alpha::ServerReflectionInfo(grpc::CallbackServerContext* context) {
  return new Stream<Version1Alpha>(reflected_, *context);
}

}  // namespace merganser
