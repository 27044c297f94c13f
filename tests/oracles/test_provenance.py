"""Every recorded file is the one whose checksum `data/PROVENANCE.md` gives, and none lacks one."""

import hashlib
import re

from oracles.records import DATA


def test_checksums():
    said = dict(re.findall(r"^([0-9a-f]{64})  (\S+)$", (DATA / "PROVENANCE.md").read_text(), re.MULTILINE))
    said = {name: digest for digest, name in said.items()}
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in DATA.iterdir() if path.suffix != ".md"
    }
    assert found == said
