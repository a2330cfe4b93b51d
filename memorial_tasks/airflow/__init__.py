"""The only room that imports Airflow. Nothing here imports a heavy library at module level."""

from memorial_tasks.observability.logs import guard_records

guard_records()  # whatever handlers Airflow has, what our own loggers say is cleaned before they see it
