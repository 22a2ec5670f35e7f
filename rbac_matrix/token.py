"""A bearer token that does not show itself."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, eq=False)  # pytest shows the fields that equality compares
class Token:
    """A token that no failure, log or debugger prints.

    pytest shows the values of a failed assertion, and a traceback the arguments of its frames.

    Attributes:
        text: The token itself.
    """

    text: str = field(repr=False, compare=False)

    @property
    def header(self) -> str:
        """The value of an `Authorization` header, which does not show itself either."""
        return Hidden(f"Bearer {self.text}")

    @property
    def claims(self) -> dict[str, Any]:
        """What the token says, unverified. None of it is secret without the signature.

        Raises:
            ValueError: It is no JSON Web Token.
        """
        _, payload, _ = self.text.split(".")
        # Base64url without its padding, as RFC 7515 has it.
        claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=="))
        return claims


class Hidden(str):
    """A text that can be sent like any other; where several are shown together, it is not."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Nothing of the text."""
        return "<hidden>"
