"""Batched inference that computes each part of a network only for the images that need it."""

from keras_dynamic.serving.compact import compact
from keras_dynamic.serving.serve import Served, serve, static_network, stopping_places

__all__ = ["Served", "compact", "serve", "static_network", "stopping_places"]
