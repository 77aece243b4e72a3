"""Studies on simulated and real data: what the choices of the method do to its results."""
