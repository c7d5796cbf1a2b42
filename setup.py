"""Maps the top-level folders to the packages striate.<folder>; all else is in pyproject.toml."""

from setuptools import find_packages, setup

FOLDERS = ("runtime", "trainer", "exporter", "models")

package_dir = {f"striate.{folder}": folder for folder in FOLDERS}
found = [f"striate.{name}" for name in find_packages(include=[p for f in FOLDERS for p in (f, f"{f}.*")])]
setup(package_dir=package_dir, packages=find_packages(include=["striate", "striate.*"]) + found)
