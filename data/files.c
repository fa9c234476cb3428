#include "data/files.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "core/arena.h"
#include "core/file.h"
#include "data/glob.h"
#include "data/utf8.h"

const char *pawl_name_ending(const char *name)
{
    const char *slash = strrchr(name, '/'), *last = slash ? slash + 1 : name, *dot = strrchr(last, '.');
    if (!dot || dot == last) return "";
    if (strcasecmp(dot, ".gz") != 0) return dot;
    const char *before = dot;
    while (before > last && before[-1] != '.') before--;
    return before > last + 1 ? before - 1 : dot;
}

static int ends_in(const char *name, const char *ending)
{
    const char *end = pawl_name_ending(name);
    const size_t n = strlen(ending);
    return strncasecmp(end, ending, n) == 0 && (!end[n] || strcasecmp(end + n, ".gz") == 0);
}

/* A .json file that a folder holds is a text like others where texts are learnt: source trees are full of them. */
static pawl_reads how_to_read(const pawl_dataset_config *cfg, const char *name, pawl_named named)
{
    if (cfg->type == PAWL_PLAIN_TEXT) return PAWL_READS_WHOLE;
    if (ends_in(name, ".jsonl") || ends_in(name, ".ndjson")) return PAWL_READS_LINES;
    if (ends_in(name, ".json") && (named != PAWL_IN_FOLDER || cfg->type != PAWL_COMPLETION)) return PAWL_READS_VALUES;
    return PAWL_READS_WHOLE;
}

pawl_status pawl_sources_add(pawl_sources *s, const char *path, size_t base, pawl_named named)
{
    const size_t length = strlen(path);
    struct stat st;
    if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
        return PAWL_FAIL_AT(PAWL_EDATA, path, 0, 0,
                            "this is not a regular file that can be read; move it out of the data");
    if (pawl_utf8_valid_prefix(path, length) != length)
        return PAWL_FAIL_AT(PAWL_EDATA, path, 0, 0,
                            "the file's name is not UTF-8, so lineage cannot hold it; rename it");
    if (s->count == s->room) {
        const int room = 2 * s->room + 16;
        PAWL_TRY(pawl_realloc((void **)&s->items, (size_t)room * sizeof *s->items, "a list of data files"));
        s->room = room;
    }
    char *own;
    PAWL_TRY(pawl_alloc((void **)&own, length + 1, "a list of data files"));
    memcpy(own, path, length + 1);
    s->items[s->count++] = (pawl_source){.path = own, .name = own + base, .bytes = st.st_size, .named = named};
    return PAWL_OK;
}

/* split names a file without its ending, or a folder. */
static int wanted(const char *name, const char *split)
{
    if (name[0] == '.') return 0;
    if (!split[0] || strcmp(name, split) == 0) return 1;
    const size_t stem = strlen(name) - strlen(pawl_name_ending(name));
    return stem == strlen(split) && strncmp(name, split, stem) == 0;
}

static pawl_status walk(pawl_sources *s, const char *dir, size_t base, const char *split, int depth)
{
    char **names, path[PATH_MAX];
    int count;
    if (depth == PAWL_DEEPEST_FOLDER)
        return PAWL_FAIL_AT(PAWL_EDATA, dir, 0, 0, "this lies %d folders deep: is there a loop of links?", depth);
    PAWL_TRY(pawl_dir_list(dir, &names, &count));
    pawl_status status = PAWL_OK;
    for (int i = 0; i < count; i++) {
        if (!wanted(names[i], split)) continue;
        PAWL_TRY_OUT(pawl_path_join(path, sizeof path, dir, names[i]));
        PAWL_TRY_OUT(pawl_path_is_dir(path) ? walk(s, path, base, "", depth + 1)
                                            : pawl_sources_add(s, path, base, PAWL_IN_FOLDER));
    }
out:
    pawl_free(names);
    return status;
}

static pawl_status find_in_folder(const pawl_dataset_config *cfg, pawl_sources *out)
{
    const size_t n = strlen(cfg->path);
    PAWL_TRY(walk(out, cfg->path, cfg->path[n - 1] == '/' ? n : n + 1, cfg->split, 0));
    if (out->count == 0 && cfg->split[0])
        return PAWL_FAIL_AT(PAWL_EDATA, cfg->path, 0, 0,
                            "there is no file or folder named '%s' (before its ending) in this folder; "
                            "correct split, or leave it out to take all files",
                            cfg->split);
    if (out->count == 0)
        return PAWL_FAIL_AT(PAWL_EDATA, cfg->path, 0, 0,
                            "the folder holds no files (hidden ones do not count); put .jsonl or text "
                            "files into it, or name another path");
    return PAWL_OK;
}

static pawl_status find_by_pattern(const pawl_dataset_config *cfg, pawl_sources *out)
{
    if (cfg->split[0])
        return PAWL_FAIL_AT(PAWL_EDATA, cfg->path, 0, 0,
                            "split '%s' names a file in a folder, but this is a pattern of names; leave split out",
                            cfg->split);
    PAWL_TRY(pawl_glob(cfg->path, out));
    if (out->count == 0)
        return PAWL_FAIL_AT(PAWL_EDATA, cfg->path, 0, 0,
                            "no file matches this pattern (it is taken from the folder in which the job started; * and "
                            "? stay inside a name, ** goes through folders)");
    return PAWL_OK;
}

static pawl_status find(const pawl_dataset_config *cfg, pawl_sources *out)
{
    if (!pawl_path_exists(cfg->path) && cfg->path[pawl_glob_base(cfg->path)]) return find_by_pattern(cfg, out);
    if (!pawl_path_exists(cfg->path))
        return PAWL_FAIL_AT(PAWL_EDATA, cfg->path, 0, 0,
                            "there is no such file or folder to read data from; correct the dataset's "
                            "path (it is taken from the folder in which the job started)");
    if (pawl_path_is_dir(cfg->path)) return find_in_folder(cfg, out);
    if (cfg->split[0])
        return PAWL_FAIL_AT(PAWL_EDATA, cfg->path, 0, 0,
                            "split '%s' names a file in a folder, but this is a file; leave split out", cfg->split);
    const char *slash = strrchr(cfg->path, '/');
    return pawl_sources_add(out, cfg->path, slash ? (size_t)(slash + 1 - cfg->path) : 0, PAWL_BY_NAME);
}

/* ---- What cannot be read ---- */

typedef struct refusal {
    const char *ending;
    int only_named; /* in a folder of texts it is a text like others */
    const char *advice;
} refusal;

#define PANDAS(read)                                                                                                   \
    "python3 -c \"import pandas; pandas." read "('FILE').to_json('FILE.jsonl', orient='records', lines=True)\""
#define UNPACK "unpack it, or compress the file inside with gzip (.jsonl.gz, .txt.gz)"

static const refusal refusals[] = {
    {".parquet", 0, "no library of Debian reads Parquet; convert it to JSON lines: " PANDAS("read_parquet")},
    {".arrow", 0, "convert it to JSON lines, with datasets' Dataset.to_json"},
    {".feather", 0, "convert it to JSON lines: " PANDAS("read_feather")},
    {".csv", 1,
     "a table is read as JSON lines; convert it: " PANDAS(
         "read_csv") ", or set type: text to learn the file as it stands"},
    {".tsv", 1, "a table is read as JSON lines; convert it, or set type: text to learn the file as it stands"},
    {".zst", 0, UNPACK},
    {".bz2", 0, UNPACK},
    {".xz", 0, UNPACK},
    {".zip", 0, UNPACK},
    {".7z", 0, UNPACK},
    {".tar", 0, UNPACK},
    {".tar.gz", 0, UNPACK},
    {".tgz", 0, UNPACK},
};

static pawl_status refuse_unreadable(const pawl_dataset_config *cfg, const pawl_source *s)
{
    const char *ending = pawl_name_ending(s->name);
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        const refusal *r = &refusals[i];
        if (strcasecmp(ending, r->ending) != 0) continue;
        if (r->only_named && (cfg->type == PAWL_PLAIN_TEXT || s->named == PAWL_IN_FOLDER)) continue;
        return PAWL_FAIL_AT(PAWL_EDATA, s->path, 0, 0,
                            "pawl reads .jsonl, .json and text, each also as .gz, not %s: %s", r->ending, r->advice);
    }
    return PAWL_OK;
}

/* A type that takes rows passes over the other files of a folder (a README, say), but not over one that is named. */
static int holds_rows(const pawl_dataset_config *cfg, const pawl_source *s)
{
    return s->reads != PAWL_READS_WHOLE || cfg->type == PAWL_COMPLETION || cfg->type == PAWL_PLAIN_TEXT;
}

static pawl_status keep_readable(const pawl_dataset_config *cfg, pawl_sources *s)
{
    int kept = 0;
    for (int i = 0; i < s->count; i++) {
        pawl_source *f = &s->items[i];
        f->reads = how_to_read(cfg, f->name, f->named);
        f->gzip = strcasecmp(f->name + strlen(f->name) - (strlen(f->name) < 3 ? 0 : 3), ".gz") == 0;
        PAWL_TRY(refuse_unreadable(cfg, f));
        if (!holds_rows(cfg, f) && f->named == PAWL_BY_NAME)
            return PAWL_FAIL_AT(
                PAWL_EDATA, f->path, 0, 0,
                "type %s takes rows, from .jsonl (an object a line) or .json (an array of objects), each also as "
                ".gz; name such a file, or set type: completion to learn the text as it stands",
                pawl_dataset_types[cfg->type]);
        const pawl_source here = *f;
        if (holds_rows(cfg, &here)) {
            *f = s->items[kept];
            s->items[kept++] = here;
        }
    }
    s->left_out = s->count - kept;
    for (int i = kept; i < s->count; i++) pawl_free(s->items[i].path);
    s->count = kept;
    if (kept == 0)
        return PAWL_FAIL_AT(PAWL_EDATA, cfg->path, 0, 0,
                            "there is no .jsonl or .json file here, and type %s takes rows",
                            pawl_dataset_types[cfg->type]);
    return PAWL_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const pawl_source *)a)->name, ((const pawl_source *)b)->name);
}

/* A pattern with more than one ** may have found a file in more than one way. */
static void sort_once(pawl_sources *s)
{
    int kept = 0;
    qsort(s->items, (size_t)s->count, sizeof *s->items, by_name);
    for (int i = 0; i < s->count; i++) {
        if (kept > 0 && strcmp(s->items[i].name, s->items[kept - 1].name) == 0)
            pawl_free(s->items[i].path);
        else
            s->items[kept++] = s->items[i];
    }
    s->count = kept;
}

pawl_status pawl_sources_find(const pawl_dataset_config *cfg, pawl_sources *out)
{
    memset(out, 0, sizeof *out);
    PAWL_TRY(find(cfg, out));
    sort_once(out);
    return keep_readable(cfg, out);
}

int pawl_dataset_is_there(const pawl_dataset_config *d)
{
    pawl_sources found = {0};
    if (pawl_path_exists(d->path)) return 1;
    const int there = pawl_glob(d->path, &found) == PAWL_OK && found.count > 0;
    pawl_sources_close(&found);
    return there;
}

void pawl_sources_close(pawl_sources *s)
{
    for (int i = 0; i < s->count; i++) {
        pawl_free(s->items[i].path);
        pawl_free(s->items[i].checks);
    }
    pawl_free(s->items);
    memset(s, 0, sizeof *s);
}
