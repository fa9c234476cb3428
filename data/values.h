/* data/values.h - where the rows of a .json file begin and end: the items of the array that the file holds, or values
 * one after the other. What stands in a row is for a parser to judge. */
#ifndef PAWL_DATA_VALUES_H
#define PAWL_DATA_VALUES_H

#include "data/reader.h"
#include "data/window.h"

typedef enum pawl_values_state {
    PAWL_AT_BEGIN,
    PAWL_AT_FIRST,
    PAWL_AFTER_ITEM,
    PAWL_IN_SEQUENCE,
    PAWL_AT_END
} pawl_values_state;

typedef struct pawl_values {
    pawl_values_state state;
    int64_t line, column; /* of what is in the window's hand; start them at 1 */
    size_t in_use;        /* bytes of the piece that was handed out */
} pawl_values;

/* The next row's text; *more is 0 at the end. path names the file. Errors: EDATA as FILE:LINE:COL. */
PAWL_MUST pawl_status pawl_values_next(pawl_window *w, pawl_values *v, const char *path, pawl_piece *out, int *more);

#endif
