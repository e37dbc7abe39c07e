#include "stages.h"

#include <cstdint>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "litert/c/litert_options.h"

namespace {

void check(LiteRtStatus status, const std::string& what) {
  if (status != kLiteRtStatusOk) throw std::runtime_error(what);
}

// Returns the numbers of a list in the metadata, of lists in it too; null is infinity. None if there is no such list.
std::vector<double> numbers(const std::string& json, const std::string& key) {
  std::vector<double> found;
  size_t at = json.find("\"" + key + "\":[");
  if (at == std::string::npos) return found;
  at = json.find('[', at);
  for (int depth = 0; at < json.size();) {
    const char c = json[at];
    if (c == '[' || c == ',') {
      depth += c == '[';
      ++at;
    } else if (c == ']') {
      ++at;
      if (--depth == 0) return found;
    } else if (c == 'n') {
      found.push_back(std::numeric_limits<double>::infinity());
      at += 4;
    } else {
      size_t read = 0;
      found.push_back(std::stod(json.substr(at, 32), &read));
      at += read;
    }
  }
  throw std::runtime_error("The file's metadata is cut short; export it again.");
}

std::vector<unsigned char> bytes_of(LiteRtTensorBuffer buffer) {
  void* memory = nullptr;
  size_t size = 0;
  check(LiteRtGetTensorBufferPackedSize(buffer, &size), "A result has no size.");
  check(LiteRtLockTensorBuffer(buffer, &memory, kLiteRtTensorBufferLockModeRead), "A result cannot be read.");
  const auto* first = static_cast<const unsigned char*>(memory);
  std::vector<unsigned char> found(first, first + size);
  check(LiteRtUnlockTensorBuffer(buffer), "A result cannot be read.");
  return found;
}

}  // namespace

Stages::Stages(const std::string& path, LiteRtHwAcceleratorSet accelerators) : Stages() {
  check(LiteRtCreateEnvironment(0, nullptr, &environment_), "LiteRT does not start.");
  check(LiteRtCreateModelFromFile(environment_, path.c_str(), &model_),
        path + " is no .tflite that can be read; copy or export it again.");
  const void* metadata = nullptr;
  size_t size = 0;
  if (LiteRtGetModelMetadata(model_, "keras_dynamic", &metadata, &size) != kLiteRtStatusOk)
    throw std::runtime_error(path + " has no metadata of keras_dynamic; make it by kd.lite.join_stages.");
  const std::string json(static_cast<const char*>(metadata), size);
  macs_ = numbers(json, "stage_macs");
  stops_at_ = numbers(json, "stops_at");
  normalization_ = numbers(json, "normalization");
  for (double value : numbers(json, "thresholds")) thresholds_.push_back(static_cast<float>(value));
  LiteRtParamIndex count = 0;
  check(LiteRtGetNumModelSignatures(model_, &count), "The file's signatures cannot be read.");
  if (macs_.empty() || macs_.size() != count || stops_at_.size() != count)
    throw std::runtime_error(path + " is no file of stages; make it by kd.lite.join_stages.");
  LiteRtOptions options = nullptr;
  check(LiteRtCreateOptions(&options), "LiteRT gives no options.");
  const LiteRtStatus set = LiteRtSetOptionsHardwareAccelerators(options, accelerators);
  const LiteRtStatus compiled = LiteRtCreateCompiledModel(environment_, model_, options, &compiled_);
  LiteRtDestroyOptions(options);
  check(set, "LiteRT does not know these accelerators.");
  check(compiled, path + " does not compile for this accelerator; try another.");
  for (LiteRtParamIndex index = 0; index < count; ++index) {
    LiteRtSignature signature = nullptr;
    check(LiteRtGetModelSignature(model_, index, &signature), "A signature cannot be read.");
    const char* key = nullptr;
    check(LiteRtGetSignatureKey(signature, &key), "A signature has no name.");
    if ("stage_" + std::to_string(index + 1) != key)
      throw std::runtime_error("Expected stage_" + std::to_string(index + 1) + ", got " + key + ".");
    Stage& stage = stages_.emplace_back();
    LiteRtParamIndex inputs = 0, outputs = 0;
    check(LiteRtGetNumSignatureInputs(signature, &inputs), "A stage has no inputs.");
    for (LiteRtParamIndex place = 0; place < inputs; ++place) {
      const char* name = nullptr;
      check(LiteRtGetSignatureInputName(signature, place, &name), "An input has no name.");
      stage.inputs.emplace_back(name);
      if ((stage.inputs.back() != "image" && stage.inputs.back() != "thresholds") || given_.count(name)) continue;
      LiteRtTensor tensor = nullptr;
      LiteRtTensorBufferRequirements requirements = nullptr;
      LiteRtRankedTensorType type;
      check(LiteRtGetSignatureInputTensorByIndex(signature, place, &tensor), "An input has no tensor.");
      check(LiteRtGetCompiledModelInputBufferRequirements(compiled_, index, place, &requirements), "An input is lost.");
      check(LiteRtGetRankedTensorType(tensor, &type), "An input has no type.");
      if (type.element_type != kLiteRtElementTypeFloat32)
        throw std::runtime_error("Expected inputs of float32; give the file float32 ends by kd.lite.float_io.");
      if (stage.inputs.back() == "image") channels_ = type.layout.dimensions[type.layout.rank - 1];
      given_[name] = buffer(tensor, requirements);
    }
    check(LiteRtGetNumSignatureOutputs(signature, &outputs), "A stage has no outputs.");
    for (LiteRtParamIndex place = 0; place < outputs; ++place) {
      const char* name = nullptr;
      LiteRtTensor tensor = nullptr;
      LiteRtTensorBufferRequirements requirements = nullptr;
      check(LiteRtGetSignatureOutputName(signature, place, &name), "An output has no name.");
      check(LiteRtGetSignatureOutputTensorByIndex(signature, place, &tensor), "An output has no tensor.");
      check(LiteRtGetCompiledModelOutputBufferRequirements(compiled_, index, place, &requirements), "An output is lost.");
      stage.outputs.emplace_back(name);
      stage.results.push_back(buffer(tensor, requirements));
    }
  }
}

Stages::~Stages() {
  for (const Stage& stage : stages_)
    for (LiteRtTensorBuffer result : stage.results) LiteRtDestroyTensorBuffer(result);
  for (const auto& each : given_) LiteRtDestroyTensorBuffer(each.second);
  if (compiled_) LiteRtDestroyCompiledModel(compiled_);
  if (model_) LiteRtDestroyModel(model_);
  if (environment_) LiteRtDestroyEnvironment(environment_);
}

LiteRtTensorBuffer Stages::buffer(LiteRtTensor tensor, LiteRtTensorBufferRequirements requirements) const {
  LiteRtRankedTensorType type;
  LiteRtTensorBuffer made = nullptr;
  check(LiteRtGetRankedTensorType(tensor, &type), "A tensor has no type.");
  check(LiteRtCreateManagedTensorBufferFromRequirements(environment_, &type, requirements, &made),
        "There is no memory for a tensor.");
  return made;
}

void Stages::write(const std::string& name, const std::vector<float>& values) {
  const auto found = given_.find(name);
  if (found == given_.end()) throw std::runtime_error("The stages take no " + name + ".");
  size_t size = 0;
  check(LiteRtGetTensorBufferPackedSize(found->second, &size), "An input has no size.");
  if (size != values.size() * sizeof(float))
    throw std::runtime_error("Expected " + std::to_string(size / sizeof(float)) + " numbers as " + name + ", got " +
                             std::to_string(values.size()) + ".");
  void* memory = nullptr;
  check(LiteRtLockTensorBuffer(found->second, &memory, kLiteRtTensorBufferLockModeWrite), "An input cannot be set.");
  std::memcpy(memory, values.data(), size);
  check(LiteRtUnlockTensorBuffer(found->second), "An input cannot be set.");
}

Stages::Answer Stages::run(const std::vector<float>& image, const std::vector<float>& thresholds) {
  write("image", image);
  if (!thresholds.empty() || given_.count("thresholds")) write("thresholds", thresholds);
  std::map<std::string, LiteRtTensorBuffer> values = given_;
  Answer answer{{}, 0, 0.0};
  for (size_t index = 0; index < stages_.size(); ++index) {
    Stage& stage = stages_[index];
    std::vector<LiteRtTensorBuffer> inputs;
    for (const std::string& name : stage.inputs) inputs.push_back(values.at(name));
    check(LiteRtRunCompiledModel(compiled_, index, inputs.size(), inputs.data(), stage.results.size(),
                                 stage.results.data()),
          "Stage " + std::to_string(index + 1) + " failed.");
    answer.exit = static_cast<int>(stops_at_[index]);
    answer.macs += macs_[index];
    bool goes_on = false;
    for (size_t place = 0; place < stage.outputs.size(); ++place) {
      const std::string& name = stage.outputs[place];
      values[name] = stage.results[place];  // a later stage reads the memory that this one has written
      if (name != "logits" && name != "go_on") continue;
      const std::vector<unsigned char> found = bytes_of(stage.results[place]);
      if (name == "logits") {
        answer.logits.resize(found.size() / sizeof(float));
        std::memcpy(answer.logits.data(), found.data(), found.size());
      } else {
        std::int32_t value = 0;
        std::memcpy(&value, found.data(), sizeof value);
        goes_on = value != 0;
      }
    }
    if (!goes_on) break;
  }
  return answer;
}

std::vector<float> Stages::from_pixels(const std::vector<unsigned char>& pixels) const {
  std::vector<float> image(pixels.size());
  const size_t each = normalization_.size() / 2;  // means, then deviations: one of each, or one for each channel
  for (size_t place = 0; place < pixels.size(); ++place) {
    const size_t channel = each > 1 ? place % channels_ : 0;
    const double mean = each ? normalization_[channel] : 0, deviation = each ? normalization_[each + channel] : 1;
    image[place] = static_cast<float>((pixels[place] - mean) / deviation);
  }
  return image;
}
