/* Runs: cmocka
 * Nested spans add up, keep their order, and lose nothing but what is said to be lost. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/arena.h"
#include "core/span.h"

static pawl_spans *open_spans(int threads)
{
    pawl_spans *s;
    assert_int_equal(pawl_spans_open(threads, &s), PAWL_OK);
    pawl_spans_record(s);
    return s;
}

static const pawl_span_node *named(const pawl_span_track *t, const char *name, const char *parent)
{
    for (int64_t i = 0; i < t->node_count; i++) {
        const pawl_span_node *n = &t->nodes[i];
        if (strcmp(n->name, name) == 0 && (parent ? n->parent >= 0 && strcmp(t->nodes[n->parent].name, parent) == 0 : n->parent < 0)) return n;
    }
    return NULL;
}

static void off_records_nothing(void **state)
{
    (void)state;
    assert_int_equal(pawl_span_begin("step"), -1);
    pawl_span_end(-1);
    assert_int_equal(pawl_span_pool_begin(1), 0);
}

static void nested(void **state)
{
    (void)state;
    char other[] = "op"; /* the same text elsewhere is the same node */
    const pawl_span_work work = {.flops = 10, .bytes = 3, .ideal_seconds = 0.5, .letters = "NO", .shape = {4, 5}};
    const pawl_span_work wider = {.flops = 20, .letters = "NO", .shape = {4, 9}};
    const long before = pawl_alloc_count();
    pawl_spans *s = open_spans(1);
    const long opened = pawl_alloc_count();
    for (int i = 0; i < 3; i++) {
        const int step = pawl_span_begin("step"), part = pawl_span_begin("forward");
        pawl_span_end(pawl_span_enter_("op", PAWL_SPAN_OP, &work));
        pawl_span_end(pawl_span_enter_(other, PAWL_SPAN_OP, &work));
        pawl_span_end(pawl_span_enter_("op", PAWL_SPAN_OP, &wider));
        pawl_span_end(part);
        pawl_span_end(step);
    }
    pawl_spans_record(NULL);
    assert_int_equal(pawl_alloc_count(), opened);
    assert_true(opened > before);
    const pawl_span_track *t = pawl_spans_track(s, PAWL_SPAN_MAIN);
    assert_int_equal(t->node_count, 4);
    const pawl_span_node *step = named(t, "step", NULL), *forward = named(t, "forward", "step"), *op = named(t, "op", "forward");
    assert_int_equal(step->calls, 3);
    assert_int_equal(op->calls, 6);
    assert_true(op->flops == 60 && op->bytes == 18 && op->ideal_seconds == 3);
    assert_int_equal(op[1].calls, 3);
    assert_int_equal(op[1].shape[1], 9);
    assert_true(step->inside_ns == forward->ns && forward->inside_ns == op->ns + op[1].ns && forward->inside_ns <= forward->ns);
    assert_int_equal(t->event_count, 15);
    assert_int_equal(t->events_lost, 0);
    for (int64_t i = 0; i < t->event_count; i++) {
        assert_true(t->events[i].end >= t->events[i].begin);
        assert_true(i == 0 || t->events[i].begin >= t->events[i - 1].begin);
    }
    pawl_spans_close(s);
}

/* An error leaves through PAWL_TRY: the spans it skips end with the one around them. */
static void skipped_ends(void **state)
{
    (void)state;
    pawl_spans *s = open_spans(1);
    const int step = pawl_span_begin("step");
    assert_true(pawl_span_begin("forward") > step);
    assert_true(pawl_span_begin("attention") > step);
    pawl_span_end(step);
    const pawl_span_track *t = pawl_spans_track(s, PAWL_SPAN_MAIN);
    assert_int_equal(t->depth, 0);
    for (int64_t i = 0; i < 3; i++) assert_true(t->events[i].end > 0 && t->nodes[i].calls == 1);
    const int last = pawl_span_begin("step");
    pawl_spans_record(NULL); /* ended in between: nothing happens */
    pawl_span_end(last);
    pawl_spans_close(s);
}

static void too_much(void **state)
{
    (void)state;
    pawl_spans *s = open_spans(1);
    pawl_span_track *t = pawl_spans_track(s, PAWL_SPAN_MAIN);
    const int64_t calls = t->event_room + 1000;
    for (int64_t i = 0; i < calls; i++) {
        const pawl_span_work work = {.letters = "N", .shape = {i}};
        pawl_span_end(pawl_span_enter_("op", PAWL_SPAN_OP, &work));
    }
    int64_t counted = 0;
    for (int64_t i = 0; i < t->node_count; i++) counted += t->nodes[i].calls;
    assert_int_equal(counted, calls);
    assert_int_equal(t->event_count, t->event_room);
    assert_int_equal(t->events_lost, 1000);
    assert_true(pawl_span_begin("a phase after all the shapes") >= 0);
    for (int i = 0; i < 2 * PAWL_SPAN_DEPTH; i++) (void)pawl_span_begin("deeper");
    assert_int_equal(t->depth, PAWL_SPAN_DEPTH);
    pawl_span_end(0);
    assert_int_equal(t->depth, 0);
    pawl_spans_close(s);
}

static void *write_something(void *self)
{
    (void)self;
    pawl_span_join(PAWL_SPAN_WRITER);
    pawl_span_end(pawl_span_begin("save: write"));
    pawl_span_part();
    assert_int_equal(pawl_span_begin("elsewhere"), -1);
    pawl_span_pool_end(1, pawl_span_pool_begin(1));
    return NULL;
}

static void other_threads(void **state)
{
    (void)state;
    pthread_t thread;
    pawl_spans *s = open_spans(2);
    assert_int_equal(pawl_spans_tracks(s), PAWL_SPAN_POOL + 1);
    const int step = pawl_span_begin("step");
    assert_int_equal(pthread_create(&thread, NULL, write_something, NULL), 0);
    pthread_join(thread, NULL);
    pawl_span_end(step);
    const pawl_span_track *writer = pawl_spans_track(s, PAWL_SPAN_WRITER), *pool = pawl_spans_track(s, PAWL_SPAN_POOL);
    assert_int_equal(writer->event_count, 1);
    assert_string_equal(writer->nodes[0].name, "save: write");
    assert_int_equal(pool->event_count, 1);
    assert_int_equal(pool->events[0].node, 0);
    assert_int_equal(pawl_spans_track(s, PAWL_SPAN_MAIN)->node_count, 1);
    pawl_spans_close(s);
    assert_int_equal(pawl_span_begin("step"), -1);
}

static void measured(void **state)
{
    (void)state;
    assert_true(pawl_spans_bytes(3) > pawl_spans_bytes(1));
    assert_true(pawl_spans_bytes(1) > (size_t)1 << 20 && pawl_spans_bytes(1) < (size_t)16 << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(off_records_nothing), cmocka_unit_test(nested),        cmocka_unit_test(skipped_ends),
        cmocka_unit_test(too_much),            cmocka_unit_test(other_threads), cmocka_unit_test(measured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
