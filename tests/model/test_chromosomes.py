"""The order of chromosomes."""

import random

from lmmlasso_fast.chromosomes import natural_key


def test_numbers_in_names_count_as_numbers():
    names = ["0", "1", "01", "2", "10", "22", "9" * 5000, "1" + "0" * 5000, "X", "chr2", "chr10"]
    names = sorted(names, key=natural_key)
    assert names == sorted(random.Random(1).sample(names, len(names)), key=natural_key)
    assert names[:6] == ["0", "01", "1", "2", "10", "22"]
    assert names[6:] == ["9" * 5000, "1" + "0" * 5000, "X", "chr2", "chr10"]


def test_digits_of_other_alphabets_are_text():
    assert sorted(["٣", "4"], key=natural_key) == ["4", "٣"]
