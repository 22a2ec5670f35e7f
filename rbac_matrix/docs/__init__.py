"""The pages that say what access is expected: Markdown in `docs/`, and a site made of it."""
