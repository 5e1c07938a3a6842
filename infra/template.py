"""infra/template.yaml, read: its resources, and its values with Ref and GetAtt resolved."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

PATH = Path(__file__).with_name("template.yaml")


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short tags: `!Ref x` becomes `{"Ref": x}`, `!GetAtt a.b` `Fn::GetAtt`."""


def _intrinsic(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    return {suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}": _argument(loader, suffix, node)}


def _argument(loader: _Loader, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    value = loader.construct_scalar(node)  # type: ignore[arg-type]
    return value.split(".", 1) if suffix == "GetAtt" else value


_Loader.add_multi_constructor("!", _intrinsic)


def load(path: Path = PATH) -> dict[str, Any]:
    template: dict[str, Any] = yaml.load(path.read_text(), Loader=_Loader)  # noqa: S506 (a SafeLoader)
    return template


def of_type(template: Mapping[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """The properties of every resource of this type, by logical id."""
    resources = template["Resources"].items()
    return {name: resource["Properties"] for name, resource in resources if resource.get("Type") == kind}


def environment(template: Mapping[str, Any]) -> dict[str, Any]:
    """The variables that every function gets, unresolved."""
    variables: dict[str, Any] = template["Globals"]["Function"]["Environment"]["Variables"]
    return variables


def resolve(value: Any, refs: Mapping[str, str], arns: Mapping[str, str]) -> Any:
    """`value` with each Ref and Sub replaced from `refs` and each GetAtt of an Arn from `arns`."""
    if isinstance(value, list):
        return [resolve(item, refs, arns) for item in value]
    if not isinstance(value, dict):
        return value
    if "Ref" in value:
        return refs[value["Ref"]]
    if "Fn::GetAtt" in value:
        return arns[value["Fn::GetAtt"][0]]
    if "Fn::Sub" in value:
        return re.sub(r"\$\{([\w:]+)\}", lambda match: refs[match[1]], value["Fn::Sub"])
    return {key: resolve(item, refs, arns) for key, item in value.items()}


def defaults(template: Mapping[str, Any]) -> dict[str, str]:
    """The default of every parameter that has one."""
    parameters = template["Parameters"].items()
    return {name: parameter["Default"] for name, parameter in parameters if "Default" in parameter}
