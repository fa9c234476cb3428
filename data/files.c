#include "data/files.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "core/arena.h"
#include "core/file.h"
#include "data/utf8.h"

enum { DEEPEST = 32 }; /* folders in folders: more than this is a loop of links, which systems follow 40 times */

const char *pawl_name_ending(const char *name)
{
    const char *slash = strrchr(name, '/'), *last = slash ? slash + 1 : name, *dot = strrchr(last, '.');
    return dot && dot > last ? dot : "";
}

static pawl_status add(pawl_sources *s, const char *path, size_t base, int named)
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
        s->room = 2 * s->room + 16;
        PAWL_TRY(pawl_realloc((void **)&s->items, (size_t)s->room * sizeof *s->items, "a list of data files"));
    }
    char *own;
    PAWL_TRY(pawl_alloc((void **)&own, length + 1, "a list of data files"));
    memcpy(own, path, length + 1);
    s->items[s->count++] = (pawl_source){.path = own, .name = own + base, .named = named};
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
    if (depth == DEEPEST)
        return PAWL_FAIL_AT(PAWL_EDATA, dir, 0, 0, "this lies %d folders deep: is there a loop of links?", depth);
    PAWL_TRY(pawl_dir_list(dir, &names, &count));
    pawl_status status = PAWL_OK;
    for (int i = 0; i < count; i++) {
        if (!wanted(names[i], split)) continue;
        PAWL_TRY_OUT(pawl_path_join(path, sizeof path, dir, names[i]));
        PAWL_TRY_OUT(pawl_path_is_dir(path) ? walk(s, path, base, "", depth + 1) : add(s, path, base, 0));
    }
out:
    pawl_free(names);
    return status;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const pawl_source *)a)->name, ((const pawl_source *)b)->name);
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
    qsort(out->items, (size_t)out->count, sizeof *out->items, by_name);
    return PAWL_OK;
}

/* What other programs read as tables of rows would silently become one long document here. */
static pawl_status refuse_tables(const pawl_dataset_config *cfg)
{
    static const char *const tables[] = {".json", ".csv", ".tsv", ".parquet", ".arrow", NULL};
    const int completion = strcmp(pawl_dataset_types[cfg->type], "completion") == 0;
    for (const char *const *t = tables; completion && *t; t++)
        if (strcasecmp(pawl_name_ending(cfg->path), *t) == 0)
            return PAWL_FAIL_AT(PAWL_EDATA, cfg->path, 0, 0,
                                "type completion reads .jsonl (an object a line) and text, not %s; convert "
                                "it to .jsonl, or set type: text to learn the file as it stands",
                                *t);
    return PAWL_OK;
}

pawl_status pawl_sources_find(const pawl_dataset_config *cfg, pawl_sources *out)
{
    memset(out, 0, sizeof *out);
    if (!pawl_path_exists(cfg->path))
        return PAWL_FAIL_AT(PAWL_EDATA, cfg->path, 0, 0,
                            "there is no such file or folder to read data from; correct the dataset's "
                            "path (it is taken from the folder in which the job started)");
    if (pawl_path_is_dir(cfg->path)) return find_in_folder(cfg, out);
    if (cfg->split[0])
        return PAWL_FAIL_AT(PAWL_EDATA, cfg->path, 0, 0,
                            "split '%s' names a file in a folder, but this is a file; leave split out", cfg->split);
    PAWL_TRY(refuse_tables(cfg));
    const char *slash = strrchr(cfg->path, '/');
    return add(out, cfg->path, slash ? (size_t)(slash + 1 - cfg->path) : 0, 1);
}

/* Exactly the bytes that are there now: a file that grows meanwhile is taken as it was. */
static pawl_status hash_file(pawl_source *source, pawl_hash *hash, char *block)
{
    int fd;
    pawl_status s = PAWL_OK;
    PAWL_TRY(pawl_file_size(source->path, &source->bytes));
    PAWL_TRY(pawl_file_open(source->path, O_RDONLY, &fd));
    for (int64_t at = 0; at < source->bytes && s == PAWL_OK && pawl_keep_going(); at += PAWL_CHUNK_BYTES) {
        const int64_t left = source->bytes - at, n = left < PAWL_CHUNK_BYTES ? left : PAWL_CHUNK_BYTES;
        s = pawl_file_pread(fd, source->path, block, (size_t)n, at);
        if (s == PAWL_OK) pawl_hash_add(hash, block, (size_t)n);
    }
    pawl_file_close(fd);
    return s;
}

pawl_status pawl_sources_hash(pawl_sources *s)
{
    char *block;
    pawl_status status = PAWL_OK;
    PAWL_TRY(pawl_alloc((void **)&block, PAWL_CHUNK_BYTES, "reading data files"));
    for (int i = 0; i < s->count && status == PAWL_OK && pawl_keep_going(); i++) {
        pawl_hash *hash;
        PAWL_TRY_OUT(pawl_hash_open(&hash));
        status = hash_file(&s->items[i], hash, block);
        s->items[i].digest = pawl_hash_close(hash);
    }
out:
    pawl_free(block);
    return status;
}

void pawl_sources_close(pawl_sources *s)
{
    for (int i = 0; i < s->count; i++) pawl_free(s->items[i].path);
    pawl_free(s->items);
    memset(s, 0, sizeof *s);
}
