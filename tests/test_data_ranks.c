/* Runs: ranks 1 2 3
 *
 * Opening data is collective: every rank sees the same bytes, or every rank fails alike. */
#include "tests/check.h"
#include "tests/data_case.h"

#include "core/batch.h"
#include "core/rng.h"

/* One scratch folder for all ranks; rank 0 writes into it. */
static void open_case(pawl_comm *c, data_case *k)
{
    char dir[64] = "/tmp/pawl-ranks-XXXXXX";
    if (c->rank == 0 && !mkdtemp(dir)) MPI_Abort(MPI_COMM_WORLD, 1);
    CHECK_OK(pawl_bcast(c, dir, sizeof dir, 0));
    data_case_open_at(k, dir, 128);
}

static void close_case(pawl_comm *c, data_case *k)
{
    CHECK_OK(pawl_barrier(c));
    if (c->rank == 0)
        data_case_close(k);
    else
        pawl_tokenizer_close(k->tokenizer);
}

static void write_rows(pawl_comm *c, const data_case *k, const char *name, int rows)
{
    pawl_text file = {0};
    if (c->rank != 0) return;
    for (int i = 0; i < rows; i++)
        pawl_text_add(&file, "{\"text\": \"%0*d\"}\n",
                      1 + (int)(pawl_random_at(2, PAWL_FOR_TEST, (uint64_t)i, 0).word[0] % 300), i);
    put_bytes(k, name, file.data, file.bytes);
    pawl_text_close(&file);
}

static pawl_digest digest_of_order(const pawl_data *d, int64_t steps)
{
    enum { ROWS = 4 };
    pawl_hash *hash;
    pawl_arena a;
    pawl_batch b;
    pawl_row rows[ROWS];
    must(pawl_hash_open(&hash));
    batch_open(&a, &b, ROWS, 128);
    for (int64_t step = 0; step < steps; step++) {
        for (int64_t i = 0; i < ROWS; i++) rows[i] = pawl_data_row_at(d, 0, step * ROWS + i);
        pawl_slot_fill(d, PAWL_TRAIN, rows, ROWS, &b);
        const size_t bytes = (size_t)(b.rows * b.tokens) * sizeof(int32_t);
        pawl_hash_add(hash, b.ids, bytes);
        pawl_hash_add(hash, b.targets, bytes);
        pawl_hash_add(hash, b.positions, bytes);
        pawl_hash_add(hash, b.starts, bytes);
    }
    pawl_arena_close(&a);
    return pawl_hash_close(hash);
}

/* The digest stands here, so that it is the same whatever number of ranks this test is run with. */
static void every_rank_sees_the_same_rows(pawl_comm *c)
{
    data_case k;
    pawl_data *d = NULL;
    int stopped = 1;
    open_case(c, &k);
    write_rows(c, &k, "a.jsonl", 200);
    write_rows(c, &k, "d/b.jsonl", 50);
    learn(&k, "a.jsonl");
    learn(&k, "d")->weight = 1.5;
    k.cfg.val_set_size = 0.1;
    CHECK_OK(open_on(c, &k, &d, &stopped));
    CHECK(d && !stopped);
    if (d) {
        const pawl_digest digest = digest_of_order(d, 2 * pawl_data_epoch_rows(d, 0) / 4);
        CHECK_OK(pawl_same(c, &digest, sizeof digest, "the rows"));
        const pawl_hex hex = pawl_digest_hex(digest);
        CHECK(strcmp(hex.text, "8ea816bb8bc010aff7c8e9ab917217e27d272c1e9be81be558663e5386127f1b") == 0);
    }
    pawl_data_close(d);
    close_case(c, &k);
}

static void one_bad_file_fails_every_rank_alike(pawl_comm *c)
{
    data_case k;
    pawl_data *d = NULL;
    int stopped = 0;
    open_case(c, &k);
    if (c->rank == 0) put(&k, "a.jsonl", "{\"text\": \"x\"}\n{\"text\": 7}\n");
    learn(&k, "a.jsonl");
    CHECK(open_on(c, &k, &d, &stopped) == PAWL_EDATA);
    CHECK(strstr(pawl_last_error()->what, "a.jsonl:2:1: error: expected a string under 'text', found a number"));
    CHECK(d == NULL);
    close_case(c, &k);
}

static void nothing_to_learn_fails_every_rank_alike(pawl_comm *c)
{
    data_case k;
    pawl_data *d = NULL;
    int stopped = 0;
    open_case(c, &k);
    write_rows(c, &k, "a.jsonl", 3);
    learn(&k, "a.jsonl")->weight = 0;
    CHECK(open_on(c, &k, &d, &stopped) == PAWL_EDATA);
    CHECK(strstr(pawl_last_error()->what, "weight 0"));
    close_case(c, &k);
}

/* The last rank has a folder of its own, as on a machine that does not share the cache. */
static void a_cache_that_is_not_shared_is_named(pawl_comm *c)
{
    data_case k;
    pawl_data *d = NULL;
    int stopped = 0;
    if (c->size < 2) return;
    open_case(c, &k);
    write_rows(c, &k, "a.jsonl", 3);
    learn(&k, "a.jsonl");
    char *const path = k.cfg.dataset_prepared_path;
    CHECK(chdir(c->rank == 0 ? k.dir : "/") == 0);
    snprintf(path, sizeof k.cfg.dataset_prepared_path, "relative-cache");
    CHECK(open_on(c, &k, &d, &stopped) == PAWL_EIO);
    CHECK(strstr(pawl_last_error()->what, "all machines share"));
    CHECK(pawl_last_error()->rank >= 1);
    CHECK(chdir("/") == 0);
    close_case(c, &k);
}

static void a_stop_at_rank_0_stops_all(pawl_comm *c)
{
    data_case k;
    pawl_data *d = NULL;
    int stopped = 0;
    open_case(c, &k);
    write_rows(c, &k, "a.jsonl", 3);
    learn(&k, "a.jsonl");
    pawl_stop_asked = c->rank == 0;
    CHECK_OK(open_on(c, &k, &d, &stopped));
    pawl_stop_asked = 0;
    CHECK(stopped == 1 && d == NULL);
    close_case(c, &k);
}

int main(int argc, char **argv)
{
    return check_main(
        argc, argv,
        (const check[]){{"data/every_rank_sees_the_same_rows", every_rank_sees_the_same_rows},
                        {"data/one_bad_file_fails_every_rank_alike", one_bad_file_fails_every_rank_alike},
                        {"data/nothing_to_learn_fails_every_rank_alike", nothing_to_learn_fails_every_rank_alike},
                        {"data/a_cache_that_is_not_shared_is_named", a_cache_that_is_not_shared_is_named},
                        {"data/a_stop_at_rank_0_stops_all", a_stop_at_rank_0_stops_all},
                        {0}});
}
