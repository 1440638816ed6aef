"""A real browser, where there is one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--allow-file-access-from-files",
]  # fmt: skip

needs_browser = pytest.mark.skipif(BROWSER is None, reason="no browser; install one with: apt-get install chromium")


def browse(profile: Path, *arguments: str) -> str:
    line = [BROWSER, *FLAGS, f"--user-data-dir={profile}", *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=120, check=True).stdout
