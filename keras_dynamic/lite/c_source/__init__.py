"""Programs in C of a .tflite: without an interpreter, and for TensorFlow Lite Micro's."""

from keras_dynamic.lite.c_source.firmware import Firmware, firmware
from keras_dynamic.lite.c_source.write import CSource, to_c

__all__ = ["CSource", "Firmware", "firmware", "to_c"]
