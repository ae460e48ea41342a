"""Delivers DAGs to an environment without an image: uploads a version, lists versions, goes back to one."""
