"""The errors in a container's environment, each with a message of one line."""


class ConfigurationError(Exception):
    """The environment describes no container that can start."""


class MissingVariablesError(ConfigurationError):
    """Variables that the role needs are not set, or empty."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(f"missing or empty variables: {', '.join(names)}")
        self.names = names
