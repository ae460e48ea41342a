"""The environment variables that the fleet's code in a container reads, most of them set by the entrypoint."""

ROLE = "FLEET_ROLE"
RUNNER = "runner"  # the role in which tasks run
TASK_ARN = "FLEET_TASK_ARN"
POOL = "FLEET_POOL"
QUEUES = "FLEET_QUEUES"  # separated by commas
SLOTS = "FLEET_SLOTS"
BROKER_URL = "AIRFLOW__CELERY__BROKER_URL"
RESULTS_URL = "AIRFLOW__CELERY__RESULT_BACKEND"
EXTRA_CELERY_CONFIG = "AIRFLOW__CELERY__EXTRA_CELERY_CONFIG"  # a JSON object
TRANSPORT_OPTIONS = "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__"  # how the variables begin
READER_URL = "FLEET_READER_URL"  # the broker with a user that reads orders and members, and writes nothing
IMAGE_VERSION = "IMAGE_VERSION"
DAGS_FOLDER = "AIRFLOW__CORE__DAGS_FOLDER"
DAGS_HASH = "FLEET_DAGS_HASH"  # in a task's process: of the code that the task runs
PLUGINS_FOLDER = "AIRFLOW__CORE__PLUGINS_FOLDER"
AIRFLOW_HOME = "AIRFLOW_HOME"
STOP_GRACE_S = "FLEET_STOP_GRACE_S"
SHARED_FOLDER = "SHARED_FOLDER"  # given by the task definition; worker and runner share it
GATE_MINUTES = "GATE_MINUTES"  # given by the task definition
ROLLOUT_PATIENCE_MINUTES = "ROLLOUT_PATIENCE_MINUTES"  # given by the task definition, to the container `gate` only
IMAGE_URI = "IMAGE_URI"  # given by the task definition: the image as the stack names it
BROKER_PATIENCE_MINUTES = "BROKER_PATIENCE_MINUTES"  # given by the task definition
MAX_TASK_WAIT_MINUTES = "MAX_TASK_WAIT_MINUTES"  # given by the task definition
CPU_UNITS = "CPU_UNITS"  # of the webserver's ECS task, given by its task definition
MEMORY_MIB = "MEMORY_MIB"  # of the container, given by the task definitions of webserver and runner
DATABASE_URL = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
POOL_OF_QUEUE = "FLEET_POOL_OF_QUEUE"  # a JSON object

# Given by the task definitions: the names of the DAG bundles, and the bucket of those that are not in the image.
DAG_BUNDLES = "DAG_BUNDLES"
DAG_BUCKET = "DAG_BUCKET"

# The ports that a container listens on, given by the task definition. Of the webserver's two, the first is the
# Execution API's, the second the UI's.
PORT = "PORT"
PUBLIC_PORT = "PUBLIC_PORT"
BIND_HOST = "BIND_HOST"  # set on a local machine only: the address of the ECS task

# Of the log server, which a worker and a triggerer have beside them, see agent.log_files.
LOG_SERVER_PORT = "FLEET_LOG_SERVER_PORT"
LOG_SERVER_KEY = "AIRFLOW__API__SECRET_KEY"  # the webserver signs with it
LOG_FOLDER = "AIRFLOW__LOGGING__BASE_LOG_FOLDER"

# The webserver's, see machines.app, given by the task definition.
MACHINE_ROLES = "MACHINE_ROLES"
MACHINE_AUDIENCE = "MACHINE_AUDIENCE"
STS_URL = "STS_URL"
REGION = "AWS_REGION"  # injected by Fargate
ENDPOINT_URL = "AWS_ENDPOINT_URL"  # set on a local machine only

# The forecaster's settings, see agent.forecaster.
FORECAST_MINUTES = "FORECAST_MINUTES"  # given by the task definition
FORECAST_RUNS = "FORECAST_RUNS"
FORECAST_WINDOW_S = "FORECAST_WINDOW_S"

# What tasks cost, see agent.costs: given by the task definition.
WORKER_SIZES = "WORKER_SIZES"  # a JSON object by pool, see fleet.worker_price
WORKER_PROCESSOR = "WORKER_PROCESSOR"  # X86_64 or ARM64

# The cleaning's settings, see agent.cleaning: the first is given by the task definitions, 0 stands for never.
CLEAN_KEEP_DAYS = "CLEAN_KEEP_DAYS"
CLEAN_DRY_RUN = "CLEAN_DRY_RUN"  # not empty: given by who starts the ECS task

# What XComs of tasks go to the bucket, see agent.large_xcoms. Given by the task definitions.
XCOM_BUCKET = "XCOM_BUCKET"
XCOM_PREFIX = "XCOM_PREFIX"  # the pool's name, in the runner only, as the threshold; 0 for no XCom
XCOM_THRESHOLD_KIB = "XCOM_THRESHOLD_KIB"

# How much of a task's log is copied to the container's output, see agent.runner.log_copy. Given by the task definition.
TASK_LOG_COPY = "TASK_LOG_COPY"

# Of the process that sends events, see agent.events. Given by the task definition, the first to `migrate` as well.
EVENT_BUS = "EVENT_BUS"  # an ARN; empty for none
STACK_NAME = "STACK_NAME"
BASE_URL = "BASE_URL"

# A JSON object: what the original of a restored database has, see agent.drill. Given by who starts the ECS task.
DRILL_EXPECTED = "DRILL_EXPECTED"

# Injected by Fargate.
AGENT_URI = "ECS_AGENT_URI"
METADATA_URI = "ECS_CONTAINER_METADATA_URI_V4"

# The modules that Celery imports in a worker.
WORKER_MODULES = ("agent.worker", "agent.unacked", "agent.handover", "agent.stop")
