// The conformance suite over stores that differ, each as a stub has it.
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/storage/s3/s3_store.h"
#include "tests/common/storage/conformance.h"
#include "tests/common/storage/s3/stub_s3.h"

namespace merganser {
namespace {

using s3::StubRules;
using s3::StubS3;

// One of each way for all tests: every store has a prefix of its own there.
template <int kWay>
std::shared_ptr<ObjectStore> Fresh() {
  static std::atomic<int> stores = 0;
  static StubS3* stub = nullptr;
  static ScriptedHttpServer elsewhere(
      [](const ScriptedRequest& request) { return stub->Plain(request); });
  static const std::unique_ptr<StubS3> made = [] {
    StubRules rules;
    if (kWay == 1) rules.google = true;
    if (kWay == 2) rules.conditions = StubRules::Conditions::kIgnored;
    if (kWay == 3) rules.conditions = StubRules::Conditions::kRefused;
    if (kWay == 4) {
      rules.flat_lists_only = true;
      rules.reads_at = elsewhere.url();
      rules.path = "/name%20space";
    }
    auto made_one = std::make_unique<StubS3>(rules);
    stub = made_one.get();
    return made_one;
  }();
  s3::Settings settings;
  settings.exclusive_output = kWay == 2 || kWay == 3;
  settings.write.storage_class = "STANDARD";
  return s3::MakeS3Store(made->MakeClient(), absl::StrCat("conformance/", ++stores), settings,
                         s3::kStubTraits);
}

std::vector<StoreFactory> Stubs() {
  return {{"amazon", Fresh<0>},
          {"google", Fresh<1>},
          {"conditions_ignored", Fresh<2>, {}, /*heeds_conditions=*/false},
          {"conditions_refused", Fresh<3>, {}, /*heeds_conditions=*/false},
          {"flat_lists_and_redirects", Fresh<4>}};
}

INSTANTIATE_TEST_SUITE_P(Stub, StoreConformance, ::testing::ValuesIn(Stubs()), StoreFactoryName);
INSTANTIATE_TEST_SUITE_P(Stub, PieceConformance, ::testing::ValuesIn(Stubs()), StoreFactoryName);

}  // namespace
}  // namespace merganser
