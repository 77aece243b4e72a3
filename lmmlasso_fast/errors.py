"""Exceptions and warnings: every message says what, where, what was expected, what was found
and what to do about it."""


class LMMLassoError(Exception):
    """Base class of every error that this package raises on purpose."""


class InputError(LMMLassoError, ValueError):
    """Something that the caller handed over cannot be used (command-line exit code 3)."""


class PlinkFormatError(InputError):
    """A .bed, .bim or .fam file is not what it should be."""


class TableError(InputError):
    """A phenotype, covariate or id table cannot be read."""


class SampleMatchError(InputError):
    """Sample ids of two inputs do not fit together."""


class KinshipError(InputError):
    """A kinship matrix is malformed, indefinite or of other samples."""


class PhenotypeError(InputError):
    """A phenotype is constant, not finite, not numeric or of the wrong length."""


class CovariateError(InputError):
    """Covariates are malformed or leave no degree of freedom."""


class GenotypeError(InputError):
    """Genotypes given as an array, or what is left of them, cannot be used."""


class FileChangedError(GenotypeError):
    """A file was written to, or could not be read any more, while it was in use."""


class ModelError(InputError):
    """A saved model is malformed or does not fit the genotypes it is applied to."""


class OutputError(LMMLassoError, OSError):
    """A result could not be written (command-line exit code 5)."""


class DataWarning(UserWarning):
    """The data were usable after a documented repair (dropped column, clipped eigenvalue)."""


class ConvergenceWarning(UserWarning):
    """At least one solution carries a duality gap above the tolerance."""
