process LMMLASSO {
    tag "${meta.id}"
    label 'process_medium'

    conda "${moduleDir}/environment.yml"

    input:
    tuple val(meta), path(bed), path(bim), path(fam), path(pheno)
    val command // fit, cv, scan or stability

    output:
    tuple val(meta), path("${prefix}.run.json")                     , emit: record
    tuple val(meta), path("${prefix}.*tsv")                         , emit: tables
    tuple val(meta), path("${prefix}.null.json")    , optional: true, emit: null_model
    tuple val(meta), path("${prefix}.model.npz")    , optional: true, emit: model
    tuple val(meta), path("${prefix}.log")                          , emit: log
    tuple val(meta), path("*.lmmlasso_mqc.json")                    , emit: multiqc
    path "versions.yml"                                             , emit: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    lmmlasso ${command} \\
        --bed ${bed} --bim ${bim} --fam ${fam} \\
        --pheno ${pheno} \\
        --threads ${task.cpus} \\
        ${args} \\
        --out ${prefix}
    lmmlasso multiqc ${prefix} --out ${prefix}_summary

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        lmmlasso: \$(lmmlasso --version | sed 's/.* //')
    END_VERSIONS
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    touch ${prefix}.run.json ${prefix}.selected.tsv ${prefix}.null.json ${prefix}.model.npz
    touch ${prefix}.log ${prefix}_summary.lmmlasso_mqc.json

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        lmmlasso: \$(lmmlasso --version | sed 's/.* //')
    END_VERSIONS
    """
}
