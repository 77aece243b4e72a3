"""Rules for lmmlasso; include this file, or use it as a module (docs/packaging.md).

config:
    phenotypes: table with a header FID IID Y1 ...; traits: columns of it to analyse
    bfile: prefix of the PLINK fileset; out: folder of the results
    command: "fit", "cv", "scan" or "stability"; flags: further ones, as on the command line
"""

import os

BFILE = config["bfile"]
COMMAND = config.get("command", "fit")
OUT = config.get("out", "results")
# what every command of these has, and downstream rules want first
FIRST = {"fit": "selected", "cv": "selected", "stability": "selected", "scan": "scan"}[COMMAND]


wildcard_constraints:
    trait="|".join(config["traits"]),


rule lmmlasso:
    input:
        genotypes=multiext(BFILE, ".bed", ".bim", ".fam"),
        phenotypes=config["phenotypes"],
    output:
        table=f"{OUT}/{{trait}}.{FIRST}.tsv",
        record=f"{OUT}/{{trait}}.run.json",
    log:
        f"{OUT}/{{trait}}.log",
    threads: 2
    params:
        bfile=lambda wildcards, input: input.genotypes[0].removesuffix(".bed"),
        command=COMMAND,
        flags=config.get("flags", ""),
        out=lambda wildcards, output: output.record.removesuffix(".run.json"),
    conda:
        "environment.yaml"
    shell:
        "lmmlasso {params.command} --bfile {params.bfile:q} --pheno {input.phenotypes:q}"
        " --pheno-name {wildcards.trait:q} --threads {threads} {params.flags}"
        " --out {params.out:q} 2> /dev/null"  # the log has the same lines


rule lmmlasso_multiqc:
    input:
        expand(f"{OUT}/{{trait}}.run.json", trait=config["traits"]),
    output:
        f"{OUT}/all.lmmlasso_mqc.json",
    log:
        f"{OUT}/all.log",
    params:
        prefixes=lambda wildcards, input: [name.removesuffix(".run.json") for name in input],
        out=lambda wildcards, output: output[0].removesuffix(".lmmlasso_mqc.json"),
    conda:
        "environment.yaml"
    shell:
        "lmmlasso multiqc {params.prefixes:q} --out {params.out:q} 2> /dev/null"


rule multiqc:
    input:
        rules.lmmlasso_multiqc.output,
    output:
        f"{OUT}/multiqc_report.html",
    log:
        f"{OUT}/multiqc.log",
    params:
        folder=lambda wildcards, output: os.path.dirname(output[0]),
    conda:
        "environment.yaml"
    shell:
        "multiqc --force --outdir {params.folder:q} {input:q} > {log:q} 2>&1"
