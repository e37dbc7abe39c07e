// Runs the stages of a .tflite, which kd.lite.join_stages has made, one after the other until one says that the image
// stops: the IF, in C++, for engines that have none. With LiteRT's C API; nothing else is needed.
#ifndef STAGES_H_
#define STAGES_H_

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "litert/c/litert_common.h"
#include "litert/c/litert_compiled_model.h"
#include "litert/c/litert_environment.h"
#include "litert/c/litert_model.h"
#include "litert/c/litert_model_types.h"
#include "litert/c/litert_tensor_buffer.h"

class Stages {
 public:
  struct Answer {
    std::vector<float> logits;
    int exit;     // index of the exit, or of the cascade's network, at which the image stopped
    double macs;  // of the stages that ran
  };

  // Opens a file of stages whose inputs and outputs are float32 (those of int8 files are after kd.lite.float_io).
  // accelerators: of LiteRtHwAccelerators, such as kLiteRtHwAcceleratorGpu | kLiteRtHwAcceleratorCpu.
  // Throws std::runtime_error, as run does, with a sentence that says what was expected.
  explicit Stages(const std::string& path, LiteRtHwAcceleratorSet accelerators = kLiteRtHwAcceleratorCpu);
  ~Stages();
  Stages(const Stages&) = delete;
  Stages& operator=(const Stages&) = delete;

  // image: float32 of the model's size, what the model takes in Keras. The thresholds are the file's own.
  Answer run(const std::vector<float>& image) { return run(image, thresholds_); }
  Answer run(const std::vector<float>& image, const std::vector<float>& thresholds);

  // Returns the model's input of an image's pixels, 0 to 255, height x width x channels.
  std::vector<float> from_pixels(const std::vector<unsigned char>& pixels) const;

 private:
  Stages() = default;  // whose destructor runs if the rest of the construction throws

  struct Stage {
    std::vector<std::string> inputs, outputs;  // names
    std::vector<LiteRtTensorBuffer> results;   // of the outputs
  };

  LiteRtTensorBuffer buffer(LiteRtTensor tensor, LiteRtTensorBufferRequirements requirements) const;
  void write(const std::string& name, const std::vector<float>& values);

  LiteRtEnvironment environment_ = nullptr;
  LiteRtModel model_ = nullptr;
  LiteRtCompiledModel compiled_ = nullptr;
  std::vector<Stage> stages_;
  std::map<std::string, LiteRtTensorBuffer> given_;  // what the host gives, by name
  std::vector<double> macs_, stops_at_, normalization_;
  std::vector<float> thresholds_;
  size_t channels_ = 0;
};

#endif  // STAGES_H_
