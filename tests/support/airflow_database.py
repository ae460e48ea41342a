"""The beginning of a program for `asked`: Airflow's schema in a new database, and a DAG in it."""

BUNDLE = "dags"
STORING = f"""
from airflow import settings
from airflow.models import import_all_models
from airflow.models.base import Base
from airflow.models.dagbundle import DagBundleModel
from airflow.models.serialized_dag import SerializedDagModel
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.serialization.serialized_objects import LazyDeserializedDAG
from airflow.utils.db import synchronize_log_template
from airflow.utils.session import create_session

import_all_models()
Base.metadata.create_all(settings.engine)
synchronize_log_template()

def store(dag):
    "Return the DAG as the scheduler reads it."
    dag.fileloc = settings.__file__  # Airflow stores the source of some file
    written = LazyDeserializedDAG.from_dag(dag)
    with create_session() as session:
        session.add(DagBundleModel(name={BUNDLE!r}))
        session.flush()
        SerializedDAG.bulk_write_to_db({BUNDLE!r}, None, [written], session=session)
        SerializedDagModel.write_dag(written, bundle_name={BUNDLE!r}, session=session)
    with create_session() as session:
        return SerializedDagModel.get_dag(dag.dag_id, session=session)
"""
