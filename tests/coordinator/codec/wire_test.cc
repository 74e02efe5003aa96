// What travels, as bytes on record (tests/data/wire): those of a version that was released are
// taken up as long as there are versions, and a change of what this version sends is noticed.
//
// present.txt is of this version. Where it differs on purpose, MERGANSER_UPDATE_RECORDINGS=1 has
// this test write it anew. With a release it is copied to VERSION.txt, which is never written
// again.
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"
#include "proto/convert/gates_codec.h"
#include "proto/convert/plan_codec.h"
#include "proto/merganser/v1/merge_service.pb.h"
#include "proto/merganser/v1/plan.pb.h"
#include "proto/merganser/v1/stats.pb.h"
#include "proto/merganser/v1/worker_service.pb.h"
#include "tests/coordinator/codec/filled_message.h"
#include "tests/coordinator/codec/sample_plan.h"

namespace merganser {
namespace {

namespace fs = std::filesystem;
using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::Message;
using ::testing::IsEmpty;

const std::string kFolder = MERGANSER_WIRE_DATA;
constexpr const char* kPlan = "sample/JobPlan";
constexpr const char* kGates = "sample/Gates";

// A plan as a coordinator sends it.
JobPlan SampleJobPlan() {
  return {"jobs/a", "a", SamplePlan(), "/out", {{"model.safetensors", 320, "upload"}}};
}

// What wire version 2 has no more, as the result of a unit travels as it is kept: coordinators and
// workers of version 1 are refused, so nothing of it arrives.
const std::set<std::string> kGone = {"merganser.v1.GroupCounts", "merganser.v1.GroupReport",
                                     "merganser.v1.LeafReport",  "merganser.v1.LeafSums",
                                     "merganser.v1.ReportField", "merganser.v1.UnitResult",
                                     "merganser.v1.WriteReceipt"};

// Of this version: every message of every service filled, and samples by way of the codecs.
std::map<std::string, std::string> Present() {
  std::map<std::string, std::string> present;
  for (const auto* file : {v1::SyncRequest::descriptor()->file(), v1::Plan::descriptor()->file(),
                           v1::Gates::descriptor()->file(), v1::Job::descriptor()->file()}) {
    for (const Descriptor* type : TopMessages(*file)) {
      present[type->full_name()] = WireBytes(*FilledMessage(*type));
    }
  }
  v1::JobPlan plan;
  EXPECT_TRUE(plan.ParseFromString(SerializeJobPlan(SampleJobPlan())));
  present[kPlan] = WireBytes(plan);
  present[kGates] = SerializeGates({{{0.25, -1}, true}});
  return present;
}

std::vector<fs::path> Releases() {
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(kFolder)) {
    if (entry.path().extension() == ".txt" && entry.path().stem() != "present") {
      found.push_back(entry.path());
    }
  }
  return found;
}

TEST(Wire, WhatThisVersionSendsIsWhatIsOnRecord) {
  const std::string path = kFolder + "/present.txt";
  if (std::getenv("MERGANSER_UPDATE_RECORDINGS") != nullptr) {
    ASSERT_TRUE(WriteRecordings(path, Present()));
  }
  const std::map<std::string, std::string> recorded = ReadRecordings(path);
  const std::map<std::string, std::string> present = Present();
  std::vector<std::string> changed;
  for (const auto& [name, bytes] : present) {
    const auto found = recorded.find(name);
    if (found == recorded.end() || found->second != bytes) changed.push_back(name);
  }
  for (const auto& [name, bytes] : recorded) {
    if (!present.contains(name)) changed.push_back(name);
  }
  EXPECT_THAT(changed, IsEmpty())
      << "If that is on purpose, run this with MERGANSER_UPDATE_RECORDINGS=1, which writes " << path
      << "; proto/README.md has the rules of such changes";
}

TEST(Wire, MessagesOfEarlierVersionsMeanWhatTheyMeant) {
  ASSERT_FALSE(Releases().empty()) << "nothing in " << kFolder;
  for (const fs::path& path : Releases()) {
    const auto recorded = ReadRecordings(path);
    EXPECT_GT(recorded.size(), 50u) << path;
    for (const auto& [name, bytes] : recorded) {
      SCOPED_TRACE(absl::StrCat(path.filename().string(), ": ", name));
      if (name.starts_with("sample/") || kGone.contains(name)) continue;
      const Descriptor* type = DescriptorPool::generated_pool()->FindMessageTypeByName(name);
      ASSERT_NE(type, nullptr) << "a message of an earlier version is gone";
      const auto filled = FilledMessage(*type);
      const std::unique_ptr<Message> message(filled->New());
      ASSERT_TRUE(message->ParseFromString(bytes));
      EXPECT_THAT(UnknownFields(*message), IsEmpty())
          << "neither known any more nor `reserved`, so that they could be given out again";
      message->DiscardUnknownFields();  // of numbers that are reserved
      google::protobuf::util::MessageDifferencer differencer;
      differencer.set_scope(google::protobuf::util::MessageDifferencer::PARTIAL);
      std::string differences;
      differencer.ReportDifferencesToString(&differences);
      EXPECT_TRUE(differencer.Compare(*message, *filled)) << differences;
    }
  }
}

TEST(Wire, PlansAndGatesOfEarlierVersionsAreTakenUp) {
  for (const fs::path& path : Releases()) {
    SCOPED_TRACE(path.filename().string());
    const auto recorded = ReadRecordings(path);
    const absl::StatusOr<JobPlan> plan = ParseJobPlan(recorded.at(kPlan));
    ASSERT_TRUE(plan.ok()) << plan.status();
    EXPECT_EQ(plan->job, "jobs/a");
    EXPECT_EQ(plan->output_uri, "/out");
    EXPECT_EQ(plan->plan.digest, SamplePlan().digest);
    EXPECT_EQ(plan->plan.units.size(), SamplePlan().units.size());
    EXPECT_EQ(plan->writes.at(0).upload, "upload");
    // And says the same where it is sent on.
    v1::JobPlan again;
    ASSERT_TRUE(again.ParseFromString(SerializeJobPlan(*plan)));
    EXPECT_EQ(WireBytes(again), recorded.at(kPlan));

    const absl::StatusOr<Gates> gates = ParseGates(recorded.at(kGates), plan->plan);
    ASSERT_TRUE(gates.ok()) << gates.status();
    EXPECT_EQ(gates->at(0).values, (std::vector<double>{0.25, -1}));
    EXPECT_TRUE(gates->at(0).settled);
  }
}

// What the tests above trust.
TEST(Wire, ChangesOfMessagesAreFound) {
  const auto& type = *v1::Lease::descriptor();
  const auto filled = FilledMessage(type);
  EXPECT_THAT(UnknownFields(*filled), IsEmpty());
  for (int i = 0; i < type.field_count(); ++i) {
    EXPECT_TRUE(filled->GetReflection()->HasField(*filled, type.field(i))) << type.field(i)->name();
  }
  // Field 99, a varint, in it and in a message within another.
  v1::SyncResponse response;
  ASSERT_TRUE(response.add_leases()->ParseFromString(std::string("\x98\x06\x01", 3)));
  EXPECT_THAT(UnknownFields(response), ::testing::ElementsAre("merganser.v1.Lease.99"));
  // A number that is reserved may stand in what an earlier version sent.
  v1::TensorNeeds needs;
  ASSERT_TRUE(needs.ParseFromString(std::string("\x40\x01", 2)));
  EXPECT_THAT(UnknownFields(needs), IsEmpty());
}

}  // namespace
}  // namespace merganser
