// What is taken of a command line's definition.
#include "coordinator/cli/outline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <map>
#include <string>
#include <vector>

namespace merganser::cli {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class OutlineTest : public testing::Test {
 protected:
  // Of the one flag or argument that `add` gives to a command.
  template <class Add>
  OutlineOption Of(const Add& add) {
    CLI::App app("Swims.", "duck");
    app.set_help_flag();
    add(app);
    const OutlineProgram program = OutlineOf(app);
    EXPECT_EQ(program.itself.options.size() + program.itself.arguments.size(), 1u);
    return program.itself.options.empty() ? program.itself.arguments.front()
                                          : program.itself.options.front();
  }

  std::string text_;
  int number_ = 0;
  bool flag_ = false;
  std::vector<std::string> many_;
};

TEST_F(OutlineTest, FlagsTakeNothing) {
  const OutlineOption option =
      Of([&](CLI::App& app) { app.add_flag("-j,--json", flag_, "Print JSON"); });
  EXPECT_THAT(option.names, ElementsAre("-j", "--json"));
  EXPECT_EQ(option.value, "");
  EXPECT_EQ(option.description, "Print JSON");
  EXPECT_FALSE(option.repeats);
}

TEST_F(OutlineTest, TypesChoicesAndLimitsAreTakenApart) {
  EXPECT_EQ(Of([&](CLI::App& app) { app.add_option("--file", text_); }).value, "TEXT");
  const OutlineOption number = Of([&](CLI::App& app) {
    app.add_option("--threads", number_)->check(CLI::Range(-3, 1024))->default_str("4");
  });
  EXPECT_EQ(number.value, "INT");
  EXPECT_EQ(number.limits, "-3 to 1024");
  EXPECT_EQ(number.default_value, "4");
  EXPECT_THAT(number.choices, IsEmpty());
  const std::map<std::string, int> of_map = {{"md5", 1}, {"none", 2}};
  for (const OutlineOption& choice :
       {Of([&](CLI::App& app) {
          app.add_option("--sum", text_)->check(CLI::IsMember({"md5", "none"}));
        }),
        Of([&](CLI::App& app) { app.add_option("--sum", text_)->check(CLI::IsMember(of_map)); })}) {
    EXPECT_THAT(choice.choices, ElementsAre("md5", "none"));
    EXPECT_EQ(choice.limits, "");
  }
  EXPECT_EQ(Of([&](CLI::App& app) {
              app.add_option("--state", text_)->check(CLI::IsMember({"a"}))->option_text("STATE");
            }).value,
            "STATE");
}

TEST_F(OutlineTest, WhatMayBeGivenAgain) {
  EXPECT_FALSE(Of([&](CLI::App& app) { app.add_option("--one", text_); }).repeats);
  EXPECT_TRUE(
      Of([&](CLI::App& app) { app.add_option("--root", many_)->allow_extra_args(false); }).repeats);
  EXPECT_TRUE(Of([&](CLI::App& app) {
                app.add_option("--label", many_)->expected(1)->take_all();
              }).repeats);
  const OutlineOption jobs = Of([&](CLI::App& app) { app.add_option("JOB", many_)->required(); });
  EXPECT_THAT(jobs.names, ElementsAre("JOB"));
  EXPECT_TRUE(jobs.repeats);
  EXPECT_TRUE(jobs.required);
}

TEST_F(OutlineTest, WhatGoesTogetherIsSortedByName) {
  CLI::App app("Swims.", "duck");
  CLI::Option* z = app.add_flag("--zebra", flag_);
  CLI::Option* a = app.add_flag("--ant", flag_);
  app.add_option("--file", text_)->needs(z)->needs(a)->envname("DUCK_FILE");
  app.add_flag("--quiet", flag_)->excludes(z);
  const OutlineCommand duck = OutlineOf(app).itself;
  ASSERT_EQ(duck.options.size(), 5u);  // --help is the first
  EXPECT_THAT(duck.options[3].needs, ElementsAre("--ant", "--zebra"));
  EXPECT_EQ(duck.options[3].variable, "DUCK_FILE");
  EXPECT_THAT(duck.options[4].excludes, ElementsAre("--zebra"));
}

TEST_F(OutlineTest, CommandsInTheirOrderWithoutWhatIsHidden) {
  CLI::App app("Swims.", "duck");
  app.footer("Quacks.");
  app.add_subcommand("swim", "Swim")->add_option("--depth", number_)->group("Diving");
  app.add_subcommand("secret", "Hide")->group("");
  app.add_subcommand("dive", "Dive")->add_flag("--deep", flag_)->group("");
  const OutlineProgram program = OutlineOf(app);
  EXPECT_EQ(program.itself.name, "duck");
  EXPECT_EQ(program.itself.description, "Swims.");
  EXPECT_EQ(program.itself.footer, "Quacks.");
  ASSERT_EQ(program.commands.size(), 2u);
  EXPECT_EQ(program.commands[0].name, "swim");
  EXPECT_EQ(program.commands[0].options.back().group, "Diving");
  EXPECT_EQ(program.commands[1].name, "dive");
  ASSERT_EQ(program.commands[1].options.size(), 1u);
  EXPECT_THAT(program.commands[1].options[0].names, ElementsAre("-h", "--help"));
}

}  // namespace
}  // namespace merganser::cli
