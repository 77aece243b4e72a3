"""The promises of docs/reliability.md, by the names that the marker `promise` takes."""

PROMISES = {
    "any-bytes": "No bytes in a file of genotypes, a table, a kinship, a checkpoint or a model "
    "make the program crash, hang or read out of bounds.",
    "no-wrong-answer": "Every solution has its duality gap; what did not converge says so in the "
    "object, in the file and, with --strict, in the exit code.",
    "same-bytes": "The same bytes for any number of threads, any chunk, a file in memory or "
    "mapped, resumed or straight, local or on Dask; instruction sets agree on the gap.",
    "whole-files": "Outputs are whole or absent; a resumed run equals an uninterrupted one; a "
    "checkpoint of other data is refused by name.",
    "threads": "Objects share read-only data safely; fits of one object at a time are refused; a "
    "fork after use works; nothing oversubscribes.",
    "interrupts": "An interrupt or SIGTERM is answered in half a second (but within one LAPACK "
    "call), and leaves a valid checkpoint.",
    "hostile": "No file is unpickled; ids stay text; sizes are checked before memory is taken; "
    "Dask listens on loopback unless asked.",
    "peers": "The numbers are those of slow references, other programs and published formulas.",
    "statistics": "REML is unbiased, p-values are uniform, and error control keeps its bounds.",
    "options": "Every public option changes something, and is refused outside its bounds.",
}
