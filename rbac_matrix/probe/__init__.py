"""The probe: the program that asks, and the ways to reach it."""
