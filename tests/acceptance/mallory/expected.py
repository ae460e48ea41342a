"""What is expected of the attacks: each is refused, but for those named here."""

ONE_USER = "the tasks of one worker have one user"
ONE_ROLE = "the supervisors of all tasks upload logs with the task role, which tasks have, too"
ONE_DEPLOYMENT = "Airflow's Execution API trusts every task of a deployment"

# Cannot be refused by this stack; docs/threats.md says so of each.
ALLOWED: dict[str, str] = {
    "stop_the_main_process": ONE_USER,
    "stop_another_task": ONE_USER,
    "read_the_log_file_of_another_task": ONE_USER,
    "write_the_log_file_of_another_task": ONE_USER,
    "supervisor_change_a_variable": ONE_DEPLOYMENT,
    "supervisor_change_an_xcom_of_another_dag": ONE_DEPLOYMENT,
    "supervisor_connection_of_another_dag": ONE_DEPLOYMENT,
    "supervisor_variable_of_another_dag": ONE_DEPLOYMENT,
    "supervisor_xcom_of_another_dag": ONE_DEPLOYMENT,
    "credentials_of_the_task_role": "the endpoint gives them to all processes; what the role may do is tried",
    "aws_read_the_log_of_another_dag": ONE_ROLE,
    "aws_overwrite_the_log_of_another_dag": ONE_ROLE,
}

# Still succeed: the reason of each. On the release before, tasks had all credentials, and 61 attacks succeeded.
TODAY: dict[str, str] = {}

# What is true of containers that run as root, too. Root reads every process, finds each credential, and writes any
# file, so the other attacks are left out then.
TRUE_AS_ROOT = (
    "environment_",
    "inherited_",
    "many_inherited_",
    "memory_of_itself",
    "python_objects",
    "supervisor_",
    "aws_",
    "metadata_endpoint",
    "credentials_of_",
    "celery_ping_as_configured",
    "database_as_airflow_is_configured",
    "broker_without_a_credential",
    "database_without_a_credential",
)
