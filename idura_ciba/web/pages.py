"""The pages of one room: its templates, and the static files that it needs, all of them from this package."""

from __future__ import annotations

from collections.abc import Mapping
from mimetypes import guess_type
from pathlib import Path
from typing import Any

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

__all__ = ["Pages"]

_HERE = Path(__file__).parent


class Pages:
    """Templates that escape whatever is put into them, and static files beside them.

    A template of the room comes before one of the same name here; so does a static file. Both are read from `templates`
    and `static` in the room's folder.

    Args:
        folder: The room's folder.
        values: What every template of the room can use, besides what `page` and `render` are given.

    Example:
        >>> pages = Pages(Path(__file__).parent)
        >>> pages.add_static(app)
        >>> app.router.add_get("/", lambda request: pages.page("index.html", title="Desk"))
    """

    def __init__(self, folder: Path, **values: Any) -> None:
        self._environment = Environment(
            loader=FileSystemLoader([folder / "templates", _HERE / "templates"]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals.update(values)
        self._static = {**_read(_HERE / "static"), **_read(folder / "static")}

    def render(self, template: str, **values: Any) -> str:
        """Fill in a template.

        Raises:
            UndefinedError: The template uses a value that it is not given.
        """
        return self._environment.get_template(template).render(values)

    def page(self, template: str, *, status: int = 200, **values: Any) -> web.Response:
        """Answer with a template."""
        return web.Response(status=status, text=self.render(template, **values), content_type="text/html")

    def add_static(self, app: web.Application) -> None:
        """Serve the static files below `static/` of an application; pages refer to them by that, without a slash."""
        app.router.add_get("/static/{name}", self._serve)

    async def _serve(self, request: web.Request) -> web.Response:
        found = self._static.get(request.match_info["name"])
        if found is None:
            raise web.HTTPNotFound
        body, content_type = found
        return web.Response(body=body, content_type=content_type, charset="utf-8")


def _read(folder: Path) -> Mapping[str, tuple[bytes, str]]:
    """Each file with its media type."""
    files = [path for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []
    return {path.name: (path.read_bytes(), _media_type(path.name)) for path in files}


def _media_type(name: str) -> str:
    # What a machine's own tables say of these is wrong often enough: on Windows, `.js` may be `text/plain`.
    known = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
    return known.get(Path(name).suffix) or guess_type(name)[0] or "application/octet-stream"
