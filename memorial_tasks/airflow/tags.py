"""The tags of our DAGs: a closed list, so that a filter in Airflow's pages never misses one."""

from enum import StrEnum


class Tag(StrEnum):
    """What a DAG is about, whom it concerns and what data it touches."""

    ORDER = "stage/order"
    BATCH = "stage/batch"
    CONSENT = "stage/consent"
    AUDIT = "stage/audit"
    BASE = "stage/base-models"
    RETENTION = "stage/retention"
    TIER_1 = "impact/tier-1"
    TIER_2 = "impact/tier-2"
    PERSONAL = "data/personal"
    NO_PERSONAL = "data/none-personal"
