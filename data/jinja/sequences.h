/* data/jinja/sequences.h - filters of sequences. */
#ifndef PAWL_DATA_JINJA_SEQUENCES_H
#define PAWL_DATA_JINJA_SEQUENCES_H

#include "data/jinja/functions.h"

extern const jinja_filter jinja_sequence_filters[];
extern const size_t jinja_sequence_filter_count;

#endif
