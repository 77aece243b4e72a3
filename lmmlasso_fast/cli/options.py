"""Flags that several commands share, in the words of PLINK, regenie and scikit-learn."""

import functools
import math
import re

import click

from lmmlasso_fast.path import SMALLEST_RATIO, SMALLEST_SHARE
from lmmlasso_fast.problem import WHITENED

#: What functions call the arguments that flags set, where that is another name than the flag's.
_ARGUMENTS = {
    "n_folds": "folds",
    "threshold": "kinship_threshold",
    "n_repeats": "repeats",
    "r2": "ld_r2",
    "window": "ld_window",
}
#: What stands for arguments where no flag sets them.
_WORDS = {"n_variants": "the number of SNPs that can be selected"}


def group(*options):
    """Return a decorator that adds the options in the order given."""

    def decorate(function):
        return functools.reduce(lambda f, option: option(f), reversed(options), function)

    return decorate


def is_plain(text) -> bool:
    """Whether a number is written in full: Python also takes 1_0, blanks and other digits."""
    return not isinstance(text, str) or re.fullmatch(r"[-+.0-9A-Za-z]*", text) is not None


class Whole(click.IntRange):
    """An integer in a range."""

    def convert(self, value, param, ctx):
        if not is_plain(value):
            self.fail(f"{value!r} is not a valid integer.", param, ctx)
        return super().convert(value, param, ctx)


class Finite(click.types.FloatParamType):
    """A finite number."""

    def convert(self, value, param, ctx):
        if not is_plain(value):
            self.fail(f"{value!r} is not a valid number.", param, ctx)
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


class Number(Finite, click.FloatRange):
    """A finite number in a range."""


class Numbers(click.ParamType):
    """Positive finite numbers, separated by commas."""

    name = "numbers"

    def convert(self, value, param, ctx):
        if not isinstance(value, str):
            return value
        one = Number(0, min_open=True)
        return list(
            dict.fromkeys(one.convert(part.strip(), param, ctx) for part in value.split(","))
        )


def ignored(names, because: str, *, in_file: bool = True) -> None:
    """Raise a usage error if one of these flags was given, which would change nothing.

    `in_file`: also if the file of --config has it, with another value than the default.
    """
    context = click.get_current_context()
    sources = {click.core.ParameterSource.COMMANDLINE}
    if in_file:
        sources.add(click.core.ParameterSource.DEFAULT_MAP)
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name)
        if parameter.name in names and given in sources:
            raise click.UsageError(f"{parameter.opts[0]} changes nothing {because}; leave it out")


def in_flags(message: str, command: click.Command) -> str:
    """Return what a function says of its arguments with the flags of a command in their place.

    Such a message starts with an argument's name. In others the same word may be the user's own.
    """
    flags = {p.name: p.opts[0] for p in command.params if isinstance(p, click.Option)}
    flags |= {name: flags[flag] for name, flag in _ARGUMENTS.items() if flag in flags}
    argument, colon, rest = message.partition(": expected ")
    if not colon or argument not in flags:
        return message
    rest = re.sub(
        rf"\b({'|'.join(flags)})='?([\w.]+)'?", lambda found: f"{flags[found[1]]} {found[2]}", rest
    )
    # a name of one word may be English
    words = _WORDS | flags
    rest = re.sub(r"\b\w+_\w+\b", lambda found: words.get(found[0], found[0]), rest)
    return f"{flags[argument]}{colon}{rest}"


def seed(of: str, default: int = 0):
    """Return the flag --seed."""
    return click.option("--seed", type=Whole(0), default=default, show_default=True, help=of)


def n_active(what: str):
    """Return the flag --n-active."""
    return click.option("--n-active", type=Whole(1), help=what)


cat_covar = click.option(
    "--cat-covar",
    "--catCovarList",
    metavar="NAME[,NAME]",
    help="Columns of --covar that are categories even if they are numbers, besides --covar-name: "
    "an indicator for each level but the first in alphabetical order, at most 50 levels.",
)

resume = click.option(
    "--resume",
    is_flag=True,
    help="Go on from the checkpoint that an interrupted run with the same input left.",
)

output = group(
    click.option("--out", required=True, metavar="P", help="Prefix of the result files."),
    click.option(
        "--threads",
        type=Whole(1),
        default=None,
        help="Threads of BLAS and of the passes over the genotypes [default: all available]. "
        "Below 3,000 samples BLAS uses one.",
    ),
)

genotypes = group(
    click.option("--bfile", metavar="PREFIX", help="PLINK fileset PREFIX.bed, .bim, .fam."),
    click.option("--bed", metavar="FILE", help="The .bed, if not of --bfile."),
    click.option("--bim", metavar="FILE", help="The .bim, if not of --bfile; or that of --npy."),
    click.option(
        "--fam", metavar="FILE", help="The .fam, if not of --bfile; or that of --npy or --bimbam."
    ),
    click.option(
        "--accept-reference-samples",
        is_flag=True,
        help="Accept last samples that carry two A1 alleles at every SNP.",
    ),
    click.option("--pfile", metavar="PREFIX", help="PLINK 2 fileset PREFIX.pgen, .pvar, .psam."),
    click.option("--vcf", metavar="FILE", help="VCF or BCF file."),
    click.option("--bgen", metavar="FILE", help="BGEN file."),
    click.option("--sample", metavar="FILE", help="The .sample of --bgen."),
    click.option(
        "--ref-last", is_flag=True, help="Count the first allele of --bgen, not the second."
    ),
    click.option("--bimbam", metavar="FILE", help="BIMBAM mean genotypes, as GEMMA reads them."),
    click.option("--annotation", metavar="FILE", help="Positions of --bimbam: id, POS, CHROM."),
    click.option("--npy", metavar="FILE", help="Matrix of numbers, samples x SNPs, in a .npy."),
    click.option(
        "--dosage",
        type=click.Choice(["DS", "GT"]),
        help="Take dosages or hard calls [default: DS of --pfile, GT of --vcf; --npy: DS says that "
        "the numbers are dosages].",
    ),
    click.option(
        "--skip-multiallelic",
        is_flag=True,
        help="Leave out variants of more than two alleles (--pfile, --vcf, --bgen).",
    ),
)

filters = group(
    click.option("--keep", metavar="FILE", help="Samples to keep (FID IID)."),
    click.option("--remove", metavar="FILE", help="Samples to drop (FID IID)."),
    click.option("--extract", metavar="FILE", help="SNPs to keep (one id a line)."),
    click.option("--exclude", metavar="FILE", help="SNPs to drop (one id a line)."),
    click.option("--chr", "chromosomes", metavar="NAME[,NAME]", help="Chromosomes to keep."),
    click.option("--maf", type=Number(0, 0.5), help="Smallest minor allele frequency."),
    click.option("--geno", type=Number(0, 1), help="Largest share of missing genotypes of a SNP."),
    click.option(
        "--mind", type=Number(0, 1), help="Largest share of missing genotypes of a sample."
    ),
    click.option(
        "--collapse-duplicates",
        is_flag=True,
        help="Offer one SNP of each group of exact duplicates (they are always listed).",
    ),
)

phenotype = group(
    click.option(
        "--pheno",
        "--phenoFile",
        metavar="FILE",
        help="Table with a header FID IID Y1 ... [default: column 6 of the .fam].",
    ),
    click.option(
        "--pheno-name",
        "--phenoCol",
        metavar="NAME[,NAME]",
        help="Its columns [default: the only one]; with several, each gets its own files P.NAME.*.",
    ),
    click.option("--covar", "--covarFile", metavar="FILE", help="Table of covariates."),
    click.option(
        "--covar-name",
        "--covarColList",
        metavar="A,B,PC{1:10}",
        help="Its columns [default: all]; text is categorical.",
    ),
    cat_covar,
    click.option(
        "--missing-code",
        multiple=True,
        metavar="CODE",
        help="A value that means missing in the tables; 'none': -9 is a value.",
    ),
    click.option(
        "--transform",
        type=click.Choice(["none", "boxcox", "rint"]),
        default="none",
        show_default=True,
        help="Of the phenotype; predictions are transformed back.",
    ),
    click.option(
        "--standardize/--no-standardize",
        default=None,
        help="Bring the phenotype to mean 0, sd 1 [default: after a transformation].",
    ),
)

kinship = group(
    click.option(
        "--kinship", "kinship_file", metavar="FILE", help="Kinship (our .npz, GEMMA text, .rel)."
    ),
    click.option("--grm", metavar="PREFIX", help="Kinship of GCTA: PREFIX.grm.bin, .grm.id."),
)

null_model = group(
    click.option(
        "--kinship-samples",
        type=click.Choice(["analysed", "all"]),
        default="analysed",
        show_default=True,
        help="Compute it from the samples that have the phenotype, or once, from all that --keep "
        "and --remove leave, for every phenotype.",
    ),
    click.option(
        "--method",
        type=click.Choice(["ml", "reml"]),
        default="ml",
        show_default=True,
        help="How the variance ratio delta is fitted.",
    ),
    click.option("--log-delta", type=Number(-40, 40), help="Fix log(sigma_e2 / sigma_g2) instead."),
)

path = group(
    click.option(
        "--n-alphas",
        type=Whole(1),
        default=100,
        show_default=True,
        help="Alphas from alpha_max on, evenly spaced on the log scale.",
    ),
    click.option(
        "--eps",
        type=Number(SMALLEST_SHARE, 1, max_open=True),
        default=0.01,
        show_default=True,
        help="Last alpha / alpha_max.",
    ),
    click.option(
        "--alpha",
        "alphas",
        type=Numbers(),
        metavar="A[,A...]",
        help="These alphas instead.",
    ),
    click.option(
        "--l1-ratio",
        type=Number(SMALLEST_RATIO, 1),
        default=1.0,
        show_default=True,
        help="Share of the l1 penalty; below 1 it is the elastic net.",
    ),
    click.option(
        "--penalty-factors",
        type=click.Choice(["equal", WHITENED]),
        default="equal",
        show_default=True,
        help="Of the SNPs: the same for all, or the length of each after whitening, which ranks "
        "causal SNPs better and takes longer.",
    ),
    click.option(
        "--tol",
        type=Number(0),
        default=1e-6,
        show_default=True,
        help="Relative duality gap at which an alpha is converged.",
    ),
    click.option("--no-kinship", is_flag=True, help="Plain Lasso: no random effect."),
)


def paths(*own):
    """Return the flags of a command that follows paths, with its own."""
    return group(genotypes, phenotype, kinship, null_model, path, *own, filters, output)


def penalty_factors(flags: dict) -> str | None:
    """Return what the functions call --penalty-factors."""
    return WHITENED if flags["penalty_factors"] == WHITENED else None


def whitens(flags: dict) -> bool:
    """Whether the lengths of whitened SNPs are to be computed; without kinship they cost little."""
    return flags.get("penalty_factors") == WHITENED and not flags["no_kinship"]


def check_path(flags: dict) -> None:
    """Refuse flags that change nothing beside others."""
    if flags["no_kinship"]:
        without = {"kinship_file", "grm", "kinship_samples", "method", "log_delta"}
        ignored(without, "with --no-kinship")
    if flags["alphas"] is not None:
        ignored({"n_alphas", "eps"}, "with --alpha")
