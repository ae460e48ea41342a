"""How the throw-away Postgres is set up: fast rather than durable, and closed to all but its owner."""

from local.servers.ports import HOST

SUPERUSER = "rdsadmin"  # RDS's own name for it, which it refuses as a master user's name
SETTINGS = {
    # Every process of the stack keeps a pool of connections of its own.
    "max_connections": "300",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    # The data may be lost with the machine, not with the process: nothing needs to wait for the disk.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    # Not /dev/shm: it is small in containers, and a killed server leaves its files there.
    "dynamic_shared_memory_type": "mmap",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Statements and rows may hold secrets: log neither.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "listen_addresses": HOST,
    # Relative to the data directory, to which Postgres changes: an absolute path may be longer than the 107 bytes
    # of a socket's address.
    "unix_socket_directories": ".",
    "unix_socket_permissions": "0700",
}
HBA = f"""\
local all {SUPERUSER} peer map=owner
host all {SUPERUSER} all reject
host all all {HOST}/32 scram-sha-256
"""
