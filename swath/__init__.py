"""swath: one YAML names area, imagery and model; `pipe run` turns it into a map."""
