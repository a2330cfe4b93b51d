"""An Airflow home of its own before the pages import Airflow."""

import os
import tempfile

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="memorial-airflow-"))
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
