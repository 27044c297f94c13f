"""Pages from templates: everything a page says is escaped, and what it lacks is an error rather than a blank."""

import base64
from importlib import resources
from pathlib import Path
from typing import Any

from recurrax.extras import require


def fill(template: str, content: dict[str, Any]) -> bytes:
    """The page that a template of this room gives, its names filled in from `content`.

    Raises:
        ModuleNotFoundError: jinja2 is not installed.
    """
    jinja2 = require("jinja2", "experiments")
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: resources.files("recurrax.report").joinpath(name).read_text("utf-8")),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(template).render(content).encode()


def embedded(svg: Path) -> str:
    """A picture as an address that holds all of it."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.read_bytes()).decode('ascii')}"
