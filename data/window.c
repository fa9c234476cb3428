#include "data/window.h"

#include <string.h>

#include "core/arena.h"

pawl_status pawl_window_open(pawl_window *w, const pawl_source *source, int64_t first)
{
    *w = (pawl_window){.at = first, .room = 2 * PAWL_CHUNK_BYTES};
    PAWL_TRY(pawl_alloc((void **)&w->block, w->room, "reading data files"));
    return pawl_stream_open(source, first, &w->stream);
}

void pawl_window_close(pawl_window *w)
{
    pawl_stream_close(w->stream);
    pawl_free(w->block);
    memset(w, 0, sizeof *w);
}

pawl_status pawl_window_more(pawl_window *w)
{
    size_t got;
    if (w->first > 0) {
        memmove(w->block, w->block + w->first, w->end - w->first);
        w->end -= w->first;
        w->first = 0;
    }
    if (w->room - w->end < PAWL_CHUNK_BYTES) {
        const size_t room = 2 * (w->end + PAWL_CHUNK_BYTES);
        PAWL_TRY(pawl_realloc((void **)&w->block, room, "reading data files"));
        w->room = room;
    }
    PAWL_TRY(pawl_stream_read(w->stream, w->block + w->end, w->room - w->end, &got));
    w->end += got;
    w->over = got == 0;
    return PAWL_OK;
}
