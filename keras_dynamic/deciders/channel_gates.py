"""One gate per unit that switches groups of its channels."""

import keras
from keras import ops

from keras_dynamic.deciders.per_unit_gates import PerUnitGates
from keras_dynamic.layers import Gate
from keras_dynamic.layers.decider import check_names
from keras_dynamic.layers.gate import check_memory
from keras_dynamic.layers.grouped_body import GroupedBody
from keras_dynamic.messages import near


@keras.saving.register_keras_serializable("keras_dynamic")
class ChannelGates(PerUnitGates):
    """A gate before each unit with channel groups, which decides every group that is not forced.

    Data-independent gates prune: what they leave is made an ordinary network by training.materialize.

        model = kd.methods.ActivationGating(chain, kd.deciders.ChannelGates(data_dependent=False), target=0.5)

    Args:
        *args: of PerUnitGates; `always` names units all of whose groups always run.
        locked: {name: names of units}: the units' corresponding groups are one decision, 'name[1]' and so on, made by
            a gate before the first of them. They must have the same groups.
        whole_units: whether units without groups that can be skipped are gated too, each as a whole.
        memory: width of the hidden layer through which the gates of a unit's groups see one another's tentative
            decisions, see layers.Gate; None for none. It needs data-dependent gates.
        **kwargs: of PerUnitGates.

    Raises:
        ValueError: as PerUnitGates; if locked is no such dictionary or names a unit twice; if memory is no positive
            int, or gates look at nothing; or, when it is bound, if no unit has groups, or locked units have none, or
            different ones.

    Source: Herrmann et al., sections 1.1, 3.4, 4.2 and S1.3 (locked gates, memory).
    """

    def __init__(self, *args, locked=None, whole_units=False, memory=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.whole_units = whole_units
        self.memory = check_memory(memory)
        if memory is not None and not self.data_dependent:
            raise ValueError(
                f"memory needs gates that look at images, got memory={memory} with data_dependent=False; leave it out."
            )
        self.locked = _checked(locked or {}, self.always)
        self._lock_of = {unit: lock for lock, units in self.locked.items() for unit in units}

    def decision_of(self, name):
        """Returns the name of the decision that a unit's group obeys: of locked units it begins with the lock's."""
        unit, _, group = name.rpartition("[")
        return f"{self._lock_of[unit]}[{group}" if unit in self._lock_of else name

    def choose(self, chain):
        """Returns the names of the decisions on groups, and on whole units if asked to, that `always` does not name."""
        skippable = chain.skippable_names
        decided = [
            unit.name for unit in chain.units if unit.name in skippable or bool(getattr(unit, "group_names", ()))
        ]
        check_names(self.always, chain, "always", decided)
        groups = {unit.name: getattr(unit, "group_names", ()) for unit in chain.units if unit.name not in self.always}
        if not any(groups.values()):
            forced = [unit for unit in chain.units if isinstance(getattr(unit, "body", None), GroupedBody)]
            if forced and not any(unit.group_names for unit in forced):
                raise ValueError(
                    f"ChannelGates needs groups of channels that are not forced, got none: {forced[0].name!r} has "
                    f"{forced[0].body.described}; take fewer filters per group, or fewer forced groups."
                )
            raise ValueError(
                "ChannelGates needs units with channel groups that `always` does not name, got none; give units "
                "ChannelGroups as bodies, e.g. by models.group_channels(network, 16), or take PerUnitGates."
            )
        self._check_locks(chain)
        wholes = chain.skippable_names if self.whole_units else ()
        names = [name for unit, own in groups.items() for name in own or {unit}.intersection(wholes)]
        return list(dict.fromkeys(map(self.decision_of, names)))

    def _check_locks(self, chain):
        """Raises a ValueError if units that are locked together cannot obey one gate."""
        grouped = {unit.name: unit.body for unit in chain.units if getattr(unit, "group_names", ())}
        for lock, units in self.locked.items():
            for name in units:
                if name not in grouped:
                    raise ValueError(
                        f"locked[{lock!r}] names {name!r}, which is no unit with groups that can be switched"
                        f"{near(name, grouped)}; those are {list(grouped)}."
                    )
            if lock in [unit.name for unit in chain.units]:
                raise ValueError(f"locked needs names of its own for decisions, got {lock!r}, which is a unit's.")
            widths = {name: grouped[name].described for name in units}
            other = next((name for name in units if widths[name] != widths[units[0]]), None)
            if other is not None:
                raise ValueError(
                    f"locked units must have the same groups, got {units[0]!r} with {widths[units[0]]} and {other!r} "
                    f"with {widths[other]} in {lock!r}; lock units of one width."
                )

    def make_gate(self, unit):
        """Returns a new gate, not built yet, for all of a unit's groups that can be switched."""
        groups = self.groups_of(unit)
        if self.memory is None or groups is None:
            return super().make_gate(unit)
        outputs = self.outputs_of(unit)
        return Gate(self.hidden, self.open_probability, groups, self.memory, outputs, name=f"{unit.name}_gate")

    def groups_of(self, unit):
        """Returns the number of the unit's groups that can be switched, None if it has none."""
        return len(getattr(unit, "group_names", ())) or None

    def by_name(self, k, values):
        """Returns {decision name: value [batch]} for what unit k's gate says, [batch, groups]."""
        if self.unit_names[k] in self.names:
            return super().by_name(k, values)
        prefix = self.decision_of(f"{self.unit_names[k]}[")
        names = [name for name in self.names if name.startswith(prefix) and name not in self.settled]
        return dict(zip(names, ops.unstack(values, len(names), axis=1), strict=True))

    def get_config(self):
        """Returns the arguments; temperature and tau are those of now."""
        locked = {lock: list(units) for lock, units in self.locked.items()}
        return {**super().get_config(), "locked": locked, "whole_units": self.whole_units, "memory": self.memory}


def _several(units):
    return isinstance(units, (list, tuple)) and len(units) >= 2


def _checked(locked, always):
    """Returns {lock: tuple of unit names}, or raises a ValueError."""
    if not isinstance(locked, dict) or any(not _several(units) for units in locked.values()):
        raise ValueError(f"locked must be {{name: two or more names of units}}, got {locked!r}.")
    for lock in locked:
        if not isinstance(lock, str) or "[" in lock:
            raise ValueError(f"locked needs names without '[' for decisions, got {lock!r}.")
    named = [*always, *(unit for units in locked.values() for unit in units)]
    twice = sorted({name for name in named if named.count(name) > 1})
    if twice:
        raise ValueError(f"a unit is locked once, or named in `always`, got {twice} more than once; leave one out.")
    return {lock: tuple(units) for lock, units in locked.items()}
