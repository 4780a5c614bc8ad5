"""Change: two states of one place (maps, or imagery with a rule) on one grid, and the map and table of their transitions."""
