"""`python -m infra.package [--stage STAGE] FOLDER`: sam.json and deployment.zip, stamped and linted.

The sources are copied first, so that only they are in the zip, and of chalice, most of whose dependencies are
its command's, just the part that runs on Lambda (which chalice puts there by itself).
"""

from __future__ import annotations

import argparse
import compileall
import hashlib
import json
import os
import py_compile
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from infra import template
from infra.check_package import check

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = Path(sys.executable).parent
ON_LAMBDA = "/var/task"
READABLE = 0o644 << 16  # the mode, where a zip keeps it
CFN_LINT_ERROR = 2  # a bit of its exit status; the others are of warnings and remarks


def package(stage: str, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        sources = _sources(Path(scratch))
        _chalice(sources, stage, folder.resolve())
    _add_bytecode(folder / "deployment.zip")
    _finish_template(folder)
    _lint(folder / "sam.json")


def _sources(folder: Path) -> Path:
    shutil.copy(ROOT / "app.py", folder)
    shutil.copytree(ROOT / "chalicelib", folder / "chalicelib", ignore=shutil.ignore_patterns("__pycache__"))
    settings = [path for path in (ROOT / ".chalice").iterdir() if path.suffix == ".json"]
    (folder / ".chalice").mkdir()
    for path in settings:
        shutil.copy(path, folder / ".chalice")
    requirements = (ROOT / "requirements.txt").read_text().splitlines(keepends=True)
    shipped = [line for line in requirements if not line.startswith("chalice==")]
    (folder / "requirements.txt").write_text("".join(shipped))
    return folder


def _chalice(sources: Path, stage: str, folder: Path) -> None:
    """The region is needed, though nothing of it gets into the template, and app.py needs no variable."""
    command = [str(COMMANDS / "chalice"), "--project-dir", str(sources), "package", "--stage", stage]
    merged = ["--merge-template", str(template.PATH), str(folder)]
    environment = {"AWS_DEFAULT_REGION": "us-east-1", "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([*command, *merged], check=True, env=os.environ | environment)


def _add_bytecode(archive: Path) -> None:
    """Lambda cannot keep what it compiles: with bytecode a cold start imports in a third of the time."""
    with tempfile.TemporaryDirectory() as scratch:
        with zipfile.ZipFile(archive) as files:
            files.extractall(scratch)
        compileall.compile_dir(
            scratch,
            quiet=1,
            stripdir=scratch,
            prependdir=ON_LAMBDA,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
        _pack(Path(scratch), archive)


def _pack(folder: Path, archive: Path) -> None:
    """The same files make the same archive, so that nothing is deployed that has not changed."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as files:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(str(path.relative_to(folder)))
            entry.external_attr = READABLE
            files.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)


def _finish_template(folder: Path) -> None:
    """JSON, since chalice's YAML has aliases, which CloudFormation does not read."""
    merged = template.load(folder / "sam.yaml")
    template.environment(merged)["BELFRY_DEPLOYMENT"] = stamp(folder / "deployment.zip")
    (folder / "sam.json").write_text(json.dumps(merged, indent=2) + "\n")
    (folder / "sam.yaml").unlink()


def stamp(archive: Path) -> str:
    """Changes with what is in the package, not with when it was made."""
    return hashlib.sha256(archive.read_bytes()).hexdigest()[:16]


def _lint(path: Path) -> None:
    status = subprocess.run([COMMANDS / "cfn-lint", "--format", "parseable", path], check=False).returncode
    if status & CFN_LINT_ERROR:
        sys.exit("cfn-lint found errors in the template.")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m infra.package")
    parser.add_argument("--stage", default="prod")
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    package(arguments.stage, arguments.folder)
    found = check(arguments.folder)
    size, milliseconds = found["zip_bytes"] / 1e6, found["import_milliseconds"]
    print(
        f"{arguments.folder}: sam.json and deployment.zip ({size:.1f} MB; imported in {milliseconds:.0f} ms)"
    )


if __name__ == "__main__":
    main()
