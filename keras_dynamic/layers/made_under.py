"""The dtype policy under which layers are made."""

import contextlib

import keras


@contextlib.contextmanager
def made_under(policy):
    """Layers made in this context have a dtype policy, unless they are told another.

    Layers made in place of others need theirs, whatever the policy is of the process in which that happens.

    Args:
        policy: keras.dtype_policies.DTypePolicy, or its name.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
