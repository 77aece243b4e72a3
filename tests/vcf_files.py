"""Small VCF and BCF files."""

from pathlib import Path

import pytest


def write_vcf(path, rows, *, alts=None, fields="GT", head=""):
    """A VCF of a few samples; one string of calls per variant."""
    n = len(rows[0].split())
    lines = ["##fileformat=VCFv4.2", "##contig=<ID=1>"]
    lines += [
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">',
        '##FORMAT=<ID=DS,Number=A,Type=Float,Description="Dosage">',
    ]
    lines = [line for line in lines if not head or head not in line]
    lines.append(
        "\t".join(
            ["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT"]
            + [f"s{i}" for i in range(n)]
        )
    )
    for j, row in enumerate(rows):
        alt = alts[j] if alts else "C"
        lines.append("\t".join(["1", str(j + 1), f"v{j}", "A", alt, ".", ".", ".", fields]))
        lines[-1] += "\t" + "\t".join(row.split())
    Path(path).write_text("\n".join(lines) + "\n")


def bcf_of(vcf: Path) -> Path:
    """The same as BCF, beside it."""
    cyvcf2 = pytest.importorskip("cyvcf2")
    path = vcf.with_suffix(".bcf")
    reader = cyvcf2.VCF(str(vcf))
    writer = cyvcf2.Writer(str(path), reader, mode="wb")
    for variant in reader:
        writer.write_record(variant)
    writer.close()
    return path
