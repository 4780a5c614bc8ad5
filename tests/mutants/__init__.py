"""Mutation testing by hand: `make mutants ROOM=maps` changes one place of a package at a time and runs the tests that cover it."""
