/* configs/problems.h - all that is wrong with a configuration, with the place of each, told at once. */
#ifndef PAWL_CONFIGS_PROBLEMS_H
#define PAWL_CONFIGS_PROBLEMS_H

#include "core/text.h"

enum { PAWL_PROBLEMS_SHOWN = 100 }; /* more are counted, not kept */

typedef struct pawl_place {
    const char *file; /* "command line" for an override; outlives the problems */
    long line, col;   /* from 1; 0: none */
} pawl_place;

typedef struct pawl_problem {
    pawl_place at;
    int order;
    char sentence[800];
} pawl_problem;

typedef struct pawl_problems {
    pawl_problem *items;
    int count; /* all of them, kept or not */
} pawl_problems;

PAWL_MUST pawl_status pawl_problems_open(pawl_problems *p);
void pawl_problems_close(pawl_problems *p);

void pawl_problem_add(pawl_problems *p, pawl_place at, const char *format, ...) PAWL_PRINTF(3, 4);

/* A line for each, those of the file first, in order of place. */
void pawl_problems_write(pawl_problems *p, pawl_text *out);

#endif
