"""Entries of what reads and writes files, and of kinships and genotypes in memory."""

import shutil

import numpy as np

import lmmlasso_fast as ll
from lmmlasso_fast import simulation
from options.enumeration import Case, Refuses, Unused, With, extra_of, is_there, n_threads


def _tab(*fields) -> str:
    return "\t".join(map(str, fields)) + "\n"


def written_files(d) -> None:
    """The problem's genotypes in every format, each also in another version (name other)."""
    folder = d.folder
    reversed_ = d.dosages[:, ::-1].copy()
    for name, dosages in (("g", d.dosages), ("other", reversed_)):
        simulation.write_plink(folder / name, dosages, d.samples, d.variants)
        rows = d.variants.select("CHROM", "POS", "ID", "A2", "A1").rows()
        values = np.where(dosages < 0, np.nan, dosages).astype(float)
        np.save(folder / f"{name}.npy", values)
        np.save(folder / f"{name}_dosage.npy", values / 2 + 0.1)
        with open(folder / f"{name}.txt", "w") as file, open(folder / f"{name}.map", "w") as places:
            for j, (chrom, pos, snp, a2, a1) in enumerate(rows):
                column = ["NA" if v < 0 else f"{v * 0.9:.1f}" for v in dosages[:, j]]
                file.write(", ".join([snp, a1, a2, *column]) + "\n")
                places.write(f"{snp}, {pos + len(name)}, {chrom}\n")
    lines = (folder / "g.fam").read_text().splitlines()
    (folder / "reverse.fam").write_text("\n".join(lines[::-1]) + "\n")
    lines = (folder / "g.bim").read_text().replace("\t0\t", "\t1\t").splitlines()
    moved = [
        "\t".join([*f[:3], str(int(f[3]) + 1), *f[4:]]) for f in (x.split("\t") for x in lines)
    ]
    (folder / "moved.bim").write_text("\n".join(moved) + "\n")
    two_a1 = d.dosages.copy()
    two_a1[-1] = 2
    simulation.write_plink(folder / "reference", two_a1, d.samples, d.variants)
    (folder / "p1.txt").write_text("f a 0 0\nf b 0 0\nf c a b\n")
    (folder / "p2.txt").write_text("f a 0 0\nf b 0 0\nf c a 0\n")


def _write_vcf(d, path, third_allele=False):
    rows = d.variants.select("CHROM", "POS", "ID", "A2", "A1").rows()
    head = "##fileformat=VCFv4.2\n" + "".join(f"##contig=<ID={k}>\n" for k in ("1", "2"))
    for name, kind in (("GT", "1,Type=String"), ("DS", "A,Type=Float")):
        head += f'##FORMAT=<ID={name},Number={kind},Description="x">\n'
    fixed = ["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT"]
    head += _tab(*fixed, *d.samples["IID"])
    for j, row in enumerate(rows):
        alt = row[4] + ",TT" if third_allele and j == 3 else row[4]
        counts = np.maximum(d.dosages[:, j], 0)
        calls = [f"{('0/0', '0/1', '1/1')[c]}:{c * 0.95:.3f}" for c in counts]
        head += _tab(*row[:4], alt, ".", ".", ".", "GT:DS", *calls)
    path.write_text(head)


def _write_bgen(d, path, third_allele=False):
    import bgen

    with bgen.BgenWriter(path, len(d.dosages), d.samples["IID"].to_list()) as writer:
        for j, (chrom, pos, snp, a2, a1) in enumerate(
            d.variants.select("CHROM", "POS", "ID", "A2", "A1").rows()
        ):
            alleles = [a2, a1, "TT"] if third_allele and j == 3 else [a2, a1]
            hard = np.eye(6 if len(alleles) == 3 else 3)[np.maximum(d.dosages[:, j], 0)]
            writer.add_variant(
                snp,
                snp,
                chrom,
                pos,
                alleles,
                0.9 * hard + 0.1 * hard[:, [1, 0, *range(2, hard.shape[1])]],
            )


def _write_pgen(d, prefix, third_allele=False):
    import pgenlib

    n, p = d.dosages.shape
    with pgenlib.PgenWriter(f"{prefix}.pgen".encode(), n, variant_ct=p, dosage_present=True) as w:
        for j in range(p):
            w.append_dosages(
                np.where(d.dosages[:, j] < 0, -9, 0.9 * d.dosages[:, j]).astype(np.float32)
            )
    rows = d.variants.select("CHROM", "POS", "ID", "A2", "A1").rows()
    head = "".join(f"##contig=<ID={k}>\n" for k in ("1", "2"))
    head += _tab("#CHROM", "POS", "ID", "REF", "ALT")
    lines = [
        _tab(*row[:4], row[4] + ",TT" if third_allele and j == 3 else row[4])
        for j, row in enumerate(rows)
    ]
    prefix.with_name(prefix.name + ".pvar").write_text(head + "".join(lines))
    ids = d.samples.select("FID", "IID").rows()
    prefix.with_name(prefix.name + ".psam").write_text(
        "#FID\tIID\n" + "".join(_tab(*i) for i in ids)
    )


def readers(d) -> dict[str, Case]:
    written_files(d)
    f = d.folder
    bed = {"bed": f / "g.bed", "bim": f / "g.bim", "fam": f / "g.fam", "prefix": None}
    np.savetxt(f / "gemma.txt", d.K.matrix)
    ll.save_kinship(d.K, f / "k.npz")
    ll.save_kinship(d.other_K, f / "other_k.npz")
    model = ll.build_model(d.path, d.packed)
    ll.save_model(model, f / "m.npz")
    ll.save_model(ll.build_model(d.plain_path, d.packed), f / "other_m.npz")
    return {
        "read_plink": Case(
            ll.read_plink,
            {"prefix": f / "g"},
            {
                "prefix": f / "other",
                "bed": With(f / "other.bed", **bed),
                "bim": With(f / "moved.bim", **bed),
                "fam": With(f / "reverse.fam", **bed),
                "accept_reference_samples": Refuses(True, prefix=f / "reference"),
            },
            [],
        ),
        "read_npy": Case(
            ll.read_npy,
            {"path": f / "g.npy"},
            {
                "path": f / "other.npy",
                "fam": f / "reverse.fam",
                "bim": f / "moved.bim",
                "bits": With(8, path=f / "g_dosage.npy"),
            },
        ),
        "read_bimbam": Case(
            ll.read_bimbam,
            {"path": f / "g.txt"},
            {
                "path": f / "other.txt",
                "fam": f / "g.fam",
                "annotation": f / "g.map",
                "bits": 8,
            },
        ),
        **{
            name: Case(getattr(ll, name), *arguments(d))
            for name, arguments in (("read_vcf", _vcf), ("read_bgen", _bgen), ("read_pgen", _pgen))
            if is_there(extra_of(name))
        },
        "read_pedigree": Case(ll.read_pedigree, {"path": f / "p1.txt"}, {"path": f / "p2.txt"}),
        "read_kinship": Case(
            ll.read_kinship,
            {"path": f / "k.npz"},
            {"path": f / "other_k.npz", "samples": With(d.samples, path=f / "gemma.txt")},
            stores=True,
        ),
        "load_model": Case(ll.load_model, {"path": f / "m.npz"}, {"path": f / "other_m.npz"}),
        "save_kinship": Case(
            _saved(d, ll.save_kinship),
            {"kinship": d.K, "path": "k.npz"},
            {"kinship": d.other_K, "path": "other.npz"},
        ),
        "save_model": Case(
            _saved(d, ll.save_model),
            {"model": model, "path": "m.npz"},
            {"model": ll.build_model(d.plain_path, d.packed), "path": "other.npz"},
        ),
    }


def _vcf(d):
    f = d.folder
    _write_vcf(d, f / "g.vcf")
    _write_vcf(d, f / "three.vcf", third_allele=True)
    return {"path": f / "g.vcf"}, {
        "path": With(f / "three.vcf", multiallelic="skip"),
        "dosage": "DS",
        "bits": With(8, dosage="DS"),
        "multiallelic": Refuses("skip", path=f / "three.vcf"),
    }


def _bgen(d):
    f = d.folder
    _write_bgen(d, f / "g.bgen")
    _write_bgen(d, f / "three.bgen", third_allele=True)
    ids = d.samples.select("FID", "IID").rows()
    lines = "".join(f"{fid}x {iid}\n" for fid, iid in ids)
    (f / "g.sample").write_text("ID_1 ID_2\n0 0\n" + lines)
    return {"path": f / "g.bgen"}, {
        "path": With(f / "three.bgen", multiallelic="skip"),
        "sample": f / "g.sample",
        "ref_last": True,
        "bits": 8,
        "multiallelic": Refuses("skip", path=f / "three.bgen"),
    }


def _pgen(d):
    f = d.folder
    _write_pgen(d, f / "pg")
    _write_pgen(d, f / "three", third_allele=True)
    for end in ("pgen", "pvar", "psam"):
        shutil.copy(f / f"pg.{end}", f / f"pg2.{end}")
    lines = (f / "pg.psam").read_text().splitlines()
    (f / "pg2.psam").write_text("\n".join([lines[0], *lines[:0:-1]]) + "\n")
    lines = (f / "pg.pvar").read_text().replace("\t1\t", "\t2\t")
    (f / "pg2.pvar").write_text(lines.replace("snp", "SNP").replace("v0", "V0"))
    named = {"prefix": None, **{end: f / f"pg.{end}" for end in ("pgen", "pvar", "psam")}}
    return {"prefix": f / "pg"}, {
        "prefix": f / "pg2",
        "pgen": Refuses(f / "none.pgen", **named),
        "pvar": With(f / "pg2.pvar", **named),
        "psam": With(f / "pg2.psam", **named),
        "dosage": "GT",
        "bits": 8,
        "multiallelic": Refuses("skip", prefix=f / "three"),
    }


def _saved(d, save):
    def call(path, **what):
        folder = d.folder / f"saved{sum(1 for _ in d.folder.iterdir())}"
        folder.mkdir()
        save(*what.values(), folder / path)
        return {file.name: file for file in folder.iterdir()}

    return call


def matrices(d) -> dict[str, Case]:
    """Of kinships and genotypes that are in memory."""
    cases = {}
    values = np.where(np.isnan(d.values), np.nan, d.values)
    tables = {"samples": d.samples, "variants": d.variants}
    for name, genotypes in (("Genotypes", d.packed), ("DosageGenotypes", d.dosage)):
        # DosageGenotypes makes no use of it
        screening = True if name == "Genotypes" else Unused(True, says="does not demand")
        kind = type(genotypes) if name != "Genotypes" else ll.Genotypes
        ids = d.variants["ID"]
        statistics = genotypes.mean + 0.1, genotypes.sd
        vector = np.linspace(-1, 1, genotypes.n_samples)
        cases |= {
            f"{name}.from_array": Case(
                kind.from_array, {"X": values}, {"X": values[:, ::-1], **tables}
            ),
            f"{name}.filter": Case(
                genotypes.filter,
                {},
                {
                    "chromosomes": ["1"],
                    "extract": ids[:5].to_list(),
                    "exclude": [ids[0], ids[39]],
                    "mind": 0.01,
                    "geno": 0.01,
                    "maf": 0.3,
                },
                [({"chromosomes": ["2"]}, set()), ({"maf": 0.2}, set())],
            ),
            f"{name}.subset": Case(
                genotypes.subset, {"samples": np.arange(9)}, {"samples": np.arange(1, 10)}
            ),
            f"{name}.columns": Case(
                genotypes.columns,
                {"index": [1, 2]},
                {"index": [1, 3], "dtype": np.float32, "statistics": statistics},
            ),
            f"{name}.gradient": Case(
                genotypes.gradient,
                {"v": vector},
                {"v": vector**2, "screening": screening, "n_threads": n_threads()},
            ),
        }
    codes = d.dosage._codes
    cases |= {
        "DosageGenotypes": Case(
            ll.DosageGenotypes,
            {"codes": codes},
            {
                "codes": codes[::-1].copy(),
                "index": np.arange(9),
                "reasons": np.ones(d.dosage.n_variants, np.uint8),
                **tables,
            },
        ),
        "DosageGenotypes.from_dosages": Case(
            ll.DosageGenotypes.from_dosages,
            {"X": values},
            {"X": values[:, ::-1], "bits": 8, **tables},
        ),
        "DosageGenotypes.dosages": Case(d.dosage.dosages, {"index": [1]}, {"index": [2]}),
        "kinship": Case(
            ll.kinship,
            {"genotypes": d.packed},
            {"genotypes": d.dosage, "estimator": "ibs", "n_threads": n_threads()},
            [({"genotypes": d.dosage}, set()), ({"estimator": "gcta"}, set())],
        ),
        "kinship_loco": Case(
            lambda **a: list(ll.kinship_loco(**a)),
            {"genotypes": d.packed},
            {"genotypes": d.dosage, "estimator": "ibs", "n_threads": n_threads()},
        ),
        "kinship_groups": Case(
            ll.kinship_groups,
            {"K": d.K, "threshold": 0.6, "n_folds": 3},
            {"K": d.K.matrix[::-1, ::-1], "threshold": 0.7, "n_folds": Refuses(60)},
        ),
        "pedigree_kinship": Case(
            ll.pedigree_kinship,
            {"pedigree": d.pedigree},
            {"pedigree": d.pedigree[:3], "samples": d.pedigree.select("FID", "IID")[:2]},
        ),
        "decompose": Case(
            ll.decompose,
            {"K": d.K},
            {
                "K": d.other_K,
                "rounding": With(1.0, K=np.diag([-1e-4, 1.0, 1.0])),
                "n_threads": n_threads(),
            },
        ),
        "make_folds": Case(
            ll.make_folds,
            {"n_samples": 12, "n_folds": 3},
            {
                "n_samples": 13,
                "n_folds": 4,
                "groups": np.repeat(np.arange(6), 2),
                "n_repeats": 2,
                "seed": 1,
                "splitter": [(np.arange(6), np.arange(6, 12))],
                "y": With(np.arange(12) % 2, splitter=_Stratified()),
            },
            [({"groups": np.repeat(np.arange(6), 2)}, set())],
        ),
        "clump": Case(
            ll.clump,
            {"genotypes": d.packed, "snps": np.arange(20), "score": np.arange(20.0), "r2": 0.1},
            {
                "genotypes": d.packed.subset(np.arange(20)),
                "snps": np.arange(20, 40),
                "score": -np.arange(20.0),
                "r2": 0.9,
                "window": 10,
            },
        ),
        "Kinship.subset": Case(d.K.subset, {"index": [0, 1]}, {"index": [0, 2]}),
        "Kinship.from_matrix": Case(
            ll.Kinship.from_matrix,
            {"A": np.eye(3)},
            {
                "A": np.diag([1.0, 2, 3]),
                "samples": d.samples[:3],
                "estimator": "ibs",
                "n_variants": 7,
            },
            stores=True,
        ),
        "Kinship.to_frame": Case(d.K.to_frame, {}, {"above": 0.5}),
    }
    return cases


class _Stratified:
    """A splitter that looks at y."""

    def split(self, X, y, groups):
        labels = np.arange(len(X)) > 3 if y is None else y
        yield np.flatnonzero(labels), np.flatnonzero(labels == 0)
