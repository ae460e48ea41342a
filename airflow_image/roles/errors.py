"""What can be wrong with a container's environment, each told in one line."""


class ConfigurationError(Exception):
    """The environment does not describe a container that could start."""


class MissingVariablesError(ConfigurationError):
    """Variables that the role needs are not set, or empty."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(f"not set: {', '.join(names)}")
        self.names = names
