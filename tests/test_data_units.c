/* Runs: ranks 1 2 3 4
 *
 * Data are prepared in units by all ranks: the result is that of one rank and one unit, to the byte; so are errors. The
 * oracle is the same recipe on a communicator of one rank with units that hold everything. */
#include "tests/check.h"
#include "tests/data_case.h"

#include "core/rng.h"
#include "data/prepare.h"

enum { MIB = 1 << 20, WHOLE = 1 << 30 };

/* One scratch folder for all ranks; rank 0 writes into it. */
static void open_case(pawl_comm *c, data_case *k)
{
    char dir[64] = "/tmp/pawl-units-XXXXXX";
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

typedef struct kitchen {
    pawl_sources sources;
    pawl_renderer *renderer;
    pawl_recipe recipe;
} kitchen;

static void kitchen_open(const data_case *k, int64_t unit_bytes, kitchen *out)
{
    const pawl_dataset_config *d = &k->cfg.datasets.items[0];
    must(pawl_sources_find(d, &out->sources));
    must(pawl_sources_hash(&out->sources));
    must(pawl_renderer_open(&k->cfg, d, NULL, k->tokenizer, &out->renderer));
    out->recipe = (pawl_recipe){.domain = "test",
                                .dataset = d,
                                .sources = &out->sources,
                                .tokenizer = k->tokenizer,
                                .renderer = out->renderer,
                                .sequence_len = k->cfg.sequence_len,
                                .packed = 1,
                                .held_out = 0.2,
                                .skip_bad_rows = k->cfg.skip_bad_rows,
                                .unit_bytes = unit_bytes};
}

static void kitchen_close(kitchen *k)
{
    pawl_sources_close(&k->sources);
    pawl_renderer_close(k->renderer);
}

/* What units of that size give, in the folder `name` below the case's. */
static pawl_status prepare_in(pawl_comm *c, const data_case *k, const char *name, int64_t unit_bytes,
                              char path[PATH_MAX])
{
    kitchen y;
    must(pawl_path_join(path, PATH_MAX, k->dir, name));
    if (c->rank == 0) must(pawl_dir_make(path));
    CHECK_OK(pawl_barrier(c));
    kitchen_open(k, unit_bytes, &y);
    const pawl_status s = pawl_prepare(c, &y.recipe, path, k->dir);
    kitchen_close(&y);
    return s;
}

/* Of the prepared folder. */
static pawl_digest identity_of(const char *path)
{
    pawl_prepared p;
    must(pawl_prepared_open(path, PAWL_BY_DIGEST, &p));
    const pawl_digest identity = p.identity;
    pawl_prepared_close(&p);
    return identity;
}

/* Nothing but the prepared files is left in the folder. */
static void check_tidy(const char *path)
{
    char **names;
    int count;
    must(pawl_dir_list(path, &names, &count));
    CHECK(count == PAWL_PREPARED_FILES + 1);
    pawl_free(names);
}

/* All ranks with small units against rank 0 alone with one unit. */
static void check_same(pawl_comm *c, const data_case *k, int64_t unit_bytes)
{
    char many[PATH_MAX], one[PATH_MAX];
    pawl_comm *alone;
    CHECK_OK(prepare_in(c, k, "many", unit_bytes, many));
    CHECK_OK(pawl_barrier(c));
    if (c->rank == 0) {
        must(pawl_comm_open_alone(&alone));
        CHECK_OK(prepare_in(alone, k, "one", WHOLE, one));
        pawl_comm_close(alone);
        CHECK(pawl_digest_equal(identity_of(many), identity_of(one)));
        check_tidy(many);
        must(pawl_dir_remove(many));
        must(pawl_dir_remove(one));
    }
    CHECK_OK(pawl_barrier(c));
}

/* A row whose text is its line's number, behind blanks that make the line, with its newline, `bytes` long. */
static void add_row(pawl_text *file, int64_t line, int64_t bytes)
{
    char row[64];
    const int n = snprintf(row, sizeof row, "{\"text\": \"line %lld\"}\n", (long long)line);
    for (int64_t i = n; i < bytes; i++) pawl_text_add_bytes(file, " ", 1);
    pawl_text_add_bytes(file, row, (size_t)n);
}

/* Every document stands on the line that its text names. */
static void check_lines(const char *path, const pawl_tokenizer *t, int64_t documents)
{
    pawl_prepared p;
    must(pawl_prepared_open(path, PAWL_BY_DIGEST, &p));
    CHECK(p.document_count == documents);
    for (int64_t i = 0; i < p.document_count; i++) {
        const pawl_document *d = &p.documents[i];
        char expected[32];
        int32_t ids[32];
        pawl_text text = {0};
        for (int64_t k = 0; k < d->tokens; k++) ids[k] = pawl_prepared_token(&p, d->tokens_at + k);
        must(pawl_decode(t, ids, d->tokens, 1, &text));
        snprintf(expected, sizeof expected, "line %lld", (long long)d->line);
        CHECK(strcmp(text.data, expected) == 0);
        pawl_text_close(&text);
    }
    pawl_prepared_close(&p);
}

/* Newlines just before, on and just behind every border of a unit; blank lines there; a line over several units; an end
 * with and without its newline. */
static void lines_at_the_borders_of_units(pawl_comm *c)
{
    for (int shift = -2; shift <= 2; shift++)
        for (int ended = 0; ended < 2; ended++) {
            data_case k;
            char path[PATH_MAX];
            open_case(c, &k);
            pawl_text file = {0};
            int64_t line = 1, rows = 0;
            for (int unit = 1; unit <= 4; unit++, rows++) { /* a line that ends at the border + shift */
                add_row(&file, line++, 100 + 10 * unit);
                rows++;
                add_row(&file, line++, (int64_t)unit * MIB + shift - (int64_t)file.bytes);
                if (unit == 2) {
                    pawl_text_add(&file, "\n\r\n");
                    line += 2;
                }
            }
            add_row(&file, line++, 2 * MIB + 77); /* over two borders */
            add_row(&file, line++, 50);
            rows += 2;
            if (c->rank == 0) put_bytes(&k, "a.jsonl", file.data, file.bytes - (size_t)!ended);
            pawl_text_close(&file);
            learn(&k, "a.jsonl");
            CHECK_OK(pawl_barrier(c));
            CHECK_OK(prepare_in(c, &k, "lines", MIB, path));
            CHECK_OK(pawl_barrier(c));
            if (c->rank == 0) check_lines(path, k.tokenizer, rows);
            check_same(c, &k, MIB);
            close_case(c, &k);
        }
}

/* A folder of a file that is cut, small files that go together, and empty ones. */
static void folders_of_all_kinds(pawl_comm *c)
{
    data_case k;
    open_case(c, &k);
    if (c->rank == 0) {
        pawl_text file = {0};
        for (int i = 1; file.bytes < 5 * MIB / 2; i++)
            add_row(&file, i, 40 + pawl_random_at(6, PAWL_FOR_TEST, (uint64_t)i, 0).word[0] % 4000);
        put_bytes(&k, "d/large.jsonl", file.data, file.bytes);
        pawl_text_close(&file);
        for (int i = 0; i < 50; i++) {
            char name[32];
            snprintf(name, sizeof name, "d/small/%02d.txt", i);
            put(&k, name, i % 7 ? "a small text" : "");
        }
        put(&k, "d/z.jsonl", "{\"text\": \"last\"}\n\n{\"text\": \"\"}");
    }
    learn(&k, "d");
    CHECK_OK(pawl_barrier(c));
    check_same(c, &k, MIB);
    close_case(c, &k);
}

/* Bad rows in several units: the earliest is told, with its line in the file, by any number of ranks. */
static void the_earliest_error_is_told(pawl_comm *c)
{
    data_case k;
    char path[PATH_MAX];
    open_case(c, &k);
    pawl_text file = {0};
    int64_t line = 1, bad = 0;
    while (file.bytes < 6 * MIB) {
        if (file.bytes > 2 * MIB + MIB / 2 && line % 500 == 0) {
            if (!bad) bad = line;
            pawl_text_add(&file, "{\"text\": %lld}\n", (long long)line++);
        } else {
            add_row(&file, line++, 2000);
        }
    }
    if (c->rank == 0) put_bytes(&k, "a.jsonl", file.data, file.bytes);
    pawl_text_close(&file);
    learn(&k, "a.jsonl");
    CHECK_OK(pawl_barrier(c));
    CHECK(prepare_in(c, &k, "bad", MIB, path) == PAWL_EDATA);
    char said[64];
    snprintf(said, sizeof said, "/a.jsonl:%lld:1: error: expected a string", (long long)bad);
    CHECK(strstr(pawl_last_error()->what, said) != NULL);
    k.cfg.skip_bad_rows = 2;
    CHECK(prepare_in(c, &k, "worse", MIB, path) == PAWL_EDATA);
    CHECK(strstr(pawl_last_error()->what, "more than skip_bad_rows: 2 bad rows") != NULL);
    k.cfg.skip_bad_rows = 1000;
    check_same(c, &k, MIB);
    close_case(c, &k);
}

/* The last rank is asked to stop at its first document. */
static void a_stop_of_any_rank_stops_all(pawl_comm *c)
{
    data_case k;
    pawl_data *d = NULL;
    int stopped = 0;
    open_case(c, &k);
    if (c->rank == 0) {
        pawl_text file = {0};
        for (int i = 1; file.bytes < 9 * MIB; i++) add_row(&file, i, 1000);
        put_bytes(&k, "a.jsonl", file.data, file.bytes);
        pawl_text_close(&file);
    }
    learn(&k, "a.jsonl");
    CHECK_OK(pawl_barrier(c));
    pawl_stop_asked = c->rank == c->size - 1;
    CHECK_OK(open_on(c, &k, &d, &stopped));
    CHECK(stopped && !d);
    pawl_stop_asked = 0;
    CHECK_OK(pawl_barrier(c));
    if (c->rank == 0) {
        char **names;
        int count = 0;
        if (pawl_path_exists(k.cfg.dataset_prepared_path)) {
            must(pawl_dir_list(k.cfg.dataset_prepared_path, &names, &count));
            pawl_free(names);
        }
        CHECK(count == 0);
    }
    close_case(c, &k);
}

int main(int argc, char **argv)
{
    return check_main(argc, argv,
                      (const check[]){{"units/lines_at_the_borders_of_units", lines_at_the_borders_of_units},
                                      {"units/folders_of_all_kinds", folders_of_all_kinds},
                                      {"units/the_earliest_error_is_told", the_earliest_error_is_told},
                                      {"units/a_stop_of_any_rank_stops_all", a_stop_of_any_rank_stops_all},
                                      {0}});
}
