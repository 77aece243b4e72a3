/* mapped_files.h - maps of files: whether a file changed, and what a map reads where it is gone.
 *
 * A watched file is compared with what it was by its size and time of modification.
 *
 * Reading a map past the end of its file, or where the drive fails, raises SIGBUS, which ends the
 * process. The handler of this file puts zeros in the place of what cannot be read, notes that it
 * did, and lets the read go on: the caller asks afterwards, and throws the result away. A process
 * has one handler, so it is for the program to install and not for the library.
 *
 * This is no part of the core (lmml.h), which has no global state. Any thread may call these
 * functions; the handler calls nothing but mmap and sigaction. On Windows, where no file can be cut
 * short while it is mapped, nothing is watched.
 */
#ifndef MAPPED_FILES_H
#define MAPPED_FILES_H

#include <stddef.h>
#include <stdint.h>

enum { MAPPED_FILE_SAME, MAPPED_FILE_RESIZED, MAPPED_FILE_WRITTEN, MAPPED_FILE_UNREADABLE };

/* Watches the pages of a map and the file with the descriptor `file`, which stays the caller's and
 * open until the watch ends. The number of the watch, or -1: too many maps, which then are not. */
int mapped_file_watch(const void *start, size_t length, int file);

/* Ends a watch; -1 does nothing. */
void mapped_file_forget(int watch);

/* What became of the file, as above; of -1 nothing is known, and it counts as the same. */
int mapped_file_state(int watch);

/* Installs the handler; 1 if this call did, 0 if it was there already or there is none. */
int mapped_files_catch(void);

/* Gives back the handler that was there before. */
void mapped_files_release(void);

#endif
