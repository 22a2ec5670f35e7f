"""Wiring only: what the suite offers to every test."""

pytest_plugins = ["rbac_matrix.plugin", "rbac_matrix.stories.plugin"]
