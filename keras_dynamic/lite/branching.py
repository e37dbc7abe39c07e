"""Executes a network for batch 1 with one select per decision, which outline turns into an IF."""

import re
from dataclasses import dataclass, field
from typing import Any

import keras

from keras_dynamic.cost import Guard, Row, most, parts
from keras_dynamic.layers import masked
from keras_dynamic.layers.grouped_body import GroupedBody
from keras_dynamic.lite.convert import TIE_BREAKER_SLOPE
from keras_dynamic.ops import both, select

_SCOPE = re.compile(r"kd_decision_(\d+)")
_UNIT = re.compile(r"kd_unit_(\d+)")
_BRANCH = re.compile(r"decision_(\d+)_(then|else)(?:_\d+)?")


def decision_scope(index: int) -> str:
    """Returns the TensorFlow name scope under which the condition of a decision is computed."""
    return f"kd_decision_{index}"


def decision_of_tensor(name: str) -> int | None:
    """Returns the index of the decision in whose scope a tensor was made, None if in none."""
    return _scoped(_SCOPE, name, -1)


def _scoped(scope, name, place) -> int | None:
    """Returns the number of one of the scopes in the first part of a name that has any.

    The converter joins the names of fused operations with ';', the result's first; the others may be constants that
    it shares between decisions.
    """
    found = (scope.findall(part) for part in name.split(";"))
    return next((int(part[place]) for part in found if part), None)


def branch_name(index: int, side: str, ordinal: int = 1) -> str:
    """Returns the name of a branch subgraph: a decision's index, 'then' or 'else', and its IF's number, from 1."""
    return f"decision_{index}_{side}" + (f"_{ordinal}" if ordinal > 1 else "")


def decision_of_branch(name: str) -> int | None:
    """Returns the index of the decision whose branch a subgraph is, by its name; None if of none."""
    match = _BRANCH.fullmatch(name)
    return int(match.group(1)) if match else None


def unit_scope(index: int) -> str:
    """Returns the TensorFlow name scope under which a unit of the chain is traced."""
    return f"kd_unit_{index}"


def unit_of_tensor(name: str) -> int | None:
    """Returns the index of the unit in whose scope a tensor was made, None if in none."""
    return _scoped(_UNIT, name, 0)


FOLD = ("auto", "never")

# Measured on LiteRT with XNNPACK, one thread: units of two 3x3 convolutions with half of their groups on, against the
# whole unit. Groups of fewer filters, or of less work, save less than half of what their MACs
# promise: two sliced convolutions, an ADD and an IF stand in for part of two large ones.
LEAST_FILTERS = 16
LEAST_MACS = {None: 100_000, "int8": 500_000}


@dataclass(frozen=True)
class Lowered:
    """How a unit with decided channel groups is exported.

    Attributes:
        body: the unit's body.
        spec: of the unit's input.
        names: the decisions that its groups obey, one for each of unit.group_names.
        switched: those that become IFs; the others multiply channels, as in the masked execution.
        why: the reason against IFs for its groups; '' if there is none.
    """

    body: GroupedBody
    spec: Any
    names: tuple[str, ...]
    switched: tuple[str, ...]
    why: str
    _made: list = field(default_factory=list)  # a graph does not keep the variables alive that it reads

    def paths(self, constant):
        """Returns what GroupedBody.paths does, made outside of the graph that is being traced."""
        return self._outside(lambda: self.body.paths(self.spec, constant))

    def pruned_layers(self, runs):
        """Returns what GroupedBody.pruned_layers does, made likewise."""
        return self._outside(lambda: self.body.pruned_layers(self.spec, runs))

    def _outside(self, make):
        import tensorflow as tf

        with tf.Graph().as_default(), tf.__internal__.eager_context.eager_mode():  # the traced graph forbids variables
            made = make()
        self._made.extend(made)
        return made


def lower_groups(model, quantize=None, fold="auto", prefix="") -> dict[str, Lowered]:
    """Chooses, for each unit with decided channel groups, the decisions that become IFs.

    Groups pay if each has at least LEAST_FILTERS filters and LEAST_MACS MACs, connections if they have as many input
    channels too. Those that do not pay are folded, unless their decisions also switch groups of other units that do.
    Groups of input and output channels are always folded: there is no sum form for them.

    Arguments as of export; prefix is put before names, for a network inside a unit.

    Returns:
        {unit name: Lowered}; those of networks inside units as 'unit/unit'.
    """
    decided, reasons = {}, {}
    found: dict[str, Lowered] = {}
    for unit, spec in zip(model.chain.units, model.chain.input_specs, strict=True):
        _, *names = model.decider.decisions_of(unit)
        if any(name in model.decider.names for name in names):
            decided[unit.name] = (unit, spec, [prefix + name for name in names])
            reasons[unit.name] = _why_not(unit.body, spec, quantize) if fold == "auto" else ""
        if getattr(unit, "nested", False):
            found |= lower_groups(unit.network, quantize, fold, f"{prefix}{unit.name}/")
    paying = {
        name for unit, _, names in decided.values() if not reasons[unit.name] for name in unit.body.split(names)[1]
    }
    for unit, spec, names in decided.values():
        groups = unit.body.split(names)[1]
        switched = groups if paying & set(groups) else []
        why = "" if switched else reasons[unit.name]
        found[prefix + unit.name] = Lowered(unit.body, spec, tuple(names), tuple(switched), why)
    return found


def _why_not(body, x, quantize) -> str:
    """Returns the reason against IFs for a body's groups, '' if there is none."""
    inputs, groups, outputs = body.split(body.labels)
    if not groups:
        return ""
    if body.narrowest < LEAST_FILTERS:
        return f"groups of {body.narrowest} filters, fewer than {LEAST_FILTERS}, do not pay"
    guards = [None] * len(inputs) + [Guard(label) for label in groups] + [None] * len(outputs)
    macs = min((macs for macs, under in parts(body.cost_node(x, guards)) if under), default=LEAST_MACS[quantize])
    if macs < LEAST_MACS[quantize]:
        return f"groups of {macs:,} MACs, fewer than {LEAST_MACS[quantize]:,}, do not pay"
    return ""


def note(name, lowered, masked) -> str:
    """Returns the warning for a unit, by its name and Lowered, of which the decisions `masked` became masks."""
    own = set(masked) & set(lowered.body.split(lowered.names)[1])
    reasons = [f"{lowered.why} (fold='never' makes IFs of those)"] if lowered.why and own else []
    if any("[in" in each or "[out" in each for each in masked):
        reasons.append("input and output channels have no IFs")
    return (
        f"unit {name!r} has masks, not IFs, for {len(masked)} of its {lowered.body.pieces} of channels, whose MACs "
        f"always count: {'; '.join(reasons)}."
    )


@dataclass(frozen=True)
class Limit:
    """What an image may spend at most.

    Attributes:
        value: in the unit of the rows: int32 tensor [1], or a number.
        costs: {exit name: rows of what an image costs that goes on there and stops as soon as it can}.
    """

    value: Any
    costs: dict[str, tuple[Row, ...]]

    def allows(self, name, bits):
        """Returns whether an image may go on after an exit: bool tensor [1], or True or False where it always is so.

        Args:
            name: of the exit.
            bits: {decision name: int32 tensor [1]} of the decisions made so far.
        """
        import tensorflow as tf

        spent = most(self.costs[name], bits)
        if not tf.is_tensor(spent) and not tf.is_tensor(self.value):
            return bool(spent <= self.value)
        return tf.less_equal(tf.reshape(tf.cast(spent, tf.int32), (1,)), self.value)


class BranchingExecutor:
    """Executes decisions as selects between run and skip, and records their conditions.

    Args:
        names: all decision names of the model, in order.
        groups: {unit name: Lowered} for units with channel groups that are decided, see lower_groups.
        limit: Limit, under which images stop at exits; None for none.

    Attributes:
        conditions: {decision name: bool tensor [1]; True or False where no image changes it; or the name of an earlier
            decision that is always the same}, filled in order of execution while the graph is traced.
        listed: names of the decisions that a file lists, by number: those that images change, and those that are
            constant only because of a threshold's value, so that a file's outputs do not depend on that.
        bits: {decision name: int32 tensor [1]} of those listed: 1 if the unit runs. A decision inside a unit passes
            through that unit's own select, and is 0 where the unit is skipped.
        units: names of the chain's units and exits, in order of execution.
        masked: {unit name: decisions on its groups that became masks, not IFs: what they switch off is computed}.
        problems: sentences on decisions that cannot become IFs; they count as constant, so that tracing ends and one
            sentence can be raised instead of a traceback through it.
    """

    def __init__(self, names, groups=None, limit=None):
        self.names = list(names)
        self.groups = groups or {}
        self.limit = limit
        self.conditions = {}
        self.listed = []
        self.bits = {}
        self.units = []
        self.masked = {}
        self.problems = []
        self._prefix = ""

    def decide(self, decider, k, x, carry, training=None):
        """Calls the decider once for each decision that becomes an IF, under the scope by which outline finds it.

        The converter merges what the calls share. Decisions that become masks need no scope: their selects stay.
        """
        import tensorflow as tf

        decided, chances, after = decider.decide(k, x, carry, training=training)
        lowered = self.groups.get(self._prefix + decider.unit_names[k])
        masks = () if lowered is None else set(lowered.names) - set(lowered.switched)
        constant = None
        for name in sorted(decided, key=decider.within.__contains__):  # that on the unit before those on its groups
            full = self._prefix + name
            whole = self._condition(self._prefix + decider.within[name]) if name in decider.within else True
            if full not in self.names or full in self.conditions:
                continue
            value = self._one_bool(full, decided[name]) if whole is not False else False
            follows = decider.constant(name)
            if follows is not None:
                value = follows and whole is not False
            elif not isinstance(value, bool) and not _depends_on_image(value):
                constant = _values(decider, k, x, carry, training) if constant is None else constant
                value = constant[name]
            if not isinstance(value, bool) and full not in masks:
                with tf.name_scope(decision_scope(len(self.listed))):
                    again, chances, after = decider.decide(k, x, carry, training=training)
                value = again[name]
            decided = {**decided, name: value}
            listed = follows is not None or (whole is False and self._prefix + decider.within[name] in self.listed)
            self._note(full, value, whole, listed and name not in decider.constants)
        return decided, chances, after

    def _condition(self, name):
        """Returns the condition of a decision: a bool tensor [1], True or False."""
        condition = self.conditions[name]
        return self.conditions[condition] if isinstance(condition, str) else condition

    def _one_bool(self, name, decision):
        """Returns the decision, or True and records a problem if it is not one bool."""
        if _is_one_bool(decision):
            return decision
        self.problems.append(
            f"decision {name!r} must be one bool per image to become an IF, got {decision.dtype.name} of shape "
            f"{list(decision.shape)} for one image; let the decider return bool tensors of shape [batch]."
        )
        return True

    def _note(self, name, decision, whole=True, listed=False):
        """Records a decision's condition, and its bit if images change it or it is listed all the same.

        A bit is 0 where the decision on the whole unit is 0.
        """
        constant = isinstance(decision, bool)
        same = (other for other, condition in self.conditions.items() if condition is decision and not constant)
        self.conditions[name] = next(same, decision)
        if listed or not constant:
            self.listed.append(name)
            bit = keras.ops.convert_to_tensor([decision]) if constant else keras.ops.reshape(decision, (1,))
            bit = keras.ops.cast(bit, "int32")
            self.bits[name] = bit if isinstance(whole, bool) else select(whole, bit, keras.ops.zeros_like(bit))

    def run(self, unit, x, decision, training=None, **parts):
        """Returns combine(x, select(decision, branch(x), otherwise(x))), traced under the unit's name scope."""
        return self._as_part(unit.name, lambda: self._run(unit, x, decision, training, **parts))

    def _as_part(self, name, traced):
        """Returns traced(), under a scope that names a part of the chain in the file."""
        import tensorflow as tf

        if self._prefix:
            return traced()
        self.units.append(name)
        with tf.name_scope(unit_scope(len(self.units) - 1)):
            return traced()

    def _added(self, unit, x, groups):
        """Returns the sum of a unit's groups: a select adds each group to the sum so far, or does not.

        Groups that do not pay are computed together, masked; where no image changes any of them, the rest of the body
        is computed as a whole.
        """
        name = self._prefix + unit.name
        lowered = self.groups[name]
        if all(isinstance(decision, bool) for decision in groups):
            added = x
            for layer in lowered.pruned_layers(groups):
                added = layer(added, training=False)
            return added
        inputs, own, outputs = unit.body.split(groups)
        constant = [isinstance(decision, bool) for decision in own]
        whole = all(decision is True for decision in own) or not (lowered.switched or all(constant))
        factors = [_factors(inputs), _factors(own) if whole else [], _factors(outputs)]
        ends = zip(unit.body.split(list(lowered.names)), factors, strict=True)
        masked = [decision for names, used in ends if used for decision in names]
        if masked:
            self.masked[name] = masked
        read = unit.body.read(x, factors[0], training=False)
        total = unit.body.total(read, factors[1], training=False) if whole else self._sum(lowered, read, own)
        return unit.body.finish(total, factors[2], training=False)

    def _sum(self, lowered, read, groups):
        """Returns the first path's result, and those of the paths whose groups run added to it."""
        constant = [decision if isinstance(decision, bool) else None for decision in groups]
        try:
            first, *others = lowered.paths(constant)
        except ValueError as error:
            self.problems.append(str(error))
            return lowered.body.total(read, training=False)
        total = first(read, training=False)
        decided = [decision for decision in groups if not isinstance(decision, bool)]
        for decision, path in zip(decided, others, strict=True):
            ran = total + path(read, training=False)
            total = select(decision, ran, _untied(total, total, ran))
        return total

    def _run(self, unit, x, decision, training, groups=None, **nested):
        if decision is False:
            return unit.skip(x, training=training, **nested)
        if groups is None:
            ran = unit.branch(x, training=training, **nested)
        else:
            ran = unit.joined(x, self._added(unit, x, groups), training=training)
        run, inner = ran if unit.nested else (ran, None)
        bits = nested["executor"].bits if unit.nested else {}
        if decision is not True:
            run = select(decision, run, _untied(unit.otherwise(x, training=training), x, run))
            bits = {name: select(decision, bit, keras.ops.zeros_like(bit)) for name, bit in bits.items()}
        self.bits.update(bits)
        y = unit.combine(x, run)
        return (y, inner) if unit.nested else y

    def decide_exit(self, decider, name, logits, x, carry, training=None):
        """Calls the decider for whether to go on after an exit, under a name scope as decide does."""
        import tensorflow as tf

        full = self._prefix + name
        if full not in self.names:
            return decider.decide_exit(name, logits, x, carry, training=training)
        with tf.name_scope(decision_scope(len(self.listed))):
            decided, chances, after = decider.decide_exit(name, logits, x, carry, training=training)
            decision = self._one_bool(full, decided[name])
            constant = decider.constant(name)
            if constant is not None:
                decision = constant
            elif not isinstance(decision, bool) and not _depends_on_image(decision):
                self.problems.append(
                    f"decision {full!r} at an exit must depend on the image, but it is the same for all; leave the "
                    "exit out instead."
                )
                decision = True
            if self.limit is not None and decision is not False:
                decision = both(decision, self.limit.allows(name, self.bits))
        listed = self.limit is not None or (constant is not None and name not in decider.constants)
        self._note(full, decision, listed=listed)
        return {**decided, name: decision}, chances, after

    def branch_at_exit(self, x, behind):
        """Returns x twice."""
        return x, x

    def exit_logits(self, exit_, x, previous, training=None):
        """Returns an exit's logits, traced under a scope as a unit's are: the exit is a part of its own."""
        return self._as_part(exit_.name, lambda: masked.exit_logits(exit_, x, previous, training))

    def run_rest(self, decision, rest, state):
        """Returns the result after an exit, its logits and bits each through a select on the exit's decision."""
        before = set(self.bits)
        later = rest(state)
        for name in [name for name in self.bits if name not in before]:
            bit = self.bits[name]
            self.bits[name] = select(decision, bit, keras.ops.zeros_like(bit))
        return later._replace(logits=select(decision, later.logits, _own_scale(state.logits)))

    def inside(self, unit):
        """Returns the executor for the dynamic network inside a unit, which records into the same tables."""
        inner = BranchingExecutor(self.names, self.groups)
        inner.conditions, inner.listed = self.conditions, self.listed
        inner.problems, inner.masked = self.problems, self.masked
        inner._prefix = f"{self._prefix}{unit.name}/"
        return inner


def _is_one_bool(decision):
    return isinstance(decision, bool) or (tuple(decision.shape) in ((), (1,)) and decision.dtype == "bool")


def _factors(decisions):
    """Returns 1. or 0. for each decision: selects between numbers, which the quantiser takes, as it does no casts.

    [] if all are known to run.
    """
    if all(decision is True for decision in decisions):
        return []
    constant = {True: 1.0, False: 0.0}
    return [constant[d] if isinstance(d, bool) else keras.ops.where(d, 1.0, 0.0) for d in decisions]


def _depends_on_image(condition):
    """Returns whether a tensor of the graph being traced depends on the graph's input, not on weights alone."""
    waiting, seen = [condition.op], set[str]()
    while waiting:
        operation = waiting.pop()
        if operation.type == "Placeholder" and operation.outputs[0].dtype != "resource":
            return True
        new = [tensor.op for tensor in operation.inputs if tensor.op.name not in seen]
        seen.update(op.name for op in new)
        waiting += new
    return False


def _values(decider, k, x, carry, training):
    """Returns {name: True or False}: the decisions of a decider whose input does not matter."""
    import tensorflow as tf

    with tf.init_scope():  # out of the graph that is being traced
        zeros = lambda leaf: tf.zeros(leaf.shape, leaf.dtype) if tf.is_tensor(leaf) else leaf  # noqa: E731
        x, carry = keras.tree.map_structure(zeros, (x, carry))
        decided, _, _ = decider.decide(k, x, carry, training=training)
        return {name: bool(keras.ops.convert_to_numpy(value).item()) for name, value in decided.items()}


def _own_scale(leaf):
    return keras.ops.leaky_relu(leaf, negative_slope=TIE_BREAKER_SLOPE)


def _untied(otherwise, x, run):
    """Gives leaves that are the unit's input an operator of their own, unless run returns the input unchanged too."""
    unchanged = {id(leaf) for leaf in keras.tree.flatten(x)}

    def untie(skip, taken):
        return skip if skip is taken or id(skip) not in unchanged else _own_scale(skip)

    return keras.tree.map_structure(untie, otherwise, run)
