/* Runs: ranks 1 2 3
 * Saves in which ranks take part: dealing, publishing, failing together, what is frozen, going on from a checkpoint. */
#include "tests/check.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/file.h"
#include "core/json.h"
#include "tests/checkpoint_sample.h"
#include "tests/faulty_fs.h"

/* A new folder that all ranks know of. */
static const char *new_dir(pawl_comm *c)
{
    static char dir[64];
    snprintf(dir, sizeof dir, "/tmp/pawl-checkpoints-XXXXXX");
    if (c->rank == 0 && !mkdtemp(dir)) dir[0] = 0;
    CHECK_OK(pawl_bcast(c, dir, sizeof dir, 0));
    CHECK(dir[0]);
    return dir;
}

static void drop_dir(pawl_comm *c, const char *dir)
{
    CHECK_OK(pawl_barrier(c));
    if (c->rank == 0) CHECK_OK(pawl_dir_remove(dir));
}

/* Reads the checkpoint at path and compares it with what the sample held in that generation. */
static int holds(const char *path, int generation)
{
    sample expected, found;
    pawl_checkpoint *k;
    if (pawl_checkpoint_open(path, &k) != PAWL_OK) return 0;
    int same =
        sample_open(&expected, 0, SAMPLE_ROWS, generation) && sample_open(&found, 0, SAMPLE_ROWS, generation + 1000);
    for (int i = 0; i < found.state.count; i++)
        memset(found.state.items[i].tensor.data, 0xee, pawl_tensor_bytes(found.state.items[i].tensor));
    same = same && pawl_checkpoint_read(k, &found.state) == PAWL_OK && sample_same(&expected, &found);
    sample_close(&expected);
    sample_close(&found);
    pawl_checkpoint_close(k);
    return same;
}

static const char *file_of(const pawl_checkpoint *k, const char *name)
{
    json_t *tensor;
    size_t i;
    json_array_foreach(json_object_get(pawl_checkpoint_manifest(k), "tensors"), i,
                       tensor) if (strcmp(json_string_value(json_object_get(tensor, "name")), name) ==
                                   0) return json_string_value(json_object_get(tensor, "file"));
    return "";
}

static int findings_of(const char *path)
{
    pawl_text text = {0};
    int count = -1;
    if (pawl_verify(path, &text, &count) != PAWL_OK) fprintf(stderr, "%s\n", pawl_last_error()->what);
    if (count) fprintf(stderr, "%s", text.data ? text.data : "");
    pawl_text_close(&text);
    return count;
}

static void all_that_was_saved_is_read(pawl_comm *c)
{
    const char *dir = new_dir(c);
    sample s;
    pawl_saver *saver;
    pawl_digest weights, state;
    char path[512];
    int published;
    int64_t lost;
    CHECK(sample_open(&s, 0, SAMPLE_ROWS, 1));
    CHECK_OK(pawl_saver_open(c, dir, &s.state, 0, &saver));
    CHECK_OK(sample_save(saver, 5, 0, &published));
    CHECK(published && !pawl_save_busy(saver));
    CHECK(pawl_state_digests(&s.state, &weights, &state) == PAWL_OK);
    CHECK(pawl_digest_equal(weights, pawl_save_last(saver).weights) &&
          pawl_digest_equal(state, pawl_save_last(saver).state));
    CHECK(pawl_save_last(saver).step == 5 && pawl_save_last(saver).bytes_written == pawl_state_bytes(&s.state));
    CHECK_OK(pawl_checkpoint_find(dir, 0, path, sizeof path, &lost));
    CHECK(strcmp(path, sample_path(dir, 5, NULL)) == 0 && lost == 0);
    CHECK(holds(dir, 1));
    if (c->rank == 0) CHECK(findings_of(dir) == 0);
    pawl_saver_close(saver);
    sample_close(&s);
    drop_dir(c, dir);
}

/* Digests of chunks, tensors and the whole are the same when one rank writes alone. */
static void digests_do_not_depend_on_ranks(pawl_comm *c)
{
    char together[64], alone[64];
    sample s;
    pawl_saver *saver;
    pawl_checkpoint *k = NULL, *k1 = NULL;
    int published;
    snprintf(together, sizeof together, "%s", new_dir(c));
    snprintf(alone, sizeof alone, "%s", new_dir(c));
    CHECK(sample_open(&s, 0, SAMPLE_ROWS, 3));
    CHECK_OK(pawl_saver_open(c, together, &s.state, 0, &saver));
    CHECK_OK(sample_save(saver, 1, 0, &published));
    pawl_saver_close(saver);
    if (c->rank == 0) {
        pawl_comm *one;
        CHECK_OK(pawl_comm_open_alone(&one));
        CHECK_OK(pawl_saver_open(one, alone, &s.state, 0, &saver));
        CHECK_OK(sample_save(saver, 1, 0, &published));
        pawl_saver_close(saver);
        pawl_comm_close(one);
        CHECK_OK(pawl_checkpoint_open(together, &k));
        CHECK_OK(pawl_checkpoint_open(alone, &k1));
        const json_t *a = pawl_checkpoint_manifest(k), *b = pawl_checkpoint_manifest(k1);
        CHECK(json_equal(json_object_get(a, "tensors"), json_object_get(b, "tensors")));
        CHECK(json_equal(json_object_get(a, "state_sha256"), json_object_get(b, "state_sha256")));
        CHECK(json_equal(json_object_get(a, "memory_sha256"), json_object_get(b, "memory_sha256")));
        CHECK(json_integer_value(json_object_get(a, "ranks")) == c->size);
        pawl_checkpoint_close(k);
        pawl_checkpoint_close(k1);
    }
    sample_close(&s);
    drop_dir(c, alone);
    drop_dir(c, together);
}

/* The caller's numbers change as soon as begin returns; what is saved is what they were. */
static void a_save_is_of_the_moment_it_began(pawl_comm *c)
{
    const char *dir = new_dir(c);
    sample s;
    pawl_saver *saver;
    int published = 0;
    json_t *run = sample_run(7), *lineage = sample_lineage();
    const pawl_save what = {.step = 7, .run = run, .lineage = lineage};
    CHECK(sample_open(&s, 0, SAMPLE_ROWS, 1));
    CHECK_OK(pawl_saver_open(c, dir, &s.state, 0, &saver));
    CHECK_OK(pawl_save_begin(saver, &what));
    CHECK(pawl_save_begin(saver, &what) == PAWL_EBUG); /* one at a time */
    sample_fill(&s, 2);
    json_object_clear(run);
    pawl_save_vote all[3];
    int steps = 0;
    for (; !published && steps < 100000; steps++) { /* as the loop of a run does it */
        const pawl_save_vote mine = pawl_save_vote_now(saver);
        CHECK_OK(pawl_allgather(c, &mine, sizeof mine, all));
        CHECK_OK(pawl_save_poll(saver, all, &published));
        if (!published) usleep(200);
    }
    CHECK(published && holds(dir, 1));
    json_decref(run);
    json_decref(lineage);
    pawl_saver_close(saver);
    sample_close(&s);
    drop_dir(c, dir);
}

static void one_rank_that_cannot_write_fails_all_alike(pawl_comm *c)
{
    const char *dir = new_dir(c);
    sample s;
    pawl_saver *saver;
    int published;
    CHECK(sample_open(&s, 0, SAMPLE_ROWS, 1));
    CHECK_OK(pawl_saver_open(c, dir, &s.state, 0, &saver));
    CHECK_OK(sample_save(saver, 1, 0, &published));
    sample_fill(&s, 2);
    const faulty_plan full = {.op = "pwrite", .path = "checkpoint.h5", .nth = 1, .error = ENOSPC};
    if (c->rank == c->size - 1) faulty_fs_install(&full);
    CHECK(sample_save(saver, 2, 0, &published) == PAWL_EIO);
    if (c->rank == c->size - 1) CHECK(faulty_fs_remove() == 1);
    CHECK(!published && !pawl_save_busy(saver));
    CHECK(pawl_last_error()->rank == c->size - 1);
    CHECK(strstr(pawl_last_error()->what, "step-000000002.part/checkpoint.h5") &&
          strstr(pawl_last_error()->what, "No space left"));
    CHECK(holds(dir, 1));
    CHECK_OK(pawl_barrier(c));
    CHECK(!pawl_path_exists(sample_path(dir, 2, NULL)));
    CHECK_OK(sample_save(saver, 2, 0, &published));
    CHECK(published && holds(dir, 2));
    pawl_saver_close(saver);
    sample_close(&s);
    drop_dir(c, dir);
}

static void ranks_with_different_lists_are_told(pawl_comm *c)
{
    if (c->size < 2) return;
    const char *dir = new_dir(c);
    sample s;
    pawl_saver *saver = NULL;
    CHECK(sample_open(&s, 0, SAMPLE_ROWS, 1));
    if (c->rank == 1) s.state.items[2].tensor.dim[0]--;
    CHECK(pawl_saver_open(c, dir, &s.state, 0, &saver) == PAWL_EBUG);
    CHECK(strstr(pawl_last_error()->what, "list of tensors"));
    sample_close(&s);
    drop_dir(c, dir);
}

static void names_that_are_no_paths_are_refused(pawl_comm *c)
{
    static const char *const bad[] = {"", "/model/x", "model//x", "model/../x", "model/x/", "model/\n", "."};
    const char *dir = new_dir(c);
    sample s;
    pawl_saver *saver = NULL;
    CHECK(sample_open(&s, 2, 3, 1));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(s.state.items[0].name, PAWL_NAME_MAX, "%s", bad[i]);
        CHECK(pawl_saver_open(c, dir, &s.state, 0, &saver) == PAWL_EBUG);
    }
    sample_close(&s);
    drop_dir(c, dir);
}

static void what_is_frozen_is_written_once_and_kept(pawl_comm *c)
{
    const char *dir = new_dir(c);
    sample s;
    pawl_saver *saver;
    pawl_checkpoint *k = NULL;
    int published;
    CHECK(sample_open(&s, 0, SAMPLE_ROWS, 1));
    CHECK_OK(pawl_saver_open(c, dir, &s.state, 1, &saver));
    for (int step = 1; step <= 3; step++) {
        sample_fill(&s, step);
        CHECK_OK(sample_save(saver, step, 0, &published));
    }
    CHECK(pawl_save_last(saver).bytes_written < pawl_state_bytes(&s.state) - 1200000);
    CHECK(pawl_path_exists(sample_path(dir, 1, "checkpoint.h5")) && !pawl_path_exists(sample_path(dir, 2, NULL)));
    CHECK_OK(pawl_checkpoint_open(dir, &k));
    CHECK(strcmp(file_of(k, "model/base.weight"), "step-000000001/checkpoint.h5") == 0);
    CHECK(strcmp(file_of(k, "model/scalar"), "checkpoint.h5") == 0);
    CHECK(holds(dir, 3));
    if (c->rank == 0) CHECK(findings_of(dir) == 0);
    pawl_saver_close(saver);

    /* Another process goes on from it, and finds the frozen tensors again. */
    CHECK_OK(pawl_saver_open(c, dir, &s.state, 1, &saver));
    CHECK_OK(pawl_saver_resume(saver, k));
    sample_fill(&s, 4);
    CHECK_OK(sample_save(saver, 4, 0, &published));
    CHECK(holds(dir, 4) && pawl_path_exists(sample_path(dir, 1, NULL)) && !pawl_path_exists(sample_path(dir, 3, NULL)));
    const json_t *root = json_object_get(pawl_checkpoint_manifest(k), "root_sha256");
    pawl_checkpoint *k4 = NULL;
    CHECK_OK(pawl_checkpoint_open(dir, &k4));
    CHECK(json_equal(json_object_get(pawl_checkpoint_manifest(k4), "parent"), root));
    CHECK(strcmp(file_of(k4, "model/base.weight"), "step-000000001/checkpoint.h5") == 0);
    pawl_saver_close(saver);

    /* One of them differs from what the checkpoint has: that one is written, the other is not. */
    ((uint8_t *)pawl_state_find(&s.state, "model/base.weight")->tensor.data)[1100000] ^= 1;
    CHECK_OK(pawl_saver_open(c, dir, &s.state, 1, &saver));
    CHECK_OK(pawl_saver_resume(saver, k4));
    CHECK_OK(sample_save(saver, 5, 0, &published));
    pawl_checkpoint_close(k4);
    CHECK_OK(pawl_checkpoint_open(dir, &k4));
    CHECK(strcmp(file_of(k4, "model/base.weight"), "checkpoint.h5") == 0);
    CHECK(strcmp(file_of(k4, "model/base.bias"), "step-000000001/checkpoint.h5") == 0);
    if (c->rank == 0) CHECK(findings_of(dir) == 0);
    pawl_checkpoint_close(k4);
    pawl_checkpoint_close(k);
    pawl_saver_close(saver);
    sample_close(&s);
    drop_dir(c, dir);
}

static void a_lost_file_of_frozen_tensors_is_written_again(pawl_comm *c)
{
    const char *dir = new_dir(c);
    sample s;
    pawl_saver *saver;
    int published;
    CHECK(sample_open(&s, 0, SAMPLE_ROWS, 1));
    CHECK_OK(pawl_saver_open(c, dir, &s.state, 0, &saver));
    CHECK_OK(sample_save(saver, 1, 0, &published));
    CHECK_OK(pawl_barrier(c));
    if (c->rank == 0) CHECK_OK(pawl_dir_remove(sample_path(dir, 1, NULL)));
    CHECK(sample_save(saver, 2, 0, &published) == PAWL_EDATA);
    CHECK(strstr(pawl_last_error()->what, "is gone"));
    CHECK_OK(sample_save(saver, 2, 0, &published));
    CHECK(published && holds(dir, 1));
    pawl_saver_close(saver);
    sample_close(&s);
    drop_dir(c, dir);
}

/* A step that is saved twice (a resumed run that stops at once): the new one stands, nothing refers to the old. */
static void a_step_saved_again_replaces_itself(pawl_comm *c)
{
    const char *dir = new_dir(c);
    sample s;
    pawl_saver *saver;
    char aside[600];
    int published;
    CHECK(sample_open(&s, 0, SAMPLE_ROWS, 1));
    CHECK_OK(pawl_saver_open(c, dir, &s.state, 0, &saver));
    CHECK_OK(sample_save(saver, 1, 0, &published));
    sample_fill(&s, 2);
    CHECK_OK(sample_save(saver, 1, 0, &published));
    CHECK(published && holds(dir, 2));
    if (c->rank == 0) CHECK(findings_of(dir) == 0);
    snprintf(aside, sizeof aside, "%s.replaced-1", sample_path(dir, 1, NULL));
    CHECK(!pawl_path_exists(aside));
    pawl_saver_close(saver);
    sample_close(&s);
    drop_dir(c, dir);
}

static void closing_in_the_middle_leaves_a_part_that_the_next_save_clears(pawl_comm *c)
{
    const char *dir = new_dir(c);
    sample s;
    pawl_saver *saver;
    int published;
    char part[512];
    json_t *run = sample_run(2), *lineage = sample_lineage();
    const pawl_save what = {.step = 2, .run = run, .lineage = lineage};
    const faulty_plan slow = {.path = "checkpoint.h5", .delay_us = 3000};
    CHECK(sample_open(&s, 0, SAMPLE_ROWS, 1));
    CHECK_OK(pawl_saver_open(c, dir, &s.state, 0, &saver));
    CHECK_OK(sample_save(saver, 1, 0, &published));
    faulty_fs_install(&slow);
    CHECK_OK(pawl_save_begin(saver, &what));
    pawl_saver_close(saver);
    faulty_fs_remove();
    CHECK(holds(dir, 1));
    CHECK_OK(pawl_barrier(c));
    snprintf(part, sizeof part, "%s.part", sample_path(dir, 2, NULL));
    CHECK(pawl_path_exists(part) && !pawl_path_exists(sample_path(dir, 2, NULL)));
    CHECK_OK(pawl_barrier(c));
    CHECK_OK(pawl_saver_open(c, dir, &s.state, 0, &saver));
    CHECK_OK(sample_save(saver, 3, 0, &published));
    CHECK(published && !pawl_path_exists(part));
    pawl_saver_close(saver);
    json_decref(run);
    json_decref(lineage);
    sample_close(&s);
    drop_dir(c, dir);
}

/* The sample as ranks hold it in uneven ranges, cut anywhere: of some tensors one rank holds all, and others nothing. */
static pawl_state in_ranges(const pawl_comm *c, const sample *s)
{
    pawl_state out = {0};
    const int64_t rank = c->rank, squares = (int64_t)c->size * c->size;
    for (int i = 0; i < s->state.count; i++) {
        const pawl_named *whole = &s->state.items[i];
        CHECK_OK(pawl_state_add(&out, "", whole->name, whole->tensor));
        pawl_named *item = &out.items[i];
        const int64_t n = item->count;
        item->frozen = whole->frozen;
        if (n == 5 || i == 2) continue; /* as everybody has it: a frozen one and one that changes; of the others one is frozen */
        item->sharded = 1;
        item->first = n > 20 ? n * rank * rank / squares : 0;
        item->count = n > 20 ? n * (rank + 1) * (rank + 1) / squares - item->first : rank == c->size - 1 ? n : 0;
        item->tensor.data = (char *)whole->tensor.data + item->first * (int64_t)pawl_dtype_bytes(whole->tensor.dtype);
    }
    return out;
}

/* Bytes outside of a rank's ranges are spoilt before: nobody looks at them. */
static void spoil_what_others_hold(const sample *s, const pawl_state *mine)
{
    for (int i = 0; i < s->state.count; i++) {
        const pawl_tensor t = s->state.items[i].tensor;
        const pawl_named *held = &mine->items[i];
        const size_t each = pawl_dtype_bytes(t.dtype), first = (size_t)held->first * each, end = first + (size_t)held->count * each;
        if (pawl_tensor_bytes(t) == 0) continue;
        memset(t.data, 0x5a, first);
        memset((char *)t.data + end, 0x5a, pawl_tensor_bytes(t) - end);
    }
}

static void ranges_of_ranks_make_the_same_checkpoint(pawl_comm *c)
{
    const char *dir = new_dir(c);
    sample whole, s;
    pawl_saver *saver;
    pawl_digest weights, state, found[2];
    pawl_checkpoint *k;
    int published;
    CHECK(sample_open(&whole, 0, SAMPLE_ROWS, 3) && sample_open(&s, 0, SAMPLE_ROWS, 3));
    pawl_state mine = in_ranges(c, &s);
    spoil_what_others_hold(&s, &mine);
    CHECK(pawl_state_digests(&whole.state, &weights, &state) == PAWL_OK);
    CHECK_OK(pawl_saver_open(c, dir, &mine, 0, &saver));
    CHECK_OK(pawl_saver_digests(saver, &found[0], &found[1]));
    CHECK(pawl_digest_equal(found[0], weights) && pawl_digest_equal(found[1], state));
    CHECK_OK(sample_save(saver, 4, 0, &published));
    CHECK(published && pawl_digest_equal(pawl_save_last(saver).state, state));
    CHECK(holds(dir, 3));
    if (c->rank == 0) CHECK(findings_of(dir) == 0);

    sample_fill(&s, 9);
    CHECK_OK(pawl_checkpoint_open(dir, &k));
    CHECK_OK(pawl_checkpoint_read(k, &mine));
    spoil_what_others_hold(&s, &mine);
    CHECK_OK(pawl_saver_digests(saver, &found[0], &found[1]));
    CHECK(pawl_digest_equal(found[1], state));
    pawl_saver_close(saver);

    /* Another process goes on from it: the frozen tensor is the one of step 4, whoever holds what. */
    CHECK_OK(pawl_saver_open(c, dir, &mine, 0, &saver));
    CHECK_OK(pawl_saver_resume(saver, k));
    pawl_checkpoint_close(k);
    CHECK_OK(sample_save(saver, 5, 0, &published));
    CHECK(published && pawl_digest_equal(pawl_save_last(saver).state, state));
    CHECK(holds(dir, 3));
    CHECK_OK(pawl_checkpoint_open(dir, &k));
    CHECK(strcmp(file_of(k, "model/base.weight"), "step-000000004/checkpoint.h5") == 0);
    CHECK(strcmp(file_of(k, "model/half"), "checkpoint.h5") == 0);
    pawl_checkpoint_close(k);
    pawl_saver_close(saver);
    pawl_state_close(&mine);
    sample_close(&s);
    sample_close(&whole);
    drop_dir(c, dir);
}

int main(int argc, char **argv)
{
    return check_main(
        argc, argv,
        (const check[]){
            {"save/all_that_was_saved_is_read", all_that_was_saved_is_read},
            {"save/digests_do_not_depend_on_ranks", digests_do_not_depend_on_ranks},
            {"save/a_save_is_of_the_moment_it_began", a_save_is_of_the_moment_it_began},
            {"save/one_rank_that_cannot_write_fails_all_alike", one_rank_that_cannot_write_fails_all_alike},
            {"save/ranks_with_different_lists_are_told", ranks_with_different_lists_are_told},
            {"save/names_that_are_no_paths_are_refused", names_that_are_no_paths_are_refused},
            {"save/what_is_frozen_is_written_once_and_kept", what_is_frozen_is_written_once_and_kept},
            {"save/a_lost_file_of_frozen_tensors_is_written_again", a_lost_file_of_frozen_tensors_is_written_again},
            {"save/a_step_saved_again_replaces_itself", a_step_saved_again_replaces_itself},
            {"save/closing_in_the_middle_leaves_a_part", closing_in_the_middle_leaves_a_part_that_the_next_save_clears},
            {"save/ranges_of_ranks_make_the_same_checkpoint", ranges_of_ranks_make_the_same_checkpoint},
            {0}});
}
