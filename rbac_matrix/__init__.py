"""Proves on a real cluster what each Kubernetes ServiceAccount may and may not do."""
