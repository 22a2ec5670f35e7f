"""Walk-throughs told on a cluster: their stage, their steps, and what they claim."""
