#include "{{ name }}.h"

#include <cmath>
#include <cstring>
#include <new>

#include "tensorflow/lite/micro/micro_interpreter.h"
#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"
#include "tensorflow/lite/schema/schema_generated.h"

extern "C" const unsigned char {{ name }}_data[];

namespace {

/* The interpreter, with exactly the operators of the model. */
struct Runtime {
  tflite::MicroMutableOpResolver<{{ operators | length }}> operators;
  tflite::MicroInterpreter interpreter;

  explicit Runtime({{ name }}_arena *arena)
      : interpreter(tflite::GetModel({{ name }}_data), operators, arena->bytes, sizeof arena->bytes) {}

  bool add_operators() {
{% for each in operators %}
    if (operators.{{ each }}() != kTfLiteOk) return false;
{% endfor %}
    return true;
  }
};

alignas(Runtime) unsigned char place[sizeof(Runtime)];
Runtime *runtime = nullptr; /* the memory is static: there is no allocation, and nothing to destroy at exit */

}  // namespace

bool {{ name }}_start({{ name }}_arena *arena) {
  Runtime *made = new (place) Runtime(arena);
  const bool ready = tflite::GetModel({{ name }}_data)->version() == TFLITE_SCHEMA_VERSION && made->add_operators() &&
                     made->interpreter.AllocateTensors() == kTfLiteOk;
  runtime = ready ? made : nullptr;
  return ready;
}

uint32_t {{ name }}_arena_used(void) {
  return runtime == nullptr ? 0 : static_cast<uint32_t>(runtime->interpreter.arena_used_bytes());
}

void {{ name }}_init({{ name }}_settings *settings) {
{% include "defaults.c" %}
}

int32_t {{ name }}_run(const {{ name }}_settings *settings, const {{ image.type }} image[{{ name | upper }}_IMAGE_SIZE], {{ name }}_outputs *outputs) {
  (void)settings;
  if (runtime == nullptr) return -1;
  tflite::MicroInterpreter &interpreter = runtime->interpreter;
  /* Inputs lie where later tensors do: they are set before every image. */
  std::memcpy(interpreter.input(0)->data.raw, image, {{ image.bytes }});
{% for port in settings %}
  std::memcpy(interpreter.input({{ loop.index }})->data.raw, settings->{{ port.name }}, {{ port.bytes }});
{% endfor %}
  if (interpreter.Invoke() != kTfLiteOk) return -1;
{% for port in outputs %}
  std::memcpy(outputs->{{ port.name }}, interpreter.output({{ loop.index0 }})->data.raw, {{ port.bytes }});
{% endfor %}
{% include "found.c" %}
}
