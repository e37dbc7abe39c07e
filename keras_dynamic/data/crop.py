"""ImageNet's crops of photographs of any size, as TensorFlow ops for a tf.data pipeline."""

from typing import Any

# What is cut off after the resize for judging: 224 of 256 pixels.
RESIZED_OVER_CROP = 256 / 224

_AREA, _ASPECT, _ATTEMPTS = (0.08, 1.0), (3 / 4, 4 / 3), 100


def random_resized_crop(image: Any, size: int, seed: Any) -> Any:
    """Cuts a random window out of an image, resizes it and mirrors it every second time: for training.

    The window has 8 to 100 % of the image's area and an aspect ratio of 3/4 to 4/3.

    Args:
        image: uint8 tensor [height, width, 3].
        size: side of the result in pixels.
        seed: int tensor [2]; the same seed gives the same window.

    Returns:
        uint8 tensor [size, size, 3].

    Source:
        Szegedy et al., Going Deeper with Convolutions (arXiv 1409.4842), section 6; Herrmann et al., section 4.1.
    """
    import tensorflow as tf

    window, mirror = tf.unstack(tf.random.experimental.stateless_split(seed, 2))
    start, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
        tf.shape(image),
        tf.constant([[[0.0, 0.0, 1.0, 1.0]]]),
        seed=window,
        min_object_covered=0.0,
        aspect_ratio_range=_ASPECT,
        area_range=_AREA,
        max_attempts=_ATTEMPTS,
        use_image_if_no_bounding_boxes=True,
    )
    resized = _resize(tf.slice(image, start, extent), size, size)
    return tf.ensure_shape(tf.image.stateless_random_flip_left_right(resized, mirror), (size, size, 3))


def centre_crop(image: Any, size: int) -> Any:
    """Resizes an image's shorter side to 256/224 of the size and cuts out the middle: for judging.

    The paper's text has images "rescaled to 256x256", which would squeeze them; the usual validation, which it refers
    to, is of the shorter side.

    Args:
        image: uint8 tensor [height, width, 3].
        size: side of the result in pixels.

    Returns:
        uint8 tensor [size, size, 3].

    Source: Herrmann et al., section 4.1.
    """
    import tensorflow as tf

    height, width = tf.shape(image)[0], tf.shape(image)[1]
    shorter = round(size * RESIZED_OVER_CROP)
    scale = shorter / tf.minimum(height, width)
    taller, wider = (tf.cast(tf.round(scale * tf.cast(side, scale.dtype)), tf.int32) for side in (height, width))
    resized = _resize(image, taller, wider)
    top, left = (taller - size) // 2, (wider - size) // 2
    return tf.ensure_shape(resized[top : top + size, left : left + size], (size, size, 3))


def _resize(image: Any, height: Any, width: Any) -> Any:
    """Resizes bilinearly, in whole pixel values."""
    import tensorflow as tf

    resized = tf.image.resize(image, (height, width), "bilinear")
    return tf.cast(tf.clip_by_value(tf.round(resized), 0.0, 255.0), tf.uint8)
