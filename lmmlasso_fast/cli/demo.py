"""`lmmlasso demo`: the whole job on simulated data whose truth is known."""

import shlex

import click
import numpy as np

from lmmlasso_fast.cli import options
from lmmlasso_fast.cli.analysed import only_analysis
from lmmlasso_fast.cli.execution import execute
from lmmlasso_fast.cli.fit import fit, fit_and_write
from lmmlasso_fast.cli.recording import Run
from lmmlasso_fast.cli.simulate import write_simulated
from lmmlasso_fast.genotypes import Genotypes
from lmmlasso_fast.path import LassoPath
from lmmlasso_fast.simulation import GenotypeStream, PhenotypeStream

_N_SAMPLES, _N_VARIANTS, _N_CAUSAL = 600, 6000, 8
_H2_SNP, _H2_STRUCTURE = 0.4, 0.3
#: A selected SNP this correlated (r^2) with a causal one has found its locus.
_SAME_LOCUS = 0.3


@click.command(short_help="Simulate, fit, and compare what is found with the truth.")
@options.seed("Of the simulation.", default=1)
@click.option("--out", default="demo", show_default=True, metavar="P", help="Prefix of the files.")
@click.option("--threads", type=options.Whole(1), default=None, help="[default: all available]")
def demo(**flags):
    """Simulate a structured population, fit it, and compare what is found with the truth.

    600 samples of four populations and 6,000 SNPs, eight of them causal. Writes the fileset
    P.bed, .bim, .fam, the phenotype P.pheno.tsv, the truth P.truth.tsv, and every file that
    `lmmlasso fit` writes.
    """

    def body(run):
        out, seed = flags["out"], flags["seed"]
        genotypes = GenotypeStream(_N_SAMPLES, _N_VARIANTS, missing_rate=0.01, seed=seed)
        phenotype = PhenotypeStream(
            _N_SAMPLES, n_causal=_N_CAUSAL, h2_snp=_H2_SNP, h2_structure=_H2_STRUCTURE, seed=seed
        )
        truth = write_simulated(run, genotypes, phenotype)
        arguments = ["--bfile", out, "--pheno", f"{out}.pheno.tsv", "--out", out]
        fit_flags = fit.make_context("fit", [*arguments, "--max-active", str(2 * _N_CAUSAL)]).params
        analysed = only_analysis(run, fit_flags)
        path = fit_and_write(run, fit_flags, analysed)
        _compare(run, path, analysed.genotypes, truth)
        run.say(
            "next, with the report: lmmlasso run "
            + shlex.join(["--bfile", out, "--pheno", f"{out}.pheno.tsv", "--out", f"{out}_run"])
        )

    execute("demo", flags, body)


def _compare(run: Run, path: LassoPath, genotypes: Genotypes, truth) -> None:
    """Print each causal SNP with the selected SNP that stands for it."""
    coef = path.at(path.alphas[-1])[0]
    selected = np.flatnonzero(coef)
    causal = truth["ROW"].to_numpy()
    X = genotypes.columns(np.concatenate([causal, selected]))
    r2 = np.corrcoef(X.T)[: len(causal), len(causal) :] ** 2
    ids = genotypes.variants["ID"]
    run.say(f"{'causal SNP':<12}{'effect':>8}   {'selected':<12}{'effect':>8}{'r2':>6}")
    n_found = 0
    for k in np.argsort(-np.abs(truth["BETA_STD"].to_numpy())):
        line = f"{ids[int(causal[k])]:<12}{truth['BETA_STD'][int(k)]:>8.3f}   "
        best = int(r2[k].argmax()) if len(selected) else -1
        if best >= 0 and r2[k, best] >= _SAME_LOCUS:
            n_found += 1
            snp = int(selected[best])
            line += f"{ids[snp]:<12}{coef[snp]:>8.3f}{r2[k, best]:>6.2f}"
        else:
            line += "not found"
        run.say(line)
    n_true = int((r2.max(axis=0, initial=0.0) >= _SAME_LOCUS).sum())
    run.say(
        f"found {n_found} of {len(causal)} causal loci; {n_true} of {len(selected)} selected SNPs "
        "stand for one"
    )
