/* trace.json: events as chrome://tracing and Perfetto read them (the Trace Event Format: complete events "X", metadata "M").
 * A rank is a process, its main thread, checkpoint writer and pool are threads. Times are microseconds of rank 0's clock since
 * the earliest event; ranks append in turn, so none needs room for another's. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/file.h"
#include "trainer/profile.h"

enum { FLUSH_BYTES = 1 << 20, PATH_ROOM = 1200 };

typedef struct trace {
    const pawl_profiler *r;
    char part[PATH_ROOM], path[PATH_ROOM];
    int fd;
    int64_t at, zero; /* where the file goes on; ns of this rank's clock at the trace's 0 */
    pawl_text text;
} trace;

static pawl_status flush(trace *t)
{
    PAWL_TRY(pawl_text_status(&t->text));
    if (t->text.bytes == 0) return PAWL_OK;
    PAWL_TRY(pawl_file_pwrite(t->fd, t->part, t->text.data, t->text.bytes, t->at));
    t->at += (int64_t)t->text.bytes;
    t->text.bytes = 0;
    return PAWL_OK;
}

static void name_one(trace *t, const char *what, int tid, const char *name)
{
    pawl_text_add(&t->text, ",\n{\"ph\":\"M\",\"name\":\"%s\",\"pid\":%d,\"tid\":%d,\"args\":{\"name\":\"%s\"}}", what, t->r->p->comm->rank, tid, name);
}

static void add_names(trace *t)
{
    char name[64];
    const int rank = t->r->p->comm->rank;
    snprintf(name, sizeof name, "rank %d", rank);
    name_one(t, "process_name", 0, name);
    pawl_text_add(&t->text, ",\n{\"ph\":\"M\",\"name\":\"process_sort_index\",\"pid\":%d,\"tid\":0,\"args\":{\"sort_index\":%d}}", rank, rank);
    for (int i = 0; i < pawl_spans_tracks(t->r->spans); i++) {
        if (i < PAWL_SPAN_POOL) snprintf(name, sizeof name, "%s", pawl_spans_track(t->r->spans, i)->name);
        else snprintf(name, sizeof name, "pool thread %d", i - PAWL_SPAN_POOL + 1);
        name_one(t, "thread_name", i, name);
    }
}

static void add_args(trace *t, const pawl_span_node *n, const pawl_span_event *e)
{
    pawl_text_add(&t->text, ",\"args\":{");
    for (int i = 0; n->letters && n->letters[i]; i++) pawl_text_add(&t->text, "\"%c\":%" PRId64 ",", n->letters[i], n->shape[i]);
    pawl_text_add(&t->text, "\"flops\":%.9g,\"bytes\":%.9g,\"gflops_per_second\":%.4g}", (double)e->flops, n->bytes / (double)n->calls,
                  e->end > e->begin ? (double)e->flops / (double)(e->end - e->begin) : 0);
}

static void add_event(trace *t, int track, const pawl_span_node *n, const pawl_span_event *e)
{
    static const char *const kinds[] = {[PAWL_SPAN_PHASE] = "phase", [PAWL_SPAN_OP] = "op", [PAWL_SPAN_WAIT] = "waiting"};
    pawl_text_add(&t->text, ",\n{\"ph\":\"X\",\"name\":\"%s\",\"cat\":\"%s\",\"pid\":%d,\"tid\":%d,\"ts\":%.3f,\"dur\":%.3f", n->name,
                  track >= PAWL_SPAN_POOL ? "pool" : kinds[n->kind], t->r->p->comm->rank, track, 1e-3 * (double)(e->begin - t->zero),
                  1e-3 * (double)(e->end - e->begin));
    if (track < PAWL_SPAN_POOL && n->kind == PAWL_SPAN_OP) add_args(t, n, e);
    pawl_text_add(&t->text, "}");
}

static pawl_status add_track(trace *t, int track)
{
    const pawl_span_track *k = pawl_spans_track(t->r->spans, track);
    const pawl_span_track *names = track >= PAWL_SPAN_POOL ? pawl_spans_track(t->r->spans, PAWL_SPAN_MAIN) : k;
    for (int64_t i = 0; i < k->event_count; i++) {
        if (k->events[i].end) add_event(t, track, &names->nodes[k->events[i].node], &k->events[i]);
        if (t->text.bytes >= FLUSH_BYTES) PAWL_TRY(flush(t));
    }
    return PAWL_OK;
}

static void begin_file(trace *t)
{
    const pawl_comm *c = t->r->p->comm;
    pawl_text_add(&t->text, "{\"displayTimeUnit\":\"ms\",\"otherData\":{\"program\":\"pawl %s\",\"ranks\":%d,\"clock\":\"rank 0's CLOCK_MONOTONIC\"},\n"
                            "\"traceEvents\":[\n{\"ph\":\"M\",\"name\":\"trace\",\"pid\":0,\"tid\":0,\"args\":{\"ranks\":%d}}", PAWL_VERSION, c->size, c->size);
}

/* Times of this rank's events may be off by so much against rank 0's. */
static void add_clock(trace *t)
{
    pawl_text_add(&t->text, ",\n{\"ph\":\"M\",\"name\":\"clock\",\"pid\":%d,\"tid\":0,\"args\":{\"offset_us\":%.3f,\"error_us\":%.3f,\"events_lost\":%" PRId64 "}}",
                  t->r->p->comm->rank, 1e-3 * (double)t->r->clock.offset_ns, 1e-3 * (double)t->r->clock.error_ns,
                  pawl_spans_track(t->r->spans, PAWL_SPAN_MAIN)->events_lost);
}

/* Local: this rank's turn. */
static pawl_status append(trace *t)
{
    const pawl_comm *c = t->r->p->comm;
    pawl_status status;
    PAWL_TRY(pawl_file_open(t->part, O_WRONLY | (c->rank == 0 ? O_CREAT | O_TRUNC : 0), &t->fd));
    if (c->rank == 0) begin_file(t);
    add_names(t);
    add_clock(t);
    for (int i = 0; i < pawl_spans_tracks(t->r->spans); i++) PAWL_TRY_OUT(add_track(t, i));
    if (c->rank == c->size - 1) pawl_text_add(&t->text, "\n]}\n");
    PAWL_TRY_OUT(flush(t));
    PAWL_TRY_OUT(pawl_file_sync(t->fd, t->part));
out:
    if (status != PAWL_OK) pawl_file_close(t->fd);
    else status = pawl_file_close_written(t->fd, t->part);
    return status;
}

/* The earliest beginning of all ranks, in this rank's own time. */
static pawl_status find_zero(trace *t)
{
    const pawl_profiler *r = t->r;
    pawl_comm *c = r->p->comm;
    int64_t zero = r->zero + r->clock.offset_ns;
    for (int rank = 0; rank < c->size; rank++) {
        int64_t theirs = r->zero + r->clock.offset_ns;
        PAWL_TRY(pawl_bcast(c, &theirs, sizeof theirs, rank));
        if (theirs < zero) zero = theirs;
    }
    t->zero = zero - r->clock.offset_ns;
    return PAWL_OK;
}

static pawl_status in_turn(trace *t)
{
    pawl_comm *c = t->r->p->comm;
    for (int rank = 0; rank < c->size; rank++) {
        PAWL_TRY(pawl_agree(c, c->rank == rank ? append(t) : PAWL_OK));
        PAWL_TRY(pawl_bcast(c, &t->at, sizeof t->at, rank));
    }
    return pawl_agree(c, c->rank == 0 ? pawl_file_rename(t->part, t->path) : PAWL_OK);
}

static pawl_status name_files(trace *t)
{
    const char *dir = t->r->p->train->output_dir;
    PAWL_TRY(pawl_path_join(t->part, sizeof t->part, dir, "trace.json.part"));
    return pawl_path_join(t->path, sizeof t->path, dir, "trace.json");
}

pawl_status pawl_trace_write(const pawl_profiler *r)
{
    trace t = {.r = r};
    PAWL_TRY(pawl_agree(r->p->comm, name_files(&t)));
    PAWL_TRY(find_zero(&t));
    const pawl_status s = in_turn(&t);
    pawl_text_close(&t.text);
    return s;
}
