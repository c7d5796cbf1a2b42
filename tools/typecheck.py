"""Type-checks the packages under the names they are installed as: `python tools/typecheck.py`.

mypy does not follow the mapping of the folders to `striate.<folder>` in setup.py, so it is shown a temporary tree of
links that has that shape.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("runtime", "trainer", "exporter", "models")


def main() -> int:
    with tempfile.TemporaryDirectory() as temporary:
        package = Path(temporary, "striate")
        package.mkdir()
        for source in (*(ROOT / "striate").iterdir(), *(ROOT / folder for folder in FOLDERS)):
            if source.name != "__pycache__":
                (package / source.name).symlink_to(source, target_is_directory=source.is_dir())
        command = [
            *(sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml")),
            *("--cache-dir", str(ROOT / ".mypy_cache"), "-p", "striate", *sys.argv[1:]),
        ]
        environment = {**os.environ, "MYPYPATH": temporary}
        result = subprocess.run(command, cwd=temporary, env=environment, capture_output=True, text=True, check=False)
    sys.stdout.write(re.sub(rf"^striate/(?=({'|'.join(FOLDERS)})/)", "", result.stdout, flags=re.MULTILINE))
    sys.stderr.write(result.stderr)
    return result.returncode


if __name__ == "__main__":
    sys.exit(main())
