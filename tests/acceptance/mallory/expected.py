"""What is expected of the attacks: each is refused, but for those named here."""

# Cannot be refused by this stack; docs/threats.md says so of each.
ALLOWED: dict[str, str] = {}

# Still succeed.
TODAY: dict[str, str] = {}

# Meaningless when containers run as root.
NEED_A_USER: frozenset[str] = frozenset(
    {
        "environ_of_first_process",
        "environ_of_all",
        "write_into_the_dag_folder",
        "write_into_the_plugins",
        "write_into_the_images_code",
        "write_into_the_packages",
    }
)
