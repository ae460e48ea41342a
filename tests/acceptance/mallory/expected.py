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
    "process_after_the_tasks_end": ONE_USER,
    "supervisor_change_a_variable": ONE_DEPLOYMENT,
    "supervisor_change_an_xcom_of_another_dag": ONE_DEPLOYMENT,
    "supervisor_connection_of_another_dag": ONE_DEPLOYMENT,
    "supervisor_variable_of_another_dag": ONE_DEPLOYMENT,
    "supervisor_xcom_of_another_dag": ONE_DEPLOYMENT,
    "aws_read_the_log_of_another_dag": ONE_ROLE,
    "aws_overwrite_the_log_of_another_dag": ONE_ROLE,
}

# Still succeed: the reason, and the attacks.
_TODAY: dict[str, tuple[str, ...]] = {
    "the public listener passes the Execution API on": ("api_execution_through_the_balancer",),
    "tasks are forked from Celery's pool, in its container and with its memory and descriptors": (
        "api_find_its_own_token",
        "descriptors_of_ancestors",
        "environ_of_all",
        "environment_api_key",
        "forge_the_agents_heartbeat",
        "inherited_foreign_pipes",
        "inherited_server_connections",
        "many_inherited_descriptors",
        "memory_of_ancestors",
        "memory_of_itself",
        "ptrace_ancestors",
        "python_objects",
        "remove_the_agents_heartbeat",
        "tokens_of_other_tasks",
    ),
    "tasks can find the broker's password, and its one user may do everything": (
        "api_take_over_a_waiting_task",
        "broker_configuration",
        "broker_connections_of_others",
        "broker_decision",
        "broker_events",
        "broker_flush",
        "broker_forecast",
        "broker_history",
        "broker_hundred_idle_members",
        "broker_list_keys",
        "broker_member_of_the_far_future",
        "broker_memory_of_the_autoscaler",
        "broker_memory_of_the_version_check",
        "broker_message_to_another_queue",
        "broker_message_to_its_own_queue",
        "broker_monitor",
        "broker_order",
        "broker_planted_result",
        "broker_script",
        "broker_sign_in",
        "broker_take_messages_of_another_queue",
        "broker_tokens_of_another_queue",
        "broker_tokens_of_running_tasks",
        "broker_unregister_another_member",
        "broker_users",
        "celery_active_tasks",
        "celery_ping",
        "celery_ping_as_configured",
        "celery_rate_limit",
        "celery_revoke",
        "celery_shutdown",
        "environment_broker_password",
        "token_after_the_tasks_end",  # of the task that it took over
    ),
    "a worker's role may change the protection of any ECS task of the cluster": ("aws_protection_of_another_task",),
    "workers have the database's password and the Fernet key": (
        "aws_read_the_databases_secret",
        "database_decrypt_connection",
        "database_delete_runs",
        "database_insert_trigger",
        "database_planted_pickle",
        "database_sign_in",
        "database_update_connection",
        "database_update_dags",
        "database_users",
        "environment_database_address",
        "environment_database_password",
        "environment_fernet_key",
    ),
    "the tasks' environment holds the ECS agent's address": ("protection_of_its_own_worker",),
}
TODAY = {name: reason for reason, names in _TODAY.items() for name in names}

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
    "celery_ping_as_configured",
    "database_as_airflow_is_configured",
    "broker_without_a_credential",
    "database_without_a_credential",
)
