"""One gate per unit that switches groups of its channels."""

import keras
from keras import ops

from keras_dynamic.deciders.per_unit_gates import PerUnitGates
from keras_dynamic.layers.decider import check_names


@keras.saving.register_keras_serializable("keras_dynamic")
class ChannelGates(PerUnitGates):
    """A gate before each unit with channel groups, which decides every group that is not forced.

    Data-independent gates prune: what they leave is made an ordinary network by training.materialize.

        model = kd.methods.ActivationGating(chain, kd.deciders.ChannelGates(data_dependent=False), target=0.5)

    Args:
        *args: of PerUnitGates; `always` names units all of whose groups always run.
        **kwargs: likewise.

    Raises:
        ValueError: as PerUnitGates, or, when it is bound, if no unit has groups.

    Source: Herrmann et al., sections 1.1, 3.4 and 4.2.
    """

    def choose(self, chain):
        """Returns the names of the decisions on groups, of units that `always` does not name."""
        check_names(self.always, chain, "always")
        units = [unit for unit in chain.units if unit.name not in self.always]
        names = [name for unit in units for name in getattr(unit, "group_names", ())]
        if not names:
            raise ValueError(
                "ChannelGates needs units with channel groups, got none; give units ChannelGroups as bodies, e.g. by "
                "models.group_channels(network, 16)."
            )
        return names

    def groups_of(self, unit):
        """Returns the number of the unit's groups that can be switched."""
        return len(unit.group_names)

    def by_name(self, k, values):
        """Returns {decision name: value [batch]} for what unit k's gate says, [batch, groups]."""
        prefix = f"{self.unit_names[k]}["
        names = [name for name in self.names if name.startswith(prefix)]
        return dict(zip(names, ops.unstack(values, len(names), axis=1), strict=True))
