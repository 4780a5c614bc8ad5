"""Conformance suites for implementations of the plug points: Executor, Cluster, Fleet, JobLauncher. They need pytest."""
