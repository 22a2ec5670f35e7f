"""The control plane's programs: found, downloaded with their checksums, or built from source."""
