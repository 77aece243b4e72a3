"""Studies on simulated data: what the choices of the method do to its results."""
