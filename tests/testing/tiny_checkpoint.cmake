# Included by whichever test folder comes first and needs it.
merganser_library(merganser_tiny_checkpoint
  SOURCES ${CMAKE_SOURCE_DIR}/tests/testing/tiny_checkpoint.cc
  DEPS merganser_format merganser_storage merganser_tensor absl::status absl::statusor
  PRIVATE_DEPS merganser_base absl::strings absl::str_format)
