"""Where the server listens: TCP, unix sockets and their files, several at once, and addresses in use."""

import os
import signal
import socket

from wire import Wire, message, until

HELLO = """
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hello"]
"""


def test_an_address_that_is_in_use_is_exit_status_1_and_names_the_address(serve):
    first = serve(HELLO)
    second = serve(HELLO, bind=["127.0.0.1:%d" % first.address[1]], listening=False)
    assert second.wait_exit(30) == 1
    second.log.thread.join(10)
    port = first.address[1]
    address = r"\('127\.0\.0\.1', %d\)" % port
    holder = r"Connection in use: %s; farrier: master \(pid %d\b[^)]*\) listens there" % (address, first.pid)
    # One line at the beginning and one at the end: the tries in between are quiet.
    assert [match.string.rpartition(" listens there")[2] for match in second.log.find(holder)] == [
        ". Retrying in 1 second, 4 times at most.",
        ": stop it or choose another address",
    ], second.log.text
    assert len(second.log.find("in use")) == 2
    assert first.get().status == 200


def test_several_binds_are_all_served(serve):
    server = serve(HELLO, bind=["127.0.0.1:0", "127.0.0.1:0", "unix:several.sock", "[::1]:0"])
    assert len(set(server.addresses)) == 4
    for address in server.addresses:
        with Wire(address) as wire:
            assert wire.request(message()).body == b"hello"


def test_a_unix_socket_has_its_mode_and_is_removed_at_the_end(serve):
    server = serve(HELLO, "--unix-socket-mode", "640", bind=["unix:farrier.sock"])
    assert server.get().status == 200
    path = server.address
    assert os.stat(path).st_mode & 0o777 == 0o640
    server.stop()
    assert not os.path.exists(path)


def test_by_default_every_local_user_may_connect_to_a_unix_socket(serve):
    server = serve(HELLO, bind=["unix:farrier.sock"])
    assert os.stat(server.address).st_mode & 0o777 == 0o666


def test_a_stale_unix_socket_is_replaced(serve, tmp_path):
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(tmp_path / "farrier.sock"))
    stale.close()
    server = serve(HELLO, directory=tmp_path, bind=["unix:farrier.sock"])
    assert server.get().status == 200


def test_a_living_unix_socket_and_a_plain_file_are_not_replaced(serve, tmp_path):
    first = serve(HELLO, directory=tmp_path, bind=["unix:farrier.sock"])
    assert first.get().status == 200
    second = serve(HELLO, directory=tmp_path, bind=["unix:farrier.sock"], listening=False)
    assert second.wait_exit(30) == 1
    assert first.get().status == 200
    (tmp_path / "plain").write_text("precious")
    third = serve(HELLO, directory=tmp_path, bind=["unix:plain"], listening=False)
    assert third.wait_exit(30) == 1
    assert (tmp_path / "plain").read_text() == "precious"


def test_an_abstract_unix_socket(serve):
    server = serve(HELLO, bind=["unix:@farrier-test-%d" % os.getpid()])
    assert server.address.startswith("\0") and server.get().status == 200


def test_a_reload_keeps_the_unix_socket(serve):
    server = serve(HELLO, bind=["unix:farrier.sock"])
    assert server.get().status == 200
    inode = os.stat(server.address).st_ino
    server.kill(signal.SIGHUP)
    server.wait_booted(2)
    until(lambda: len(server.workers()) == 1, 30)
    assert os.stat(server.address).st_ino == inode and server.get().status == 200
