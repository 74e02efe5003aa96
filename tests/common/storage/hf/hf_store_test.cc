// Models of the hub: by a stub of it and of the servers that it sends readers to.
#include "common/storage/hf/hf_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/mutex.h"
#include "common/storage/file/file_store.h"
#include "common/storage/read_whole.h"
#include "tests/testing/scripted_http_server.h"
#include "tests/testing/temp_dir.h"

namespace merganser {
namespace {

namespace fs = std::filesystem;
using absl::StatusCode;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using Answer = ScriptedAnswer;

constexpr char kCommit[] = "0123456789abcdef0123456789abcdef01234567";
constexpr char kResolve[] = "/org/name/resolve/0123456789abcdef0123456789abcdef01234567/";

// A large file is at another server, a small one at the hub itself.
struct StubFile {
  std::string bytes, etag;
  bool large = false;
};

class HfStoreTest : public testing::Test {
 protected:
  HfStoreTest() {
    files_["config.json"] = {"{}", "aaaa"};
    files_["model.safetensors"] = {"0123456789", "bbbb", true};
    files_["additional_chat_templates/x.jinja"] = {"x", "cccc"};
    files_["sub/model.safetensors"] = {"abcdef", "dddd", true};
  }

  Answer Hub(const ScriptedRequest& request) {
    MutexLock lock(mutex_);
    if (refusal_.code != 200) return refusal_;
    const std::string& target = request.target;
    if (target == absl::StrCat("/api/models/org/name/revision/main?blobs=true") ||
        target == absl::StrCat("/api/models/org/name/revision/", kCommit, "?blobs=true")) {
      std::string siblings;
      for (const auto& [name, file] : files_) {
        absl::StrAppend(&siblings, siblings.empty() ? "" : ",", "{\"rfilename\":\"", name, "\"");
        if (tells_blobs_) {
          absl::StrAppend(&siblings, ",\"size\":", file.bytes.size(), ",\"blobId\":\"", file.etag,
                          "\"");
        }
        absl::StrAppend(&siblings, "}");
      }
      return {.body = absl::StrCat("{\"sha\":\"", kCommit, "\",\"siblings\":[", siblings, "]}")};
    }
    if (!target.starts_with(kResolve)) return {.code = 404};
    const auto found = files_.find(target.substr(std::string(kResolve).size()));
    if (found == files_.end()) return {.code = 404, .headers = {{"X-Error-Code", "EntryNotFound"}}};
    const StubFile& file = found->second;
    Answer answer = Serve(file.bytes, request);
    answer.headers.emplace_back("X-Repo-Commit", kCommit);
    if (!file.large) {
      answer.headers.emplace_back("ETag", absl::StrCat("\"", file.etag, "\""));
      return answer;
    }
    return {.code = 302,
            .headers = {{"X-Repo-Commit", kCommit},
                        {"X-Linked-ETag", absl::StrCat("\"", file.etag, "\"")},
                        {"X-Linked-Size", absl::StrCat(file.bytes.size())},
                        {"ETag", "\"of-the-redirect\""},
                        {"Location", absl::StrCat(elsewhere_.url(), "/", found->first,
                                                  "?signature=secret", signature_)}}};
  }

  Answer Elsewhere(const ScriptedRequest& request) {
    MutexLock lock(mutex_);
    const size_t query = request.target.find('?');
    if (request.target.substr(query) != absl::StrCat("?signature=secret", signature_)) {
      return {.code = 403, .body = "expired"};
    }
    Answer answer = Serve(files_.at(request.target.substr(1, query - 1)).bytes, request);
    answer.headers.emplace_back("ETag", "\"of-another-kind\"");
    return answer;
  }

  static Answer Serve(const std::string& bytes, const ScriptedRequest& request) {
    const std::string range(request.Header("range"));
    if (range.empty()) return {.body = bytes};
    const size_t dash = range.find('-');
    const size_t begin = std::stoull(range.substr(6, dash - 6));
    const size_t end = std::min<size_t>(std::stoull(range.substr(dash + 1)) + 1, bytes.size());
    if (begin >= bytes.size()) return {.code = 416};
    return {.code = 206,
            .headers = {{"Content-Range",
                         absl::StrCat("bytes ", begin, "-", end - 1, "/", bytes.size())}},
            .body = bytes.substr(begin, end - begin)};
  }

  std::shared_ptr<const class Hub> MakeHub(bool offline = false, bool private_addresses = true,
                                           const std::string& token = "hf_secret") {
    const auto fetcher = std::make_shared<Fetcher>(*HttpClient::Make({}), private_addresses);
    HubOptions options{*ParseHttpUrl(hub_.url()), token, offline};
    options.endpoint.target = "";
    return std::make_shared<const class Hub>(fetcher, options);
  }
  std::shared_ptr<ObjectStore> Open(const std::string& path,
                                    const std::shared_ptr<const class Hub>& hub) {
    return MakeHfStore(hub, cached_, *ParseHfLocation(path));
  }

  // A file of the cache, as links to blobs.
  void Cache(const std::string& name) {
    const StubFile& file = files_.at(name);
    const fs::path folder = fs::path(cache_.path()) / "models--org--name";
    const fs::path snapshot = folder / "snapshots" / kCommit / name;
    fs::create_directories(folder / "blobs");
    fs::create_directories(folder / "refs");
    fs::create_directories(snapshot.parent_path());
    std::ofstream(folder / "blobs" / file.etag) << file.bytes;
    std::ofstream(folder / "refs" / "main") << kCommit;
    fs::create_symlink(folder / "blobs" / file.etag, snapshot);
    cached_ =
        std::make_shared<const HfCachedModel>(folder.string(), MakeFileStore(folder.string()));
  }

  static absl::StatusOr<std::string> ReadRange(ObjectStore& store, const std::string& key,
                                               uint64_t offset, size_t size,
                                               const std::string& if_match = "") {
    std::string out(size, '?');
    const absl::Status status = store.Read(
        key, offset, std::as_writable_bytes(std::span<char>(out.data(), out.size())), if_match);
    if (!status.ok()) return status;
    return out;
  }

  Mutex mutex_;
  std::map<std::string, StubFile> files_;
  Answer refusal_;
  bool tells_blobs_ = true;
  std::string signature_ = "1";
  TempDir cache_;
  std::shared_ptr<const HfCachedModel> cached_;
  ScriptedHttpServer elsewhere_{[this](const ScriptedRequest& r) { return Elsewhere(r); }};
  ScriptedHttpServer hub_{[this](const ScriptedRequest& r) { return Hub(r); }};
};

TEST_F(HfStoreTest, ReadsRangesFromWhereTheHubSends) {
  const auto store = Open("org/name", MakeHub());
  const auto info = store->Stat("model.safetensors");
  ASSERT_TRUE(info.ok() && info->has_value()) << info.status();
  EXPECT_EQ((*info)->size, 10u);
  EXPECT_EQ((*info)->identity, "bbbb-10");
  EXPECT_EQ((*info)->doubt, "");
  EXPECT_EQ(store->Describe("a"), absl::StrCat("hf://org/name@", kCommit, "/a"));
  EXPECT_EQ(*ReadRange(*store, "model.safetensors", 2, 5, (*info)->identity), "23456");
  EXPECT_EQ(*ReadRange(*store, "model.safetensors", 7, 3, (*info)->identity), "789");
  EXPECT_EQ(*ReadWhole(*store, "config.json", 100), "{}");
  EXPECT_FALSE((*store->Stat("missing")).has_value());
  // The hub sees the token, nobody else does; conditions are of the hub's ETags and stay here.
  for (const ScriptedRequest& request : hub_.Requests()) {
    EXPECT_EQ(request.Header("authorization"), "Bearer hf_secret");
  }
  ASSERT_EQ(elsewhere_.Requests().size(), 2u);
  for (const ScriptedRequest& request : elsewhere_.Requests()) {
    EXPECT_EQ(request.Header("authorization"), "");
    EXPECT_EQ(request.Header("if-match"), "");
  }
  // Asked once: what main is, what the commit has, where each of two files is, the small one.
  EXPECT_EQ(hub_.Requests().size(), 5u);
}

TEST_F(HfStoreTest, ListsWhatTheCommitHas) {
  for (const bool tells : {true, false}) {
    tells_blobs_ = tells;
    const auto store = Open("org/name", MakeHub());
    const auto all = store->List("");
    ASSERT_TRUE(all.ok()) << all.status();
    std::vector<std::string> keys;
    for (const ListedObject& object : all->objects) keys.push_back(object.key);
    EXPECT_THAT(keys, ElementsAre("additional_chat_templates/x.jinja", "config.json",
                                  "model.safetensors", "sub/model.safetensors"));
    const auto flat = store->List("", {.flat = true});
    ASSERT_TRUE(flat.ok()) << flat.status();
    ASSERT_EQ(flat->objects.size(), 2u);
    EXPECT_EQ(flat->objects[1].key, "model.safetensors");
    EXPECT_EQ(flat->objects[1].info.identity, "bbbb-10");
    EXPECT_THAT(flat->folders, ElementsAre("additional_chat_templates/", "sub/"));
    EXPECT_FALSE(flat->more);
    EXPECT_EQ(store->List("additional_chat_templates/", {.flat = true})->objects.size(), 1u);
    EXPECT_TRUE(store->List("", {.flat = true, .limit = 2})->more);
    EXPECT_TRUE(store->List("none")->objects.empty());
    const auto sub = Open("org/name/sub", MakeHub())->List("", {.flat = true});
    ASSERT_EQ(sub->objects.size(), 1u);
    EXPECT_EQ(sub->objects[0].key, "model.safetensors");
    EXPECT_EQ(sub->objects[0].info.size, 6u);
  }
}

TEST_F(HfStoreTest, APinnedLocationIsTheCommitThatABranchWas) {
  const auto hub = MakeHub();
  const auto pinned = PinHfLocation(*hub, nullptr, *ParseHfLocation("org/name/sub"));
  ASSERT_TRUE(pinned.ok()) << pinned.status();
  EXPECT_EQ(pinned->ToString(), absl::StrCat("hf://org/name@", kCommit, "/sub"));
  const size_t asked = hub_.Requests().size();
  EXPECT_EQ(PinHfLocation(*hub, nullptr, *pinned)->ToString(), pinned->ToString());
  EXPECT_EQ(hub_.Requests().size(), asked);
}

TEST_F(HfStoreTest, AnAddressThatEndedIsAskedForAnewOnce) {
  const auto store = Open("org/name", MakeHub());
  EXPECT_EQ(*ReadRange(*store, "model.safetensors", 0, 2, "bbbb-10"), "01");
  {
    MutexLock lock(mutex_);
    signature_ = "2";
  }
  EXPECT_EQ(*ReadRange(*store, "model.safetensors", 2, 2, "bbbb-10"), "23");
  EXPECT_EQ(elsewhere_.Requests().size(), 3u);
  {
    MutexLock lock(mutex_);
    signature_ = "3";
    files_["model.safetensors"].etag = "eeee";
  }
  // In the middle of a job the file is another.
  const absl::Status changed = ReadRange(*store, "model.safetensors", 0, 2, "bbbb-10").status();
  EXPECT_EQ(changed.code(), StatusCode::kDataLoss) << changed;
  EXPECT_THAT(changed.message(), HasSubstr("model.safetensors"));
}

TEST_F(HfStoreTest, AnAddressThatIsAlwaysRefusedIsAnErrorThatKeepsItsSignature) {
  const auto store = Open("org/name", MakeHub());
  {
    MutexLock lock(mutex_);
    files_["other"] = {"0123", "ffff", true};
  }
  const ScriptedHttpServer closed([](const ScriptedRequest&) { return Answer{.code = 403}; });
  const ScriptedHttpServer hub([&](const ScriptedRequest&) {
    return Answer{.code = 302,
                  .headers = {{"X-Linked-ETag", "\"bbbb\""},
                              {"X-Linked-Size", "10"},
                              {"Location", closed.url() + "/f?signature=secret"}}};
  });
  const auto fetcher = std::make_shared<Fetcher>(*HttpClient::Make({}), true);
  HubOptions options{*ParseHttpUrl(hub.url()), "", false};
  options.endpoint.target = "";
  const auto other = MakeHfStore(std::make_shared<const class Hub>(fetcher, options), nullptr,
                                 *ParseHfLocation(absl::StrCat("org/name@", kCommit)));
  const absl::Status status = ReadRange(*other, "f", 0, 2, "bbbb-10").status();
  EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition) << status;
  EXPECT_THAT(status.message(), AllOf(HasSubstr("403"), Not(HasSubstr("secret"))));
  EXPECT_EQ(closed.Requests().size(), 4u);
}

TEST_F(HfStoreTest, ARedirectIntoANetworkIsRefused) {
  const auto store = Open("org/name", MakeHub(false, /*private_addresses=*/false));
  const absl::Status status = ReadRange(*store, "model.safetensors", 0, 2, "bbbb-10").status();
  EXPECT_EQ(status.code(), StatusCode::kPermissionDenied) << status;
  EXPECT_THAT(status.message(),
              AllOf(HasSubstr("--allow-private-addresses"), Not(HasSubstr("secret"))));
  EXPECT_EQ(elsewhere_.Connections(), 0u);
  // The hub that the operator named may be one's own.
  EXPECT_EQ(*ReadWhole(*store, "config.json", 100), "{}");
}

TEST_F(HfStoreTest, WhatIsWrongIsSaidWithWhatToDo) {
  struct Case {
    int code;
    std::string error, message, token;
    StatusCode status;
    std::vector<std::string> said;
  };
  for (const Case& c : std::vector<Case>{
           {401,
            "GatedRepo",
            "",
            "",
            StatusCode::kPermissionDenied,
            {"is gated", "accept its terms at http://", "/org/name, and set HF_TOKEN"}},
           {403,
            "GatedRepo",
            "",
            "t",
            StatusCode::kPermissionDenied,
            {"is gated", "as the user of HF_TOKEN"}},
           {401, "RepoNotFound", "", "", StatusCode::kNotFound, {"there is none", "set HF_TOKEN"}},
           {404, "RepoNotFound", "", "t", StatusCode::kNotFound, {"HF_TOKEN may not see it"}},
           {401, "", "", "", StatusCode::kNotFound, {"or it is private"}},
           {401,
            "",
            "Invalid credentials in Authorization header",
            "t",
            StatusCode::kUnauthenticated,
            {"does not take this token"}},
           {404, "RevisionNotFound", "", "", StatusCode::kNotFound, {"has no revision main"}},
           {403,
            "",
            "Access to this resource is disabled.",
            "",
            StatusCode::kPermissionDenied,
            {"is disabled"}},
           {403, "", "storage\nforbidden", "t", StatusCode::kPermissionDenied, {"may not read it"}},
           {418, "", "", "", StatusCode::kFailedPrecondition, {"418"}}}) {
    {
      MutexLock lock(mutex_);
      refusal_ = {.code = c.code};
      if (!c.error.empty()) refusal_.headers.emplace_back("X-Error-Code", c.error);
      if (c.message.find('\n') == std::string::npos && !c.message.empty()) {
        refusal_.headers.emplace_back("X-Error-Message", c.message);
      }
    }
    const auto hub = MakeHub(false, true, c.token);
    const absl::Status status = PinHfLocation(*hub, nullptr, *ParseHfLocation("org/name")).status();
    EXPECT_EQ(status.code(), c.status) << c.code << " " << c.error << ": " << status;
    for (const std::string& said : c.said) EXPECT_THAT(status.message(), HasSubstr(said));
    EXPECT_THAT(status.message(), HasSubstr("hf://org/name"));
  }
}

TEST_F(HfStoreTest, AWholeModelInTheCacheNeedsNoHub) {
  files_["tokenizer.json"] = {"{}", "ffff"};
  for (const char* name : {"config.json", "tokenizer.json", "model.safetensors"}) Cache(name);
  for (const bool offline : {false, true}) {
    const auto hub = MakeHub(offline);
    EXPECT_EQ(PinHfLocation(*hub, cached_.get(), *ParseHfLocation("org/name"))->revision, kCommit);
    const auto store = Open("org/name", hub);
    const auto info = store->Stat("model.safetensors");
    ASSERT_TRUE(info.ok() && info->has_value()) << info.status();
    EXPECT_EQ((*info)->identity, "bbbb-10");
    EXPECT_EQ(*ReadRange(*store, "model.safetensors", 2, 3, "bbbb-10"), "234");
    EXPECT_EQ(ReadRange(*store, "model.safetensors", 2, 3, "cccc-10").status().code(),
              StatusCode::kDataLoss);
    EXPECT_FALSE((*store->Stat("missing")).has_value());
    const auto flat = store->List("", {.flat = true});
    ASSERT_EQ(flat->objects.size(), 3u);
    EXPECT_EQ(flat->objects[1].key, "model.safetensors");
    EXPECT_EQ(flat->objects[1].info.identity, "bbbb-10");
  }
  EXPECT_TRUE(hub_.Requests().empty());
}

TEST_F(HfStoreTest, OfPartsInTheCacheBytesAreTaken) {
  Cache("model.safetensors");
  const auto store = Open("org/name", MakeHub());
  // No tokenizer and no config there: the hub says what there is.
  EXPECT_EQ(*ReadWhole(*store, "config.json", 100), "{}");
  const auto info = store->Stat("model.safetensors");
  ASSERT_TRUE(info.ok() && info->has_value()) << info.status();
  EXPECT_EQ(*ReadRange(*store, "model.safetensors", 2, 3, (*info)->identity), "234");
  EXPECT_TRUE(elsewhere_.Requests().empty());
  // A blob that is cut short is none.
  std::ofstream(fs::path(cache_.path()) / "models--org--name" / "blobs" / "bbbb") << "01234";
  EXPECT_EQ(*ReadRange(*store, "model.safetensors", 2, 3, (*info)->identity), "234");
  EXPECT_EQ(elsewhere_.Requests().size(), 1u);
}

TEST_F(HfStoreTest, OfflineNothingIsAsked) {
  const auto hub = MakeHub(/*offline=*/true);
  for (const absl::Status& status :
       {PinHfLocation(*hub, nullptr, *ParseHfLocation("org/name")).status(),
        Open("org/name", hub)->Stat("config.json").status(),
        Open(absl::StrCat("org/name@", kCommit), hub)->Stat("config.json").status()}) {
    EXPECT_EQ(status.code(), StatusCode::kNotFound);
    EXPECT_THAT(status.message(),
                AllOf(HasSubstr("HF_HUB_OFFLINE"), HasSubstr("huggingface-cli download org/name")));
  }
  EXPECT_TRUE(hub_.Requests().empty());
}

TEST_F(HfStoreTest, TheEnvironmentSaysWhichHubAndWho) {
  const TempDir home;
  for (const char* name : {"HF_ENDPOINT", "HF_TOKEN", "HF_TOKEN_PATH", "HF_HUB_OFFLINE"}) {
    unsetenv(name);
  }
  setenv("HF_HOME", home.path().c_str(), 1);
  absl::StatusOr<HubOptions> options = HubFromEnvironment();
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->endpoint.ToString(), "https://huggingface.co");
  EXPECT_EQ(options->token, "");
  EXPECT_FALSE(options->offline);
  std::ofstream(home.File("token")) << "hf_file\n";
  setenv("HF_ENDPOINT", "https://mirror.example/hub/", 1);
  setenv("HF_HUB_OFFLINE", "yes", 1);
  options = HubFromEnvironment();
  EXPECT_EQ(options->endpoint.ToString(), "https://mirror.example/hub");
  EXPECT_EQ(options->token, "hf_file");
  EXPECT_TRUE(options->offline);
  setenv("HF_TOKEN", "hf_named", 1);
  EXPECT_EQ(HubFromEnvironment()->token, "hf_named");
  setenv("HF_TOKEN", "hf_se cret", 1);
  EXPECT_THAT(HubFromEnvironment().status().message(), Not(HasSubstr("cret")));
  EXPECT_FALSE(HubFromEnvironment().ok());
  unsetenv("HF_TOKEN");
  setenv("HF_ENDPOINT", "https://u:secret@mirror.example", 1);
  EXPECT_THAT(HubFromEnvironment().status().message(),
              AllOf(HasSubstr("HF_ENDPOINT"), Not(HasSubstr("secret"))));
  for (const char* name : {"HF_ENDPOINT", "HF_HUB_OFFLINE", "HF_HOME"}) unsetenv(name);
}

}  // namespace
}  // namespace merganser
