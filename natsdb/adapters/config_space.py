"""The search spaces as ConfigSpace objects, for SMAC, DEHB and others that take one."""

from __future__ import annotations

from ConfigSpace import Categorical, ConfigurationSpace, OrdinalHyperparameter

from natsdb.schema.spaces import space_of


def configuration_space(space: str, seed: int | None = None) -> ConfigurationSpace:
    """An operation on each edge (tss), without order, or channels of each layer (sss), in ascending order.

    The values of a configuration, as a dictionary, name an architecture for `natsdb.adapters.arch_of`.

    Args:
        seed: of the configurations that it samples.

    Raises:
        NatsdbError: there is no such space.
    """
    of = space_of(space)
    made = ConfigurationSpace(name=f"natsdb-{space}", seed=seed)
    for name in of.positions:
        if of.numeric:
            made.add(OrdinalHyperparameter(name, list(of.choices)))
        else:
            made.add(Categorical(name, list(of.choices)))
    return made
