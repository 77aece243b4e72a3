"""How good a ranking of SNPs is: what is counted as found, curves, intervals, enrichment.

A method ranks SNPs, the best first: by entry into the model (`entry_order`), by a frequency or a
p-value (`rank_snps`). Where the causal SNPs are known, `hits` counts by locus:

    near         two SNPs of one chromosome, at most `window` base pairs apart, or with r^2 >= `r2`
    causal locus a causal SNP; causal SNPs that are near each other, or linked by others in between,
                 are one locus
    of a locus   a SNP near a causal SNP is of the locus of the nearest one: the least distance or
                 the largest r^2, of equal ones that of the first locus. Found is a locus at the
                 first of its SNPs in the ranking, and the others count for nothing
    miss         a SNP of no causal locus. It opens a false locus, unless it is near the first SNP
                 of an earlier one: then it belongs to the earliest of them, and counts for nothing

With T loci found and F false loci up to a place in the ranking, m causal loci in all, and N0 SNPs
offered to the model that are of no causal locus,

    precision            T / (T + F)
    recall               T / m, also the true positive rate
    false positive rate  (SNPs of these N0 that are near a miss so far) / N0
    average precision    1/m  sum over the loci found of the precision where they are found

A SNP of the N0 is found in error just as a causal SNP is found: by a SNP near it. So the area under
the ROC curve of a ranking by chance is about 1/2, however many SNPs a window holds.

Tied SNPs are taken together: all of a level, or none. Only the end of a level is a point of a
curve, and the order within it does not matter (but for false loci: the SNPs of a level open them
in order of their number).

The public names are gathered here.
"""

from lmmlasso_fast.evaluation.adjacency import adjacent_share
from lmmlasso_fast.evaluation.candidate_genes import Enrichment, enrichment
from lmmlasso_fast.evaluation.curves import (
    PrecisionRecallCurve,
    RocCurve,
    precision_recall,
    roc,
)
from lmmlasso_fast.evaluation.intervals import Interval, mean_interval, paired_interval
from lmmlasso_fast.evaluation.loci import Hits, hits
from lmmlasso_fast.evaluation.rankings import Ranking, entry_order, rank_snps
from lmmlasso_fast.io.bed_regions import read_bed

__all__ = [
    "Enrichment",
    "Hits",
    "Interval",
    "PrecisionRecallCurve",
    "Ranking",
    "RocCurve",
    "adjacent_share",
    "enrichment",
    "entry_order",
    "hits",
    "mean_interval",
    "paired_interval",
    "precision_recall",
    "rank_snps",
    "read_bed",
    "roc",
]
