/* data/window.h - what has been read of a stream and not yet been handed out. */
#ifndef PAWL_DATA_WINDOW_H
#define PAWL_DATA_WINDOW_H

#include "data/stream.h"

typedef struct pawl_window {
    pawl_stream *stream;
    char *block;
    size_t first, end, room; /* [first, end) of block is in hand */
    int64_t at;              /* of the byte at first, in the stream */
    int over;                /* nothing comes after what is in hand */
} pawl_window;

PAWL_MUST pawl_status pawl_window_open(pawl_window *w, const pawl_source *source, int64_t first);
void pawl_window_close(pawl_window *w);
/* Reads on, behind what is in hand (which may move), or sets over. */
PAWL_MUST pawl_status pawl_window_more(pawl_window *w);

static inline const char *pawl_window_text(const pawl_window *w)
{
    return w->block + w->first;
}

static inline size_t pawl_window_bytes(const pawl_window *w)
{
    return w->end - w->first;
}

static inline void pawl_window_pass(pawl_window *w, size_t bytes)
{
    w->first += bytes;
    w->at += (int64_t)bytes;
}

#endif
