"""Readers of a run's events: live on a terminal, plain lines elsewhere, JSON lines for programs."""
