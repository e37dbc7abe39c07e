"""One module per method: how a config builds, schedules and measures it."""

__all__ = []
