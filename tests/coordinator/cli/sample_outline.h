// A program of two commands with a flag of every kind, as manual pages and completions see it.
#ifndef MERGANSER_TESTS_COORDINATOR_CLI_SAMPLE_OUTLINE_H_
#define MERGANSER_TESTS_COORDINATOR_CLI_SAMPLE_OUTLINE_H_

#include "coordinator/cli/outline.h"

namespace merganser::cli {

inline OutlineProgram SampleOutline() {
  OutlineProgram program;
  program.itself.name = "duck";
  program.itself.description = "Swims and dives.";
  OutlineOption help;
  help.names = {"-h", "--help"};
  help.description = "Print this help message and exit";
  help.group = "Options";
  program.itself.options = {help};
  OutlineCommand swim;
  swim.name = "swim";
  swim.description = "Swim where it's wet";
  OutlineOption lake;
  lake.names = {"LAKE"};
  lake.value = "TEXT";
  lake.description = "Folder of a lake";
  lake.required = true;
  OutlineOption others = lake;
  others.names = {"OTHER"};
  others.description = "Further ones";
  others.required = false;
  others.repeats = true;
  swim.arguments = {lake, others};
  OutlineOption style;
  style.names = {"-s", "--style"};
  style.value = "TEXT";
  style.choices = {"crawl", "paddle"};
  style.description = "How: [fast] or slow";
  style.default_value = "paddle";
  style.group = "Options";
  OutlineOption depth;
  depth.names = {"--depth"};
  depth.value = "INT";
  depth.limits = "1 to 64";
  depth.description = "Metres";
  depth.variable = "DUCK_DEPTH";
  depth.needs = {"--style"};
  depth.group = "Diving";
  OutlineOption log;
  log.names = {"--log"};
  log.value = "TEXT";
  log.description = "File to write";
  log.repeats = true;
  log.excludes = {"--quiet"};
  log.group = "Options";
  OutlineOption quiet;
  quiet.names = {"--quiet"};
  quiet.description = "Say nothing";
  quiet.group = "Options";
  swim.options = {style, depth, log, quiet};
  OutlineCommand rest;
  rest.name = "rest";
  rest.description = "Do nothing";
  program.commands = {swim, rest};
  return program;
}

}  // namespace merganser::cli

#endif  // MERGANSER_TESTS_COORDINATOR_CLI_SAMPLE_OUTLINE_H_
