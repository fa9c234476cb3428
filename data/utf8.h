/* data/utf8.h - is this text UTF-8, and where does it stop being so. */
#ifndef PAWL_DATA_UTF8_H
#define PAWL_DATA_UTF8_H

#include <stddef.h>

/* Offset of the first byte that is NUL or begins no well-formed UTF-8 sequence (Unicode 15, table 3-7); bytes when all
 * is well. */
size_t pawl_utf8_valid_prefix(const char *text, size_t bytes);
/* Code points that begin in text. */
size_t pawl_utf8_length(const char *text, size_t bytes);

#endif
