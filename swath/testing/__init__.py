"""Conformance suites for implementations of the plug points: Executor, Cluster, Fleet. They need pytest."""
