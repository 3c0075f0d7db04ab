"""What throw-away receivers have of this process."""

import subprocess
import sys
from pathlib import Path

IMPORT_IN = """
import subprocess, sys
from receiver.server import throwaway
sys.exit(subprocess.call([sys.executable, "-c", "import only_here"], cwd=sys.argv[1], env=throwaway.environment()))
"""


def test_a_process_in_another_folder_imports_what_this_one_does(tmp_path: Path) -> None:
    checkout, elsewhere = tmp_path / "checkout", tmp_path / "elsewhere"
    for folder in (checkout, elsewhere):
        folder.mkdir()
    (checkout / "only_here.py").touch()
    ended = subprocess.run([sys.executable, "-c", IMPORT_IN, str(elsewhere)], cwd=checkout, timeout=60, check=False)
    assert ended.returncode == 0
