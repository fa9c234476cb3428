/* pawl import: a GGUF file as a Hugging Face directory; and the same on the way, in the user's cache folder, for a
 * command that is given such a file in the place of a directory. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/file.h"
#include "core/workshop.h"
#include "launch/launch.h"

enum { DTYPE };

/* Goes up when an import writes something else than before, so that what older versions left in a cache is not used. */
#define FORM "1"

static void alive(void)
{
    (void)pawl_keep_going(); /* a stop is taken up behind the import */
}

/* --- one import --------------------------------------------------------------------------------------------- */

/* A key's text, or JSON's null. */
static json_t *said(const pawl_gguf *g, const char *key)
{
    pawl_gguf_text t;
    json_t *text =
        pawl_gguf_has(g, key) && pawl_gguf_string(g, key, &t) == PAWL_OK ? json_stringn(t.data, t.bytes) : NULL;
    return text ? text : json_null();
}

static pawl_status write_record(const pawl_gguf *g, pawl_dtype dtype, pawl_digest digest, size_t bytes, const char *dir)
{
    char whole[PATH_MAX];
    const char *path = pawl_gguf_path(g), *slash = strrchr(path, '/');
    json_t *record = json_pack("{s:s,s:s,s:I,s:s,s:o,s:o,s:o,s:s,s:s}", "file", slash ? slash + 1 : path, "path",
                               realpath(path, whole) ? whole : path, "bytes", (json_int_t)bytes, "sha256",
                               pawl_digest_hex(digest).text, "architecture", said(g, "general.architecture"), "name",
                               said(g, "general.name"), "license", said(g, "general.license"), "dtype",
                               pawl_dtype_name(dtype), "pawl_version", PAWL_VERSION);
    PAWL_CHECK(record, PAWL_EMEM, "no memory for %s", PAWL_IMPORT_RECORD);
    const pawl_status s = pawl_json_write(dir, PAWL_IMPORT_RECORD, record);
    json_decref(record);
    return s;
}

/* The tokenizer first: it takes a moment, and may be refused. */
static pawl_status write_all(const pawl_gguf *g, pawl_dtype dtype, pawl_digest digest, size_t bytes, const char *dir)
{
    PAWL_TRY(pawl_tokenizer_import_gguf(g, dir));
    PAWL_TRY(write_record(g, dtype, digest, bytes, dir));
    return pawl_hf_import_gguf(g, dtype, dir, alive);
}

typedef struct one_import {
    const pawl_gguf *g;
    pawl_dtype dtype;
    pawl_digest digest;
    size_t bytes;
} one_import;

static pawl_status fill(void *self, const char *dir)
{
    const one_import *one = self;
    return write_all(one->g, one->dtype, one->digest, one->bytes, dir);
}

/* dir is a whole model or not there. */
static pawl_status make(const pawl_gguf *g, pawl_dtype dtype, pawl_digest digest, size_t bytes, const char *dir)
{
    one_import one = {g, dtype, digest, bytes};
    return pawl_make_aside(dir, fill, &one);
}

/* --- on the way --------------------------------------------------------------------------------------------- */

int pawl_is_gguf(const char *path)
{
    const size_t n = strlen(path);
    return n > 5 && strcmp(path + n - 5, ".gguf") == 0 && !pawl_path_is_dir(path);
}

static int is_model(const char *dir)
{
    char config[PATH_MAX];
    return pawl_path_join(config, sizeof config, dir, "config.json") == PAWL_OK && pawl_path_exists(config);
}

static pawl_status find_or_make(const pawl_gguf *g, const char *folder, char dir[1024])
{
    size_t bytes;
    char key[80];
    const pawl_digest digest = pawl_gguf_digest(g, &bytes);
    snprintf(key, sizeof key, "%s-" FORM, pawl_digest_hex(digest).text);
    PAWL_TRY(pawl_path_join(dir, 1024, folder, key));
    if (is_model(dir)) return PAWL_OK;
    PAWL_TRY(pawl_dir_make(folder));
    pawl_workshop_sweep(folder, key);
    const pawl_status s = make(g, PAWL_F32, digest, bytes, dir);
    return s != PAWL_OK && is_model(dir) ? PAWL_OK : s; /* another job was faster */
}

pawl_status pawl_model_folder(const char *path, char dir[1024])
{
    char cache[1024], folder[1024];
    pawl_gguf *g;
    PAWL_CHECK(strlen(path) < 1024, PAWL_EUSAGE, "path too long: %s", path);
    memmove(dir, path, strlen(path) + 1);
    if (!pawl_is_gguf(path)) return PAWL_OK;
    PAWL_CHECK(pawl_path_exists(path), PAWL_EUSAGE, "there is no %s", path);
    pawl_cache_folder(cache, sizeof cache);
    PAWL_CHECK(cache[0], PAWL_EUSAGE,
               "there is no cache folder to import %.600s into: set XDG_CACHE_HOME or HOME, or use pawl import", path);
    *strrchr(cache, '/') = 0; /* beside the prepared data */
    PAWL_TRY(pawl_path_join(folder, sizeof folder, cache, "imported"));
    PAWL_TRY(pawl_gguf_open(path, &g));
    const pawl_status s = find_or_make(g, folder, dir);
    pawl_gguf_close(g);
    return s;
}

/* --- a run's start ------------------------------------------------------------------------------------------ */

/* Both of a run's, on rank 0. */
static pawl_status import_both(void *self)
{
    pawl_opened *o = self;
    char folder[1024];
    PAWL_TRY(pawl_model_folder(o->config.model.base_model, folder));
    memcpy(o->config.model.base_model, folder, sizeof folder);
    PAWL_TRY(pawl_model_folder(o->config.data.tokenizer, folder));
    memcpy(o->config.data.tokenizer, folder, sizeof folder);
    return PAWL_OK;
}

/* Rank 0's folder, where this rank sees it; else, on a machine with a cache of its own, its own. */
static pawl_status adopt(pawl_comm *c, char mine[1024])
{
    char first[1024];
    memcpy(first, mine, sizeof first);
    PAWL_TRY(pawl_bcast(c, first, sizeof first, 0));
    const pawl_status s = is_model(first) ? PAWL_OK : pawl_model_folder(mine, first);
    memcpy(mine, first, sizeof first);
    return pawl_agree(c, s);
}

pawl_status pawl_import_start(pawl_comm *c, pawl_opened *o)
{
    const int model = pawl_is_gguf(o->config.model.base_model), tokenizer = pawl_is_gguf(o->config.data.tokenizer);
    if (!model && !tokenizer) return PAWL_OK;
    pawl_watch("importing the model", (double)o->config.comm.phase_seconds);
    PAWL_TRY(pawl_alone(c, import_both, o));
    if (model) PAWL_TRY(adopt(c, o->config.model.base_model));
    return tokenizer ? adopt(c, o->config.data.tokenizer) : PAWL_OK;
}

/* --- the command -------------------------------------------------------------------------------------------- */

static pawl_status import(const char *file, pawl_dtype dtype, const char *folder, char dir[1024])
{
    pawl_gguf *g;
    size_t bytes;
    PAWL_CHECK(pawl_path_exists(file), PAWL_EUSAGE, "pawl import: there is no file %s", file);
    PAWL_CHECK(!pawl_path_is_dir(file), PAWL_EUSAGE, "pawl import: expected a GGUF file, but %s is a folder", file);
    PAWL_TRY(pawl_folder_named(folder, "import", dir));
    PAWL_TRY(pawl_gguf_open(file, &g));
    const pawl_digest digest = pawl_gguf_digest(g, &bytes);
    pawl_status s = pawl_parent_make(dir);
    if (s == PAWL_OK) s = make(g, dtype, digest, bytes, dir);
    pawl_gguf_close(g);
    return s;
}

static pawl_status run(pawl_comm *c, const pawl_args *a, int *exit_status)
{
    const char *name = a->option[DTYPE] ? a->option[DTYPE] : "f32";
    const pawl_dtype dtype = pawl_dtype_named(name);
    char dir[1024];
    (void)c;
    (void)exit_status;
    PAWL_CHECK(dtype == PAWL_F32 || dtype == PAWL_BF16 || dtype == PAWL_F16, PAWL_EUSAGE,
               "pawl import: --dtype: expected f32, bf16 or f16, found '%s'", name);
    PAWL_TRY(import(a->words[0], dtype, a->words[1], dir));
    printf("%s: imported as %s\n", dir, pawl_dtype_name(dtype));
    return PAWL_OK;
}

const pawl_command pawl_command_import = {
    .name = "import",
    .usage = "FILE.gguf DIR [--dtype f32|bf16|f16]",
    .summary = "a GGUF file as a Hugging Face directory, with its tokenizer",
    .least = 2,
    .most = 2,
    .options = {{"--dtype", "TYPE", "f32 (exact), bf16 or f16"}},
    .run = run,
};
