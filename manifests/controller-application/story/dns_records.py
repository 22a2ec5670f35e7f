"""Asks the cluster's DNS for the IPv4 addresses of a name, and prints each with its time to live.

`dns_records.py web.mynamespace.svc.cluster.local`: `getent` would not tell the time to live.
"""

import json
import re
import secrets
import socket
import struct
import sys
from pathlib import Path

ADDRESS_RECORD, INTERNET = 1, 1
RECURSE = 0x0100
SECONDS = 5.0


def after_name(message: bytes, at: int) -> int:
    """Where a name ends: at a zero, or at two bytes that point to the rest of it."""
    while message[at]:
        if message[at] >= 0xC0:
            return at + 2
        at += 1 + message[at]
    return at + 1


(name,) = sys.argv[1:]
resolvers = re.findall(
    r"^nameserver\s+(\S+)", Path("/etc/resolv.conf").read_text("utf-8"), re.MULTILINE
)
labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
number = secrets.randbelow(1 << 16)
question = labels + b"\0" + struct.pack("!HH", ADDRESS_RECORD, INTERNET)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
    connection.settimeout(SECONDS)
    connection.connect((resolvers[0], 53))
    connection.send(struct.pack("!6H", number, RECURSE, 1, 0, 0, 0) + question)
    message = connection.recv(4096)
answered, _, _, answers, _, _ = struct.unpack_from("!6H", message)
if answered != number:
    sys.exit("this is the answer to another question")
at, found = 12 + len(question), {}
for _ in range(answers):
    at = after_name(message, at)
    kind, _, seconds, length = struct.unpack_from("!HHIH", message, at)
    at += 10 + length
    if kind == ADDRESS_RECORD:
        found[socket.inet_ntoa(message[at - length : at])] = seconds
print(json.dumps(found))
