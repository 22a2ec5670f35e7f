"""Prints what the mounted token says, without the signature that would make it usable."""

import base64
from pathlib import Path

token = Path("/var/run/secrets/kubernetes.io/serviceaccount/token").read_text(encoding="ascii")
payload = token.split(".")[1]
print(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)).decode())
