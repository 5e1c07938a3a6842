"""`python -m infra.local [--port N]`: the local stack, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import argparse
import errno
import logging
import os
import signal
import sys
import threading

from infra.local.stack import LocalStack

STOPPING = (signal.SIGINT, signal.SIGTERM)
QUIET = ("boto3", "botocore", "moto", "urllib3", "werkzeug")
WELCOME = """\
Belfry is at {url}: everything runs in this process, on the loopback address only. Ctrl-C stops it.
A request without credentials acts as {role} (BELFRY_ANONYMOUS_ROLE). `make key PORT={port}` makes an API key.
To try it, a job that runs every two seconds:

  curl -s {url}/api/scheduler/jobs -H 'Content-Type: application/json' -d '{{"name": "hello",
    "schedule": {{"type": "every", "interval": 2}},
    "action": {{"type": "http", "method": "GET", "url": "{url}/api/scheduler/status"}}}}'
  curl -s {url}/api/scheduler/jobs
  curl -s {url}/api/scheduler/runs
  curl -s {url}/api/scheduler/status
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m infra.local", description="Belfry in one process.")
    parser.add_argument("--port", type=int, default=int(os.environ.get("PORT", "8000")))
    port = parser.parse_args().port
    _log_to_stderr()
    stopped = _stop_signals()
    role = os.environ.get("BELFRY_ANONYMOUS_ROLE", "admin")
    stack = LocalStack()
    try:
        url = stack.start(port)
    except OSError as error:
        sys.exit(_explained(error, port))
    print(WELCOME.format(url=url, port=url.rpartition(":")[2], role=role), flush=True)
    stopped.wait()
    _restore_signals()
    print("Stopping: what runs has a few seconds to finish. Once more to stop at once.", flush=True)
    stack.stop()
    os._exit(0)  # an attempt that was handed back may still hang in a call: it must not hold the process


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def _explained(error: OSError, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} is in use. Stop what listens there, or choose another: make run PORT={port + 1}"
    return f"Cannot listen on port {port}: {error}"


def _stop_signals() -> threading.Event:
    """Set by SIGINT and SIGTERM."""
    stopped = threading.Event()
    for number in STOPPING:
        signal.signal(number, lambda received, frame: stopped.set())
    return stopped


def _restore_signals() -> None:
    """The next one ends the process where it stands."""
    for number in STOPPING:
        signal.signal(number, signal.SIG_DFL)


if __name__ == "__main__":
    main()
