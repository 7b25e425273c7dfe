"""Refuses what would leave this machine, in each Python process that the tests start: Python imports it by its name.

Names other than this machine's own are unknown, and addresses other than the loopback's are unreachable.

It stands in the class of all sockets. An audit hook would be asked of some ten thousand other events while a command
begins, and cost a thirtieth of all that the tests compute.
"""

import errno
import functools
import socket
from collections.abc import Callable


def _unless_far(call: Callable, at_least: int) -> Callable:
    """A method of sockets whose last argument, behind ``at_least`` others, is an address."""

    @functools.wraps(call)
    def guarded(sock: socket.socket, *arguments):
        address = arguments[-1] if len(arguments) > at_least else None
        if isinstance(address, tuple) and not _is_here(address[0]):
            raise OSError(errno.ENETUNREACH, "Network is unreachable")
        return call(sock, *arguments)

    return guarded


def _unless_foreign(look_up: Callable) -> Callable:
    """A function that looks up the name that is its first argument."""

    @functools.wraps(look_up)
    def guarded(host, *arguments, **named):
        if host and not _is_here(host if isinstance(host, str) else host.decode("ascii", "replace")):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return look_up(host, *arguments, **named)

    return guarded


def _is_here(host: str) -> bool:
    import ipaddress  # with the first that is asked for: most processes ask for none

    if host in {"localhost", "", socket.gethostname()}:
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


if not hasattr(socket.socket.connect, "__wrapped__"):  # the tests' own processes come here twice
    for name, at_least in {"connect": 0, "connect_ex": 0, "sendto": 1, "sendmsg": 3}.items():
        setattr(socket.socket, name, _unless_far(getattr(socket.socket, name), at_least))
    for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex"):
        setattr(socket, name, _unless_foreign(getattr(socket, name)))
