"""The one exception of the local stack that ends a command with one line."""


class LocalError(RuntimeError):
    """What is wrong and what to do, in one line."""
