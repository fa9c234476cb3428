/* Runs: ranks 1 2 3 4 8
 * The memory of several ranks is that of one, byte by byte: what is kept, where it came from, what is fetched, saved and read again,
 * in memory and on disk; and a kept row fills a batch as the data do. */
#include "tests/check.h"
#include "tests/data_case.h"

#include "core/batch.h"
#include "core/rng.h"
#include "trainer/continual/memory.h"

enum { LENGTH = 64, CAPACITY = 24, WIDTH = 2 };

static const pawl_memory_column column = {"der/ids", PAWL_U16, WIDTH};

typedef struct memory_case {
    data_case k;
    pawl_data *data;
    pawl_replay_config replay[2]; /* in memory, on disk */
    pawl_comm *alone;
} memory_case;

static void write_texts(pawl_comm *c, const data_case *k, const char *name, int rows, uint64_t seed)
{
    pawl_text file = {0};
    if (c->rank != 0) return;
    for (int i = 0; i < rows; i++)
        pawl_text_add(&file, "{\"text\": \"%s %0*d\"}\n", name, 1 + (int)(pawl_random_at(seed, PAWL_FOR_TEST, (uint64_t)i, 0).word[0] % 150), i);
    put_bytes(k, name, file.data, file.bytes);
    pawl_text_close(&file);
}

static void open_case(pawl_comm *c, memory_case *m)
{
    char dir[64] = "/tmp/pawl-memory-XXXXXX";
    static const char *const names[] = {"prose.jsonl", "code.jsonl", "law.jsonl"};
    int stopped;
    memset(m, 0, sizeof *m);
    if (c->rank == 0 && !mkdtemp(dir)) MPI_Abort(MPI_COMM_WORLD, 1);
    CHECK_OK(pawl_bcast(c, dir, sizeof dir, 0));
    data_case_open_at(&m->k, dir, LENGTH);
    for (int i = 0; i < 3; i++) {
        write_texts(c, &m->k, names[i], 60, (uint64_t)i + 3);
        snprintf(learn(&m->k, names[i])->license, 64, "CC0-1.0");
    }
    CHECK_OK(open_on(c, &m->k, &m->data, &stopped));
    for (int i = 0; i < 2; i++) {
        pawl_fields_default(pawl_replay_rows, &m->replay[i]);
        m->replay[i].capacity = CAPACITY;
        m->replay[i].storage = i;
    }
    CHECK_OK(pawl_comm_open_alone(&m->alone));
}

static void close_case(pawl_comm *c, memory_case *m)
{
    pawl_comm_close(m->alone);
    pawl_data_close(m->data);
    CHECK_OK(pawl_barrier(c));
    if (c->rank == 0) data_case_close(&m->k);
    else pawl_tokenizer_close(m->k.tokenizer);
}

static pawl_memory *open_memory(const memory_case *m, pawl_comm *c, int storage)
{
    char dir[80];
    pawl_memory *out = NULL;
    snprintf(dir, sizeof dir, "%s", m->k.dir);
    const pawl_memory_inputs in = {.comm = c,
                                   .replay = &m->replay[storage],
                                   .seed = 5,
                                   .output_dir = m->k.dir,
                                   .longest = LENGTH,
                                   .wide = pawl_data_wide(m->data),
                                   .columns = &column,
                                   .column_count = 1};
    CHECK_OK(pawl_memory_open(&in, &out));
    return out;
}

static int two_of_three(void *self, int dataset, int64_t row, double *loss)
{
    (void)self;
    *loss = 1;
    return (row + dataset) % 3 != 0;
}

/* Numbers that a row's place in the text decides. */
static uint16_t number_of(const pawl_kept *k, int64_t i)
{
    return (uint16_t)(k->document[1] * 7 + (uint64_t)k->chunk * 31 + (uint64_t)i);
}

static void put_fresh(pawl_memory *m, const pawl_comm *c)
{
    uint16_t numbers[LENGTH * WIDTH];
    for (int64_t i = 0; i < pawl_memory_count(m); i++) {
        const pawl_kept *k = pawl_memory_kept(m, i);
        if (!pawl_memory_fresh(m, i) || pawl_memory_owner(m, i) != c->rank) continue;
        for (int64_t n = 0; n < k->tokens * WIDTH; n++) numbers[n] = number_of(k, n);
        CHECK_OK(pawl_memory_put(m, i, 0, numbers));
    }
}

/* Two stages: two domains, then a third. */
static void learn_stages(const memory_case *m, pawl_memory *memory, pawl_comm *c)
{
    const pawl_seen first = {.data = m->data, .was_seen = two_of_three, .first = 0, .end = 2},
                    second = {.data = m->data, .was_seen = two_of_three, .first = 2, .end = 3};
    CHECK_OK(pawl_memory_absorb(memory, &first));
    CHECK(pawl_memory_count(memory) == CAPACITY && pawl_memory_rows_of(memory, 0) == CAPACITY / 2);
    put_fresh(memory, c);
    CHECK_OK(pawl_memory_absorb(memory, &second));
    CHECK(pawl_memory_count(memory) == CAPACITY && pawl_memory_domains(memory) == 3);
    for (int d = 0; d < 3; d++) CHECK(pawl_memory_rows_of(memory, d) == CAPACITY / 3);
    put_fresh(memory, c);
}

/* The row of the data that begins with the kept one's document and chunk. */
static pawl_row find_row(const pawl_data *d, const pawl_kept *k)
{
    for (int32_t dataset = 0; dataset < 3; dataset++)
        for (int64_t i = 0; i < pawl_data_rows_of(d, PAWL_TRAIN, dataset); i++) {
            const pawl_provenance p = pawl_row_provenance(d, PAWL_TRAIN, (pawl_row){dataset, i}, 0);
            uint64_t document[2];
            pawl_document_number(p.document, document);
            if (memcmp(document, k->document, sizeof document) == 0 && p.chunk == k->chunk) return (pawl_row){dataset, i};
        }
    CHECK(0);
    return (pawl_row){0, 0};
}

/* Rows fetched by all ranks fill batches as the data do, and bring their numbers. */
static void fetch_and_compare(const memory_case *m, pawl_memory *memory, pawl_comm *c)
{
    enum { LIST = 20 };
    pawl_wanted list[LIST];
    pawl_arena a[2];
    pawl_batch b[2];
    for (int i = 0; i < 2; i++) batch_open(&a[i], &b[i], 2, LENGTH);
    CHECK_OK(pawl_memory_reserve(memory, LIST, LIST));
    for (int64_t step = 0; step < 3; step++) {
        for (int64_t g = 0; g < LIST; g++)
            list[g] = (pawl_wanted){pawl_memory_draw(memory, step, g, PAWL_DRAW_REPLAY), (int)(g % c->size)};
        CHECK_OK(pawl_memory_fetch(memory, list, LIST));
        for (int64_t g = 0; g < LIST; g++) {
            const pawl_kept *k = pawl_memory_kept(memory, list[g].item);
            if (list[g].to != c->rank) continue;
            const pawl_row row = find_row(m->data, k), rows[2] = {{0, 0}, row};
            const pawl_row_tokens t = pawl_memory_row(memory, g);
            pawl_slot_fill(m->data, PAWL_TRAIN, rows, 2, &b[0]);
            b[1].rows = 2;
            b[1].tokens = pawl_slot_tokens_for(m->data, k->tokens);
            pawl_row_put(&t, &b[1], 1);
            const size_t from = (size_t)b[0].tokens, bytes = from * sizeof(int32_t);
            CHECK(b[0].tokens == b[1].tokens);
            CHECK(memcmp(b[0].ids + from, b[1].ids + from, bytes) == 0 && memcmp(b[0].targets + from, b[1].targets + from, bytes) == 0);
            CHECK(memcmp(b[0].positions + from, b[1].positions + from, bytes) == 0);
            for (size_t i = 0; i < from; i++) CHECK(b[0].starts[from + i] == b[1].starts[from + i]);
            CHECK(k->trained == pawl_row_trained(m->data, PAWL_TRAIN, row) && k->tokens == pawl_row_length(m->data, PAWL_TRAIN, row));
            const uint16_t *numbers = pawl_memory_payload(memory, g, 0);
            for (int64_t i = 0; i < k->tokens * WIDTH; i++) CHECK(numbers[i] == number_of(k, i));
        }
    }
    for (int i = 0; i < 2; i++) pawl_arena_close(&a[i]);
}

/* Saves the memory as the ranks have it; its digest, and one of all state. */
static pawl_digest save(pawl_comm *c, const char *dir, const pawl_memory *memory, int64_t step)
{
    pawl_state state = {0};
    pawl_saver *saver;
    json_t *run = json_pack("{s:i}", "step", 1), *lineage = json_object();
    int published;
    CHECK_OK(pawl_memory_state(memory, &state));
    CHECK_OK(pawl_saver_open(c, dir, &state, 0, &saver));
    CHECK_OK(pawl_save_begin(saver, &(pawl_save){.step = step, .run = run, .lineage = lineage}));
    CHECK_OK(pawl_save_share(saver));
    CHECK_OK(pawl_save_finish(saver, 60, &published));
    const pawl_digest d = pawl_save_last(saver).state;
    pawl_saver_close(saver);
    pawl_state_close(&state);
    json_decref(run);
    json_decref(lineage);
    return d;
}

static pawl_digest digest_of(const pawl_memory *alone)
{
    pawl_state state = {0};
    pawl_digest weights, all;
    CHECK_OK(pawl_memory_state(alone, &state));
    CHECK(pawl_state_digests(&state, &weights, &all) == PAWL_OK);
    pawl_state_close(&state);
    return all;
}

static void ranks_have_the_memory_of_one(pawl_comm *c)
{
    memory_case m;
    open_case(c, &m);
    pawl_memory *one = open_memory(&m, m.alone, PAWL_STORAGE_RAM);
    learn_stages(&m, one, m.alone);
    const pawl_digest expected = digest_of(one);
    for (int storage = 0; storage < 2; storage++) {
        pawl_memory *many = open_memory(&m, c, storage);
        CHECK(pawl_memory_count(many) == 0 && pawl_memory_draw(many, 1, 1, PAWL_DRAW_REPLAY) == -1);
        learn_stages(&m, many, c);
        fetch_and_compare(&m, many, c);
        CHECK(pawl_digest_equal(save(c, m.k.dir, many, 1 + storage), expected));
        pawl_memory_close(many);
    }
    pawl_memory_close(one);
    close_case(c, &m);
}

/* Written by these ranks, read by them and by one. Then it goes on as the one that was never saved. */
static void what_was_saved_goes_on(pawl_comm *c)
{
    memory_case m;
    pawl_checkpoint *k;
    open_case(c, &m);
    pawl_memory *many = open_memory(&m, c, PAWL_STORAGE_RAM);
    learn_stages(&m, many, c);
    const pawl_digest before = save(c, m.k.dir, many, 1);
    CHECK_OK(pawl_checkpoint_open(m.k.dir, &k));
    for (int storage = 0; storage < 2; storage++) {
        pawl_memory *again = open_memory(&m, c, storage);
        CHECK_OK(pawl_memory_read(again, k));
        CHECK(pawl_memory_seen(again, 1) == pawl_memory_seen(many, 1) && pawl_memory_seen(again, 1) > 0);
        fetch_and_compare(&m, again, c);
        CHECK(pawl_digest_equal(save(c, m.k.dir, again, 2 + storage), before));
        pawl_memory_close(again);
    }
    pawl_memory *one = open_memory(&m, m.alone, PAWL_STORAGE_RAM);
    CHECK_OK(pawl_memory_read(one, k));
    CHECK(pawl_digest_equal(digest_of(one), before));
    const pawl_seen all = {.data = m.data, .was_seen = two_of_three, .first = 0, .end = 3}; /* seen before: nothing changes but counts */
    CHECK_OK(pawl_memory_absorb(one, &all));
    CHECK(pawl_memory_count(one) == CAPACITY);
    for (int64_t i = 0; i < CAPACITY; i++) CHECK(memcmp(pawl_memory_kept(one, i), pawl_memory_kept(many, i), sizeof(pawl_kept)) == 0);
    pawl_memory_close(one);
    pawl_memory_close(many);
    pawl_checkpoint_close(k);
    close_case(c, &m);
}

/* Each policy and balance, for these ranks and for one: the same list, of exactly the capacity. */
static void every_policy_is_that_of_one_rank(pawl_comm *c)
{
    memory_case m;
    open_case(c, &m);
    for (int policy = 0; policy < 3; policy++)
        for (int balance = 0; balance < 2; balance++) {
            m.replay[0].policy = policy;
            m.replay[0].balance = balance;
            pawl_memory *many = open_memory(&m, c, 0), *one = open_memory(&m, m.alone, 0);
            for (int dataset = 0; dataset < 3; dataset++) {
                const pawl_seen stage = {.data = m.data, .was_seen = two_of_three, .first = dataset, .end = dataset + 1};
                CHECK_OK(pawl_memory_absorb(many, &stage));
                CHECK_OK(pawl_memory_absorb(one, &stage));
                CHECK(pawl_memory_count(many) == CAPACITY);
            }
            const pawl_digest d = digest_of(one), again = save(c, m.k.dir, many, 1 + policy * 2 + balance);
            CHECK(pawl_digest_equal(d, again));
            pawl_memory_close(many);
            pawl_memory_close(one);
        }
    close_case(c, &m);
}

int main(int argc, char **argv)
{
    return check_main(argc, argv,
                      (const check[]){{"memory/ranks_have_the_memory_of_one", ranks_have_the_memory_of_one},
                                      {"memory/what_was_saved_goes_on", what_was_saved_goes_on},
                                      {"memory/every_policy_is_that_of_one_rank", every_policy_is_that_of_one_rank},
                                      {NULL, NULL}});
}
