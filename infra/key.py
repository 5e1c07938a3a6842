"""`python -m infra.key --role ROLE [--name NAME] (--port PORT | --stack STACK)`: a new API key, printed once.

On the local stack it asks the API, with the key that the stack left for this user. For a deployed stack it
writes to the stack's records table, with the AWS credentials of whoever runs it.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import sys
from urllib.parse import urlsplit

import boto3

from infra import template
from infra.local import keyfile


def of_local_stack(port: int, role: str, name: str) -> str:
    """Exits with a sentence if no stack runs there or it refuses."""
    try:
        access = keyfile.read(port)
        status, answer = _post(access, {"role": role, "name": name})
    except OSError:
        sys.exit(f"No local stack runs on port {port}. `make run PORT={port}` starts one.")
    if status != http.client.CREATED:
        sys.exit(answer.get("message", f"The local stack answers with {status}."))
    return answer["key"]


def _post(access: keyfile.Access, body: dict[str, str]) -> tuple[int, dict[str, str]]:
    connection = http.client.HTTPConnection(urlsplit(access["url"]).netloc, timeout=10)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {access['key']}"}
    try:
        connection.request("POST", "/api/keys", json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, json.load(response)
    finally:
        connection.close()


def of_deployed_stack(stack: str, role: str, name: str) -> str:
    os.environ.update(deployed_environment(stack))
    from chalicelib import composition

    return composition.create_key(role, name)


def deployed_environment(stack: str) -> dict[str, str]:
    """What the functions of the deployed stack read, parameters at their defaults, without ARNs."""
    pages = boto3.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
    resources = [resource for page in pages for resource in page["StackResourceSummaries"]]
    wanted = template.load()
    physical = {r["LogicalResourceId"]: r["PhysicalResourceId"] for r in resources}
    refs = template.defaults(wanted) | physical | {"AWS::StackName": stack}
    read = {name: value for name, value in template.environment(wanted).items() if "GetAtt" not in str(value)}
    return dict(template.resolve(read, refs, {}))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m infra.key", description="Make an API key.")
    parser.add_argument("--role", required=True, choices=["viewer", "operator", "admin"])
    parser.add_argument("--name", default="made by make key")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--port", type=int, help="of a local stack")
    where.add_argument("--stack", help="the CloudFormation stack's name")
    given = parser.parse_args()
    if given.stack:
        print(of_deployed_stack(given.stack, given.role, given.name))
    else:
        print(of_local_stack(given.port, given.role, given.name))


if __name__ == "__main__":
    main()
