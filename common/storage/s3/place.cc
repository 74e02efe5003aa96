#include "common/storage/s3/place.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"

namespace merganser::s3 {

Place::Place(std::shared_ptr<Client> client, std::string_view prefix, WriteOptions options)
    : client_(std::move(client)),
      prefix_(prefix.empty() ? "" : absl::StrCat(std::string(prefix), "/")),
      options_(std::move(options)) {}

std::string Place::Describe(std::string_view key) const {
  std::string name = FullKey(key);
  while (name.ends_with('/')) name.pop_back();
  return absl::StrCat(client_->endpoint().ways.google ? "gs://" : "s3://", Shown(client_->bucket()),
                      name.empty() ? "" : "/", Shown(name));
}

std::string Place::FullKey(std::string_view key) const {
  return absl::StrCat(prefix_, std::string(key));
}

Call Place::MakeCall(std::string method, std::string_view action) const {
  Call call;
  call.method = std::move(method);
  call.action = action;
  if (options_.requester_pays) call.headers.emplace_back("x-amz-request-payer", "requester");
  return call;
}

Call Place::ObjectCall(std::string method, std::string_view key, std::string_view action) const {
  Call call = MakeCall(std::move(method), action);
  call.key = FullKey(key);
  return call;
}

Call Place::BucketCall(std::string_view action) const { return MakeCall("GET", action); }

void Place::AddWriteHeaders(Call& call) const {
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) call.headers.emplace_back(name, value);
  };
  add("x-amz-storage-class", options_.storage_class);
  add("x-amz-server-side-encryption", options_.encryption);
  add("x-amz-server-side-encryption-aws-kms-key-id", options_.kms_key_id);
  add("x-amz-acl", options_.acl);
}

Reply Place::Head(std::string_view key) const {
  constexpr std::string_view kAction = "s3:GetObject";
  const Call head = ObjectCall("HEAD", key, kAction);
  Reply reply = client_->Do(head);
  const Verdict& verdict = reply.verdict;
  if (verdict.outcome != Outcome::kNo || !verdict.code.empty() ||
      absl::IsNotFound(verdict.status)) {
    return reply;
  }
  Call byte = ObjectCall("GET", key, kAction);
  byte.headers.emplace_back("range", "bytes=0-0");
  Reply found = client_->Do(byte);
  // The reason is gone, as where credentials had ended; of nothing there is no first byte.
  if (found.ok() || absl::IsOutOfRange(found.verdict.status)) return client_->Do(head);
  if (!found.verdict.code.empty()) reply.verdict = std::move(found.verdict);
  return reply;
}

absl::Status Failed(const absl::Status& status, std::string_view doing, std::string_view what) {
  return Annotate(status, absl::StrCat(std::string(doing), " ", std::string(what)));
}

}  // namespace merganser::s3
