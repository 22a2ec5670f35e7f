"""Prints what a token file says, without the signature that would make it usable."""

import base64
import sys
from pathlib import Path

payload = Path(sys.argv[1]).read_text(encoding="ascii").split(".")[1]
print(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)).decode())
