/* data/tokenizer/decoder.h - from the texts of tokens to text. */
#ifndef PAWL_DATA_TOKENIZER_DECODER_H
#define PAWL_DATA_TOKENIZER_DECODER_H

#include "data/tokenizer/pipeline.h"
#include "data/tokenizer/place.h"

enum { PAWL_DECODERS_MAX = 16 };

/* Texts one behind the other. */
typedef struct pawl_texts {
    pawl_text text;
    size_t *ends;
    int64_t count, room;
} pawl_texts;

PAWL_MUST pawl_status pawl_texts_end(pawl_texts *t); /* what was added to text since the last end is a text */
void pawl_texts_close(pawl_texts *t);

typedef struct pawl_decoder_step pawl_decoder_step;
struct pawl_decoder_step {
    pawl_status (*run)(const pawl_decoder_step *d, const pawl_texts *in, pawl_texts *out);
    char *needle;       /* Metaspace, Strip: the letter; BPEDecoder: the end of a word */
    pawl_stage pattern; /* Replace */
    int64_t start, stop;
    int flag;
};

typedef struct pawl_decoder_steps {
    pawl_decoder_step steps[PAWL_DECODERS_MAX];
    int count;
    int absent; /* decoder: null; texts are joined by spaces */
} pawl_decoder_steps;

PAWL_MUST pawl_status pawl_decoder_steps_open(pawl_decoder_steps *d, const json_t *part, const pawl_place *p);
void pawl_decoder_steps_close(pawl_decoder_steps *d);
/* Turns in (which is used up) into text. */
PAWL_MUST pawl_status pawl_decoder_steps_run(const pawl_decoder_steps *d, pawl_texts *in, pawl_text *out);

#endif
