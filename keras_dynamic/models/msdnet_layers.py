"""What multi-scale dense networks are made of: layers on a dictionary of feature maps, 'scale1' the finest."""

import keras
from keras import layers, ops

from keras_dynamic.cost import Node, output_spec, register, tree
from keras_dynamic.layers import LeafPart
from keras_dynamic.models.residual_blocks import convolution, normalize_pixels


def scale_name(scale) -> str:
    """Returns the key of a scale's feature maps, 'scale1' for scale 1."""
    return f"scale{scale}"


def activated(filters, kernel, stride=1) -> list:
    """Returns convolution, batch norm and ReLU.

    Args:
        filters: channels of the output.
        kernel: side of the kernel in pixels, odd.
        stride: step in both directions; a strided convolution pads symmetrically.
    """
    return [*convolution(filters, kernel, stride), layers.ReLU()]


@keras.saving.register_keras_serializable("keras_dynamic")
class MultiScaleStem(keras.layers.Layer):
    """The first layer of a multi-scale dense network: each scale is made of the finer one, at half its size.

    Args:
        filters: channels of each scale, the finest first.
        image_size: 32 (the finest scale has the image's size) or 224 (7x7 convolution with stride 2 and 3x3 maximum
            with stride 2 before it).
        finest: number of the finest scale that is handed on.
        **kwargs: of keras.layers.Layer.

    Source: MSDNet, section 4, "first layer".
    """

    def __init__(self, filters, image_size=32, finest=1, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.image_size, self.finest = tuple(filters), image_size, finest
        first, *others = self.filters
        if image_size == 32:
            start = activated(first, 3)
        else:  # zeros are no larger than what ReLU gives
            start = [*activated(first, 7, 2), layers.ZeroPadding2D(1), layers.MaxPooling2D(3, 2)]
        stages = [[normalize_pixels(), *start], *(activated(count, 3, 2) for count in others)]
        self.stages = [keras.Sequential(stage, name=scale_name(scale)) for scale, stage in enumerate(stages, 1)]

    def call(self, image, training=None):
        """Returns {scale name: [batch, height, width, channels]} of the scales that are handed on."""
        return self._through(image, lambda stage, x: stage(x, training=training))

    def compute_output_spec(self, image, training=None):
        """Returns the specs of what call returns."""
        return self._through(image, output_spec)

    def _through(self, x, run):
        made = {}
        for scale, stage in enumerate(self.stages, 1):
            made[scale_name(scale)] = x = run(stage, x)
        return {scale_name(scale): made[scale_name(scale)] for scale in range(self.finest, len(self.stages) + 1)}

    def build(self, image_shape):
        """Builds the stages, each for what the one before it gives."""
        x = keras.KerasTensor(image_shape)
        for stage in self.stages:
            stage.build(x.shape)
            x = output_spec(stage, x)

    def get_config(self):
        """Returns the arguments."""
        own = {"filters": self.filters, "image_size": self.image_size, "finest": self.finest}
        return {**super().get_config(), **own}


class _AcrossScales(keras.layers.Layer):
    """Blocks from a scale to itself or to the next one.

    Args:
        filters: numbers for the scales that are handed on, the finest of them first; what is finer ends here.
        finest: number of the finest scale that is handed on.
        **kwargs: of keras.layers.Layer.
    """

    def __init__(self, filters, finest=1, **kwargs):
        super().__init__(**kwargs)
        self.filters, self.finest = tuple(filters), finest
        self.blocks = {}

    def sources(self, scale, x):
        """Returns the numbers of the scales in x of which a scale is made."""
        raise NotImplementedError

    def block(self, source, scale, channels, parts):
        """Returns the layers from one scale of so many channels to another, one of so many parts of it."""
        raise NotImplementedError

    def channels(self, had, filters):
        """Returns the channels of a scale that had so many."""
        raise NotImplementedError

    def joined(self, x, made):
        """Returns a scale's output for its input and what its blocks made."""
        raise NotImplementedError

    def build(self, x_shape):
        """Makes and builds the blocks."""
        for scale in self._scales():
            sources = self.sources(scale, x_shape)
            for source in sources:
                shape = x_shape[scale_name(source)]
                name = _block_name(source, scale)
                self.blocks[name] = keras.Sequential(self.block(source, scale, shape[-1], len(sources)), name=name)
                self.blocks[name].build(shape)

    def call(self, x, training=None):
        """Returns {scale name: [batch, height, width, channels]} of the scales that are handed on."""
        y = {}
        for scale in self._scales():
            sources = self.sources(scale, x)
            made = [self.blocks[_block_name(s, scale)](x[scale_name(s)], training=training) for s in sources]
            y[scale_name(scale)] = self.joined(x[scale_name(scale)], made)
        return y

    def compute_output_spec(self, x, training=None):
        """Returns the specs of what call returns."""
        y = {}
        for scale in self._scales():
            shape = x[scale_name(scale)].shape
            channels = self.channels(shape[-1], self.filters[scale - self.finest])
            y[scale_name(scale)] = keras.KerasTensor((*shape[:-1], channels), dtype=self.compute_dtype)
        return y

    def leaf_parts(self, x) -> dict[str, LeafPart]:
        """Returns what each scale costs and of which it is made, for an input of these specs."""
        found = {}
        for scale in self._scales():
            sources = self.sources(scale, x)
            blocks = [tree(self.blocks[_block_name(source, scale)], x[scale_name(source)]) for source in sources]
            name, read = scale_name(scale), tuple(map(scale_name, sources))
            found[name] = LeafPart(Node(name, children=tuple(blocks)), read)
        return found

    def get_config(self):
        """Returns the arguments."""
        return {**super().get_config(), "filters": self.filters, "finest": self.finest}

    def _scales(self):
        return range(self.finest, self.finest + len(self.filters))


@keras.saving.register_keras_serializable("keras_dynamic")
class MultiScaleDense(_AcrossScales):
    """A layer of a multi-scale dense network: each scale gets new channels beside those it has.

    Half of them come from the scale itself, by a 3x3 convolution, half from the next finer one, by a strided one; all
    from the scale itself where there is no finer one. A 1x1 convolution may stand before each.

    Args:
        filters: channels that each scale gets; even where half of them come from a finer one.
        finest: number of the finest scale that is handed on.
        bottleneck: for each scale from scale 1 on, the largest width of 1x1 convolutions that read it, as a multiple of
            the filters behind them; None for no 1x1 convolutions.
        **kwargs: of keras.layers.Layer.

    Source: MSDNet, section 4 and Figure 2.
    """

    def __init__(self, filters, finest=1, bottleneck=None, **kwargs):
        super().__init__(filters, finest, **kwargs)
        self.bottleneck = None if bottleneck is None else tuple(bottleneck)

    def sources(self, scale, x):
        """Returns the next finer scale, if x has it, and the scale itself."""
        return [source for source in (scale - 1, scale) if scale_name(source) in x]

    def block(self, source, scale, channels, parts):
        """Returns 1x1 and 3x3 convolution, the latter with stride 2 from the finer scale."""
        filters = self.filters[scale - self.finest] // parts
        width = None if self.bottleneck is None else min(channels, self.bottleneck[source - 1] * filters)
        return [*(activated(width, 1) if width else ()), *activated(filters, 3, 1 if source == scale else 2)]

    def channels(self, had, filters):
        """Returns their sum."""
        return had + filters

    def joined(self, x, made):
        """Returns all along the channels."""
        return ops.concatenate([x, *made], axis=-1)

    def get_config(self):
        """Returns the arguments."""
        return {**super().get_config(), "bottleneck": self.bottleneck}


@keras.saving.register_keras_serializable("keras_dynamic")
class MultiScaleTransition(_AcrossScales):
    """A 1x1 convolution on each scale, to fewer channels.

    Args:
        filters: channels of each scale's output.
        finest: number of the finest scale.
        **kwargs: of keras.layers.Layer.

    Source: MSDNet, section 4, "network reduction".
    """

    def sources(self, scale, x):
        """Returns the scale itself."""
        return [scale]

    def block(self, source, scale, channels, parts):
        """Returns the 1x1 convolution."""
        return activated(self.filters[scale - self.finest], 1)

    def channels(self, had, filters):
        """Returns the filters."""
        return filters

    def joined(self, x, made):
        """Returns what the one block made."""
        return made[0]


def _block_name(source, scale):
    return f"{scale_name(source)}_to_{scale_name(scale)}"


@register(MultiScaleStem)
def _stem_cost(layer, inputs):
    children = []
    for stage in layer.stages:
        children.append(tree(stage, inputs))
        inputs = output_spec(stage, inputs)
    return Node(layer.name, children=tuple(children))


@register(MultiScaleDense, MultiScaleTransition)
def _cost(layer, inputs):
    return Node(layer.name, children=tuple(part.node for part in layer.leaf_parts(inputs).values()))
