"""bench/accuracy: every study from its data to its page, at small sizes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent

pytestmark = pytest.mark.promise("statistics")


def test_all_studies(size, tmp_path):
    if not size(False, True):
        pytest.skip("takes a minute: only with --full; tests/studies has their parts")
    command = [sys.executable, "-m", "bench.accuracy", "--quick", "--jobs", "2", "--out", tmp_path]
    environment = {**os.environ, "PYTHONSAFEPATH": ""}  # bench is a folder of the repository
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    recorded = ROOT / "bench/accuracy/results"
    made, there = ({path.name for path in folder.glob("*.md")} for folder in (tmp_path, recorded))
    assert made == there
