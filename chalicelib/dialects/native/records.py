"""The routes of what all dialects share, records of every kind. Errors are the native ones."""

from __future__ import annotations

import re

from chalicelib.core.access import Role
from chalicelib.core.instants import short_iso
from chalicelib.core.letter import Address
from chalicelib.dialects.http import SESSION_COOKIE, Answer, Api, Call
from chalicelib.dialects.native.errors import render
from chalicelib.dialects.native.records_schema import (
    AgentBody,
    AgentList,
    AgentView,
    CertificationBody,
    CertificationList,
    CertificationView,
    ChannelBody,
    ChannelList,
    ChannelTest,
    ChannelTested,
    ChannelView,
    ClaudeSessionList,
    ClaudeSessionView,
    CreateKey,
    Heartbeat,
    HeartbeatView,
    KeyList,
    NamedChannel,
    NewKey,
    OpenSession,
    SecretBody,
    SecretList,
    SecretView,
    SessionView,
    TargetBody,
    TargetList,
    TargetView,
)
from chalicelib.dialects.native.schema import NativeError, Page
from chalicelib.scheduler import access, certifications, channels, secrets, sessions, targets

TARGET = "/api/targets/{id}"
AGENT = "/api/agents/{id}"
CERTIFICATION = "/api/certifications/{id}"
CHANNELS = "/api/channels"
SECRET = "/api/secrets/{id}"  # noqa: S105 (a path)
_LOOPBACK = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")

API = Api("records", ("/api/",), render, NativeError)


@API.route("GET", "/api/targets", gives=TargetList)
def list_targets(call: Call) -> Answer:
    found = targets.list_targets(call.engine)
    return Answer({"targets": found, "count": len(found)})


@API.route("GET", TARGET, gives=TargetView)
def get_target(call: Call) -> Answer:
    return Answer(targets.get_target(call.engine, call.path["id"]))


@API.route("PUT", TARGET, gives=TargetView, role=Role.OPERATOR, writes="target.put")
def put_target(call: Call, body: TargetBody) -> Answer:
    call.may_use(body.root)
    return Answer(targets.put_target(call.engine, call.new_id("id"), body.root, call.now))


@API.route("DELETE", TARGET, gives=None, status=204, role=Role.OPERATOR, writes="target.delete")
def delete_target(call: Call) -> Answer:
    targets.delete_target(call.engine, call.path["id"])
    return Answer()


@API.route("GET", "/api/agents", gives=AgentList)
def list_agents(call: Call) -> Answer:
    found = targets.list_agents(call.engine)
    return Answer({"agents": found, "count": len(found)})


@API.route("GET", AGENT, gives=AgentView)
def get_agent(call: Call) -> Answer:
    return Answer(targets.get_agent(call.engine, call.path["id"]))


@API.route("PUT", AGENT, gives=AgentView, role=Role.OPERATOR, writes="agent.put")
def put_agent(call: Call, body: AgentBody) -> Answer:
    return Answer(targets.put_agent(call.engine, call.new_id("id"), body.name, body.target, call.now))


@API.route("DELETE", AGENT, gives=None, status=204, role=Role.OPERATOR, writes="agent.delete")
def delete_agent(call: Call) -> Answer:
    targets.delete_agent(call.engine, call.path["id"])
    return Answer()


@API.route("POST", f"{AGENT}/heartbeat", gives=HeartbeatView, role=Role.OPERATOR)
def beat(call: Call, body: Heartbeat) -> Answer:
    """Marks the agent seen. Heartbeats are no people's writes: they are not in the audit log."""
    usage = body.token_usage.model_dump() if body.token_usage else None
    targets.heartbeat(call.engine, call.path["id"], body.status, usage, call.now)
    return Answer({"status": "HEARTBEAT_OK", "agent": call.path["id"], "checked_at": short_iso(call.now)})


@API.route("GET", "/api/certifications", gives=CertificationList)
def list_certifications(call: Call) -> Answer:
    found = certifications.list_all(call.engine)
    return Answer({"certifications": found, "count": len(found)})


@API.route("GET", CERTIFICATION, gives=CertificationView)
def get_certification(call: Call) -> Answer:
    return Answer(certifications.get(call.engine, call.path["id"]))


@API.route("PUT", CERTIFICATION, gives=CertificationView, role=Role.OPERATOR, writes="certification.put")
def put_certification(call: Call, body: CertificationBody) -> Answer:
    return Answer(certifications.put(call.engine, call.new_id("id"), body.model_dump(), call.now))


@API.route("DELETE", CERTIFICATION, gives=None, status=204, role=Role.OPERATOR, writes="certification.delete")
def delete_certification(call: Call) -> Answer:
    certifications.delete(call.engine, call.path["id"])
    return Answer()


@API.route("GET", CHANNELS, gives=ChannelList, role=Role.ADMIN)
def list_channels(call: Call) -> Answer:
    found = channels.list_all(call.engine)
    return Answer({"channels": found, "count": len(found)})


@API.route("POST", CHANNELS, gives=ChannelView, role=Role.ADMIN, writes="channel.put")
def put_channel(call: Call, body: ChannelBody) -> Answer:
    """Its name is in the body, as names hold `#`, `@` and `/`."""
    address = Address(body.name, body.url, body.secret)
    return Answer(channels.put(call.engine, address, call.who.id, call.now), target=body.name)


@API.route("DELETE", CHANNELS, gives=None, status=204, role=Role.ADMIN, writes="channel.delete")
def delete_channel(call: Call, body: NamedChannel) -> Answer:
    channels.delete(call.engine, body.name)
    return Answer(target=body.name)


@API.route("POST", f"{CHANNELS}/test", gives=ChannelTested, role=Role.ADMIN)
def try_channel(call: Call, body: ChannelTest) -> Answer:
    """Sends a message, and says how it went."""
    return Answer(channels.test(call.engine, body.name, body.text, call.now))


@API.route("GET", "/api/secrets", gives=SecretList, role=Role.ADMIN)
def list_secrets(call: Call) -> Answer:
    """Which there are; their values cannot be read."""
    found = secrets.list_secrets(call.engine)
    return Answer({"secrets": found, "count": len(found)})


@API.route("PUT", SECRET, gives=SecretView, role=Role.ADMIN, writes="secret.put")
def put_secret(call: Call, body: SecretBody) -> Answer:
    return Answer(secrets.put(call.engine, call.path["id"], body.value, call.who.id, call.now))


@API.route("DELETE", SECRET, gives=None, status=204, role=Role.ADMIN, writes="secret.delete")
def delete_secret(call: Call) -> Answer:
    secrets.delete(call.engine, call.path["id"])
    return Answer()


@API.route("GET", "/api/sessions", gives=ClaudeSessionList)
def list_sessions(call: Call, query: Page) -> Answer:
    found = sessions.list_sessions(call.engine, call.now)
    page = found[query.offset : query.offset + query.limit]
    views = [{name: session[name] for name in ClaudeSessionView.model_fields} for session in page]
    return Answer({"sessions": views, "count": len(found)})


@API.route("POST", "/api/auth/session", gives=SessionView, status=201, role=None, writes="session.open")
def open_session(call: Call, body: OpenSession) -> Answer:
    """Exchanges a key for a cookie; it is Secure unless the host is this machine."""
    token, expires, who = access.open_session(call.engine, body.key, call.now)
    host = call.request.headers.get("host", "")
    secure = "" if _LOOPBACK.fullmatch(host) else "; Secure"
    age = int((expires - call.now).total_seconds())
    cookie = f"{SESSION_COOKIE}={token}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}"
    return Answer({"expires_at": short_iso(expires)}, headers={"Set-Cookie": cookie}, who=who)


@API.route("GET", "/api/keys", gives=KeyList, role=Role.ADMIN)
def list_keys(call: Call) -> Answer:
    keys = access.list_keys(call.engine)
    return Answer({"keys": keys, "count": len(keys)})


@API.route("POST", "/api/keys", gives=NewKey, status=201, role=Role.ADMIN, writes="key.create")
def create_key(call: Call, body: CreateKey) -> Answer:
    """The key is in this answer, and nowhere else."""
    secret, record = access.create_key(call.engine, body.role, body.name, call.now)
    return Answer({**record, "key": secret}, target=record["id"])


@API.route("DELETE", "/api/keys/{key_id}", gives=None, status=204, role=Role.ADMIN, writes="key.revoke")
def revoke_key(call: Call) -> Answer:
    access.revoke_key(call.engine, call.path["key_id"])
    return Answer()
