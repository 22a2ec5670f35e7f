"""Taking secrets out of what is kept of a failure; everything that is written goes through here.

Twice: values that the cluster itself says are secret are known by heart, and what looks like a
credential goes whoever wrote it.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

REDACTED: Final = "<redacted>"
REDACTED_DATA: Final = "redacted"
"""In the place of a Secret's data: it is Base64 as well, so the object can be applied again."""

SHORTEST_VALUE: Final = 6
"""Letters of a Secret's value that is looked for in other texts: a shorter one is a word of them
by chance, and no secret that could be kept."""

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_SENSITIVE: Final = r"token|passwo?r?d|passwd|secret|credential|api[_-]?key|private[_-]?key"
_SENSITIVE_NAME: Final = re.compile(f"{_SENSITIVE}|client-key-data", re.IGNORECASE)
_PEM_IN_BASE64: Final = re.compile(r"LS0tLS1CRUdJTi[A-Za-z0-9+/=]+")
_PATTERNS: Final = (
    # A private key, also where its line breaks are escaped.
    (
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*-----|\Z)", re.DOTALL),
        REDACTED,
    ),
    # A JSON Web Token, cut or whole, and whatever else is JSON in Base64 (image pull secrets).
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}(?:[.=+/][A-Za-z0-9_=+/-]*){0,3}"), REDACTED),
    (
        re.compile(
            r"(authorization[\"']?[ \t]*[:=][ \t]*\[?[\"']?)"
            r"(?:(?:bearer|basic)[ \t]+)?[^\s\"',\]]+",
            re.IGNORECASE,
        ),
        rf"\1{REDACTED}",
    ),
    (re.compile(r"\b(bearer|basic)[ \t]+[\w.~+/=-]{8,}", re.IGNORECASE), rf"\1 {REDACTED}"),
    # `password=...`, `"token": "..."`, `MY_API_KEY: ...`
    (
        re.compile(
            rf"(\b(?:[\w-]*[_-])?(?:{_SENSITIVE})\\?[\"']?[ \t]*[:=][ \t]*\\?[\"']?)"
            rf"(?!{REDACTED_DATA}\b)[^\s\"',;&\\]{{6,}}",
            re.IGNORECASE,
        ),
        rf"\1{REDACTED}",
    ),
)


class Redactor:
    """Takes out what looks like a credential, and the values that it was told are secret."""

    def __init__(self) -> None:
        """Know no value yet."""
        self._known: set[str] = set()
        self._pattern: re.Pattern[str] | None = None

    def learn(self, values: Iterable[str]) -> None:
        """Take these values out of whatever is redacted from now on, however they are escaped."""
        for value in values:
            for text in (value, *value.splitlines()):
                if len(text.strip()) >= SHORTEST_VALUE:
                    self._known |= _forms(text.strip())
        # The longest first: one may be the beginning of another.
        longest_first = sorted(self._known, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if self._known else None

    def learn_secret(self, secret: Mapping[str, Any]) -> None:
        """The same of a Secret's values."""
        values = [*(secret.get("stringData") or {}).values()]
        for encoded in (secret.get("data") or {}).values():
            values.append(encoded)
            try:
                values.append(base64.b64decode(encoded).decode())
            except (binascii.Error, UnicodeDecodeError):
                continue  # Binary: no text can hold it but in Base64.
        self.learn(values)

    def text(self, text: str) -> str:
        """The text without credentials and known values."""
        if self._pattern is not None:
            text = self._pattern.sub(REDACTED, text)
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        return _PEM_IN_BASE64.sub(_without_private_key, text)

    def object(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """An object of the cluster without credentials and known values, and no Secret's data."""
        return {key: self._value(str(key), value) for key, value in _hidden(body).items()}

    def _value(self, name: str, value: Any) -> Any:  # noqa: ANN401 - any JSON
        if isinstance(value, dict):
            return self.object(value)
        if isinstance(value, list):
            return [self._value("", item) for item in value]
        if isinstance(value, str):
            named = value not in ("", REDACTED_DATA) and _SENSITIVE_NAME.fullmatch(name)
            return REDACTED if named else self.text(value)
        return value


def _hidden(body: Mapping[str, Any]) -> dict[str, Any]:
    """A Secret without its data; an environment variable without its value, if its name says so."""
    found = dict(body)
    if found.get("kind") == "Secret":
        for part in ("data", "stringData"):
            if part in found:
                found[part] = dict.fromkeys(found[part] or {}, REDACTED_DATA)
        metadata = dict(found.get("metadata") or {})
        if LAST_APPLIED in (metadata.get("annotations") or {}):
            metadata["annotations"] = {**metadata["annotations"], LAST_APPLIED: REDACTED}
        found["metadata"] = metadata
    if isinstance(found.get("value"), str) and _SENSITIVE_NAME.search(str(found.get("name", ""))):
        found["value"] = REDACTED
    return found


def _forms(text: str) -> set[str]:
    """A value as it may be written: plain, in Base64, in JSON, in JSON within JSON, in a URL."""
    encoded = base64.b64encode(text.encode()).decode()
    escaped = json.dumps(text)[1:-1]
    twice = json.dumps(escaped)[1:-1]
    return {text, encoded, encoded.rstrip("="), escaped, twice, quote(text, safe="")}


def _without_private_key(found: re.Match[str]) -> str:
    """PEM in Base64, unless it is a private key: a certificate is public."""
    beginning = found[0][:64].rstrip("=")  # The first line says what it is.
    said = base64.b64decode(beginning[: len(beginning) // 4 * 4])
    return REDACTED if b"PRIVATE KEY" in said else found[0]
