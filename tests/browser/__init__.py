"""Tests in a real browser; a package, so that they share one and close it behind the last of them."""
