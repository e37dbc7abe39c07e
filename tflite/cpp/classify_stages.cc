// Classifies images, files of raw pixels (height x width x channels bytes), by the stages of a .tflite:
//   classify_stages [--gpu] stages.tflite 0.bin 1.bin
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "stages.h"

int main(int count, char** arguments) {
  const bool gpu = count > 1 && std::string(arguments[1]) == "--gpu";
  const int first = gpu ? 2 : 1;
  if (count < first + 2) {
    std::fprintf(stderr, "usage: %s [--gpu] stages.tflite image.bin ...\n", arguments[0]);
    return 2;
  }
  try {
    Stages stages(arguments[first], gpu ? kLiteRtHwAcceleratorGpu | kLiteRtHwAcceleratorCpu : kLiteRtHwAcceleratorCpu);
    for (int number = first + 1; number < count; ++number) {
      std::ifstream file(arguments[number], std::ios::binary);
      if (!file) throw std::runtime_error(std::string(arguments[number]) + " cannot be read.");
      const std::vector<unsigned char> pixels{std::istreambuf_iterator<char>(file), {}};
      const Stages::Answer answer = stages.run(stages.from_pixels(pixels));
      const auto best = std::max_element(answer.logits.begin(), answer.logits.end()) - answer.logits.begin();
      const int label = answer.logits.size() > 1 ? static_cast<int>(best) : answer.logits[0] > 0;
      std::printf("%s class %d exit %d MACs %.0f logits", arguments[number], label, answer.exit, answer.macs);
      for (float logit : answer.logits) std::printf(" %.9g", logit);
      std::printf("\n");
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "classify_stages: %s\n", error.what());
    return 1;
  }
  return 0;
}
