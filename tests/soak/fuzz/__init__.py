"""Fuzzing of every reader: whatever bytes a file holds, a reader returns or raises its own error.

A case is bytes: the name of a target (`targets.py`), then the files it reads (`cases.py`).
`check.py` runs one case and says what is wrong with it, `mutate.py` makes one case of another,
`seeds.py` made those of seeds/ from small valid files. `python -m soak.fuzz` in the folder tests
(with the package atheris) looks for new ones by coverage; tests/soak/test_fuzz.py runs it, and
tests/files/test_fuzz_seeds.py runs the cases of seeds/ again, without atheris.
"""
