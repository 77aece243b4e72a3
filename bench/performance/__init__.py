"""Speed at equal certified accuracy; see README.md in this folder."""

import os

# adelie has OpenMP bind the thread that imports it to one processor, and programs started from
# there inherit that: they would all run on one. It respects what is set already.
os.environ["OMP_PROC_BIND"] = "FALSE"
