"""Simulated clouds: EC2 with S3, and Compute Engine, whose machines are local processes that boot from their real user data."""
