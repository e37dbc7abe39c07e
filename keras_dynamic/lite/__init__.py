"""From a .tflite with selects to one that really skips, checked, and run on LiteRT and TensorFlow Lite Micro."""

from keras_dynamic.lite.export import export
from keras_dynamic.lite.interpreter import BACKENDS, Interpreter
from keras_dynamic.lite.macs import count_macs
from keras_dynamic.lite.metadata import read_metadata, write_metadata
from keras_dynamic.lite.micro import MicroInterpreter
from keras_dynamic.lite.ops_list import ListedOperator, list_operators, operator_table
from keras_dynamic.lite.outline import outline
from keras_dynamic.lite.passes import simplify
from keras_dynamic.lite.pixels import Port
from keras_dynamic.lite.signature import write_signature
from keras_dynamic.lite.stages import Stages, Stopped, stages
from keras_dynamic.lite.thresholds import thresholds_for
from keras_dynamic.lite.variants import driven, unit_parts, with_outputs
from keras_dynamic.lite.verify import Verified, verify

__all__ = [
    "BACKENDS",
    "Interpreter",
    "ListedOperator",
    "MicroInterpreter",
    "Port",
    "Stages",
    "Stopped",
    "Verified",
    "count_macs",
    "driven",
    "export",
    "list_operators",
    "operator_table",
    "outline",
    "read_metadata",
    "simplify",
    "stages",
    "thresholds_for",
    "unit_parts",
    "verify",
    "with_outputs",
    "write_metadata",
    "write_signature",
]
