"""What Airflow loads from its plugins folder: the studio's pages, their places in the menu, and the links on tasks."""

from airflow.plugins_manager import AirflowPlugin

from memorial_tasks.airflow.links import AuditTrail, PodLog, Preview, QualityReport
from memorial_tasks.airflow.pages.app import PREFIX, pages


class MemorialStudioPlugin(AirflowPlugin):
    """Pages under `PREFIX`, each of them behind Airflow's own login and rights."""

    name = "memorial_studio"
    fastapi_apps = [  # noqa: RUF012 - Airflow declares these as attributes of the instance
        {"app": pages(), "url_prefix": PREFIX, "name": "Memorial Studio"}
    ]
    external_views = [  # noqa: RUF012
        {"name": "Studio", "href": f"{PREFIX}/", "destination": "nav", "url_route": "studio", "category": "browse"},
        {"name": "Order", "href": f"{PREFIX}/runs/{{RUN_ID}}", "destination": "dag_run", "url_route": "memorial-order"},
    ]
    global_operator_extra_links = [QualityReport(), Preview(), AuditTrail(), PodLog()]  # noqa: RUF012
