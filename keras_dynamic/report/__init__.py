"""What was measured, said plainly: records, pages, pictures and the report of the main job. Needs no TensorFlow."""

from keras_dynamic.report import analysis, frontier, records
from keras_dynamic.report.analysis_section import analysis_section
from keras_dynamic.report.html import write_report
from keras_dynamic.report.records import Record
from keras_dynamic.report.schema import PerImage
from keras_dynamic.report.sections import Cell, Folded, Picture, Section, Table, Text
from keras_dynamic.report.system_sections import default_sections
from keras_dynamic.report.table import short_table
from keras_dynamic.report.verdicts import Verdict, judge

__all__ = [
    "Cell",
    "Folded",
    "PerImage",
    "Picture",
    "Record",
    "Section",
    "Table",
    "Text",
    "Verdict",
    "analysis",
    "analysis_section",
    "default_sections",
    "frontier",
    "judge",
    "records",
    "short_table",
    "write_report",
]
