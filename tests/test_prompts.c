/* Runs: ranks 1 2 3
 * Recorded prompts: rank 0 reads, all ranks have the same ids; texts and conversations; what is wrong is said with file and line, on every rank. */
#include "tests/check.h"
#include "tests/data_case.h"

enum { LONGEST = 40 };

static void open_case(pawl_comm *c, data_case *k)
{
    char dir[64] = "/tmp/pawl-prompts-XXXXXX";
    if (c->rank == 0 && !mkdtemp(dir)) MPI_Abort(MPI_COMM_WORLD, 1);
    CHECK_OK(pawl_bcast(c, dir, sizeof dir, 0));
    data_case_open_at(k, dir, 64);
    snprintf(k->cfg.chat_template, sizeof k->cfg.chat_template, "chatml");
}

static void close_case(pawl_comm *c, data_case *k)
{
    CHECK_OK(pawl_barrier(c));
    if (c->rank == 0) data_case_close(k);
    else pawl_tokenizer_close(k->tokenizer);
}

static pawl_status read_prompts(pawl_comm *c, const data_case *k, const char *name, const char *text, pawl_prompts **out)
{
    char path[200] = "";
    if (name) snprintf(path, sizeof path, "%s/%s", k->dir, name);
    if (text && c->rank == 0) put(k, name, text);
    return pawl_prompts_open(c, &k->cfg, path, "bytes", k->tokenizer, LONGEST, out);
}

static int says(const data_case *k, const pawl_prompt *p, const char *text, pawl_specials specials)
{
    pawl_encoding e = {0};
    must(pawl_encode(k->tokenizer, text, strlen(text), specials, &e));
    const int same = e.count == p->count && memcmp(e.ids, p->ids, (size_t)e.count * sizeof *e.ids) == 0;
    pawl_encoding_close(&e);
    return same;
}

static void rows_become_prompts(pawl_comm *c)
{
    data_case k;
    pawl_prompts *p = NULL;
    open_case(c, &k);
    CHECK_OK(read_prompts(c, &k, "some.jsonl",
                          "{\"prompt\": \"Once upon\", \"id\": 1}\n\n{\"messages\": [{\"role\": \"user\", \"content\": \"Who?\"}]}\n"
                          "{\"conversations\": [{\"from\": \"human\", \"value\": \"Why?\"}]}\n{\"prompt\": \"\"}\n", &p));
    CHECK(p && pawl_prompts_count(p) == 4);
    static const char *const texts[] = {"Once upon", "<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\n",
                                        "<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"};
    static const int64_t lines[] = {1, 3, 4, 5};
    for (int64_t i = 0; p && i < 4; i++) {
        const pawl_prompt one = pawl_prompts_at(p, i);
        CHECK(one.line == lines[i] && one.source == 0);
        if (i < 3) CHECK(says(&k, &one, texts[i], PAWL_WITHOUT_SPECIALS));
        else CHECK(one.count == 1 && one.ids[0] == pawl_tokenizer_end(k.tokenizer)); /* with which a text begins */
        CHECK(one.end == (i == 1 || i == 2 ? pawl_tokenizer_id(k.tokenizer, "<|im_end|>") : -1));
    }
    const json_t *source = json_array_get(pawl_prompts_sources(p), 0);
    CHECK(json_array_size(pawl_prompts_sources(p)) == 1 && strcmp(json_string_value(json_object_get(source, "name")), "some.jsonl") == 0 &&
          json_string_length(json_object_get(source, "sha256")) == 64 && json_integer_value(json_object_get(source, "bytes")) > 100);
    pawl_prompts_close(p);
    close_case(c, &k);
}

static void a_folder_of_files(pawl_comm *c)
{
    data_case k;
    pawl_prompts *p = NULL;
    open_case(c, &k);
    if (c->rank == 0) {
        put(&k, "more/b.jsonl", "{\"prompt\": \"second\"}\n");
        put(&k, "more/a.jsonl", "{\"prompt\": \"first\"}\n");
    }
    CHECK_OK(pawl_barrier(c));
    CHECK_OK(read_prompts(c, &k, "more", NULL, &p));
    CHECK(p && pawl_prompts_count(p) == 2 && json_array_size(pawl_prompts_sources(p)) == 2);
    const pawl_prompt second = pawl_prompts_at(p, 1);
    CHECK(says(&k, &second, "second", PAWL_WITHOUT_SPECIALS) && second.source == 1 && second.line == 1);
    pawl_prompts_close(p);
    close_case(c, &k);
}

static void without_a_file_texts_begin(pawl_comm *c)
{
    data_case k;
    pawl_prompts *p = NULL;
    open_case(c, &k);
    CHECK_OK(read_prompts(c, &k, NULL, NULL, &p));
    CHECK(p && pawl_prompts_count(p) == 1);
    const pawl_prompt one = pawl_prompts_at(p, 0);
    CHECK(one.count == 1 && one.ids[0] == pawl_tokenizer_end(k.tokenizer) && one.line == 0);
    pawl_prompts_close(p);
    close_case(c, &k);
}

static void what_is_wrong_is_said(pawl_comm *c)
{
    static const struct { const char *text, *says; } bad[] = {
        {"{\"prompt\": \"a\"}\n{\"prompt\": \"b\"\n", "bad.jsonl:2:1: error: expected a JSON object"},
        {"{\"prompt\": \"a\"}\n[1]\n", "bad.jsonl:2:1: error: expected an object with 'prompt' or 'messages'"},
        {"{\"text\": \"a\"}\n", "bad.jsonl:1:1: error: expected 'prompt', a text or a list of messages, or 'messages', a list; found 'text'"},
        {"{\"prompt\": 3}\n", "bad.jsonl:1:1: error: expected a text or a list of messages under 'prompt', found a number"},
        {"{\"prompt\": \"12345678901234567890123456789012345678901\"}\n", "bad.jsonl:1:1: error: the prompt has 41 tokens, and a row has room for 40"},
        {"\n\n", "there is no prompt in it"}};
    data_case k;
    open_case(c, &k);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        pawl_prompts *p = NULL;
        CHECK(read_prompts(c, &k, "bad.jsonl", bad[i].text, &p) == PAWL_EDATA && !p);
        CHECK(strstr(pawl_last_error()->what, bad[i].says));
    }
    close_case(c, &k);
}

int main(int argc, char **argv)
{
    const check list[] = {{"rows become prompts", rows_become_prompts},
                          {"a folder of files", a_folder_of_files},
                          {"without a file texts begin", without_a_file_texts_begin},
                          {"what is wrong is said", what_is_wrong_is_said},
                          {NULL, NULL}};
    return check_main(argc, argv, list);
}
