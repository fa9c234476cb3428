/* data/choices.h - a question with choices, read from a row: the prompt, written once, and behind it one choice at a
 * time. */
#ifndef PAWL_DATA_CHOICES_H
#define PAWL_DATA_CHOICES_H

#include "data/sample.h"

/* Start it as {0} and use it for many rows. texts and delimiter point into the row and the configuration. */
typedef struct pawl_question {
    pawl_text prompt;
    pawl_specials specials;
    const char *delimiter; /* between the two */
    const json_t *texts;   /* an array of texts that are not empty */
    int64_t count, answer; /* 2 or more; the index of the right one */
} pawl_question;
void pawl_question_close(pawl_question *q);

/* Errors: EDATA, as pawl_render's. */
PAWL_MUST pawl_status pawl_question_read(const pawl_renderer *r, const json_t *row, pawl_question *out);
/* Replaces out with the prompt and choice i, whose delimiter and text are the one span. */
PAWL_MUST pawl_status pawl_question_sample(const pawl_question *q, int64_t i, pawl_sample *out, pawl_choice *choice);

#endif
