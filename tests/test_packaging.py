"""What an installed recurrax consists of."""

from pathlib import Path

from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[1]


def test_the_wheel_holds_the_package_whole_and_nothing_else():
    files = {Path(file.distribution_path) for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    package = ROOT / "src" / "recurrax"
    kept = {".py", ".md", ".typed", ".jinja", ".css"}
    there = {
        path.relative_to(ROOT / "src") for path in package.rglob("*") if path.suffix in kept or path.name == "py.typed"
    }
    assert files == there
    assert {"py.typed", "page.css", "page.html.jinja"} <= {path.name for path in files}
