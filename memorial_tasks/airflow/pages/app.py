"""The pages as one application below `PREFIX`.

Airflow does not guard what a plugin mounts, so every route here depends on Airflow's own login and rights: reading
needs the right to see runs of `memorial_order`; whatever shows a person's face, voice or words needs the right to
answer its questions. If those functions of Airflow ever move, the import fails and there are no pages at all.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import get_user, requires_access_dag
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, PackageLoader

from memorial_tasks.errors import ConsentRefused, MemorialError, Unavailable

PREFIX = "/memorial"
ORDER_DAG = "memorial_order"
PERSONAL = {"Cache-Control": "no-store"}
GUARD = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; media-src 'self';"
    " frame-ancestors 'self'; form-action 'self'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
MEDIA = {
    ".mp4": "video/mp4",
    ".wav": "audio/wav",
    ".png": "image/png",
    ".json": "text/plain; charset=utf-8",
}

sees_runs = requires_access_dag("GET", DagAccessEntity.RUN, ORDER_DAG)
answers = requires_access_dag("PUT", DagAccessEntity.HITL_DETAIL, ORDER_DAG)


def the_studio() -> Any:
    """The studio, opened for one request; connections are made one transaction at a time."""
    from memorial_tasks.production.studio import Studio

    return Studio.open()


LoggedIn = Annotated[Any, Depends(get_user)]
OpenStudio = Annotated[Any, Depends(the_studio)]


def pages() -> FastAPI:
    """The application."""
    app = FastAPI(
        title="Memorial Studio", docs_url=None, redoc_url=None, openapi_url=None, dependencies=[Depends(sees_runs)]
    )
    show = _renderer()
    app.exception_handler(MemorialError)(_refusal(show))
    app.exception_handler(HTTPException)(_no_entry(show))
    _lists(app, show)
    _one_order(app, show)
    _review(app, show)

    @app.middleware("http")
    async def guard(request: Request, call: Callable[[Request], Any]) -> Response:
        answer: Response = await call(request)
        for name, value in GUARD.items():
            answer.headers.setdefault(name, value)
        return answer

    return app


Show = Callable[..., HTMLResponse]


def _renderer() -> Show:
    templates = Environment(loader=PackageLoader("memorial_tasks.airflow.pages"), autoescape=True)
    templates.globals["prefix"] = PREFIX

    def show(name: str, status: int = 200, **facts: Any) -> HTMLResponse:
        return HTMLResponse(templates.get_template(name).render(**facts), status, headers=PERSONAL)

    return show


def _refusal(show: Show) -> Callable[[Request, Exception], HTMLResponse]:
    def answer(_: Request, error: Exception) -> HTMLResponse:
        status = 403 if isinstance(error, ConsentRefused) else 503 if isinstance(error, Unavailable) else 404
        return show("refused.html", status, error=error)

    return answer


def _no_entry(show: Show) -> Callable[[Request, Exception], HTMLResponse]:
    """Without a session a person gets a way to the login, with the status that says what it is."""

    def answer(request: Request, error: Exception) -> HTMLResponse:
        status = getattr(error, "status_code", 403)
        return show("no_entry.html", status, code=status)

    return answer


def _lists(app: FastAPI, show: Show) -> None:
    from memorial_tasks.airflow.pages import facts

    @app.get("/")
    def waiting(studio: OpenStudio) -> Response:
        return show("waiting.html", **facts.waiting(studio), here="waiting")

    @app.get("/orders")
    def orders(studio: OpenStudio, state: str = "") -> Response:
        from memorial_tasks.domain.words import OrderState

        lines = facts.orders(studio, state)
        return show("orders.html", orders=lines, state=state, states=list(OrderState), here="orders")

    @app.get("/consents")
    def consents(studio: OpenStudio, page: int = 0) -> Response:
        lines, more = facts.consents(studio, max(0, page))
        return show("consents.html", consents=lines, page=page, more=more, here="consents")

    @app.get("/audit")
    def audit(studio: OpenStudio) -> Response:
        return show("audit.html", entries=facts.audit(studio), order="", here="audit")

    @app.get("/runs/{run_id}")
    @app.get("/runs/{run_id}/{page}")
    def run(studio: OpenStudio, run_id: str, page: str = "") -> Response:
        known = page if page in {"quality", "review", "audit", "consent"} else ""
        return RedirectResponse(f"{PREFIX}/orders/{facts.order_of_run(studio, run_id)}/{known}".rstrip("/"), 303)


def _one_order(app: FastAPI, show: Show) -> None:
    from memorial_tasks.airflow.pages import facts

    @app.get("/orders/{order}")
    def order_page(studio: OpenStudio, order: str) -> Response:
        return show("order.html", it=facts.order(studio, order), here="orders")

    @app.get("/orders/{order}/quality")
    def quality(studio: OpenStudio, order: str) -> Response:
        return show("quality.html", order=order, gates=facts.quality(studio, order), here="orders")

    @app.get("/orders/{order}/consent")
    def consent(studio: OpenStudio, order: str) -> Response:
        return show("consent.html", it=facts.consent(studio, order), here="consents")

    @app.get("/orders/{order}/audit")
    def trail(studio: OpenStudio, order: str) -> Response:
        with studio.transaction() as connection:
            studio.order(connection, order)
        return show("audit.html", entries=facts.audit(studio, order), order=order, here="audit")


def _review(app: FastAPI, show: Show) -> None:
    from memorial_tasks.airflow.pages import facts

    @app.get("/orders/{order}/review", dependencies=[Depends(answers)])
    def review(studio: OpenStudio, user: LoggedIn, order: str, at: str = "") -> Response:
        """What is to be judged: opened under a permit, and the look goes into the audit log under the viewer's name."""
        from memorial_tasks.production.review import CAPTIONS, POINTS, export_preview, missing, open_point
        from memorial_tasks.production.studio import Who

        with studio.transaction() as connection:
            row = studio.order(connection, order)
        point = POINTS.get(at) or open_point(row) or POINTS["film"]
        found = export_preview(studio, order, Who("person", str(user.get_id())), point)
        with studio.transaction() as connection:
            row = studio.order(connection, order)
            lacking = missing(studio, connection, row, point) if open_point(row) is point else 0
        return show(
            "review.html",
            it=facts.order(studio, order),
            at=point.name,
            found=found,
            captions=CAPTIONS,
            script=_script(found) if point.name == "script" else (),
            lacking=lacking,
            here="waiting",
        )

    @app.get("/orders/{order}/media/{at}/{name}", dependencies=[Depends(answers)])
    def media(studio: OpenStudio, order: str, at: str, name: str) -> Response:
        """A file of the review page, streamed; only while consent holds, and only what the page put there."""
        from memorial_tasks.production.review import POINTS

        if facts.consent(studio, order)["decision"] != "granted":
            raise ConsentRefused("consent does not cover this now", where=order, remedy="see its consent")
        path = _exported(studio, order, POINTS.get(at), name)
        return FileResponse(path, media_type=MEDIA[path.suffix], headers=PERSONAL)


def _script(found: dict[str, Any]) -> list[dict[str, Any]]:
    import json

    lines: list[dict[str, Any]] = json.loads(Path(found["files"]["script.json"]).read_text("utf-8"))
    return lines


def _exported(studio: Any, order: str, point: Any, name: str) -> Path:
    """The file that a look at the review page put there; nothing else of the folder can be named."""
    steps: set[str] = {point.step, *point.beside} if point else set()
    root: Path = studio.settings.reports_dir / order
    for folder in sorted(filter(None, steps)):
        for path in (root / folder).rglob(name if "/" not in name and "*" not in name else "-"):
            if path.is_file() and path.suffix in MEDIA and path.resolve().is_relative_to(root.resolve()):
                return path
    raise MemorialError("there is no such file", where=order, remedy="open its review page first")
