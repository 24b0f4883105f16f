"""Two hosts on one machine: network namespaces joined by a cable; where these are forbidden, one host."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def two_hosts() -> Iterator[tuple[list[list[str]], list[dict[str, str]], str]]:
    """What goes before a command on each host, its environment, and the address of the first."""
    names = [f"ingradient-{os.getpid()}-{host}" for host in "ab"]
    cables = [f"cable{os.getpid() % 100000}{host}" for host in "ab"]
    addresses = ["10.231.77.1", "10.231.77.2"]
    try:
        made = shutil.which("ip") is not None and all(_ip("netns", "add", name) for name in names)
        made = made and _ip("link", "add", cables[0], "type", "veth", "peer", "name", cables[1])
        for name, cable, address in zip(names, cables, addresses, strict=True):
            made = made and _ip("link", "set", cable, "netns", name)
            made = made and _ip("-n", name, "address", "add", f"{address}/24", "dev", cable)
            made = made and _ip("-n", name, "link", "set", cable, "up")
            made = made and _ip("-n", name, "link", "set", "lo", "up")
        if made:
            before = [["ip", "netns", "exec", name] for name in names]
            yield before, [{"GLOO_SOCKET_IFNAME": cable} for cable in cables], addresses[0]
        else:
            yield [[], []], [{"GLOO_SOCKET_IFNAME": "lo"}] * 2, "127.0.0.1"
    finally:
        for name in names:
            _ip("netns", "delete", name)
        _ip("link", "delete", cables[0])


def _ip(*words: str) -> bool:
    try:
        return subprocess.run(["ip", *words], capture_output=True, check=False).returncode == 0
    except OSError:
        return False
