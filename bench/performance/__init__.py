"""Speed at equal certified accuracy; see README.md in this folder."""
