"""Computes 2000 digits of pi with integers, and leaves them where the pod's status shows them."""

from pathlib import Path

DIGITS = 2000
SPARE = 10  # digits that rounding down may spoil
TERMINATION_LOG = Path("/dev/termination-log")  # the kubelet takes up to 4096 bytes of it


def arctangent_of_inverse(number: int, unit: int) -> int:
    """`unit * arctan(1 / number)`, by its power series."""
    power = total = unit // number
    divisor, sign = 1, 1
    while power:
        power //= number * number
        divisor += 2
        sign = -sign
        total += sign * (power // divisor)
    return total


unit = 10 ** (DIGITS - 1 + SPARE)
# Machin's formula.
pi = 4 * (4 * arctangent_of_inverse(5, unit) - arctangent_of_inverse(239, unit)) // 10**SPARE
text = f"{str(pi)[0]}.{str(pi)[1:]}"
TERMINATION_LOG.write_text(text, encoding="ascii")
print(text)
