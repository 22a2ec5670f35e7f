"""What a failed run leaves behind to look at, and looking around while the cluster is up."""
