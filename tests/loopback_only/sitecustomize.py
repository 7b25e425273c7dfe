"""Refuses what would leave this machine, in each Python process that the tests start: Python imports it by its name.

Names other than this machine's own are unknown, and addresses other than the loopback's are unreachable.
"""

import errno
import ipaddress
import socket
import sys


def _refuse(event: str, arguments: tuple) -> None:
    if event == "socket.getaddrinfo":
        host = arguments[0]
        if host and not _is_here(host if isinstance(host, str) else host.decode("ascii", "replace")):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    elif event in {"socket.connect", "socket.sendto", "socket.sendmsg"}:
        address = arguments[1]
        if isinstance(address, tuple) and not _is_here(address[0]):
            raise OSError(errno.ENETUNREACH, "Network is unreachable")


def _is_here(host: str) -> bool:
    if host in {"localhost", "", socket.gethostname()}:
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


sys.addaudithook(_refuse)
