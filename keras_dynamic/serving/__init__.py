"""Inference in batches that computes each part of a network only for the images that need it: functions, a service."""

from keras_dynamic.serving.answers import answers, export_saved_model
from keras_dynamic.serving.batcher import Batcher, Unavailable
from keras_dynamic.serving.compact import compact
from keras_dynamic.serving.score import score
from keras_dynamic.serving.serve import Served, serve, static_network, stopping_places
from keras_dynamic.serving.service import Service

__all__ = [
    "Batcher",
    "Served",
    "Service",
    "Unavailable",
    "answers",
    "compact",
    "export_saved_model",
    "score",
    "serve",
    "static_network",
    "stopping_places",
]
