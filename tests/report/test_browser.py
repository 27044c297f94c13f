"""Pages in a real browser: nothing is wider than a phone, and the picture is seen without scrolling."""

import html
import json
import re
import shutil
import subprocess

import pytest
from pages import save_run

from recurrax import report

NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
MEASURE = """<script>
document.querySelectorAll("details").forEach(folded => { folded.open = true; });
const picture = document.querySelector("img");
document.documentElement.dataset.measured = JSON.stringify({
  inner: window.innerWidth, needed: document.documentElement.scrollWidth,
  picture: picture ? picture.getBoundingClientRect().top : null,
});
</script></body>"""

pytestmark = pytest.mark.skipif(BROWSER is None, reason=f"none of {', '.join(NAMES)} is installed to show pages in")


def measured(page, width, folder):
    """Widths and the height at which the first picture begins, in pixels, with all that can be folded unfolded."""
    copy = page.with_name("measured.html")
    copy.write_text(page.read_text().replace("</body>", MEASURE))
    command = [
        BROWSER,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        f"--window-size={width},900",
    ]
    command += [f"--user-data-dir={folder}", "--dump-dom", copy.resolve().as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    return json.loads(html.unescape(re.search(r'data-measured="([^"]*)"', shown)[1]))


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A run's page, a --smoke run's page and the overview of both."""
    root = tmp_path_factory.mktemp("results")
    full, smoke = (save_run(root / "reach" / name) for name in ("run-1", "smoke-1"))
    report.overview(root)
    return [full / "report.html", smoke / "report.html", root / "index.html"]


def test_no_page_is_wider_than_a_phone(pages, tmp_path):
    for page in pages:
        found = measured(page, 500, tmp_path)
        assert found["inner"] <= 500
        assert found["needed"] <= found["inner"], page


def test_the_picture_is_seen_at_once(pages, tmp_path):
    assert measured(pages[0], 1200, tmp_path)["picture"] < 400
    assert measured(pages[0], 500, tmp_path)["picture"] < 500
