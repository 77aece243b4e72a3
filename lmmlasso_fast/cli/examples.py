"""Examples at the end of every command's --help."""

_DATA = "--bfile mouse --pheno pheno.tsv --pheno-name CD8"

#: For every command what is done, and how.
EXAMPLES = {
    "completion": (
        ("Complete commands and flags in this bash", 'eval "$(lmmlasso completion bash)"'),
    ),
    "cv": (
        ("Ten random folds", f"lmmlasso cv {_DATA} --out mouse"),
        ("Cages held out together", f"lmmlasso cv {_DATA} --groups cage --out mouse"),
        ("Go on after an interruption", f"lmmlasso cv {_DATA} --out mouse --resume"),
    ),
    "demo": (("Simulate, fit, compare with the truth", "lmmlasso demo --out demo"),),
    "doctor": (("For a bug report", "lmmlasso doctor > doctor.txt"),),
    "fit": (
        ("A path of 100 alphas", f"lmmlasso fit {_DATA} --out mouse"),
        (
            "Covariates, one of them a number that is a category",
            f"lmmlasso fit {_DATA} --covar c.tsv --covar-name 'age,PC{{1:10}}' --cat-covar batch "
            "--out mouse",
        ),
        (
            "SNPs at a family-wise error of 5 %",
            f"lmmlasso fit {_DATA} --fwer 0.05 --out mouse",
        ),
    ),
    "kinship": (
        ("The matrix as our .npz", "lmmlasso kinship --bfile mouse --maf 0.01 --out mouse"),
        ("For GCTA", "lmmlasso kinship --bfile mouse --format grm --out mouse"),
    ),
    "merge": (("Join two halves", "lmmlasso merge a.partial b.partial --out mouse"),),
    "multiqc": (
        ("A table of two runs", "lmmlasso multiqc mouse.CD8 mouse.MCH --out runs && multiqc ."),
    ),
    "null": (
        ("By REML", f"lmmlasso null {_DATA} --method reml --out mouse"),
        ("From GCTA's matrix", f"lmmlasso null {_DATA} --grm mouse --out mouse"),
    ),
    "plot": (
        (
            "Every picture of a run, and the tests without kinship beside those with it",
            "lmmlasso plot mouse --before mouse_lm --format png",
        ),
    ),
    "predict": (
        ("New samples", "lmmlasso predict --model mouse.model.npz --bfile new --out new"),
        (
            "At another alpha, some SNPs not genotyped",
            "lmmlasso predict --model mouse.model.npz --bfile new --alpha 0.05 --allow-missing "
            "--out new",
        ),
    ),
    "report": (
        ("All results of a prefix as one page", "lmmlasso report mouse"),
        ("Of one of several phenotypes", "lmmlasso report mouse.CD8"),
    ),
    "run": (
        ("Everything", f"lmmlasso run {_DATA} --out mouse"),
        ("Go on after an interruption", f"lmmlasso run {_DATA} --out mouse --resume"),
        ("Flags in a file", f"lmmlasso run {_DATA} --out mouse --write-config > mouse.toml"),
        ("... and from it, with another one", "lmmlasso run --config mouse.toml --maf 0.05"),
        ("Scan and path alone", f"lmmlasso run {_DATA} --steps scan,fit --out mouse"),
    ),
    "scan": (
        ("One delta for all SNPs", f"lmmlasso scan {_DATA} --out mouse"),
        ("As GEMMA's -lmm 1", f"lmmlasso scan {_DATA} --exact --out mouse"),
        ("Without the tested chromosome", f"lmmlasso scan {_DATA} --loco --out mouse"),
    ),
    "simulate": (
        (
            "Genotypes and a phenotype",
            "lmmlasso simulate --n-samples 1000 --n-variants 100000 --out sim",
        ),
        (
            "A phenotype on real genotypes",
            "lmmlasso simulate --bfile mouse --background y.tsv --out semi",
        ),
    ),
    "stability": (
        ("At most one false SNP expected", f"lmmlasso stability {_DATA} --max-false 1 --out mouse"),
        (
            "A part of the replicates, for lmmlasso merge",
            f"lmmlasso stability {_DATA} --replicates 0:50 --partial --out a",
        ),
    ),
}


def epilog(command: str) -> str:
    """Return the examples of a command as click's help shows them: lines as they are."""
    lines = [f"  # {what}\n  {line}" for what, line in EXAMPLES.get(command, ())]
    return "\n".join(["\b", "Examples:", *lines]) if lines else ""
