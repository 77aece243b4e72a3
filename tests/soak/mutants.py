"""Mutants: the source with one small fault each, which some test must notice.

`python tests/soak/mutant_copies.py` tests them. Python's come from its syntax tree, C's
from its text.
"""

import ast
import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

#: The files that are mutated, with their tests: test_NAME.py of some folder.
TESTS = {
    "lmmlasso_fast/certificate.py": "certificate path_options path",
    "lmmlasso_fast/checks.py": "checks path_options folds",
    "lmmlasso_fast/folds.py": "folds cross_validation",
    "lmmlasso_fast/genotypes.py": "genotypes filters plink_bed ids",
    "lmmlasso_fast/io/ids.py": "ids tables kinship_files",
    "lmmlasso_fast/io/journal.py": "journal malformed",
    "lmmlasso_fast/io/plink.py": "plink_bed",
    "lmmlasso_fast/io/tables.py": "tables tables_categories malformed",
    "lmmlasso_fast/kinship.py": "kinship display kinship_files parallel",
    "lmmlasso_fast/null_model.py": "null_model tridiagonal variance",
    "lmmlasso_fast/packed.py": "genotypes plink_bed filters path dask",
    "lmmlasso_fast/path.py": "defaults path_options path prediction",
    "lmmlasso_fast/path_solver.py": "path_options path",
    "lmmlasso_fast/preprocessing.py": "preprocessing",
    "lmmlasso_fast/problem.py": "path_options path whitened_factors",
    "lmmlasso_fast/working_set.py": "working_set path_options path",
    "src/lmml_batch.c": "path_options path",
    "src/lmml_descent.c": "path_options path",
    "src/lmml_dosage.c": "dosage formats",
    "src/lmml_finish.c": "path_options path",
    "src/lmml_lapack.c": "tridiagonal",
    "src/lmml_packed.c": "genotypes plink_bed kinship path",
    "src/lmml_scan.c": "p_values association",
    "src/lmml_scores.c": "path_options path",
    "src/lmml_tridiagonal.c": "tridiagonal",
}

_SWAPS = dict(
    pair.split(" -> ")
    for one_way in (
        "< -> <=,<= -> <,> -> >=,>= -> >,== -> !=,!= -> ==,&& -> ||,|| -> &&,+ -> -,- -> +,* -> /,"
        "/ -> *,% -> *,// -> *,** -> *,<< -> >>,>> -> <<,& -> |,| -> &,^ -> &,+= -> -=,-= -> +=,"
        "*= -> /=,/= -> *=,|= -> &=,&= -> |=,and -> or,or -> and,in -> not in,not in -> in,"
        "is -> is not,is not -> is",
    )
    for pair in one_way.split(",")
)


@dataclass(frozen=True)
class Mutant:
    """`text` in place of the bytes start .. end of a file."""

    file: str
    line: int
    function: str
    source: str  # the line
    what: str
    start: int
    end: int
    text: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What stays the same when lines above change."""
        return self.file, self.function, self.source, self.what

    def __str__(self):
        return f"{self.file}:{self.line}:{self.function}: {self.source}  [{self.what}]"

    def applied(self, source: bytes) -> bytes:
        return source[: self.start] + self.text.encode() + source[self.end :]


def mutants_of(file: str, source: bytes) -> list[Mutant]:
    """All mutants of a file, in its order."""
    found = _in_python(source) if file.endswith(".py") else _in_c(source)
    lines = source.split(b"\n")
    counts, result = Counter(), []
    for start, end, text, function in sorted(set(found)):
        if source[start:end].decode() == text:
            continue
        number = source.count(b"\n", 0, start)
        line = lines[number].decode().strip()
        old = " ".join(source[start:end].decode().split())
        what = f"{old if len(old) < 60 else old[:60] + '...'} -> {text or 'nothing'}"
        counts[function, line, what] += 1
        if counts[function, line, what] > 1:
            what += f" #{counts[function, line, what]}"
        result.append(Mutant(file, number + 1, function, line, what, start, end, text))
    return result


def _in_python(source: bytes):
    """(start, end, new text, function) of every mutant, from the syntax tree."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def span(node):
        return (
            starts[node.lineno - 1] + node.col_offset,
            starts[node.end_lineno - 1] + node.end_col_offset,
        )

    def operator(left, right, function):
        low, high = span(left)[1], span(right)[0]
        match = re.search(rb"not in|is not|\w+|[^\s()\w]+", source[low:high])
        old = match[0].decode()
        if old in _SWAPS:
            yield low + match.start(), low + match.end(), _SWAPS[old], function

    def visit(node, function):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            function = f"{function}.{node.name}".lstrip(".")
        match node:
            case ast.JoinedStr() | ast.Import() | ast.ImportFrom():
                return
            case ast.Call(func=ast.Name("field")):  # what a result's text shows
                return
            case ast.Compare():
                for left, right in pairwise([node.left, *node.comparators]):
                    yield from operator(left, right, function)
            case ast.BoolOp():
                for left, right in pairwise(node.values):
                    yield from operator(left, right, function)
            case ast.BinOp():
                yield from operator(node.left, node.right, function)
            case ast.UnaryOp(op=ast.Not() | ast.USub()):
                yield span(node)[0], span(node.operand)[0], "", function
            case ast.Constant(value=bool()):
                yield *span(node), str(not node.value), function
            case ast.Constant(value=int() | float()):
                text = source[slice(*span(node))].decode()
                yield *span(node), f"({text} + 1)", function
            case ast.If(test=ast.Name("TYPE_CHECKING")):
                return
            case ast.If() | ast.IfExp() | ast.While():
                yield *span(node.test), "False", function
                if not isinstance(node, ast.While):
                    yield *span(node.test), "True", function
            case ast.Raise():
                yield *span(node), "pass", function
                return  # messages are no target
            case ast.Return(value=ast.expr()):
                yield *span(node), "return None", function
            case ast.Continue() | ast.Break() | ast.AugAssign() | ast.Expr(value=ast.Call()):
                yield *span(node), "pass", function
            case ast.Assign(targets=[ast.Subscript() | ast.Attribute()]):
                yield *span(node), "pass", function
            case ast.Call(keywords=[_, *_]):
                for word in node.keywords:
                    low, high = span(word)
                    after = re.match(rb",?\s*", source[high:])
                    yield low, high + after.end(), "", function
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from visit(child, function)

    return visit(ast.parse(source), "")


def _in_c(source: bytes):
    """The same, from the text: clang-format puts blanks around binary operators only."""
    text = source.decode("ascii")

    def blank(match):
        return re.sub(r"[^\n]", " ", match[0])

    text = re.sub(r'/\*.*?\*/|//[^\n]*|"[^"\n]*"', blank, text, flags=re.DOTALL)
    text = re.sub(r"^#(?!define).*$", blank, text, flags=re.MULTILINE)
    heads = [(m.start(), m[1]) for m in re.finditer(r"^[a-z#].*?(\w+)\(", text, re.MULTILINE)]

    def at(start, end, new):
        function = next((name for place, name in reversed(heads) if place <= start), "")
        return start, end, new, function

    for m in re.finditer(r"(?<= )([-+*/%<>=!&|^]{1,3})(?=\s)", text):
        if m[1] in _SWAPS:
            yield at(*m.span(1), _SWAPS[m[1]])
    for m in re.finditer(
        r"(?<![\w.\[])(0x[\da-f.]+(?:p\d+)?|\d+\.?\d*(?:e-?\d+)?)(?![\w.\]])", text
    ):
        yield at(*m.span(1), f"({m[1]} + 1)")
    for m in re.finditer(r"\b(if|while) \(", text):
        depth, end = 1, m.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        for new in ("0", "1") if m[1] == "if" else ("0",):
            yield at(m.end(), end - 1, new)
    for m in re.finditer(r"!(?=[\w(])", text):
        yield at(*m.span(), "")
    for m in re.finditer(
        r"(?<=[{};)\n\\])\s*\b((?:return LMML_ERR\w*|continue|break"
        r"|[\w>.\[\]*-]+ [-+*/|&]?= [^;={}]+|[\w>-]+\([^;{}]*\))) *;",
        text,
    ):
        if not m[1].startswith(("if ", "for ", "while ", "return (")):
            yield at(*m.span(1), "")


def sample_of(file: str, size: int) -> list[Mutant]:
    """A sample of a file's mutants: a larger one has all of a smaller one, and a change elsewhere
    in the file changes nothing."""
    every = mutants_of(file, (ROOT / file).read_bytes())
    return sorted(every, key=lambda m: hashlib.sha256(repr(m.key).encode()).digest())[:size]
