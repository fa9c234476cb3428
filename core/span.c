#include "core/span.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "core/arena.h"

/* Room: a step of a model of 30 layers in 8 slots is some 60 000 events, and some hundred nodes. */
enum {
    MAIN_NODES = 1024,
    MAIN_EVENTS = 1 << 18,
    WRITER_NODES = 64,
    WRITER_EVENTS = 1 << 12,
    POOL_EVENTS = 1 << 16,

};

__thread pawl_span_track *pawl_span_here;
static _Atomic(pawl_spans *) recording;

struct pawl_spans {
    pawl_arena arena;
    int tracks;
    pawl_span_track *track;
};

int64_t pawl_span_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- Room ---- */

static void lay_out_track(pawl_arena *a, pawl_span_track *t, int64_t nodes, int64_t events)
{
    t->node_room = nodes;
    t->event_room = events;
    t->nodes = pawl_take_bytes(a, (size_t)nodes * sizeof *t->nodes);
    t->index = pawl_take_bytes(a, (size_t)(2 * nodes) * sizeof *t->index);
    t->events = pawl_take_bytes(a, (size_t)events * sizeof *t->events);
}

static void lay_out(pawl_spans *s)
{
    pawl_span_track none = {0};
    s->track = pawl_take_bytes(&s->arena, (size_t)s->tracks * sizeof *s->track);
    for (int i = 0; i < s->tracks; i++) {
        pawl_span_track *t = s->track ? &s->track[i] : &none;
        const int pool = i >= PAWL_SPAN_POOL;
        lay_out_track(&s->arena, t,
                      pool                  ? 0
                      : i == PAWL_SPAN_MAIN ? MAIN_NODES
                                            : WRITER_NODES,
                      pool                  ? POOL_EVENTS
                      : i == PAWL_SPAN_MAIN ? MAIN_EVENTS
                                            : WRITER_EVENTS);
    }
}

size_t pawl_spans_bytes(int threads)
{
    pawl_spans s = {.tracks = PAWL_SPAN_POOL + threads - 1};
    lay_out(&s);
    return s.arena.used;
}

pawl_status pawl_spans_open(int threads, pawl_spans **out)
{
    pawl_spans *s;
    PAWL_TRY(pawl_alloc((void **)&s, sizeof *s, "the profile"));
    *s = (pawl_spans){.tracks = PAWL_SPAN_POOL + threads - 1, .arena = {.name = "profile"}};
    lay_out(s);
    const pawl_status status = pawl_arena_open(&s->arena);
    if (status != PAWL_OK) {
        pawl_free(s);
        return status;
    }
    lay_out(s);
    for (int i = 0; i < s->tracks; i++) {
        pawl_span_track *t = &s->track[i];
        t->name = i == PAWL_SPAN_MAIN ? "main" : i == PAWL_SPAN_WRITER ? "checkpoint writer" : "pool";
        t->keep = 1;
        memset(t->index, 0xff, (size_t)(2 * t->node_room) * sizeof *t->index);
    }
    *out = s;
    return PAWL_OK;
}

void pawl_spans_close(pawl_spans *s)
{
    if (!s) return;
    if (atomic_load(&recording) == s) pawl_spans_record(NULL);
    pawl_arena_close(&s->arena);
    pawl_free(s);
}

void pawl_spans_record(pawl_spans *s)
{
    atomic_store(&recording, s);
    pawl_span_here = s ? &s->track[PAWL_SPAN_MAIN] : NULL;
}

int pawl_spans_tracks(const pawl_spans *s)
{
    return s->tracks;
}

pawl_span_track *pawl_spans_track(pawl_spans *s, int track)
{
    return &s->track[track];
}

void pawl_spans_mark(pawl_spans *s)
{
    for (int i = 0; i < s->tracks; i++) {
        pawl_span_track *t = &s->track[i];
        const int64_t since = t->event_count - t->marked;
        if (i == PAWL_SPAN_WRITER) continue; /* another thread's, and it knows no steps */
        if (since > t->longest) t->longest = since;
        if (t->event_room - t->event_count < t->longest) t->keep = 0;
        t->marked = t->event_count;
    }
}

/* ---- Nodes ---- */

static uint32_t hash_of(const char *name, int32_t parent, const int64_t *shape)
{
    uint32_t h = 2166136261u ^ (uint32_t)parent; /* FNV-1a */
    for (; *name; name++) h = (h ^ (uint8_t)*name) * 16777619u;
    for (int i = 0; shape && i < PAWL_SPAN_DIMS; i++) h = (h ^ (uint32_t)shape[i]) * 16777619u;
    return h ^ h >> 15;
}

static int is_node(const pawl_span_node *n, const char *name, int32_t parent, const int64_t *shape)
{
    if (n->parent != parent || (n->name != name && strcmp(n->name, name) != 0)) return 0;
    return shape ? n->letters && memcmp(n->shape, shape, sizeof n->shape) == 0 : !n->letters;
}

/* The node, made where there is none yet; -1: there is no room. */
static int32_t find(pawl_span_track *t, int32_t parent, const char *name, pawl_span_kind kind,
                    const pawl_span_work *shaped)
{
    const int64_t *shape = shaped ? shaped->shape : NULL;
    const uint32_t slots = (uint32_t)(2 * t->node_room);
    uint32_t at = hash_of(name, parent, shape) & (slots - 1);
    for (; t->index[at] >= 0; at = (at + 1) & (slots - 1))
        if (is_node(&t->nodes[t->index[at]], name, parent, shape)) return t->index[at];
    if (t->node_count >= (shape ? t->node_room * 3 / 4 : t->node_room)) return -1;
    pawl_span_node *n = &t->nodes[t->node_count];
    *n = (pawl_span_node){.name = name, .parent = parent, .kind = kind, .letters = shaped ? shaped->letters : NULL};
    if (shape) memcpy(n->shape, shape, sizeof n->shape);
    return t->index[at] = (int32_t)t->node_count++;
}

static int32_t node_for(pawl_span_track *t, const char *name, pawl_span_kind kind, const pawl_span_work *work)
{
    const int32_t parent = t->depth ? t->open[t->depth - 1].node : -1;
    int32_t node = work && work->letters ? find(t, parent, name, kind, work) : -1;
    if (node < 0) node = find(t, parent, name, kind, NULL);
    return node; /* -1: then its time stays with what it is in */
}

/* ---- Spans ---- */

static int64_t keep_event(pawl_span_track *t, int64_t begin, int32_t node, float flops)
{
    if (!t->keep || t->event_count >= t->event_room) {
        t->events_lost++;
        return -1;
    }
    t->events[t->event_count] = (pawl_span_event){.begin = begin, .node = node, .flops = flops};
    return t->event_count++;
}

int pawl_span_enter_(const char *name, pawl_span_kind kind, const pawl_span_work *work)
{
    pawl_span_track *t = pawl_span_here;
    if (t->depth >= PAWL_SPAN_DEPTH) return -1;
    const int32_t node = node_for(t, name, kind, work);
    if (node < 0) return -1;
    if (work) {
        t->nodes[node].flops += work->flops;
        t->nodes[node].bytes += work->bytes;
        t->nodes[node].ideal_seconds += work->ideal_seconds;
    }
    const int64_t now = pawl_span_now();
    t->open[t->depth] = (pawl_span_open_one){now, keep_event(t, now, node, work ? (float)work->flops : 0), node};
    return t->depth++;
}

void pawl_span_leave_(int span)
{
    pawl_span_track *t = pawl_span_here;
    if (!t) return; /* the recording ended in between */
    const int64_t now = pawl_span_now();
    while (t->depth > span) {
        const pawl_span_open_one o = t->open[--t->depth];
        pawl_span_node *n = &t->nodes[o.node];
        if (o.event >= 0) t->events[o.event].end = now;
        n->calls++;
        n->ns += now - o.begin;
        if (n->parent >= 0) t->nodes[n->parent].inside_ns += now - o.begin;
    }
}

/* ---- Other threads ---- */

void pawl_span_join(int track)
{
    pawl_spans *s = atomic_load(&recording);
    pawl_span_here = s ? &s->track[track] : NULL;
}

void pawl_span_part(void)
{
    pawl_span_here = NULL;
}

/* The main thread waits inside its own span until the pool is through, so its node stands still meanwhile. */
int64_t pawl_span_pool_begin(int thread)
{
    const pawl_spans *s = atomic_load(&recording);
    return s && thread > 0 && PAWL_SPAN_POOL + thread - 1 < s->tracks && s->track[PAWL_SPAN_MAIN].depth
               ? pawl_span_now()
               : 0;
}

void pawl_span_pool_end(int thread, int64_t begun)
{
    pawl_spans *s = atomic_load(&recording);
    if (!begun || !s) return;
    const pawl_span_track *main = &s->track[PAWL_SPAN_MAIN];
    pawl_span_track *t = &s->track[PAWL_SPAN_POOL + thread - 1];
    const int64_t now = pawl_span_now(), event = keep_event(t, begun, main->open[main->depth - 1].node, 0);
    if (event >= 0) t->events[event].end = now;
    t->busy_ns += now - begun;
}
