"""One check of what an error message about a file must say."""

import re

import pytest


def refused(read, path, error, *, line=None, expected, found, names=None):
    """Assert that `read(path)` raises `error` (exactly) with everything that a user needs.

    `expected` and `found` are texts within those parts of the message; `names` is the file that
    it must name, if it is not `path`.
    """
    with pytest.raises(error) as caught:
        read(path)
    assert type(caught.value) is error
    message = str(caught.value)
    start = str(names or path) + ("" if line is None else f", line {line}") + ": "
    assert message.startswith(start), message
    parts = re.fullmatch(r"(.+?): expected (.+?), found (.+); (.+)", message[len(start) :])
    assert parts, message
    what, was_expected, was_found, advice = parts.groups()
    assert what
    assert advice
    assert expected in was_expected + was_found, message
    assert found in was_found, message
