"""A DAG file of Airflow that does not import until the stage has replaced it."""

import a_module_that_does_not_exist  # noqa: F401
