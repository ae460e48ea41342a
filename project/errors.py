"""The exception that ends a command of the project with one line."""


class CommandError(RuntimeError):
    """A command cannot go on. The message is one line: what happened, then what to do."""
