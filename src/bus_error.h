/* bus_error.h - maps of files that can still be read when their file was cut short.
 *
 * Reading a map past the end of its file, or where the drive fails, raises SIGBUS, which ends the
 * process. The handler of this file puts zeros in the place of what cannot be read, notes that it
 * did, and lets the read go on: the caller asks afterwards, and throws the result away.
 *
 * A process has one handler, so it is for the program to install and not for the library. This is
 * no part of the core (lmml.h), which has no global state. Where there are no POSIX signals nothing
 * is installed, and nothing is ever broken.
 *
 * Every function may be called from any thread; the handler does nothing but mmap and sigaction.
 */
#ifndef BUS_ERROR_H
#define BUS_ERROR_H

#include <stddef.h>

/* Installs the handler; 1 if this call did, 0 if it was there already or there is none. */
int bus_error_install(void);

/* Gives back the handler that was there before. */
void bus_error_uninstall(void);

/* Guards the pages of a map; the number of the guard, or -1: too many maps, which then are not. */
int bus_error_add(const void *start, size_t length);

/* Ends a guard, of a map that is gone; -1 does nothing. */
void bus_error_remove(int guard);

/* Whether some of the map could not be read; 0 for -1. */
int bus_error_broken(int guard);

#endif
