#include "worker/logged_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/log_format.h"
#include "tests/worker/worker_fixture.h"
#include "worker/sources/in_process.h"

namespace merganser {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class LoggedSourceTest : public ::testing::Test {
 protected:
  LoggedSourceTest() { job_.emplace(kAverage, TwoModels(2, 200), TestTraits()); }
  LogSink Sink() {
    return [this](const LogLine& line) { lines_.push_back(LogText(line)); };
  }

  std::optional<TestJob> job_;
  std::vector<std::string> lines_;
};

TEST_F(LoggedSourceTest, AFailureIsTheSourcesAndIsToldOnce) {
  InProcessSource source(job_->context());
  LoggedSource logged(source, "host-7", Sink());
  const auto unit = logged.Next();
  ASSERT_TRUE(unit.ok() && unit->has_value());
  lines_.clear();
  logged.Fail(**unit, absl::DataLossError("tensor w0: element 3 is nan"));
  EXPECT_THAT(lines_, ElementsAre(absl::StrCat(
                          "warn  job=", job_->context()->job,
                          " unit=0 tensor=w0 worker=host-7 code=DATA_LOSS unit failed: tensor w0: "
                          "element 3 is nan")));
  EXPECT_TRUE(absl::IsDataLoss(source.TakeResults().status()));
}

TEST_F(LoggedSourceTest, BeginsAndEndsAreForDebugging) {
  InProcessSource source(job_->context());
  LoggedSource logged(source, "", Sink());
  const auto unit = logged.Next();
  UnitResult result;
  result.bytes_read = 2048;
  result.bytes_written = 1024;
  result.seconds = 0.25;
  logged.Complete(**unit, result);
  EXPECT_THAT(lines_, ElementsAre(StartsWith("debug "), StartsWith("debug ")));
  EXPECT_THAT(lines_[1],
              testing::EndsWith("unit done: 2.00 KiB read, 1.00 KiB written in 0.250 s"));
  EXPECT_EQ(source.progress().units_done, 1u);
}

TEST_F(LoggedSourceTest, WithoutALogNothingIsTold) {
  InProcessSource source(job_->context());
  LoggedSource logged(source, "", LogSink());
  const auto unit = logged.Next();
  EXPECT_TRUE(logged.Progress(**unit, 1));
  logged.Fail(**unit, absl::UnavailableError("x"));
  EXPECT_THAT(lines_, IsEmpty());
  EXPECT_FALSE(logged.Next()->has_value());
}

TEST_F(LoggedSourceTest, SeveralTensorsAreTheFirstAndACount) {
  TinyCheckpoint a;
  for (int t = 0; t < 3; ++t) a.tensors.push_back({absl::StrCat("v", t), DType::kF32, {10}});
  TestJob job(kAverage, {{"a", a}, {"b", a}}, TestTraits());
  std::string tensor;
  for (const LogField& field : FieldsOf({job.context(), 0, "", 0, nullptr}, "w")) {
    if (field.key == "tensor") tensor = field.value;
  }
  EXPECT_EQ(tensor, "v0 and 2 more");
}

}  // namespace
}  // namespace merganser
