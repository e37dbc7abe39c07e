"""The branching reading: batch 1, one select per decision, for the exporter to outline."""

import keras

from keras_dynamic.layers import masked
from keras_dynamic.lite.convert import TIE_BREAKER_SLOPE
from keras_dynamic.lite.naming import decision_scope, unit_scope
from keras_dynamic.ops import select


class Branching:
    """Carries decisions out as selects between run and skip, and notes their conditions.

    Args:
        names: all decision names of the model, in order.
        groups: {unit name: Lowered} for units with channel groups that are decided, see lowering.lower_groups.

    Attributes:
        conditions: {decision name: bool tensor [1]; True or False where no image changes it; or the name of an earlier
            decision that is always the same}, filled in order of execution while the graph is traced.
        listed: names of the decisions that a file lists, by number: those that images change, and those that are
            constant only because of a threshold's value, so that a file's outputs do not depend on that.
        bits: {decision name: int32 tensor [1]} of those listed: 1 if the unit runs. A decision inside a
            unit comes out of it through that unit's own select, as everything does, and is 0 where the unit is skipped.
        units: names of the chain's units and exits as they were met, likewise.
        masked: {unit name: decisions on its groups that became masks, not IFs: what they switch off is computed}.
        problems: sentences on decisions that cannot become IFs; they count as constant, so that the trace comes to its
            end and one sentence can be raised instead of a traceback through it.
    """

    def __init__(self, names, groups=None):
        self.names = list(names)
        self.groups = groups or {}
        self.conditions = {}
        self.listed = []
        self.bits = {}
        self.units = []
        self.masked = {}
        self.problems = []
        self._prefix = ""

    def decide(self, decider, k, x, carry, training=None):
        """Asks the decider once for each decision that becomes an IF, under the scope by which the outliner knows it.

        The converter merges what the questions share. Decisions that become masks need no scope: their selects stay.
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
                with tf.name_scope(decision_scope(self._next())):
                    asked, chances, after = decider.decide(k, x, carry, training=training)
                value = asked[name]
            decided = {**decided, name: value}
            listed = follows is not None or (whole is False and self._prefix + decider.within[name] in self.listed)
            self._note(full, value, whole, listed and name not in decider.known)
        return decided, chances, after

    def _condition(self, name):
        """Returns the condition of a decision: a bool tensor [1], True or False."""
        condition = self.conditions[name]
        return self.conditions[condition] if isinstance(condition, str) else condition

    def _one_bool(self, name, decision):
        """Returns the decision, or True and notes a problem if it is not one bool."""
        if _is_one_bool(decision):
            return decision
        self.problems.append(
            f"decision {name!r} must be one bool per image to become an IF, got {decision.dtype.name} of shape "
            f"{list(decision.shape)} for one image; let the decider return bool tensors of shape [batch]."
        )
        return True

    def _next(self):
        """Returns the number of the next decision that is listed."""
        return len(self.listed)

    def _note(self, name, decision, whole=True, listed=False):
        """Notes a decision's condition, and its bit if images change it or it is listed all the same.

        A bit is 0 where the decision on the unit that it is within is 0.
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
        """Returns what a function gives, traced under a scope by which the file knows a part of the chain."""
        import tensorflow as tf

        if self._prefix:
            return traced()
        self.units.append(name)
        with tf.name_scope(unit_scope(len(self.units) - 1)):
            return traced()

    def _added(self, unit, x, groups):
        """Returns what a unit's groups add up to: to what has been added so far, select adds a group or not.

        Groups that do not pay are computed together, in the masked reading; where no image changes any of them, what is
        left of the body is computed as a whole.
        """
        name = self._prefix + unit.name
        lowered = self.groups[name]
        if all(isinstance(decision, bool) for decision in groups):
            added = x
            for layer in lowered.kept(groups):
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
        known = [decision if isinstance(decision, bool) else None for decision in groups]
        try:
            first, *others = lowered.paths(known)
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
        bits = nested["read"].bits if unit.nested else {}
        if decision is not True:
            run = select(decision, run, _untied(unit.otherwise(x, training=training), x, run))
            bits = {name: select(decision, bit, keras.ops.zeros_like(bit)) for name, bit in bits.items()}
        self.bits.update(bits)
        y = unit.combine(x, run)
        return (y, inner) if unit.nested else y

    def decide_exit(self, decider, name, logits, x, carry, training=None):
        """Asks the decider whether to go on behind an exit, under a name scope as decide does."""
        import tensorflow as tf

        full = self._prefix + name
        if full not in self.names:
            return decider.decide_exit(name, logits, x, carry, training=training)
        with tf.name_scope(decision_scope(self._next())):
            decided, chances, after = decider.decide_exit(name, logits, x, carry, training=training)
        decision = self._one_bool(full, decided[name])
        constant = decider.constant(name)
        if constant is not None:
            decision = constant
        elif not isinstance(decision, bool) and not _depends_on_image(decision):
            self.problems.append(
                f"decision {full!r} at an exit must look at the image, but it is the same for all; leave the exit out "
                "instead."
            )
            decision = True
        self._note(full, decision, listed=constant is not None and name not in decider.known)
        return {**decided, name: decision}, chances, after

    def fork(self, x, behind):
        """Returns x twice."""
        return x, x

    def answer(self, exit_, x, previous, training=None):
        """Returns an exit's logits, traced under a scope as a unit's are: the exit is a part of its own."""
        return self._as_part(exit_.name, lambda: masked.answer(exit_, x, previous, training))

    def go_on(self, decision, rest, state):
        """Returns what lies behind an exit, its logits and bits behind a select each on the exit's decision."""
        before = set(self.bits)
        later = rest(state)
        for name in [name for name in self.bits if name not in before]:
            bit = self.bits[name]
            self.bits[name] = select(decision, bit, keras.ops.zeros_like(bit))
        return later._replace(logits=select(decision, later.logits, _own_scale(state.answered)))

    def inside(self, unit):
        """Returns the reading for the dynamic network inside a unit; what it notes goes into the same tables."""
        inner = Branching(self.names, self.groups)
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
    """Whether a tensor of the graph that is being traced depends on the graph's input, not on weights alone."""
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
    """Returns {name: True or False}: what a decider decides that does not look at its input."""
    import tensorflow as tf

    with tf.init_scope():  # out of the graph that is being traced
        zeros = lambda leaf: tf.zeros(leaf.shape, leaf.dtype) if tf.is_tensor(leaf) else leaf  # noqa: E731
        x, carry = keras.tree.map_structure(zeros, (x, carry))
        decided, _, _ = decider.decide(k, x, carry, training=training)
        return {name: bool(keras.ops.convert_to_numpy(value).item()) for name, value in decided.items()}


def _own_scale(leaf):
    return keras.ops.leaky_relu(leaf, negative_slope=TIE_BREAKER_SLOPE)


def _untied(otherwise, x, run):
    """Gives leaves that hand the unit's input through an operator of their own, unless run hands it through too."""
    handed = {id(leaf) for leaf in keras.tree.flatten(x)}

    def untie(skip, taken):
        if skip is taken or id(skip) not in handed:
            return skip
        return _own_scale(skip)

    return keras.tree.map_structure(untie, otherwise, run)
