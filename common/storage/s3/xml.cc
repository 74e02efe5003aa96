#include "common/storage/s3/xml.h"

#include <cstddef>
#include <pugixml.hpp>
#include <sstream>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/shown.h"
#include "common/base/status.h"

namespace merganser::s3 {
namespace {

// Of an upload, from 1 on.
constexpr uint64_t kMostParts = 10'000;

// Without a namespace's prefix.
std::string_view LocalName(const pugi::xml_node& node) {
  const std::string_view name = node.name();
  const size_t colon = name.find(':');
  return colon == std::string_view::npos ? name : name.substr(colon + 1);
}

pugi::xml_node Child(const pugi::xml_node& node, std::string_view name) {
  for (const pugi::xml_node& child : node.children()) {
    if (LocalName(child) == name) return child;
  }
  return {};
}

std::string Text(const pugi::xml_node& node, std::string_view name) {
  return Child(node, name).text().get();
}

bool True(const pugi::xml_node& node, std::string_view name) {
  return absl::AsciiStrToLower(Text(node, name)) == "true";
}

absl::Status Malformed(std::string_view expected, std::string_view found) {
  return absl::DataLossError(absl::StrCat("found an answer that is no ", std::string(expected),
                                          ": ", Shown(found.substr(0, 200))));
}

// The root element `name` of `body`, which lives in `document`.
absl::StatusOr<pugi::xml_node> Root(std::string_view body, std::string_view name,
                                    pugi::xml_document& document) {
  const pugi::xml_parse_result parsed = document.load_buffer(
      body.data(), body.size(), pugi::parse_default | pugi::parse_ws_pcdata_single);
  if (!parsed) return Malformed(name, body);
  // "ListPartsResult" is "ListPartsResponse" with some.
  const std::string_view found = LocalName(document.document_element());
  constexpr std::string_view kResult = "Result", kResponse = "Response";
  const bool same = found == name || (name.ends_with(kResult) && found.ends_with(kResponse) &&
                                      found.substr(0, found.size() - kResponse.size()) ==
                                          name.substr(0, name.size() - kResult.size()));
  if (!same) return Malformed(name, body);
  return document.document_element();
}

absl::StatusOr<uint64_t> Number(const pugi::xml_node& node, std::string_view name,
                                std::string_view body) {
  uint64_t value = 0;
  if (!absl::SimpleAtoi(Text(node, name), &value)) return Malformed(name, body);
  return value;
}

// %XX of encoding-type=url; some stores also write '+' for a space, and none leaves a '+' as it is.
std::string UrlDecoded(std::string_view text) {
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    const char lower = absl::ascii_tolower(static_cast<unsigned char>(c));
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
  };
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && digit(text[i + 1]) >= 0 &&
        digit(text[i + 2]) >= 0) {
      decoded += static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2]));
      i += 2;
    } else {
      decoded += text[i] == '+' ? ' ' : text[i];
    }
  }
  return decoded;
}

}  // namespace

absl::StatusOr<ListPage> ParseListPage(std::string_view body) {
  pugi::xml_document document;
  MERGANSER_ASSIGN_OR_RETURN(const pugi::xml_node root, Root(body, "ListBucketResult", document));
  // What was asked for is not always done.
  const bool encoded = Text(root, "EncodingType") == "url";
  const auto key_of = [encoded](const std::string& text) {
    return encoded ? UrlDecoded(text) : text;
  };
  ListPage page;
  for (const pugi::xml_node& child : root.children()) {
    if (LocalName(child) == "Contents") {
      ListedKey listed;
      listed.key = key_of(Text(child, "Key"));
      MERGANSER_ASSIGN_OR_RETURN(listed.size, Number(child, "Size", body));
      listed.etag = Text(child, "ETag");
      listed.modified = Text(child, "LastModified");
      page.keys.push_back(std::move(listed));
    } else if (LocalName(child) == "CommonPrefixes") {
      page.prefixes.push_back(key_of(Text(child, "Prefix")));
    }
  }
  if (!True(root, "IsTruncated")) return page;
  page.next = Text(root, "NextContinuationToken");
  if (page.next.empty()) return Malformed("page of a list with a token for the next", body);
  return page;
}

absl::StatusOr<std::string> ParseUploadId(std::string_view body) {
  pugi::xml_document document;
  MERGANSER_ASSIGN_OR_RETURN(const pugi::xml_node root,
                             Root(body, "InitiateMultipartUploadResult", document));
  std::string id = Text(root, "UploadId");
  if (id.empty()) return Malformed("UploadId", body);
  return id;
}

absl::StatusOr<PartsPage> ParsePartsPage(std::string_view body) {
  pugi::xml_document document;
  MERGANSER_ASSIGN_OR_RETURN(const pugi::xml_node root, Root(body, "ListPartsResult", document));
  PartsPage page;
  for (const pugi::xml_node& child : root.children()) {
    if (LocalName(child) != "Part") continue;
    ListedPart part;
    MERGANSER_ASSIGN_OR_RETURN(const uint64_t number, Number(child, "PartNumber", body));
    if (number == 0 || number > kMostParts) return Malformed("part with a number of one", body);
    part.number = static_cast<uint32_t>(number);
    MERGANSER_ASSIGN_OR_RETURN(part.size, Number(child, "Size", body));
    part.etag = Text(child, "ETag");
    part.crc32c = Text(child, "ChecksumCRC32C");
    page.parts.push_back(std::move(part));
  }
  if (!True(root, "IsTruncated")) return page;
  page.next = Text(root, "NextPartNumberMarker");
  if (page.next.empty()) return Malformed("page of parts with a marker for the next", body);
  return page;
}

absl::StatusOr<UploadsPage> ParseUploadsPage(std::string_view body) {
  pugi::xml_document document;
  MERGANSER_ASSIGN_OR_RETURN(const pugi::xml_node root,
                             Root(body, "ListMultipartUploadsResult", document));
  const bool encoded = Text(root, "EncodingType") == "url";
  const auto key_of = [encoded](const std::string& text) {
    return encoded ? UrlDecoded(text) : text;
  };
  UploadsPage page;
  for (const pugi::xml_node& child : root.children()) {
    if (LocalName(child) != "Upload") continue;
    page.uploads.push_back(
        {key_of(Text(child, "Key")), Text(child, "UploadId"), Text(child, "Initiated")});
  }
  page.more = True(root, "IsTruncated");
  page.next_key = key_of(Text(root, "NextKeyMarker"));
  page.next_id = Text(root, "NextUploadIdMarker");
  if (page.more && page.next_key.empty()) {
    return Malformed("page of uploads with a marker for the next", body);
  }
  return page;
}

std::optional<ErrorBody> ParseError(std::string_view body) {
  // Long pages of lists are not parsed twice: an error's name comes early.
  constexpr size_t kPrologue = 512;
  if (body.substr(0, kPrologue).find("Error") == std::string_view::npos) return std::nullopt;
  pugi::xml_document document;
  if (!document.load_buffer(body.data(), body.size())) return std::nullopt;
  const pugi::xml_node root = document.document_element();
  if (LocalName(root) != "Error") return std::nullopt;
  return ErrorBody{Text(root, "Code"), Text(root, "Message"), Text(root, "Region")};
}

absl::Status CheckCompleted(std::string_view body) {
  if (body.find_first_not_of(" \t\r\n") == std::string_view::npos) return absl::OkStatus();
  pugi::xml_document document;
  return Root(body, "CompleteMultipartUploadResult", document).status();
}

std::string CompleteBody(const std::vector<CompletedPart>& parts) {
  pugi::xml_document document;
  pugi::xml_node root = document.append_child("CompleteMultipartUpload");
  root.append_attribute("xmlns") = "http://s3.amazonaws.com/doc/2006-03-01/";
  for (const CompletedPart& part : parts) {
    pugi::xml_node node = root.append_child("Part");
    node.append_child("PartNumber").text() = part.number;
    node.append_child("ETag").text() = part.etag.c_str();
    if (!part.crc32c.empty()) node.append_child("ChecksumCRC32C").text() = part.crc32c.c_str();
  }
  std::ostringstream out;
  document.save(out, "", pugi::format_raw | pugi::format_no_declaration);
  return std::move(out).str();
}

}  // namespace merganser::s3
