from __future__ import annotations

import contextlib
import os
import socket

import pytest

from celeriac.worker import packets
from celeriac.worker.packets import DONT_WAIT, MAX_PACKET


@pytest.fixture(params=["linux", "darwin"])
def ends(request):
    """Both ends of a channel, of the kind that each platform gets."""
    pair = packets.pair(request.param)
    yield pair
    for end in pair:
        end.close()


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_the_kind_of_socket_follows_the_platform():
    assert packets.packet_kind("linux") == socket.SOCK_SEQPACKET
    assert packets.packet_kind("darwin") == socket.SOCK_DGRAM


@pytest.mark.parametrize("size", [1, 100, MAX_PACKET - 1, MAX_PACKET, MAX_PACKET + 1, 300_000, 5_000_000])
def test_a_packet_of_any_size_arrives_whole(ends, size):
    data = os.urandom(size)

    packets.send(ends[0], data)

    assert packets.receive(ends[1]) == data


def test_packets_keep_their_order_and_their_borders(ends):
    sent = [bytes([number]) * (number * 997 % 70_000 + 1) for number in range(1, 20)]

    for data in sent:
        packets.send(ends[0], data, DONT_WAIT)
        assert packets.receive(ends[1], DONT_WAIT) == data


def test_a_large_packet_leaves_no_descriptor_open(ends):
    before = open_descriptors()

    for _ in range(20):
        packets.send(ends[0], b"x" * (MAX_PACKET + 1))
        packets.receive(ends[1])

    assert open_descriptors() == before


def test_nothing_to_read_is_told_without_waiting(ends):
    with pytest.raises(BlockingIOError):
        packets.receive(ends[1], DONT_WAIT)


@pytest.mark.parametrize("size", [600, MAX_PACKET, MAX_PACKET + 1])
def test_a_full_window_is_told_without_waiting_and_loses_nothing(ends, size):
    sent = 0
    with contextlib.suppress(OSError):  # BlockingIOError, or too many files on their way
        while sent < 10_000:
            packets.send(ends[0], sent.to_bytes(4, "big") + b"x" * size, DONT_WAIT)
            sent += 1

    received = [int.from_bytes(packets.receive(ends[1], DONT_WAIT)[:4], "big") for _ in range(sent)]

    assert 3 <= sent < 10_000
    assert received == list(range(sent))
    with pytest.raises(BlockingIOError):
        packets.receive(ends[1], DONT_WAIT)


def test_what_the_reader_has_not_read_can_be_taken_back_from_its_own_end(ends):
    theirs, handle = ends[1], socket.socket(fileno=os.dup(ends[1].fileno()))
    for number in range(1, 6):
        packets.send(ends[0], bytes([number]) * (number * 30_000))

    with handle:
        first = packets.receive(theirs)
        back = [packets.receive(handle, DONT_WAIT) for _ in range(4)]

    assert [first[0], *(data[0] for data in back)] == [1, 2, 3, 4, 5]
    assert [len(data) for data in back] == [60_000, 90_000, 120_000, 150_000]


def test_a_handle_that_does_not_wait_leaves_the_other_end_waiting_as_before(ends):
    """Flags belong to the open file, which both share: a changed one would make the child's own read fail."""
    handle = socket.socket(fileno=os.dup(ends[1].fileno()))
    with handle, pytest.raises(BlockingIOError):
        packets.receive(handle, DONT_WAIT)

    assert ends[1].getblocking()
    assert os.get_blocking(ends[1].fileno())


def test_a_packet_larger_than_any_of_ours_is_refused_and_not_cut():
    ours, theirs = packets.pair()
    with ours, theirs:
        ours.send(b"x" * (MAX_PACKET + 10))

        with pytest.raises(OSError, match="cut"):
            packets.receive(theirs)


def test_the_end_reads_as_empty():
    ours, theirs = packets.pair()
    with theirs:
        ours.close()

        assert packets.receive(theirs) == b""


def test_what_was_sent_before_an_end_is_still_read():
    ours, theirs = packets.pair()
    with theirs:
        packets.send(ours, b"last words")
        ours.close()

        assert packets.receive(theirs) == b"last words"
        assert packets.receive(theirs) == b""


def test_a_descriptor_travels_with_a_packet(ends):
    read, write = os.pipe()
    packets.send_descriptors(ends[0], b"take this", (write,))
    os.close(write)

    data, (descriptor,) = packets.receive_descriptors(ends[1])

    assert data == b"take this"
    assert descriptor is not None
    os.write(descriptor, b"hello")
    os.close(descriptor)
    assert os.read(read, 10) == b"hello"
    os.close(read)


def test_received_descriptors_are_not_handed_on_to_programs(ends):
    packets.send_descriptors(ends[0], b"take this", (ends[0].fileno(), ends[1].fileno()))

    _, descriptors = packets.receive_descriptors(ends[1])

    assert len(descriptors) == 2
    for descriptor in descriptors:
        assert not os.get_inheritable(descriptor)
        os.close(descriptor)
