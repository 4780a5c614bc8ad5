"""Split: which places are trained on, validated and tested."""
