"""What an installed recurrax consists of, and what it says of itself."""

import re
import tomllib
from pathlib import Path

from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_wheel_holds_the_package_whole_and_nothing_else():
    files = {Path(file.distribution_path) for file in WheelBuilder(str(ROOT)).recurse_included_files()}
    package = ROOT / "src" / "recurrax"
    kept = {".py", ".md", ".typed", ".jinja", ".css"}
    there = {
        path.relative_to(ROOT / "src") for path in package.rglob("*") if path.suffix in kept or path.name == "py.typed"
    }
    assert files == there
    assert {"py.typed", "page.css", "page.html.jinja"} <= {path.name for path in files}


def test_the_source_distribution_holds_what_its_suite_needs_and_nothing_made():
    files = {Path(file.relative_path) for file in SdistBuilder(str(ROOT)).recurse_included_files()}
    needed = ("tests", "src", "docs", "examples", "experiments", "requirements", ".ci", ".github")
    there = {path.relative_to(ROOT) for folder in needed for path in (ROOT / folder).rglob("*") if path.is_file()}
    made = {path for path in there if "__pycache__" in path.parts or path.is_relative_to("docs/gallery")}
    assert there - made <= files
    assert {Path("Makefile"), Path("README.md"), Path("CITATION.cff")} <= files
    assert not files & made


def test_versions_agree_wherever_they_stand():
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^version: (.*)$", citation, re.MULTILINE)[1] == PROJECT["version"]
    assert re.search(r"^license: (.*)$", citation, re.MULTILINE)[1] == PROJECT["license"]
    latest = re.search(r"^## \[(.*?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1]
    assert latest in {"Unreleased", PROJECT["version"]}


def test_the_pythons_that_are_named_are_those_that_ci_runs():
    workflow = re.findall(r'"(3\.\d+)"', (ROOT / ".github" / "workflows" / "ci.yml").read_text())
    named = [entry.rpartition(" ")[2] for entry in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", entry)]
    assert named == workflow
    assert PROJECT["requires-python"] == f">={named[0]}"
