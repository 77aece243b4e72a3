"""Entries of simulations and of the evaluation of rankings."""

from functools import wraps

import numpy as np
import polars as pl

import lmmlasso_fast as ll
from lmmlasso_fast import error_bounds, evaluation, simulation
from options.enumeration import Case, Refuses, With, n_threads

GENOTYPES = {
    "n_samples": 21,
    "n_variants": 41,
    "n_populations": 2,
    "fst": 0.3,
    "missing_rate": 0.2,
    "ld": 0.2,
    "inbred": True,
    "n_chromosomes": 2,
    "family_size": 3,
    "seed": 2,
}
PHENOTYPE = {
    "n_causal": 4,
    "h2_snp": 0.5,
    "h2_structure": 0.1,
    "effects": "geometric",
    "seed": 2,
}


def _phenotype_stream(d):
    @wraps(simulation.PhenotypeStream)
    def call(*, n_samples, **options):
        stream = simulation.PhenotypeStream(n_samples, **options)
        stream.add(d.dosages[:n_samples])
        return stream.finish(
            lambda index: d.dosages[:n_samples, index], lambda index: d.variants[index]
        )

    return call


def _genotype_stream(**options):
    stream = simulation.GenotypeStream(**options)
    return list(stream.blocks()), stream.variants()


def simulations(d) -> dict[str, Case]:
    drawn = {"n_samples": 20, "n_variants": 40, "seed": 1}
    stream = simulation.GenotypeStream(20, 40, seed=1)

    def add(dosages):
        phenotype = simulation.PhenotypeStream(60, n_causal=2, seed=1)
        phenotype.add(dosages)
        return phenotype.finish(lambda index: dosages[:, index])

    def finish(dosages_of, variants_of=None, distance=0):
        phenotype = simulation.PhenotypeStream(60, n_causal=2, min_distance=distance, seed=1)
        phenotype.add(d.dosages)
        return phenotype.finish(dosages_of, variants_of)

    of_samples = {"n_causal": 3, "seed": 1}
    rare = {"min_frequency": 0.45}
    spaced = {"min_distance": 10_000}
    return {
        "simulation.simulate_genotypes": Case(
            simulation.simulate_genotypes, drawn, GENOTYPES, [({"inbred": True}, set())]
        ),
        "simulation.GenotypeStream": Case(_genotype_stream, drawn, GENOTYPES),
        "simulation.GenotypeStream.blocks": Case(
            lambda n_threads: list(stream.blocks(n_threads=n_threads)),
            {},
            {"n_threads": n_threads()},
        ),
        "simulation.GenotypeStream.variants": Case(stream.variants, {}, {"index": np.arange(3)}),
        "simulation.simulate_phenotype": Case(
            simulation.simulate_phenotype,
            {"dosages": d.dosages, **of_samples},
            {
                "dosages": d.dosages[:, ::-1],
                "population": d.population,
                **PHENOTYPE,
                **rare,
                "min_distance": With(10_000, variants=d.variants),
                "variants": Refuses(d.variants, **spaced),
            },
            [({"population": d.population}, set())],
        ),
        "simulation.PhenotypeStream": Case(
            _phenotype_stream(d),
            {"n_samples": 60, **of_samples},
            {
                "n_samples": 50,
                "population": d.population,
                **PHENOTYPE,
                **rare,
                **spaced,
            },
        ),
        "simulation.PhenotypeStream.add": Case(
            add, {"dosages": d.dosages}, {"dosages": d.dosages[:, ::-1].copy()}
        ),
        "simulation.PhenotypeStream.finish": Case(
            finish,
            {"dosages_of": lambda index: d.dosages[:, index]},
            {
                "dosages_of": lambda index: 2 - np.maximum(d.dosages[:, index], 0),
                "variants_of": Refuses(lambda index: d.variants[index], distance=10_000),
            },
        ),
        "simulation.simulate_on": Case(
            simulation.simulate_on,
            {"genotypes": d.packed, **of_samples},
            {
                "genotypes": d.dosage,
                **PHENOTYPE,
                **rare,
                **spaced,
                "background": d.y,
                "K": d.other_K,
                "n_threads": n_threads(),
            },
            [({"background": d.y}, set()), ({"K": d.K}, set()), ({"genotypes": d.dosage}, set())],
        ),
        "simulation.write_plink": Case(
            _written(d, simulation.write_plink),
            {"prefix": "a", "dosages": d.dosages, "samples": d.samples, "variants": d.variants},
            {
                "prefix": "b",
                "dosages": d.dosages[:, ::-1].copy(),
                "samples": d.samples.reverse(),
                "variants": d.variants.reverse(),
            },
        ),
        "simulation.plink_writer": Case(
            _written(d, _by_writer(d)),
            {"prefix": "a", "samples": d.samples},
            {"prefix": "b", "samples": d.samples.reverse()},
        ),
    }


def _written(d, write):
    """The function with the names and contents of the files that it wrote as its result."""

    @wraps(write)
    def call(*, prefix, **arguments):
        folder = d.folder / f"written{sum(1 for _ in d.folder.iterdir())}"
        folder.mkdir()
        write(folder / prefix, **arguments)
        return {path.name: path for path in sorted(folder.iterdir())}

    return call


def _by_writer(d):
    def write(prefix, samples):
        with simulation.plink_writer(prefix, samples) as writer:
            writer.append(d.dosages, d.variants)

    return write


def evaluations(d) -> dict[str, Case]:
    """Of `evaluation` and `error_bounds`."""
    scores = d.scan.log10p
    ranking = evaluation.rank_snps(scores)
    found = evaluation.hits(ranking, [7, 25], d.packed, window=10)
    other = evaluation.hits(ranking, [3, 20], d.packed, window=10)
    genes = pl.DataFrame({"CHROM": ["1"], "START": [0], "END": [3000], "NAME": ["g"]})
    bed = d.folder / "genes.bed", d.folder / "others.bed"
    bed[0].write_text("1\t0\t3000\tg\n")
    bed[1].write_text("1\t10\t3000\tg\n")
    bounds = {"n_active": 20, "cutoff": 0.8, "n_variants": 1000, "n_replicates": 100}
    bound = {"n_variants": 2000, "n_replicates": 10, "assumption": "none"}
    selected = {"snps": [0, 1, 30], "genotypes": d.packed}
    return {
        "evaluation.rank_snps": Case(
            evaluation.rank_snps, {"scores": scores}, {"scores": -scores, "above": 1.0}
        ),
        "evaluation.entry_order": Case(
            evaluation.entry_order, {"path": d.path}, {"path": d.plain_path}
        ),
        "evaluation.hits": Case(
            evaluation.hits,
            {"ranking": ranking, "causal": [7, 25], "genotypes": d.packed, "window": 10},
            {
                "ranking": evaluation.rank_snps(-scores),
                "causal": [3, 20],
                "genotypes": With(d.packed.subset(np.arange(50)), window=None, r2=0.1),
                "window": 10**5,
                "r2": With(0.05, window=None, r2=0.5),
                "max_false": 1,
            },
            [({"window": None, "r2": 0.3}, set())],
        ),
        "evaluation.precision_recall": Case(
            evaluation.precision_recall, {"hits": found}, {"hits": other}
        ),
        "evaluation.roc": Case(
            evaluation.roc,
            {"hits": found, "genotypes": d.packed},
            {
                "hits": other,
                "genotypes": d.packed.filter(exclude=d.variants["ID"][30:].to_list()),
                "max_fpr": 0.1,
                "max_negatives": 10,
            },
        ),
        "evaluation.RocCurve.at": Case(
            evaluation.roc(found, d.packed).at,
            {"false_positive_rate": 0.0},
            {"false_positive_rate": 1.0},
        ),
        "evaluation.PrecisionRecallCurve.at": Case(
            evaluation.precision_recall(found).at, {"recall": 0.1}, {"recall": 1.0}
        ),
        "evaluation.Ranking.to_frame": Case(ranking.to_frame, {}, {"genotypes": d.packed}),
        "evaluation.Hits.to_frame": Case(found.to_frame, {}, {"genotypes": d.packed}),
        "evaluation.adjacent_share": Case(
            evaluation.adjacent_share,
            selected,
            {
                "snps": [0, 10, 30],
                "genotypes": d.packed.filter(exclude=[d.variants["ID"][k] for k in (5, 6)]),
            }
            | {"genotypes": With(_without(d, [1]), snps=[0, 2, 30])},
        ),
        "evaluation.enrichment": Case(
            evaluation.enrichment,
            selected | {"genes": genes, "window": 100, "n_permutations": 50},
            {
                "snps": [0, 30],
                "genotypes": _without(d, range(2, 12)),
                "genes": genes.with_columns(END=pl.lit(10**6)),
                "window": 10**6,
                "n_permutations": 60,
                "seed": 1,
            },
        ),
        "evaluation.read_bed": Case(evaluation.read_bed, {"path": bed[0]}, {"path": bed[1]}),
        "evaluation.mean_interval": Case(
            evaluation.mean_interval,
            {"values": [1.0, 2, 4]},
            {"values": [1.0, 2, 5], "level": 0.5},
        ),
        "evaluation.paired_interval": Case(
            evaluation.paired_interval,
            {"a": [1.0, 2, 4], "b": [0.0, 1, 1]},
            {"a": [1.0, 2, 5], "b": [0.0, 1, 2], "level": 0.5},
        ),
        "error_bounds.expected_false": Case(
            error_bounds.expected_false, bounds, bound | {"n_active": 10, "cutoff": 0.9}
        ),
        "error_bounds.largest_n_active": Case(
            error_bounds.largest_n_active,
            {k: v for k, v in bounds.items() if k != "n_active"} | {"max_false": 1},
            bound | {"max_false": 2, "cutoff": 0.9},
        ),
        "error_bounds.smallest_cutoff": Case(
            error_bounds.smallest_cutoff,
            {k: v for k, v in bounds.items() if k != "cutoff"} | {"max_false": 1},
            bound | {"max_false": 2, "n_active": 10, "n_replicates": 20},
        ),
    }


def _without(d, snps) -> ll.Genotypes:
    return d.packed.filter(exclude=[d.variants["ID"][k] for k in snps])
