"""From a .tflite with selects to one that really skips, checked, and run on LiteRT and TensorFlow Lite Micro."""

from keras_dynamic.layers.normalize_pixels import normalizes_pixels
from keras_dynamic.lite.adopt import adopt
from keras_dynamic.lite.arena import TensorArena, plan_arena, tensor_arena
from keras_dynamic.lite.c_source import CSource, Firmware, firmware, to_c
from keras_dynamic.lite.convert import simplify
from keras_dynamic.lite.export import export
from keras_dynamic.lite.float_io import float_io
from keras_dynamic.lite.interpreter import BACKENDS, KERNELS, Interpreter, Port, encode_image
from keras_dynamic.lite.metadata import (
    read_labels,
    read_metadata,
    read_normalization,
    write_metadata,
    write_signature,
)
from keras_dynamic.lite.micro import MicroInterpreter
from keras_dynamic.lite.onnx import to_onnx
from keras_dynamic.lite.outline import outline
from keras_dynamic.lite.part_costs import part_energy, part_times, read_part_times, write_parts
from keras_dynamic.lite.pooled_means import pool_means
from keras_dynamic.lite.stages import Stages, Stopped, join_stages, stages
from keras_dynamic.lite.thresholds import thresholds_for
from keras_dynamic.lite.to_keras import to_keras
from keras_dynamic.lite.variants import driven, unit_parts, with_outputs
from keras_dynamic.lite.verify import ListedOperator, Verified, count_macs, list_operators, operator_table, verify

__all__ = [
    "BACKENDS",
    "KERNELS",
    "CSource",
    "Firmware",
    "Interpreter",
    "ListedOperator",
    "MicroInterpreter",
    "Port",
    "Stages",
    "Stopped",
    "TensorArena",
    "Verified",
    "adopt",
    "count_macs",
    "driven",
    "encode_image",
    "export",
    "firmware",
    "float_io",
    "join_stages",
    "list_operators",
    "normalizes_pixels",
    "operator_table",
    "outline",
    "part_energy",
    "part_times",
    "plan_arena",
    "pool_means",
    "read_labels",
    "read_metadata",
    "read_normalization",
    "read_part_times",
    "simplify",
    "stages",
    "tensor_arena",
    "thresholds_for",
    "to_c",
    "to_keras",
    "to_onnx",
    "unit_parts",
    "verify",
    "with_outputs",
    "write_metadata",
    "write_parts",
    "write_signature",
]
