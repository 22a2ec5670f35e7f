"""Clusters that the suite can ask: how each one starts, is reached and ends."""
