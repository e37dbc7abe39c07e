"""C of a .tflite, without an interpreter."""

from keras_dynamic.lite.c_source.write import CSource, to_c

__all__ = ["CSource", "to_c"]
