#include "tests/coordinator/codec/filled_message.h"

#include <fstream>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/io/coded_stream.h"
#include "google/protobuf/io/zero_copy_stream_impl_lite.h"
#include "google/protobuf/unknown_field_set.h"

namespace merganser {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

void Fill(Message& message, int depth);

// Negative where it may be, as the kinds of signed numbers differ in that alone.
void FillField(Message& message, const FieldDescriptor& field, int item, int depth) {
  const Reflection& set = *message.GetReflection();
  const int number = 100 * field.number() + item;
  const std::string text = absl::StrCat(field.name(), " ", item);
  const auto fill = [&](auto set_one, auto add_one, auto value) {
    if (field.is_repeated()) {
      (set.*add_one)(&message, &field, value);
    } else {
      (set.*set_one)(&message, &field, value);
    }
  };
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return fill(&Reflection::SetInt32, &Reflection::AddInt32, -number);
    case FieldDescriptor::CPPTYPE_INT64:
      return fill(&Reflection::SetInt64, &Reflection::AddInt64, int64_t{-number});
    case FieldDescriptor::CPPTYPE_UINT32:
      return fill(&Reflection::SetUInt32, &Reflection::AddUInt32, static_cast<uint32_t>(number));
    case FieldDescriptor::CPPTYPE_UINT64:
      return fill(&Reflection::SetUInt64, &Reflection::AddUInt64, static_cast<uint64_t>(number));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return fill(&Reflection::SetDouble, &Reflection::AddDouble, number + 0.5);
    case FieldDescriptor::CPPTYPE_FLOAT:
      return fill(&Reflection::SetFloat, &Reflection::AddFloat, static_cast<float>(number) + 0.5F);
    case FieldDescriptor::CPPTYPE_BOOL:
      return fill(&Reflection::SetBool, &Reflection::AddBool, true);
    case FieldDescriptor::CPPTYPE_ENUM: {
      const auto& values = *field.enum_type();
      return fill(&Reflection::SetEnumValue, &Reflection::AddEnumValue,
                  values.value(values.value_count() - 1)->number());
    }
    case FieldDescriptor::CPPTYPE_STRING:
      if (field.is_repeated()) {
        set.AddString(&message, &field, text);
      } else {
        set.SetString(&message, &field, text);
      }
      return;
    case FieldDescriptor::CPPTYPE_MESSAGE:
      if (depth <= 1) return;
      Fill(field.is_repeated() ? *set.AddMessage(&message, &field)
                               : *set.MutableMessage(&message, &field),
           depth - 1);
      return;
  }
}

void Fill(Message& message, int depth) {
  const Descriptor& type = *message.GetDescriptor();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    // Two of what may be packed or not; one of what grows with every level.
    const bool twice = field.is_repeated() && field.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE;
    for (int item = 0; item < (twice ? 2 : 1); ++item) FillField(message, field, item, depth);
  }
}

void FindUnknown(const Message& message, std::vector<std::string>& found) {
  const Descriptor& type = *message.GetDescriptor();
  const Reflection& get = *message.GetReflection();
  const auto& unknown = get.GetUnknownFields(message);
  for (int i = 0; i < unknown.field_count(); ++i) {
    const int number = unknown.field(i).number();
    if (!type.IsReservedNumber(number))
      found.push_back(absl::StrCat(type.full_name(), ".", number));
  }
  std::vector<const FieldDescriptor*> fields;
  get.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) continue;
    if (!field->is_repeated()) {
      FindUnknown(get.GetMessage(message, field), found);
      continue;
    }
    for (int i = 0; i < get.FieldSize(message, field); ++i) {
      FindUnknown(get.GetRepeatedMessage(message, field, i), found);
    }
  }
}

}  // namespace

std::unique_ptr<Message> FilledMessage(const Descriptor& type, int depth) {
  std::unique_ptr<Message> message(
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(&type)->New());
  Fill(*message, depth);
  return message;
}

std::string WireBytes(const Message& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    message.SerializeToCodedStream(&coded);
  }
  return bytes;
}

std::vector<const Descriptor*> TopMessages(const google::protobuf::FileDescriptor& file) {
  std::vector<const Descriptor*> found;
  for (int i = 0; i < file.message_type_count(); ++i) found.push_back(file.message_type(i));
  return found;
}

std::vector<std::string> UnknownFields(const Message& message) {
  std::vector<std::string> found;
  FindUnknown(message, found);
  return found;
}

std::map<std::string, std::string> ReadRecordings(const std::string& path) {
  std::map<std::string, std::string> recordings;
  std::ifstream in(path);
  std::string name;
  std::string digits;
  while (in >> name >> digits) recordings[name] = absl::HexStringToBytes(digits.substr(2));
  return recordings;
}

bool WriteRecordings(const std::string& path,
                     const std::map<std::string, std::string>& recordings) {
  std::ofstream out(path);
  for (const auto& [name, bytes] : recordings) {
    out << name << " 0x" << absl::BytesToHexString(bytes) << "\n";
  }
  out.close();
  return !out.fail();
}

}  // namespace merganser
