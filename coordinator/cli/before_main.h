// What becomes of a process that ends before its main.
#ifndef MERGANSER_COORDINATOR_CLI_BEFORE_MAIN_H_
#define MERGANSER_COORDINATOR_CLI_BEFORE_MAIN_H_

namespace merganser::cli {

// Libraries begin before main does, and some of them abort where they find no memory: under a
// limit of address space that is a few hundred KiB too low, after the dynamic loader had room for
// all of them. Until this is called an abort ends the process with a line that says so and
// kRetryable (exit_code.h), instead of by a signal. To be called first of all in main. Sanitized
// programs have none of this: sanitizers begin first.
void MainBegins();

}  // namespace merganser::cli

#endif  // MERGANSER_COORDINATOR_CLI_BEFORE_MAIN_H_
