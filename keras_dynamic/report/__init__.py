"""Reports of measured networks: tables, pictures and one HTML page; all but create_report needs no TensorFlow."""

from keras_dynamic.report import analysis, frontier
from keras_dynamic.report.frontier import Verdict, judge
from keras_dynamic.report.html import write_report
from keras_dynamic.report.measure import create_report
from keras_dynamic.report.schema import PerImage
from keras_dynamic.report.sections import Cell, Picture, Section, Table, Text
from keras_dynamic.report.system_sections import default_sections, short_table

__all__ = [
    "Cell",
    "PerImage",
    "Picture",
    "Section",
    "Table",
    "Text",
    "Verdict",
    "analysis",
    "create_report",
    "default_sections",
    "frontier",
    "judge",
    "short_table",
    "write_report",
]
