"""What a library may connect to inside the guard."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from contextvars import copy_context
from ipaddress import ip_network

import pytest

from chalicelib.net.guard import guarded
from tests.receivers import Receiver, receiving

LOOPBACK = (ip_network("127.0.0.0/8"),)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def post(receiver: Receiver) -> int:
    connection = http.client.HTTPConnection("localhost", receiver.port, timeout=5)
    try:
        connection.request("POST", "/", b"x")
        return connection.getresponse().status
    finally:
        connection.close()


def test_an_internal_address_is_refused_however_it_is_named(receiver: Receiver) -> None:
    with guarded(()) as refused, pytest.raises(PermissionError):
        post(receiver)
    assert any("127.0.0.1" in address for address in refused)
    assert receiver.received == []


def test_an_allowed_network_is_reached_and_so_is_all_outside_of_the_guard(receiver: Receiver) -> None:
    with guarded(LOOPBACK):
        assert post(receiver) == 200
    assert post(receiver) == 200


def test_another_thread_is_not_guarded_unless_it_was_begun_within(receiver: Receiver) -> None:
    statuses: list[int | str] = []

    def try_it() -> None:
        try:
            statuses.append(post(receiver))
        except PermissionError:
            statuses.append("refused")

    with guarded(()):
        inside = copy_context()
        for target in (try_it, lambda: inside.run(try_it)):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()
    assert statuses == [200, "refused"]


@pytest.mark.parametrize("address", [("169.254.169.254", 80), ("10.0.0.1", 25), ("localhost", 80)])
def test_datagrams_and_names_are_refused_too(address: tuple[str, int]) -> None:
    with (
        guarded(LOOPBACK) as refused,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line,
        pytest.raises(PermissionError),
    ):
        line.sendto(b"x", address)
    assert refused == [str(address)]


def test_sockets_of_the_machine_are_refused() -> None:
    with guarded(LOOPBACK), socket.socket(socket.AF_UNIX) as line, pytest.raises(PermissionError):
        line.connect("/dev/log")
