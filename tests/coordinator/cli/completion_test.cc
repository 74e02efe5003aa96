// Completions, of a made-up command line. tests/e2e/packages_test.py has shells read the program's
// own.
#include "coordinator/cli/completion.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/coordinator/cli/sample_outline.h"

namespace merganser::cli {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

TEST(CompletionTest, Bash) {
  const std::string script = BashCompletion(SampleOutline());
  EXPECT_THAT(script, HasSubstr("\ncomplete -o default -F _duck duck\n"));
  EXPECT_THAT(script, HasSubstr("words='swim rest'\n"));
  EXPECT_THAT(script, HasSubstr("-s | --style) words='crawl paddle' ;;\n"));
  EXPECT_THAT(script, HasSubstr("--depth) : ;;\n"));
  EXPECT_THAT(script, HasSubstr("--log) paths=yes ;;\n"));
  EXPECT_THAT(script, HasSubstr("words='-s --style --depth --log --quiet'\n"));
  // A flag that takes nothing is followed by what could stand without it.
  EXPECT_THAT(script, Not(HasSubstr("--quiet)")));
}

TEST(CompletionTest, Zsh) {
  const std::string script = ZshCompletion(SampleOutline());
  EXPECT_THAT(script, StartsWith("#compdef duck\n"));
  EXPECT_THAT(script, HasSubstr("'swim:Swim where it'\\''s wet'\n"));
  EXPECT_THAT(script, HasSubstr("'(-s --style)--style=[How\\: \\[fast\\] or slow]:TEXT:"
                                "(crawl paddle)'"));
  EXPECT_THAT(script, HasSubstr("'(-s --style)-s+["));
  EXPECT_THAT(script, HasSubstr("'(--depth)--depth=[Metres]:INT: '"));
  EXPECT_THAT(script, HasSubstr("'*--log=[File to write]:TEXT:_files'"));
  EXPECT_THAT(script, HasSubstr("'(--quiet)--quiet[Say nothing]'"));
  EXPECT_THAT(script, HasSubstr("'1:LAKE:_files'"));
  EXPECT_THAT(script, HasSubstr("'*:OTHER:_files'"));
}

TEST(CompletionTest, Fish) {
  const std::string script = FishCompletion(SampleOutline());
  EXPECT_THAT(script, HasSubstr("complete -c duck -n __fish_use_subcommand -a swim -d "
                                "'Swim where it\\'s wet'\n"));
  const std::string swim = "complete -c duck -n '__fish_seen_subcommand_from swim' ";
  EXPECT_THAT(script, HasSubstr(swim + "-s s -l style -x -a 'crawl paddle' -d "));
  EXPECT_THAT(script, HasSubstr(swim + "-l depth -x -d 'Metres'\n"));
  EXPECT_THAT(script, HasSubstr(swim + "-l log -r -F -d 'File to write'\n"));
  EXPECT_THAT(script, HasSubstr(swim + "-l quiet -d 'Say nothing'\n"));
  // Paths where a command takes some, and nowhere else.
  EXPECT_THAT(script, Not(HasSubstr(swim + "-f\n")));
  EXPECT_THAT(script, HasSubstr("complete -c duck -n '__fish_seen_subcommand_from rest' -f\n"));
}

TEST(CompletionTest, AProgramOfOneCommand) {
  OutlineProgram program = SampleOutline();
  program.itself = program.commands.front();
  program.itself.name = "duck-mpi";
  program.commands.clear();
  const std::string bash = BashCompletion(program);
  EXPECT_THAT(bash, HasSubstr("\ncomplete -o default -F _duck_mpi duck-mpi\n"));
  EXPECT_THAT(bash, HasSubstr("words='-s --style --depth --log --quiet'\n"));
  EXPECT_THAT(ZshCompletion(program), HasSubstr("_arguments -s -S \\\n    '(-s --style)-s+["));
  EXPECT_THAT(FishCompletion(program), HasSubstr("complete -c duck-mpi -l quiet -d "));
}

}  // namespace
}  // namespace merganser::cli
