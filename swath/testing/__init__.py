"""Conformance suites for implementations of the plug points: executors, clusters, fleets, launchers, databases. They need pytest."""
