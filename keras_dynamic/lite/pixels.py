"""Between pixels and a model's own numbers: what goes into and comes out of an interpreter."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Port:
    """One input or output of a model.

    Attributes:
        name: its name in the signature.
        shape: its shape, batch first.
        dtype: its element type.
        scale: what one step of an integer is worth; 0 if the values aren't quantised.
        zero_point: the integer that stands for 0.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    scale: float = 0.0
    zero_point: int = 0


def encode_image(image, port: Port) -> np.ndarray:
    """Returns an image as an input takes it.

    Args:
        image: uint8 or float, [height, width, channels] or [1, height, width, channels], pixel values 0 to 255.
        port: the input.

    Returns:
        array of the input's shape and type.

    Raises:
        ValueError: if the image's shape, type or range is another.
    """
    pixels = np.asarray(image)
    if pixels.shape not in (port.shape, port.shape[1:]):
        raise ValueError(
            f"Input {port.name!r} takes an image of shape {list(port.shape[1:])} or {list(port.shape)}, "
            f"got {list(pixels.shape)}; resize it, or pass one image at a time."
        )
    if pixels.dtype != np.uint8 and pixels.dtype.kind != "f":
        raise ValueError(f"Images must be uint8 or float with values 0 to 255, got {pixels.dtype}; convert them.")
    if pixels.dtype.kind == "f" and not (pixels.min() >= 0 and pixels.max() <= 255):
        raise ValueError(
            f"Pixel values must lie in 0 to 255, got {pixels.min():g} to {pixels.max():g}; "
            "normalisation is part of the model, pass the image as it is."
        )
    return encode(pixels.reshape(port.shape), port)


def encode(values, port: Port) -> np.ndarray:
    """Returns values as an input takes them, quantised if it is.

    Args:
        values: numbers, of the input's shape; those of the input's own type go in as they are.
        port: the input.

    Returns:
        array of the input's shape and type.

    Raises:
        ValueError: if the shape is another.
    """
    values = np.asarray(values)
    if values.shape != port.shape:
        raise ValueError(f"Input {port.name!r} takes shape {list(port.shape)}, got {list(values.shape)}; reshape it.")
    if not port.scale or values.dtype == port.dtype:
        return values.astype(port.dtype)
    limits = np.iinfo(port.dtype)
    steps = np.round(values.astype(np.float32) / np.float32(port.scale)) + port.zero_point
    return np.clip(steps, limits.min, limits.max).astype(port.dtype)


def decode(values: np.ndarray, port: Port) -> np.ndarray:
    """Returns an output's values as numbers: float32 if it is quantised, else as they are.

    Args:
        values: array of the output's shape and type.
        port: the output.
    """
    if not port.scale:
        return values
    return (values.astype(np.float32) - np.float32(port.zero_point)) * np.float32(port.scale)
