"""Exports a dynamic model to a .tflite in which what is skipped is not computed."""

import warnings
from typing import Any

import keras
import numpy as np

from keras_dynamic.cost import Guard, Node, Row, costs_of_stops, greatest_common_unit, most, parts
from keras_dynamic.data import as_arrays
from keras_dynamic.deciders import Confidence
from keras_dynamic.keras_hooks import all_layers
from keras_dynamic.layers import Decider, DynamicModel
from keras_dynamic.layers.constant_variables import constant_variables
from keras_dynamic.layers.dynamic_model import as_dynamic
from keras_dynamic.layers.normalize_pixels import rescales_pixels, takes_pixels, warn_of_fractions
from keras_dynamic.lite import flatbuffer
from keras_dynamic.lite.branching import FOLD, BranchingExecutor, Limit, lower_groups, note
from keras_dynamic.lite.budget import BUDGET, UNLIMITED
from keras_dynamic.lite.comparisons import (
    budget_table,
    confidence_names,
    confidences,
    macs_of_stops,
    refit_thresholds,
    take_thresholds,
)
from keras_dynamic.lite.convert import check_byte_range, check_calibration, convert, drop_rectifiers, trace
from keras_dynamic.lite.metadata import cost_table, set_metadata, set_signature
from keras_dynamic.lite.outline import selects_to_ifs
from keras_dynamic.lite.standard_metadata import byte_range, check_labels, check_normalization, set_standard_metadata
from keras_dynamic.lite.thresholds import written
from keras_dynamic.lite.verify import check
from keras_dynamic.messages import check_number, did_you_mean

OUTPUTS = ("logits", "exits", "decisions", "macs")
QUANTIZE = (None, "float16", "dynamic", "int8")
THRESHOLDS = ("baked", "input")
INPUT_TYPES = (None, "uint8")


def export(
    model,
    quantize=None,
    calibration=None,
    outputs=("logits",),
    fold="auto",
    thresholds="baked",
    input_type=None,
    labels=None,
    normalization=None,
    budget=None,
) -> bytes:
    """Converts a dynamic model for batch 1, its decisions as IFs, and verifies the result.

    The signature 'serving_default' takes `image`, [1, ...], numbers in the range of the training data (int8 models:
    quantised), and returns `logits`, [1, classes]; on request `decisions`, int32 [1, decisions] in the order of the
    metadata, and `macs`, int32 [1], in units of the metadata's macs_unit. Of a network that stops at none of its exits,
    `exits` returns the logits of each, [1, classes], under its name.

    In int8 the thresholds of a Confidence decider are fitted again, so that on the calibration images each network runs
    as often as it does in float32: pass held-out images, some hundreds.

    With thresholds='input' the signature has a second input, `thresholds`, [k], one for each of the metadata's
    threshold_names: an image goes on while its confidence is under its threshold. It has the confidences' type, in int8
    also their scale and zero point (1/256 and -128 for the largest probability), so that thresholds count in steps of
    1/256, and an image whose confidence is 255/256, the largest there is, stops at any threshold. Those that would have
    been baked in are the metadata's `thresholds`, null for infinity. With calibration images a model whose only
    decisions are these also has the table `budgets`, see thresholds_for, in either precision.

    With budget='input' it has another input, `budget`, int32 [1], in units of the metadata's budget["unit"] MACs, which
    no image exceeds: after an exit an image goes on if what it has spent, units and groups that it skipped not counted,
    and the most that it can still spend until it may stop again, is within the budget. An image always runs to the
    first exit, which costs up to budget["least"] MACs: under a smaller budget its `macs` may be over.

    Args:
        model: built DynamicModel; or a functional or sequential Keras model, see models.from_functional.
        quantize: None for float32; 'int8' for integers throughout; 'float16' for float32 with weights of half the size;
            'dynamic' for float32 with int8 weights, a quarter of the size, for CPUs. Decisions are float's but in int8.
        calibration: images or other inputs, [n, ...], or a tf.data.Dataset or PyDataset of batches: for int8, whose
            input holds the range of these, and for the table of budgets; real ones, held out.
        outputs: which of 'logits', 'exits', 'decisions' and 'macs' the model returns, one name or several; logits
            always come first.
        fold: 'auto' computes channel groups together, under masks, where IFs would make the file slower (see
            branching.lower_groups); answers and decisions are the same, the MACs always count, and a warning and the
            metadata's `notes` name these units. 'never' makes IFs of all groups.
        thresholds: 'baked' leaves a Confidence decider's thresholds as they are, 'input' makes them an input.
        input_type: 'uint8' lets an int8 model take pixel values 0 to 255 as bytes, which it rescales itself; None for
            the model's own type.
        labels: names of the classes, in their order; two for one logit. The file carries them as labels.txt, which
            Android's tools read; read_labels returns them.
        normalization: (mean, std) if the model was trained on images (pixel - mean) / std, numbers or one for each
            channel, for the file's metadata and for input_type='uint8'; None for (0, 1) where the model normalises
            pixel values itself, by NormalizePixels or a Rescaling such as 1 / 255 in its stem, else for not known. The
            file does not compute it.
        budget: None for none; 'input', or a number of MACs that is part of the file, for models that decide exits.

    Returns:
        The .tflite's bytes.

    Raises:
        ValueError: if Keras runs on another backend than TensorFlow, the model is not built or not in float32, draws
            random numbers or runs a loop, int8 comes without calibration images or with ones of another shape or range
            (with input_type='uint8' they must fill a tenth or more of what bytes stand for, and not leave it),
            an argument is unknown, there are more or fewer labels than classes, bytes are wanted of a model in float or
            one whose normalisation is not known, exits are wanted of a model that stops at them, a decision is not one
            bool per image, thresholds are to be an input but nothing compares confidences, or their scales differ in
            int8, a budget is wanted of a model that stops at no exit, or is below what the first exit may cost, or the
            model has an operation that TFLite's builtins lack.
    """
    outputs = (outputs,) if isinstance(outputs, str) else outputs
    model = as_dynamic(model, copy=False)
    _check_arguments(model, quantize, outputs, fold, thresholds, input_type)
    budget = None if budget is None else _checked_budget(model, budget, thresholds)
    labels = check_labels(labels, model.classes)
    normalization = (0, 1) if normalization is None and rescales_pixels(model) else normalization
    normalization = check_normalization(normalization, model.image_shape[-1], takes_pixels(model), input_type)
    as_input, in_int8 = thresholds == "input", quantize == "int8"
    shape = (1, *model.image_shape[1:])
    uses_images = in_int8 or (as_input and calibration is not None)
    if uses_images:
        wanted_for = "int8" if in_int8 else "the table of budgets of thresholds='input'"
        calibration, _ = as_arrays(calibration)
        calibration = check_calibration(calibration, shape[1:], wanted_for, takes_pixels(model))
        warn_of_fractions(model, calibration)
    bytes_are = None if input_type is None else byte_range(normalization)
    if bytes_are is not None:
        check_byte_range(bytes_are, calibration)
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"export needs Keras on TensorFlow, got the backend {keras.backend.backend()!r}; save the model, and load "
            "and export it in a process with KERAS_BACKEND=tensorflow."
        )
    names = ["logits", *(name for name in OUTPUTS[1:] if name in outputs)]
    graph = _Graph(model, names, lower_groups(model, "int8" if in_int8 else None, fold))
    with constant_variables(_constants(model, as_input), limited=budget is not None):
        graph.tree = model.cost_tree  # made before tracing
        further = [] if budget is None else graph.limited(shape, budget)
        traced = trace(graph, shape, further)
    if graph.problems:
        raise ValueError(graph.problems[0])
    parsed = convert(traced, quantize, calibration, bytes_are)
    metadata, inputs, seen = graph.metadata(quantize), ["image", *(each.name for each in further)], None
    own = [name for name in model.decider.confidence_names if graph.compares(name)]
    wanted = [name for name in confidence_names(model) if graph.compares(name)] if in_int8 else own
    if wanted and uses_images:
        seen = confidences(parsed, wanted, graph.listed, calibration)
    if wanted and in_int8:
        refit_thresholds(parsed, model, calibration, graph.listed, wanted, seen)
    if as_input:
        port, values = take_thresholds(parsed, own, graph.listed)
        inputs.append(port.name)
        metadata |= _threshold_notes(model.decider, port, values, seen, metadata)
    selects_to_ifs(parsed)
    drop_rectifiers(parsed)
    set_signature(parsed, inputs, graph.given(names))
    set_metadata(parsed, {**metadata, "normalization": normalization})
    set_standard_metadata(parsed, model.name, normalization, labels)
    check(parsed)
    for sentence in graph.notes:
        warnings.warn(sentence, stacklevel=2)
    return flatbuffer.pack(parsed)


def _check_arguments(model, quantize, outputs, fold, thresholds, input_type) -> None:
    """Raises a ValueError for what cannot be exported, before any work is done."""
    if not isinstance(model, DynamicModel):
        raise ValueError(
            f"export takes a DynamicModel, got {type(model).__name__}; wrap the network in Chain and DynamicModel."
        )
    if not model.chain.built:
        raise ValueError(
            f"model {model.name!r} is not built, so its shapes are unknown; call it on a batch of images first."
        )
    for name, value, allowed in (
        ("quantize", quantize, QUANTIZE),
        ("fold", fold, FOLD),
        ("thresholds", thresholds, THRESHOLDS),
        ("input_type", input_type, INPUT_TYPES),
    ):
        if value not in allowed:
            guess = did_you_mean(value, [each for each in allowed if each])
            raise ValueError(f"{name} must be one of {allowed}, got {value!r}{guess}.")
    unknown = [name for name in outputs if name not in OUTPUTS]
    if unknown:
        raise ValueError(f"outputs must be among {OUTPUTS}, got {unknown[0]!r}{did_you_mean(unknown[0], OUTPUTS)}.")
    stopping = [name for name in model.chain.exit_names if name in model.decision_names]
    if "exits" in outputs and stopping:
        raise ValueError(
            f"the output 'exits' is for networks that run to their end, but {model.name!r} stops at {stopping}; export "
            "DynamicModel(model.chain) for the answers of all exits."
        )
    if input_type == "uint8" and quantize != "int8":
        raise ValueError(f"input_type='uint8' is for quantize='int8', got quantize={quantize!r}; leave input_type out.")
    if thresholds == "input" and not model.decider.confidence_names:
        raise ValueError(
            f"thresholds='input' needs a decider that compares confidences, got {type(model.decider).__name__}; use "
            "deciders.Confidence or models.cascade, or leave thresholds='baked'."
        )


def _checked_budget(model, budget, thresholds):
    """Returns 'input' or a number of MACs, or raises a ValueError if it is neither, or the model stops at no exit."""
    if not isinstance(budget, str) or budget != "input":
        budget = check_number("budget, unless it is 'input',", budget, positive=True)
        if thresholds == "input":
            raise ValueError("a model takes thresholds as an input with budget='input' or None, got a number of MACs.")
    if not set(model.chain.exit_names) & set(model.decider.names):
        raise ValueError(
            f"a budget stops images at exits, but {model.name!r} decides {list(model.decision_names) or 'nothing'}; "
            "give a network with exits and a decider such as deciders.Confidence(); for a cascade fit_thresholds has a "
            "deadline."
        )
    return budget


def _constants(model, as_input):
    """Returns the variables of all deciders, also in networks inside units, except thresholds that become an input."""
    found = [layer for layer in all_layers(model) if isinstance(layer, Decider)]
    kept = [layer for layer in all_layers(model.decider) if isinstance(layer, Confidence)] if as_input else []
    given = {id(layer.thresholds) for layer in kept}
    return [each for layer in found for each in layer.non_trainable_variables if id(each) not in given]


class _Graph:
    """The function that is traced; its attributes describe the file once it has been."""

    def __init__(self, model, names, groups):
        self.model, self.names, self.groups = model, names, groups
        self.tree: Node = model.cost_tree  # under constant thresholds, once they are known
        self.listing: Node = model.cost_tree  # with guards that constant thresholds would settle
        self.costs: dict[str, tuple[Row, ...]] = {}  # of Limit, in the budget's units
        self.budget: dict[str, Any] | None = None  # of the metadata
        self.listed: list[str] = []
        self.conditions: dict[str, Any] = {}
        self.units: list[str] = []
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.computed: set[str] = set()
        self.settled: set[str] = set()
        self.decisions = model.decision_names
        self.node: Node  # of what the file holds, once it is traced
        self.whole: Node  # with guards on all that is listed, likewise

    def limited(self, shape, budget) -> list:
        """Prepares for a budget, and returns the specs of further inputs.

        What an image may still spend depends on what is constant or computed anyway, so that all is traced once before.
        """
        import tensorflow as tf

        tf.function(self).get_concrete_function(tf.TensorSpec(shape, tf.float32))
        exits = [name for name in self.model.chain.exit_names if name in self.model.decider.names]
        known = {name: run for name, run in self._known().items() if run is False or name not in exits}
        node = _frozen(self.tree, known, "exits" in self.names)
        exits = [name for name in exits if known.get(name) is not False]
        unit = greatest_common_unit(node)
        first, *costs = (
            tuple(row._replace(macs=row.macs // unit) for row in rows) for rows in costs_of_stops(node, exits)
        )
        self.costs, least = dict(zip(exits, costs, strict=True)), most(first, {}) * unit
        baked = None if budget == "input" else budget
        if baked is not None and baked < least:
            raise ValueError(
                f"a budget must be at least {least:,} MACs, what an image may cost that stops at the first exit, got "
                f"{baked:,.0f}; raise it, or put an exit earlier."
            )
        self.budget = {"unit": unit, "least": least, "macs": baked}
        return [] if baked is not None else [tf.TensorSpec((1,), tf.int32, name=BUDGET)]

    def __call__(self, image, budget=None):
        """Returns those of logits, exits, decisions and macs that are wanted."""
        import tensorflow as tf

        limit = None
        if self.budget is not None:
            baked = self.budget["macs"]
            limit = Limit(budget if baked is None else int(min(UNLIMITED, baked // self.budget["unit"])), self.costs)
        executor = BranchingExecutor(self.decisions, self.groups, limit)
        outcome = self.model.outcome(image, training=False, executor=executor)
        self.conditions, self.listed = executor.conditions, executor.listed
        if any(self.conditions[name] is False for name in self.listed):
            unreached = [name for name in self.decisions if name not in self.conditions]
            self.listed += unreached
            executor.bits.update((name, tf.zeros((1,), tf.int32)) for name in unreached)
        self.units, self.problems = executor.units, executor.problems
        decider = self.model.decider
        self.settled = {name for name in decider.names if decider.constant(name) is not None}
        self.notes = [note(unit, self.groups[unit], names) for unit, names in executor.masked.items()]
        self.computed = {name for names in executor.masked.values() for name in names}
        known = self._known()
        self.node = _frozen(self.tree, known, "exits" in self.names)
        unlisted = {name: run for name, run in known.items() if name not in self.listed or name in self.computed}
        self.whole = _frozen(self.listing, unlisted, "exits" in self.names)
        results = {"logits": outcome.logits, **outcome.exits}
        if self.listed:
            results["decisions"] = tf.stack([executor.bits[name] for name in self.listed], axis=1)
            results["macs"] = self._macs(executor.bits)
        return [results[name] for name in self.given(self.names)]

    def _known(self) -> dict[str, Any]:
        """Returns {decision name: its condition}, True for those of groups that are computed all the same."""
        return {**self.conditions, **dict.fromkeys(self.computed, True)}

    def changes(self, name) -> bool:
        """Returns whether a decision depends on the image and is not always the same as an earlier one."""
        return not isinstance(self.conditions.get(name, False), (bool, str))

    def compares(self, name) -> bool:
        """Returns whether a decision on confidence does: one whose threshold settles it may still obey a budget."""
        return self.changes(name) and name not in self.settled

    def given(self, names):
        """Returns the file's outputs for these names; a static model has no decisions."""
        can = {"logits": ["logits"], "exits": self.model.chain.exit_names}
        decided = ["decisions", "macs"] if self.listed else []
        return [output for name in names for output in can.get(name, [name] if name in decided else [])]

    def _macs(self, bits):
        import tensorflow as tf

        unit = greatest_common_unit(self.node)
        total = 0
        for macs, guards in parts(self.node):
            term: Any = np.int32(macs // unit)
            for guard in guards:
                product = term * bits[guard.decision]
                term = product if guard.on else term + np.int32(-1) * product  # TFLM has no SUB of int32
            total = total + term
        return tf.reshape(total, (1,))  # a number, if all gates are folded away

    def metadata(self, quantize):
        """Returns the file's metadata."""
        conditions = {name: self.conditions.get(name, False) for name in self.listed}
        limit = {} if self.budget is None else {BUDGET: self.budget}
        return {
            **limit,
            "version": 1,
            "decisions": self.listed,
            "constant": {name: run for name, run in conditions.items() if isinstance(run, bool)},
            "exits": [name for name in self.listed if name in self.model.chain.exit_names],
            "units": self.units,
            "cost": cost_table(self.node),
            "parts": _parts_of(self.whole, [*self.model.chain.own_names, "head"]),
            "names": [part.name for part in self.whole.children if not part.decides],
            "macs_unit": greatest_common_unit(self.node),
            "notes": self.notes,
            "quantize": quantize,
            "pixels": takes_pixels(self.model),
            "task": self.model.task,
        }


def _threshold_notes(decider, port, values, seen, metadata):
    """Returns the metadata of thresholds that are an input; the table only if nothing else is decided.

    seen: confidences on calibration images, None if there are none.
    """
    names = decider.confidence_names
    notes = {
        "threshold_names": list(names),
        "measures": [decider.confidence_of(name) for name in names],
        "thresholds": written(values),
    }
    if seen is not None and metadata["decisions"] == list(names):
        notes["budgets"] = budget_table(seen, macs_of_stops(metadata["cost"], names), port)
    return notes


def _parts_of(node, names):
    """Returns {name: cost table} of the parts that depend on a decision."""
    found = {child.name: cost_table(child) for child in node.children if child.name in names and any(child.guards())}
    return {name: [row for row in own if row["macs"]] for name, own in found.items()}


def _frozen(node, conditions, exits=False):
    """Returns the cost tree without constant guards, parts that never run and, unless wanted, unread exits."""
    when: Guard | None = node.when
    frozen = conditions.get(when.decision) if when is not None else None
    if when is not None and isinstance(frozen, bool):
        if frozen is not when.on:
            return Node(node.name)
        when = None
    elif when is not None and isinstance(frozen, str):
        when = when._replace(decision=frozen)
    children = tuple(_frozen(child, conditions, exits) for child in node.children if exits or not child.exit)
    return node._replace(when=when, children=children)
