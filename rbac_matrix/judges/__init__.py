"""Independent ways to decide a question; none knows the others."""
