"""Airflow loads every module of this folder; the pages themselves are in `memorial_tasks.airflow.pages`."""
