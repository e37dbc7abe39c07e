"""Tools that work on the project's own sources; nothing here is installed."""
