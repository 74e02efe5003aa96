// The conformance suite over stores that differ, each as a stub has it.
#include <memory>
#include <string>
#include <vector>

#include "common/storage/s3/s3_store.h"
#include "tests/common/storage/conformance.h"
#include "tests/common/storage/s3/stub_s3.h"

namespace merganser {
namespace {

using s3::StubRules;
using s3::StubS3;

// A store with all that it stands on, which ends after it.
struct Standing {
  std::unique_ptr<StubS3> stub;
  std::unique_ptr<ScriptedHttpServer> elsewhere;  // where reads are redirected to
  std::shared_ptr<ObjectStore> store;
};

template <int kWay>
std::shared_ptr<ObjectStore> Fresh() {
  const auto standing = std::make_shared<Standing>();
  StubRules rules;
  if (kWay == 1) rules.google = true;
  if (kWay == 2) rules.conditions = StubRules::Conditions::kIgnored;
  if (kWay == 3) rules.conditions = StubRules::Conditions::kRefused;
  if (kWay == 4) {
    standing->elsewhere = std::make_unique<ScriptedHttpServer>(
        [at = standing.get()](const ScriptedRequest& request) { return at->stub->Plain(request); });
    rules.flat_lists_only = true;
    rules.reads_at = standing->elsewhere->url();
    rules.path = "/name%20space";
  }
  rules.crc32c = kWay == 5;
  standing->stub = std::make_unique<StubS3>(rules);
  s3::Settings settings;
  settings.exclusive_output = kWay == 2 || kWay == 3;
  settings.write.storage_class = "STANDARD";
  if (kWay >= 5) settings.checksum = s3::Checksum::kCrc32c;
  standing->store = s3::MakeS3Store(standing->stub->MakeClient(settings.checksum), "conformance",
                                    settings, s3::kStubTraits);
  return {standing, standing->store.get()};
}

std::vector<StoreFactory> Stubs() {
  return {{"amazon", Fresh<0>},
          {"google", Fresh<1>},
          {"conditions_ignored", Fresh<2>, {}, /*heeds_conditions=*/false},
          {"conditions_refused", Fresh<3>, {}, /*heeds_conditions=*/false},
          {"flat_lists_and_redirects", Fresh<4>},
          {"crc32c", Fresh<5>},
          {"crc32c_not_told", Fresh<6>}};
}

INSTANTIATE_TEST_SUITE_P(Stub, StoreConformance, ::testing::ValuesIn(Stubs()), StoreFactoryName);
INSTANTIATE_TEST_SUITE_P(Stub, PieceConformance, ::testing::ValuesIn(Stubs()), StoreFactoryName);

}  // namespace
}  // namespace merganser
